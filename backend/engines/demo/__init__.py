"""The embedded judge and the small world it knows."""
