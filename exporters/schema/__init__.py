"""The columns and the configs of the dataset."""
