"""A project as somebody downloaded it from Label Studio, in its JSON form."""
