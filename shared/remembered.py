"""A cache of results by text that texts of strangers cannot fill: it is bounded in number and in size."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

#: Results for longer texts are not remembered. No name of a host is longer, and hardly any address of an honest site.
MOST_CHARS = 256

T = TypeVar("T")


def remembered(most: int) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
    """Make a function of one text remember its last `most` results (`functools.lru_cache`), of short texts alone."""

    def decorate(function: Callable[[str], T]) -> Callable[[str], T]:
        of_short = lru_cache(maxsize=most)(function)

        @wraps(function)
        def of_any(text: str) -> T:
            return of_short(text) if len(text) <= MOST_CHARS else function(text)

        return of_any

    return decorate
