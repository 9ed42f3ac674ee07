"""The text of a starter job: YAML, with a comment where it helps. Pure.

What comes from a page is quoted where YAML would read something else, and has no line ends or control characters.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from crawlfleet.starter.fields import Guess
from crawlfleet.starter.rule import Rule
from crawlfleet.worker.extract.page import Page

COMMENT_AT = 44
MAX_SAMPLE_CHARS = 50
FIRST_PAGES = 100
MAX_FILE_CHARS = 500

_PLAIN = re.compile(r"[A-Za-z_][\w.>/-]*(?: [\w.>/-]+)*", re.ASCII)
_PLAIN_URL = re.compile(r"https?://[\w.~/?&=%+:@;-]*[\w/=]", re.ASCII)
_WORDS = frozenset(["true", "false", "yes", "no", "on", "off", "null", "y", "n"])
_NEXT = ("a[rel=next]", "a.next", ".next > a", ".next a")


class Naming(NamedTuple):
    """What a job is called: the name of its crawl, its file, and the file with the schema of jobs, if there is one."""

    crawl: str
    file: str
    schema: str = ""


def job_text(page: Page, naming: Naming, rules: Sequence[Rule]) -> str:
    """Return a job with these rules, which begins at a page."""
    return "\n".join(
        [*_head(page, naming), *_crawl(page, naming.crawl), *_items(page, rules), *_links(page, rules), ""]
    )


def _head(page: Page, naming: Naming) -> Iterator[str]:
    file = _clean(shlex.quote(naming.file), MAX_FILE_CHARS)
    if naming.schema:
        yield f"# yaml-language-server: $schema={naming.schema}"
    yield f"# A starter job, made of one page by `crawlfleet init`: {_clean(page.url, 200)}"
    yield "# It is a guess. See what it gives, change it, and crawl:"
    yield f"#   crawlfleet try {file} --watch"
    yield f"#   crawlfleet run {file}"
    if page.directives.noindex:
        yield "# This page asks not to be indexed: a crawl has no rows of it, unless it says links: {noindex: ignore}."


def _crawl(page: Page, name: str) -> Iterator[str]:
    yield f"name: {scalar(name)}"
    yield "seeds:"
    # Braces would be a range.
    yield f"  - {scalar(page.url.replace('{', '%7B').replace('}', '%7D'))}"
    yield "scope:"
    yield _line("  hosts: same", "or a list of host names")
    yield _line(f"  pages: {FIRST_PAGES}", "for a first look: take the line away to crawl all")
    yield "politeness:"
    yield _line("  delay: 1s", "between two requests to the host; its robots.txt is obeyed")


def _items(page: Page, rules: Sequence[Rule]) -> Iterator[str]:
    if not rules:
        kind = "this page" if page.is_html else f"an answer of type {_clean(page.content_type or 'unknown', 60)}"
        yield f"# No rule could be guessed from {kind}: without any, a crawl has a row for each page, with its title."
        yield "# items:"
        yield "#   - {name: entry, each: article, fields: {title: h2, text: p}}"
        return
    yield "items:"
    for rule in rules:
        yield _line(f"  - name: {scalar(rule.name)}", rule.about)
        if rule.when is not None:
            yield _line(f"    when: {flow(rule.when)}", "only in pages that have this")
        if rule.each is not None:
            yield _line(f"    each: {flow(rule.each)}", "one row for each")
        yield "    fields:"
        yield from (_line(f"      {scalar(guess.name)}: {flow(guess.form)}", _sample(guess)) for guess in rule.fields)


def _links(page: Page, rules: Sequence[Rule]) -> Iterator[str]:
    """Yield how to follow fewer links: to the next page of a list, and to what is listed."""
    further = next_page(page)
    each = next((rule.each for rule in rules if isinstance(rule.each, str) and _has_links(rule)), None)
    if each is None and not further:
        return
    wanted = [*([further] if further else []), *([each] if each is not None else [])]
    yield "# Every link in the scope is followed; or only those in these elements, as to the next page of a list:"
    yield f"# follow: {flow(wanted)}"


def _has_links(rule: Rule) -> bool:
    return any(isinstance(guess.form, dict) and guess.form.get("attr") == "href" for guess in rule.fields)


def next_page(page: Page) -> str:
    """Return a selector of the link to the next page of a list; empty if there is none."""
    if page.root is None:
        return ""
    return next((css for css in _NEXT if page.engine.first(page.root, css) is not None), "")


def _sample(guess: Guess) -> str:
    return _clean(guess.sample, MAX_SAMPLE_CHARS)


def _clean(text: str, most: int) -> str:
    """Return a text as it can stand in a comment: one line, printable, its beginning."""
    text = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * most]).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _line(text: str, comment: str) -> str:
    return f"{text:<{COMMENT_AT - 2}}  # {comment}" if comment else text


def flow(value: Any) -> str:
    """Return plain data in YAML, in one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{scalar(key)}: {flow(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    return str(value).lower() if isinstance(value, bool) else scalar(str(value))


def scalar(text: str) -> str:
    """Return a text in YAML, in quotes if it would be read as something else without."""
    if (_PLAIN.fullmatch(text) and text.lower() not in _WORDS) or _PLAIN_URL.fullmatch(text):
        return text
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    escaped = "".join(char if char.isprintable() and char not in '"\\' else _escape(char) for char in text)
    return f'"{escaped}"'


def _escape(char: str) -> str:
    return f"\\{char}" if char in '"\\' else f"\\U{ord(char):08x}"
