"""Which tasks need no person: certificates from blind labels, and whether their promise is kept."""
