"""The port to the frontier's store, and the stores behind it."""
