"""The name of a crawler in robots.txt files, taken from its user agent. Pure."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"[A-Za-z_-]+")
_COMPATIBLE = re.compile(r"\(compatible; *([A-Za-z_-]+)", re.IGNORECASE)


def product_token(user_agent: str) -> str:
    """Return the name by which robots.txt files call a user agent, in lower case; empty if it has none.

    It is the first word of letters, `_` and `-` (RFC 9309, 2.2.1); if the user agent has `(compatible;`, it is the word
    after that.
    """
    match = _COMPATIBLE.search(user_agent) or _TOKEN.match(user_agent)
    return match[match.lastindex or 0].lower() if match else ""
