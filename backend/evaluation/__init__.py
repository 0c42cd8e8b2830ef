"""Judges labelled data offline and says how well the judge agrees with people."""
