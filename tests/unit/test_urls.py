"""Canonical URLs: the form in which addresses are compared, and what is read off them."""

from __future__ import annotations

import pytest

from crawlfleet.shared.web.urls import (
    FINGERPRINT_BYTES,
    Parts,
    canonicalize,
    fingerprint,
    host_key,
    origin,
    page_fingerprint,
    parts,
    port,
    split_fingerprints,
)


@pytest.mark.parametrize(
    ("href", "canonical"),
    [
        ("HTTP://Example.ORG:80/A/../b?Q#f", "http://example.org/b?Q"),
        ("https://example.org:443", "https://example.org/"),
        ("https://example.org:8443/", "https://example.org:8443/"),
        ("https://user:pass@example.org/a@b", "https://example.org/a@b"),
        ("https://example.org/a@b?c@d", "https://example.org/a@b?c@d"),
        ("https://example.org/%c3%bc%7e%2f", "https://example.org/%C3%BC%7E%2F"),
        ("https://example.org/100%", "https://example.org/100%"),
        ("https://例え.jp/ü", "https://xn--r8jz45g.jp/%C3%BC"),
        ("  https://example.org/a b ", "https://example.org/a%20b"),
        ("https:\\\\example.org\\a", "https://example.org/a"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://[::0:1]/", "http://[::1]/"),
        ("https://example.org/?", "https://example.org/?"),
    ],
)
def test_one_page_has_one_canonical_url(href: str, canonical: str) -> None:
    assert canonicalize(href) == canonical


@pytest.mark.parametrize(
    "href",
    [
        "mailto:a@b",
        "javascript:void(0)",
        "file:///etc/passwd",
        "ftp://h/",
        "http://",
        "http://[::1",
        "http://a b/",
        "",
        "relative",
        "http://h:99999/",
        "http://h/\ud800",
    ],
)
def test_what_is_no_http_url_has_no_canonical_url(href: str) -> None:
    assert canonicalize(href) is None


@pytest.mark.parametrize(
    ("href", "canonical"),
    [
        ("../c?d", "https://example.org/c?d"),
        ("//other.org", "https://other.org/"),
        ("#top", "https://example.org/a/b"),
        ("", "https://example.org/a/b"),
        ("?x", "https://example.org/a/b?x"),
        (" \n/x\t/y ", "https://example.org/x/y"),
        ("tel:1", None),
    ],
)
def test_links_are_joined_to_the_page_they_are_on(href: str, canonical: str | None) -> None:
    assert canonicalize(href, "https://example.org/a/b") == canonical


def test_path_keeps_its_case_and_its_empty_segments() -> None:
    assert canonicalize("https://example.org/A//b/") == "https://example.org/A//b/"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.org/a?b", Parts("https://example.org", "example.org", "/a?b")),
        ("http://example.org:8080/", Parts("http://example.org:8080", "example.org", "/")),
        ("http://[::1]:80/x", Parts("http://[::1]:80", "[::1]", "/x")),
    ],
)
def test_parts_are_origin_host_and_path_with_query(url: str, expected: Parts) -> None:
    assert parts(url) == expected


def test_politeness_counts_by_host_and_robots_by_origin() -> None:
    plain, secure = "http://example.org/", "https://example.org:8443/"
    assert host_key(plain) == host_key(secure)
    assert origin(plain) != origin(secure)


@pytest.mark.parametrize(
    ("url", "at"),
    [
        ("http://a.test/:1", 80),
        ("https://a.test/", 443),
        ("https://a.test:8443/", 8443),
        ("http://[::1]/", 80),
        ("http://[::1]:81/", 81),
    ],
)
def test_the_port_is_that_of_the_scheme_unless_the_url_names_another(url: str, at: int) -> None:
    assert port(url) == at


def test_fingerprint_differs_by_kind_origin_and_url() -> None:
    keys = {
        fingerprint("page", "https://e.org", "https://e.org/robots.txt"),
        fingerprint("robots", "https://e.org", "https://e.org/robots.txt"),
        fingerprint("robots", "https://f.org", "https://e.org/robots.txt"),
        fingerprint("page", "https://e.org", "https://e.org/"),
    }
    assert len(keys) == 4
    assert {len(key) for key in keys} == {FINGERPRINT_BYTES}


def test_the_short_way_to_a_page_s_fingerprint_is_the_same() -> None:
    assert page_fingerprint("https://a.test/ü?b=1") == fingerprint("page", "", "https://a.test/ü?b=1")


@pytest.mark.parametrize("count", [0, 1, 2, 512, 513, 2_000])
@pytest.mark.parametrize("left_over", [b"", b"x"])
def test_fingerprints_that_stand_together_are_told_apart(count: int, left_over: bytes) -> None:
    refs = [page_fingerprint(f"http://h.example/{number}") for number in range(count)]
    assert [*split_fingerprints(b"".join(refs) + left_over)] == refs
