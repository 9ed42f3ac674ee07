"""Origins, scheme, host and port of an address, and patterns of them. Pure."""

from __future__ import annotations


def fits(origin: str, pattern: str) -> bool:
    """Say whether a pattern means an origin: `*.` in it stands for any names below a host (`https://*.example.org`)."""
    scheme, star, below = pattern.partition("*")
    return origin.startswith(scheme) and origin.endswith(below) if star else origin == pattern
