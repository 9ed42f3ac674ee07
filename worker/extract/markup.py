"""Elements as HTML and as Markdown. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

_LINKS = {"a": "href", "img": "src"}
# The library takes time with the square of blanks in a row; but in `pre` all of them are one.
_MOST_BLANKS = 100
_MANY_BLANKS = re.compile(rf"[\t ]{{{_MOST_BLANKS + 1},}}+")
_BLANK_LINES = re.compile(r"(?:[\t \r]*+\n){2,}+")
# What is no such number raises, or takes memory.
_COUNT = re.compile(r"[0-9]{1,2}", re.ASCII)
_FIRST = re.compile(r"[0-9]{1,9}", re.ASCII)


def markdown(html: str, resolve: Callable[[str], str | None]) -> str:
    """Return HTML as Markdown, with the URLs of its addresses. Raise `RecursionError` if it is nested too deep."""
    # Imported when a job asks for it: BeautifulSoup takes long.
    from crawlfleet.worker.extract.bs4_tree import parse

    soup = parse(_BLANK_LINES.sub(_few_lines, _MANY_BLANKS.sub(" " * _MOST_BLANKS, html)))
    for tag in soup.find_all(list(_LINKS)):
        name = _LINKS[tag.name]
        address = tag.get(name)
        absolute = resolve(address) if isinstance(address, str) else None
        if absolute is not None:
            tag[name] = absolute
    for cell in soup.find_all(["td", "th"]):
        if not _COUNT.fullmatch(str(cell.get("colspan"))):
            del cell["colspan"]
    for ordered in soup.find_all("ol"):
        start = str(ordered.get("start"))
        first = int(start) if _FIRST.fullmatch(start) else 1
        for number, item in enumerate(ordered.find_all("li", recursive=False), first):
            item["value"] = str(number)
    text: str = _converter()(soup)
    return text.strip()


def _few_lines(lines: re.Match[str]) -> str:
    return "\n" * min(lines[0].count("\n"), _MOST_BLANKS)


@cache
def _converter() -> Callable[[Any], str]:
    from markdownify import MarkdownConverter

    class Converter(MarkdownConverter):
        def convert_li(self, el: Any, text: str, parent_tags: Any) -> str:
            """Number an item by its attribute: the library counts all items before each one."""
            if el.parent is None or el.parent.name != "ol" or not text.strip():
                return str(super().convert_li(el, text, parent_tags))  # type: ignore[misc]  # its types lack it
            bullet = f"{el['value']}. "
            first, *others = text.strip().split("\n")
            return "\n".join((bullet + first, *(" " * len(bullet) + line if line else "" for line in others), ""))

    found: Callable[[Any], str] = Converter(heading_style="atx", bullets="-").convert_soup
    return found
