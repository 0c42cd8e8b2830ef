"""How various the samples are."""
