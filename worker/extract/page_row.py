"""The row of a page in a job that has neither rules nor a hook. Pure."""

from __future__ import annotations

from typing import Any

from crawlfleet.shared.messages import PAGE_FIELDS
from crawlfleet.worker.extract.page import Page

#: How many characters of a description, a heading or a language a row has: on a page whose tags are not closed, a
#: heading may go on to its end.
MAX_TEXT_CHARS = 1_000


def page_row(page: Page, depth: int) -> dict[str, Any]:
    """Return the fields of a page's row. It was fetched as one of this depth."""
    values = (
        page.status,
        page.content_type,
        page.title,
        len(page.body),
        page.copy_of,
        _short(page.survey.description),
        _short(_heading(page)),
        _short(_language(page)),
        depth,
    )
    return dict(zip(PAGE_FIELDS, values, strict=True))


def _heading(page: Page) -> str | None:
    node = page.engine.first(page.root, "h1") if page.root is not None else None
    return None if node is None else page.engine.text(node)


def _language(page: Page) -> str | None:
    """Return the language of the page's element `html` as it is written (HTML, 3.2.6.2), None if it is not known."""
    attributes = page.engine.attributes(page.root) if page.root is not None else {}
    if "xml:lang" in attributes and page.is_xml:
        return attributes["xml:lang"] or None
    if "lang" in attributes:
        return attributes["lang"] or None
    return page.survey.language or _named_alone(page.headers.get("content-language", ""))


def _named_alone(languages: str) -> str | None:
    return None if "," in languages else languages.strip() or None


def _short(text: str | None) -> str | None:
    """Return a text with whitespace folded, its beginning if it is long."""
    if text is None:
        return None
    # Most of what is cut off is never folded.
    return " ".join(text[: 16 * MAX_TEXT_CHARS].split())[:MAX_TEXT_CHARS]
