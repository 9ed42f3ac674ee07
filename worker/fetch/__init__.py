"""The port to HTTP, and the engines behind it."""
