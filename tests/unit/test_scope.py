"""Which canonical URLs a scope lets in, and by which rule it refuses the others."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.web.scope import Scope
from crawlfleet.shared.web.urls import LONGEST_URL_CHARS, MAX_URL_CHARS


def refuses(url: str, **spec: Any) -> str:
    return Scope(ScopeSpec(**{"hosts": ("example.org",), **spec})).refuses(url)


@pytest.mark.parametrize("url", ["https://example.org/", "http://example.org:8080/a?b"])
def test_hosts_are_let_in_whatever_the_scheme_and_port(url: str) -> None:
    assert refuses(url) == ""


@pytest.mark.parametrize("url", ["https://other.org/", "https://www.example.org/", "https://notexample.org/"])
def test_other_hosts_are_refused(url: str) -> None:
    assert refuses(url) == "host"


def test_subdomains_are_let_in_only_if_asked_for_and_by_whole_labels() -> None:
    assert refuses("https://a.b.example.org/", subdomains=True) == ""
    assert refuses("https://example.org/", subdomains=True) == ""
    assert refuses("https://a.b.c.example/", subdomains=True, hosts=("c.example", "x.y.z.example")) == ""
    assert refuses("https://x.z.example/", subdomains=True, hosts=("c.example", "x.y.z.example")) == "host"
    assert refuses("https://x.z.example/", subdomains=True, hosts=()) == "host"
    assert refuses("https://notexample.org/", subdomains=True) == "host"
    assert refuses("https://example.org.evil.net/", subdomains=True) == "host"


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("/a", "/a/b", True),
        ("/a", "/b/a", False),
        ("a/", "/b/a/", True),
        ("/a*z", "/a/b/z/c", True),
        ("/a*z", "/a/b", False),
        ("*.pdf", "/x.pdf", True),
        ("?page=", "/list?page=2", True),
        ("?page=", "/listXpage=2", False),
        ("/a.b", "/aXb", False),
        ("/[ab]", "/a", False),
        ("/*b*c", "/cab", False),
        ("*", "/", True),
    ],
)
def test_globs_are_anchored_by_a_slash_and_star_is_the_only_wildcard(glob: str, path: str, matches: bool) -> None:
    url = f"https://example.org{path}"
    assert refuses(url, include=(glob,)) == ("" if matches else "include")
    assert refuses(url, exclude=(glob,)) == ("exclude" if matches else "")


@pytest.mark.parametrize(
    ("regex", "path", "matches"),
    [
        (r"re:^/a/\d+$", "/a/12", True),
        (r"re:^/a/\d+$", "/a/12?x", False),
        (r"re:\?.*\bpage=\d", "/list?sort=1&page=2", True),
        (r"re:b", "/a/b", True),
        (r"re:(?i)\.PDF$", "/x.pdf", True),
        (r"re:^/(en|de)/", "/fr/", False),
    ],
)
def test_regular_expressions_may_match_anywhere_in_path_and_query(regex: str, path: str, matches: bool) -> None:
    url = f"https://example.org{path}"
    assert refuses(url, include=(regex,)) == ("" if matches else "include")
    assert refuses(url, exclude=("/other", regex)) == ("exclude" if matches else "")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("regex", ["re:(a*)*b", "re:(a|aa)+$", "re:(x+x+)+y", "re:(.*a){20}$"])
def test_regular_expressions_that_would_backtrack_for_ages_take_linear_time(regex: str) -> None:
    assert refuses("https://example.org/" + "a" * 1_000 + "x" * 1_000, exclude=(regex,)) == ""


def test_any_include_pattern_is_enough_and_any_exclude_pattern_refuses() -> None:
    spec = {"include": ("/a", "/b"), "exclude": ("/b/x", "/c")}
    assert refuses("https://example.org/b/y", **spec) == ""
    assert refuses("https://example.org/b/x", **spec) == "exclude"
    assert refuses("https://example.org/c", **spec) == "include"


def test_overlong_urls_are_refused() -> None:
    assert refuses("https://example.org/" + "a" * LONGEST_URL_CHARS) == "length"


@pytest.mark.timeout(10)
def test_globs_of_many_stars_do_not_backtrack() -> None:
    url = "https://example.org/" + "a" * (MAX_URL_CHARS - 20)
    assert refuses(url, exclude=("/" + "*a" * 40 + "*b",)) == ""


@pytest.mark.parametrize(
    "url", ["https://example.org/", "http://other.test:81/a", "http://127.0.0.1/", "http://[::1]/"]
)
def test_any_host_is_let_in_if_the_job_says_so(url: str) -> None:
    assert refuses(url, any_host=True) == ""
    assert refuses(url, any_host=True, include=("/only",)) == "include"
    assert refuses(url, any_host=True, exclude=("/",)) == "exclude"


@pytest.mark.parametrize(
    ("url", "is_external"),
    [
        ("https://example.org/in/1", False),
        ("https://example.org/out", True),
        ("https://other.test/in/1", True),
        ("https://other.test/out", True),
        ("https://example.org/in/no", False),
        ("https://other.test/no", False),
        (f"https://other.test/{'b' * 9_000}", False),
    ],
)
def test_what_is_out_of_scope_and_not_excluded_is_external(url: str, is_external: bool) -> None:
    scope = Scope(ScopeSpec(hosts=("example.org",), include=("/in/",), exclude=("/no",)))
    assert scope.is_external(url) == is_external
    assert not Scope(ScopeSpec(any_host=True)).is_external(url)


def test_no_host_lets_nothing_in() -> None:
    assert refuses("https://example.org/", hosts=()) == "host"
