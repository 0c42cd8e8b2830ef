"""Whether the judge treats groups, lengths, families or places differently."""
