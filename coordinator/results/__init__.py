"""The committed log of results, and what reads it."""
