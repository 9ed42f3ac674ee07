"""The web as both sides see it: URLs, which of them belong together, and what a crawler is called. Pure."""
