"""The name of a crawler in robots.txt files, taken from its user agent. Pure."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"[A-Za-z_-]+")
_COMPATIBLE = re.compile(r"\(compatible; *([A-Za-z_-]+)", re.IGNORECASE)
_NAME = re.compile(r"[^\s/(]+")
_COMPATIBLE_NAME = re.compile(r"\(compatible; *([^\s/;)]+)", re.IGNORECASE)


def product_token(user_agent: str) -> str:
    """Return the name by which robots.txt files call a user agent, in lower case; empty if it has none.

    It is the first word of letters, `_` and `-` (RFC 9309, 2.2.1); if the user agent has `(compatible;`, it is the word
    after that.
    """
    match = _COMPATIBLE.search(user_agent) or _TOKEN.match(user_agent)
    return match[match.lastindex or 0].lower() if match else ""


def odd_name(user_agent: str) -> str:
    """Return the name in a user agent if it is no product token (RFC 9309, 2.2.1), so that no robots.txt can say it."""
    match = _COMPATIBLE_NAME.search(user_agent) or _NAME.match(user_agent)
    name = match[match.lastindex or 0] if match else ""
    return "" if name.lower() == product_token(user_agent) else name
