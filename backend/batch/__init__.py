"""Judges a dataset in parts, each of which ends as one Parquet file: in this process, or on the machines of a Ray."""
