"""The folder of an export and the Parquet files in it."""
