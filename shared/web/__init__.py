"""The web as both sides see it: URLs, which of them belong together, and the name of a crawler. Pure."""
