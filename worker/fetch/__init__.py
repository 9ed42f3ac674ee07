"""Fetches pages over HTTP: a port, and the engines behind it."""
