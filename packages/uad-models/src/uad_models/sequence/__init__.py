"""Sequences of codes: the orders they are read in, the prior over them, and fast sampling from it."""
