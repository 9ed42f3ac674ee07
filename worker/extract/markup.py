"""Elements as HTML and as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from crawlfleet.shared.web.urls import canonicalize

_LINKS = {"a": "href", "img": "src"}


def markdown(html: str, base: str) -> str:
    """Return HTML as Markdown, with absolute addresses. Raise `RecursionError` if it is nested some hundred levels."""
    # Imported when a job asks for it: BeautifulSoup takes long.
    from crawlfleet.worker.extract.bs4_tree import parse

    soup = parse(html)
    for tag in soup.find_all(list(_LINKS)):
        name = _LINKS[tag.name]
        address = tag.get(name)
        absolute = canonicalize(address, base) if isinstance(address, str) else None
        if absolute is not None:
            tag[name] = absolute
    text: str = _converter()(soup)
    return text.strip()


@cache
def _converter() -> Callable[[Any], str]:
    from markdownify import MarkdownConverter

    found: Callable[[Any], str] = MarkdownConverter(heading_style="atx", bullets="-").convert_soup
    return found
