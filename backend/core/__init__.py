"""What a judgement is: no network, no GPU, no database, no web framework, no pictures."""
