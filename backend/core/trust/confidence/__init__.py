"""What the judge's confidence is worth, and how good the samples are."""
