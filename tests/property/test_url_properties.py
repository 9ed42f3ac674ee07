"""What holds for every URL, whatever it looks like."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crawlfleet.shared.brief import ScopeSpec, UrlSpec
from crawlfleet.shared.web.scope import Scope
from crawlfleet.shared.web.url_policy import TRACKING, UrlPolicy
from crawlfleet.shared.web.urls import canonicalize, has_other_scheme, is_canonical, join_plain, parts, plain_host

_PIECES = st.sampled_from(
    [
        "http://",
        "https://",
        "HTTP:",
        "//",
        "/",
        "\\",
        "..",
        ".",
        "?",
        "#",
        "@",
        ":",
        "[::1]",
        "%",
        "%2",
        "%c3",
        "%%aa",
        "example.org",
        "EXAMPLE",
        "xn--",
        "ü",
        " ",
        "\t",
        "\n",
        "a",
        "A",
        "80",
        "443",
        "|",
        "'",
        "{",
        "~",
        "\x00",
        "\ud800",
    ]
)
_NEARLY_URLS = st.builds("".join, st.lists(_PIECES, max_size=12))
_URLS = st.builds("{}{}".format, st.sampled_from(["http://example.org/", "https://h:81/"]), _NEARLY_URLS)


@settings(deadline=None)
@given(st.one_of(_NEARLY_URLS, _URLS, st.text()))
@example("http://h/%%a%aa")
@example("http://u@h/@")
@example("http://h/ #x")
def test_canonical_form_is_a_fixed_point(href: str) -> None:
    url = canonicalize(href)
    if url is not None:
        assert canonicalize(url) == url
        assert canonicalize("", url) == url


@settings(deadline=None)
@given(_URLS, _NEARLY_URLS)
def test_joined_links_are_fixed_points_too(base: str, href: str) -> None:
    page = canonicalize(base)
    if page is not None:
        url = canonicalize(href, page)
        assert url is None or canonicalize(url, page) == url


_POLICY_PIECES = st.sampled_from(
    (
        *("/", "?", "&", "=", ";", "..", ".", "%", "%2e", "a", "b", "B", "1", "ü", "+", "#", "index.html", "utm_x"),
        *(";jsessionid=1", "PHPSESSID=", "sid=0123456789abcdef0123456789abcdef", "(S(abcdefghijklmnopqrstuvwx))"),
        *("%66bclid", "ref"),
    )
)
_POLICIES = st.builds(
    UrlSpec,
    drop_query=st.lists(st.sampled_from([*TRACKING, "ref", "*", "a*b"]), max_size=4).map(tuple),
    sort_query=st.booleans(),
    strip_session_ids=st.booleans(),
    index_pages=st.sampled_from([(), ("index.html",), ("a", "b")]),
)


@settings(deadline=None)
@given(_POLICIES, st.builds("http://h/{}".format, st.builds("".join, st.lists(_POLICY_PIECES, max_size=15))))
@example(UrlSpec(strip_session_ids=True), "http://h/x/.;jsessionid=1./b")
@example(UrlSpec(index_pages=("a",), strip_session_ids=True), "http://h/a/;jsessionid=1")
@example(UrlSpec(drop_query=("ref",), sort_query=True), "http://h/?ref&b&a&")
def test_a_jobs_own_form_is_a_fixed_point_of_its_policy_and_of_the_standard(spec: UrlSpec, href: str) -> None:
    policy = UrlPolicy(spec)
    url = policy.canonicalize(href)
    assert url is not None
    assert policy.apply(url) == url == canonicalize(url)
    assert policy.is_canonical(url)
    assert policy.canonicalize("", url) == url


@settings(deadline=None)
@given(_POLICIES, _URLS, _NEARLY_URLS)
def test_what_is_joined_by_a_policy_is_what_it_makes_of_the_joined(spec: UrlSpec, base: str, href: str) -> None:
    page = canonicalize(base)
    if page is not None:
        policy = UrlPolicy(spec)
        joined, url = canonicalize(href, page), policy.canonicalize(href, page)
        assert url == (None if joined is None else policy.apply(joined))
        assert url is None or policy.canonicalize(url, page) == url


@settings(deadline=None)
@given(_URLS)
def test_canonical_urls_are_ascii_without_fragment_and_fall_into_parts(href: str) -> None:
    url = canonicalize(href)
    if url is not None:
        origin, host, path = parts(url)
        assert url.isascii()
        assert "#" not in url
        assert url == origin + path
        assert host in origin
        assert "@" not in origin
        assert path.startswith("/")


@settings(deadline=None)
@given(st.text(alphabet="/a*b?", min_size=1, max_size=8), st.text(alphabet="/ab?", max_size=8))
def test_globs_match_as_fnmatch_would(glob: str, rest: str) -> None:
    path = "/" + rest
    body = ".*".join(map(re.escape, glob.split("*")))
    expected = re.search(rf"\A{body}" if glob.startswith("/") else body, path, re.DOTALL) is not None
    scope = Scope(ScopeSpec(hosts=("h",), include=(glob,)))
    assert (scope.refuses(f"http://h{path}") == "") is expected


_NAMES = st.text("abcXYZ019._~-", min_size=0, max_size=4)
_QUERIES = st.one_of(st.just(""), st.text("abZ09._~-/=&+?", max_size=6).map("?{}".format))


@given(
    st.lists(_NAMES, max_size=4).map(lambda names: f"https://a.test/{'/'.join(names)}/"),
    st.lists(st.one_of(_NAMES, st.just("..")), max_size=5).map("/".join),
    _QUERIES,
)
def test_the_short_way_to_join_comes_to_the_same(folder: str, path: str, query: str) -> None:
    base = canonicalize(folder)
    assert base is not None
    assert join_plain(base, path + query) in (None, canonicalize(path + query, base))


@pytest.mark.parametrize("href", ["x", "../x", "/", "/x/y.html", "/x?q=1&r=a+b", "../?q", "x?"])
def test_most_links_are_joined_the_short_way(href: str) -> None:
    base = "https://a.test:81/one/two/"
    assert join_plain(base, href) == canonicalize(href, base)


@settings(deadline=None)
@given(st.one_of(_NEARLY_URLS, _URLS, st.text()))
@example("mailto:a@b")
@example("HtTpS:x")
@example("ht\ntp://h/")
def test_what_plainly_has_another_scheme_is_no_url(href: str) -> None:
    if has_other_scheme(href):
        assert canonicalize(href, "https://a.test/") is None


@settings(deadline=None)
@given(
    st.builds("{}{}".format, st.sampled_from(["http://", "https://"]), st.text("aB0x1.-:/\\\n?#%@xn", max_size=12)),
    st.text(max_size=4),
)
@example("http://0x7f.1/", "")
@example("https://h:99999", "")
@example("https://h\\p", "@x")
@example("http://xn--a/", "")
def test_what_a_host_is_taken_for_depends_on_its_writing_alone(start: str, rest: str) -> None:
    host = plain_host(start + rest)
    url = canonicalize(start + rest, "https://a.test/")
    if host is not None and url is not None:
        alone = canonicalize(f"http://{host}/")
        assert alone is not None
        assert parts(url).host == parts(alone).host


@settings(deadline=None)
@given(st.one_of(_NEARLY_URLS, _URLS, st.text()))
@example("http://h:80/")
@example("http://h:081/a")
@example("http://H/")
@example("http://h/a/../b")
@example("http://0x7f.1/")
@example("http://h/a?b#")
@example("https:///x")
def test_what_is_canonical_is_what_canonicalize_leaves_alone(url: str) -> None:
    assert is_canonical(url) == (canonicalize(url) == url)
