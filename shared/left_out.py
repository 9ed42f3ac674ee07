"""What a limit left out, in words."""

from __future__ import annotations


def capped(links: int, rows: int) -> str:
    """Return how many links and rows were left out as logs, records and the summary say it; nothing if none were."""
    found = [f"{number} {name}{'s' * (number != 1)}" for number, name in ((links, "link"), (rows, "row")) if number]
    return f"capped: {links + rows} left out ({', '.join(found)})" if found else ""
