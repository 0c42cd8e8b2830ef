"""Published datasets, brought into Label Studio as tasks: those that this product exported, and everybody else's."""
