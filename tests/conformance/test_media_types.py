"""Content-Type against the vectors of MIME Sniffing, and what Fetch extracts of several values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.worker.extract.encoding import name_of
from crawlfleet.worker.extract.media_type import MediaType, charset_of, essence_of, parsed
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.registry import open_engine
from crawlfleet.worker.fetch.port import Fetched, Headers
from tests.conformance.vectors import published, vectors

TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def _cases(name: str) -> list[dict[str, Any]]:
    text = vectors(f"wpt-mimesniff/{name}").read_text(encoding="utf-8")
    return [case for case in json.loads(text) if isinstance(case, dict)]


def _serialised(found: MediaType | None) -> str | None:
    """Return a type as MIME Sniffing, 4.5, has it."""
    if found is None:
        return None
    parts = [found.essence]
    for name, value in found.parameters.items():
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        parts.append(f"{name}={value}" if value and TOKEN.issuperset(value) else f'{name}="{quoted}"')
    return ";".join(parts)


@pytest.mark.parametrize("name", ["mime-types.json", "generated-mime-types.json"])
def test_a_type_is_parsed_as_the_standard_says(name: str) -> None:
    cases = _cases(name)
    wrong = [case for case in cases if _serialised(parsed(case["input"])) != case["output"]]
    assert wrong == []
    assert published(f"`{name}`") == (len(cases), len(cases) - len(wrong))


def test_an_encoding_is_the_one_that_the_charset_names() -> None:
    cases = [case for case in _cases("mime-types.json") if "encoding" in case]
    found = [(name_of(charset_of(case["input"])) or "", (case["encoding"] or "").lower()) for case in cases]
    agree = sum(one == other for one, other in found)
    assert agree == len(cases)
    assert published("`mime-types.json`, encodings") == (len(cases), agree)


@pytest.mark.parametrize(
    ("values", "essence", "charset"),
    [
        ((), "", ""),
        (("text/html", "text/html"), "text/html", ""),
        (("text/html, text/html",), "text/html", ""),
        (("text/html;charset=gbk, text/html",), "text/html", "gbk"),
        (("text/html;charset=gbk", "text/html;charset=utf-8"), "text/html", "utf-8"),
        (("text/html;charset=gbk", "text/plain"), "text/plain", ""),
        (("text/html;charset=gbk", "text/plain", "text/html"), "text/html", ""),
        (("text/html;charset=gbk", "*/*"), "text/html", "gbk"),
        (("*/*;charset=gbk",), "", ""),
        (("nonsense", "text/html"), "text/html", ""),
        (("text/html", "nonsense"), "text/html", ""),
        (('text/html;", text/plain',), "text/html", ""),
        (('text/html;x="a, b";charset=gbk',), "text/html", "gbk"),
        (('text/html; foo="bar; charset=utf-7;"; charset=utf-8',), "text/html", "utf-8"),
        (("text/html; mycharset=utf-8",), "text/html", ""),
        (("text/html; x=caf\u00e9\u4e2d; charset=gbk",), "text/html", "gbk"),
        (("html",), "", ""),
        (("text/html/x",), "", ""),
        (("unknown/unknown; charset=gbk",), "", "gbk"),
        (("Application/Unknown",), "", ""),
    ],
)
@pytest.mark.parametrize("engine", sorted(PARSE_ENGINES))
def test_of_several_values_the_type_is_what_fetch_extracts(
    engine: str, values: tuple[str, ...], essence: str, charset: str
) -> None:
    headers = Headers(("content-type", value) for value in values)
    body = "<title>中</title>".encode(charset or "utf-8")
    page = Page(Fetched(url="http://h/", status=200, headers=headers, body=body), engine=open_engine(engine))
    assert (page.content_type, page.is_html) == (essence, essence in ("", "text/html"))
    assert (essence_of(", ".join(values)), charset_of(", ".join(values))) == (essence, charset)
    assert page.text == "<title>中</title>"
    assert page.title == ("中" if page.is_html else None)


@pytest.mark.parametrize("text", ["a/b;", 'a/b;x="', "a/b,", "/", '"', 'a/b;x="\\', 'a/b;x="a"', "a/b;x=", " "])
def test_a_long_field_takes_a_short_time(text: str) -> None:
    field = text * (100_000 // len(text))
    assert charset_of(field) == charset_of(f"text/html;x, {field}") == ""
