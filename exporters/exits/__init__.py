"""JSON lines, WebDataset and Croissant beside the Parquet files."""
