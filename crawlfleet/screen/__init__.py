"""Output for a user in a terminal. The only package that imports rich."""
