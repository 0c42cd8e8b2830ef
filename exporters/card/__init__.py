"""The dataset card, computed from the data and from what was measured."""
