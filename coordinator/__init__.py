"""Decides and remembers: the only side that knows the frontier."""
