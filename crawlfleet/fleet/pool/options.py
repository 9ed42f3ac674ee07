"""What a program may say about a page that it asks for, and which mistakes are found at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

#: URL, priority, follow.
Wish = tuple[str, int | None, bool]


def wish_of(url: object, priority: object, follow: object) -> Wish:
    """Return a wish; raise `TypeError` if any part of it has another type."""
    if not isinstance(url, str):
        raise TypeError(f"a URL is a str, not {type(url).__name__}: {url!r}")
    if priority is not None and (not isinstance(priority, int) or isinstance(priority, bool)):
        raise TypeError(f"the priority of {url} is a whole number, not {priority!r}")
    if not isinstance(follow, bool):
        raise TypeError(f"`follow` of {url} is True or False, not {follow!r}")
    return url, priority, follow


def wish_with_options(arguments: object, follow: bool) -> Wish:
    """Return the wish of an item of `starmap`, `(url,)` or `(url, {"priority": 5, "follow": True})`."""
    if not isinstance(arguments, tuple | list) or len(arguments) not in (1, 2):
        raise TypeError(f"an item of starmap is (url,) or (url, options), not {arguments!r}")
    options: Any = arguments[1] if len(arguments) == 2 else {}
    if not isinstance(options, dict) or not options.keys() <= {"priority", "follow"}:
        raise TypeError(f"the options of {arguments[0]} are a dict of priority and follow, not {options!r}")
    return wish_of(arguments[0], options.get("priority"), options.get("follow", follow))


def wishes_of(urls: Iterable[str], follow: bool) -> list[Wish]:
    """Return the wishes of URLs; a str is refused, since its letters are no URLs."""
    if isinstance(urls, str):
        raise TypeError(f"one URL instead of many: [{urls!r}]")
    return [wish_of(url, None, follow) for url in urls]


def check_chunksize(chunksize: int | None) -> None:
    """Raise `ValueError` unless a size of chunks is positive."""
    if chunksize is not None and chunksize < 1:
        raise ValueError(f"Chunksize must be 1+, not {chunksize!r}")
