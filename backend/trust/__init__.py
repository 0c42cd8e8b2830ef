"""Statements about the judge of a project: from what people said in Label Studio to what needs no person any more."""
