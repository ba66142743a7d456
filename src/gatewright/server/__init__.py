"""Composition of the data plane: the supervisor, the workers it starts, and what they say to each other."""
