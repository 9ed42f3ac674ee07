"""The directives of a page for crawlers, in `<meta name=robots>` and X-Robots-Tag: nofollow and noindex. Pure.

All directives for us, by name or for everyone, are combined: the most restrictive wins. Directives for the display of
search engines (`noarchive`, `max-snippet`, `unavailable_after`, ...) have no effect here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

EVERYONE = "robots"

# Directives with a value; any other name before a colon is that of a crawler.
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_CRAWLER = re.compile(r"\s*([a-z*][a-z0-9_.-]*)\s*:(.*)", re.DOTALL)
# Search engines separate by commas; pages also by semicolons and blanks.
_PART = re.compile(r"[,;]")
_BETWEEN = re.compile(r"[,;\s]+")


class Directives(NamedTuple):
    """The directives of a page."""

    nofollow: bool = False
    noindex: bool = False


def read_directives(metas: Iterable[str], headers: Iterable[str], names: frozenset[str]) -> Directives:
    """Read the contents of `<meta>` tags for us, and the values of X-Robots-Tag for our `names`, in lower case."""
    words = {word for content in metas for word in _BETWEEN.split(content.lower())}
    words.update(word for value in headers for word in _of_header(value.lower(), names))
    if not words:
        return Directives()
    none = "none" in words
    return Directives(none or "nofollow" in words, none or "noindex" in words)


def _of_header(value: str, names: frozenset[str]) -> Iterator[str]:
    """Yield the directives for us. A crawler's name applies to the directives after it, up to the next name."""
    for_us = True
    for part in _PART.split(value):
        directive = part
        match = _CRAWLER.fullmatch(part)
        if match and match[1] not in _VALUED:
            for_us = match[1] in names or match[1] in ("*", EVERYONE)
            directive = match[2]
        if for_us:
            yield from _BETWEEN.split(directive)
