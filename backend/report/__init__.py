"""The report as a page: what it consists of, and how that becomes HTML. Knows nothing of how the numbers are made."""
