"""Everything that can be said of a project's judge: as data, and on one page."""
