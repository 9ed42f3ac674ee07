"""What holds for every URL, whatever it looks like."""

from __future__ import annotations

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.messages import ScopeSpec
from shared.scope import Scope
from shared.urls import canonicalize, parts

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
