"""How well the judge agrees with people, and people with each other; what people do with its answers."""
