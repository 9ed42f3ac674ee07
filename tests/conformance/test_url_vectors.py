"""Addresses against the data of the Web Platform Tests: our policy on top of the standard, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from crawlfleet.shared.web.urls import canonicalize
from tests.conformance.vectors import published, vectors

HTTP = ("http://", "https://")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_USER_INFO = re.compile(r"(?<=://)[^/?#]*@")
_SCHEME = re.compile(r"[\x00-\x20]*([a-z][a-z0-9+.-]*):", re.IGNORECASE)

Case = dict[str, Any]


def _cases(file: str) -> list[Case]:
    rows = json.loads(vectors(f"wpt-url/{file}").read_text(encoding="utf-8"))
    return [row for row in rows if isinstance(row, dict)]


def _by_our_policy(href: str) -> str:
    """Drop fragment and user info of a serialised URL, and write its escapes in upper case."""
    url = _USER_INFO.sub("", href.partition("#")[0])
    return _ESCAPE.sub(lambda escape: escape[0].upper(), url)


def _class_of(case: Case) -> str:
    if not case.get("failure"):
        return "valid" if case["href"].startswith(HTTP) else "other"
    own = _SCHEME.match(re.sub(r"[\t\n\r]", "", case["input"]))
    scheme = own[1] if own else (case["base"] or "").partition(":")[0]
    return "invalid" if scheme.lower() in ("http", "https") else "other"


def _expected(case: Case) -> str | None:
    return _by_our_policy(case["href"]) if _class_of(case) == "valid" else None


def _host_cases(file: str, valid: bool) -> Iterator[tuple[str, str | None]]:
    """Yield URLs with a host to be read, and the URL that it gives. An empty host is no host that a URL can have."""
    for case in _cases(file):
        if case["input"] and (case["output"] is not None) is valid:
            yield f"http://{case['input']}/x", f"http://{case['output']}/x" if valid else None


def _agree(name: str, pairs: Iterable[tuple[object, str | None, str | None]]) -> None:
    """Fail with every case that deviates, or when there are other cases than the documents tell of."""
    rows = list(pairs)
    assert [row for row in rows if row[1] != row[2]] == []
    assert published(name) == (len(rows), len(rows))


@pytest.mark.parametrize("kind", ["valid", "invalid", "other"])
def test_every_address_of_the_url_standard_is_read_as_it_says(kind: str) -> None:
    cases = [case for case in _cases("urltestdata.json") if _class_of(case) == kind]
    found = ((case, canonicalize(case["input"], case["base"]), _expected(case)) for case in cases)
    _agree(f"`urltestdata.json`, {kind}", found)


@pytest.mark.parametrize("file", ["toascii.json", "IdnaTestV2.json"])
@pytest.mark.parametrize("kind", ["valid", "invalid"])
def test_every_international_host_is_read_as_the_standard_says(file: str, kind: str) -> None:
    found = ((url, canonicalize(url), expected) for url, expected in _host_cases(file, kind == "valid"))
    _agree(f"`{file}`, {kind}", found)


def test_what_is_not_ascii_is_escaped_in_utf_8() -> None:
    queries = [(case["input"], case["output"]["utf-8"]) for case in _cases("percent-encoding.json")]
    found = ((text, canonicalize(f"/?{text}", "http://h/"), f"http://h/?{escaped}") for text, escaped in queries)
    _agree("`percent-encoding.json`, utf-8", found)


def test_a_base_of_another_scheme_changes_nothing_about_an_absolute_address() -> None:
    for case in _cases("urltestdata.json"):
        expected = _expected(case)
        if expected is not None:
            assert canonicalize(expected, "data:text/plain,x") == expected == canonicalize(expected)
