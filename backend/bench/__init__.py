"""Measures how fast judging is on this machine, beside what people do today and beside what the machine could do."""
