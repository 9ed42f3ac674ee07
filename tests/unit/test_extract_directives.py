"""What pages ask of crawlers in `<meta name=robots>` and X-Robots-Tag."""

from __future__ import annotations

import pytest

from crawlfleet.shared.brief import Brief, FetchSpec, LinkSpec, ScopeSpec
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.worker.extract import registry
from crawlfleet.worker.extract.directives import Directives, read_directives
from crawlfleet.worker.extract.extractor import Extracted, Extractor
from crawlfleet.worker.fetch.port import Fetched, Headers

US = frozenset({"ourbot"})
NEITHER, NOFOLLOW, NOINDEX, BOTH = (
    Directives(),
    Directives(nofollow=True),
    Directives(noindex=True),
    Directives(True, True),
)


@pytest.mark.parametrize(
    ("contents", "asked"),
    [
        ((), NEITHER),
        (("index, follow",), NEITHER),
        (("all",), NEITHER),
        (("NoFollow",), NOFOLLOW),
        (("noindex,nofollow",), BOTH),
        (("none",), BOTH),
        (("NONE , noarchive",), BOTH),
        (("noarchive, nosnippet, max-snippet:-1, unavailable_after: 25-Aug-2007 15:00:00 EST",), NEITHER),
        (("index, follow", "noindex"), NOINDEX),
        (("noindex follow",), NOINDEX),
        (("noindex; nofollow",), BOTH),
        (("noindex;nofollow",), BOTH),
        (("index ; NoFollow;",), NOFOLLOW),
        (("noindexing, no-follow",), NEITHER),
    ],
)
def test_the_most_restrictive_of_several_counts(contents: tuple[str, ...], asked: Directives) -> None:
    assert read_directives(contents, (), US) == asked


@pytest.mark.parametrize(
    ("values", "asked"),
    [
        (("noindex",), NOINDEX),
        (("noindex", "nofollow"), BOTH),
        (("noarchive, NoFollow",), NOFOLLOW),
        (("otherbot: noindex, nofollow",), NEITHER),
        (("ourbot: noindex, nofollow",), BOTH),
        (("OurBot : none",), BOTH),
        (("otherbot: nofollow", "noindex"), NOINDEX),
        (("otherbot: noindex, ourbot: nofollow, noarchive",), NOFOLLOW),
        (("nofollow, otherbot: noindex",), NOFOLLOW),
        (("*: nofollow",), NOFOLLOW),
        (("ourbotnews: nofollow",), NEITHER),
        (("unavailable_after: 25 Jun 2010 15:00:00 PST, nofollow",), NOFOLLOW),
        (("unavailable_after: Wed, 03 Dec 2025 13:00:00 GMT, noindex",), NOINDEX),
        (("unavailable_after: 2025-12-03T13:00:00+01:00",), NEITHER),
        (("max-snippet: 50, max-image-preview: large, nofollow",), NOFOLLOW),
        (("", ",,", ":", "a:b:c", ";;"), NEITHER),
        (("noindex; nofollow",), BOTH),
        (("noindex nofollow",), BOTH),
        (("otherbot: noindex; nofollow",), NEITHER),
        (("ourbot: noindex; nofollow",), BOTH),
        (("otherbot: noindex; ourbot: nofollow",), NOFOLLOW),
        (("unavailable_after: 25 Jun 2010 15:00:00 PST; noindex",), NOINDEX),
    ],
)
def test_a_header_may_be_for_one_crawler_alone(values: tuple[str, ...], asked: Directives) -> None:
    assert read_directives((), values, US) == asked


@pytest.fixture(autouse=True, params=sorted(PARSE_ENGINES))
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test of this file over each parse engine."""
    monkeypatch.setattr(registry, "PARSE_ENGINES", {request.param: PARSE_ENGINES[request.param]})


def extract(
    body: str, *tags: str, content_type: str = "text/html", agent: str = "OurBot/1.0 (x)", **links: bool
) -> Extracted:
    brief = Brief(job="j", scope=ScopeSpec(hosts=("h",)), fetch=FetchSpec(user_agent=agent), links=LinkSpec(**links))
    headers = Headers((("Content-Type", content_type), *(("X-Robots-Tag", tag) for tag in tags)))
    return Extractor(brief).extract(Fetched(url="http://h/", status=200, headers=headers, body=body.encode()))


LINK = "<a href=/x>x</a>"


@pytest.mark.parametrize(
    "meta",
    [
        "<meta name=robots content=nofollow>",
        "<META NAME=' Robots ' CONTENT='NOFOLLOW, noarchive'>",
        "<meta name=ourbot content=none>",
        "<meta name=robots content=index><body><meta name=robots content=nofollow>",
        "<noscript><meta name=robots content=nofollow></noscript>",
    ],
)
def test_the_links_of_a_page_that_asks_for_it_are_not_followed(meta: str) -> None:
    assert extract(meta + LINK).outlinks == ()
    assert extract(meta + LINK, obey_nofollow=False).outlinks == ("http://h/x",)


@pytest.mark.parametrize(
    "meta",
    [
        "<meta name=otherbot content=none>",
        "<meta name=robots>",
        "<meta property=robots content=none>",
        "<!-- <meta name=robots content=none> -->",
    ],
)
def test_what_is_not_for_us_changes_nothing(meta: str) -> None:
    found = extract(meta + LINK, "otherbot: none")
    assert (found.outlinks, found.noindex, len(found.rows)) == (("http://h/x",), False, 1)


def test_a_page_that_wants_no_rows_has_its_links_followed() -> None:
    for found in (extract("<meta name=robots content=noindex>" + LINK), extract(LINK, "noarchive", "noindex")):
        assert (found.outlinks, found.rows, found.noindex) == (("http://h/x",), (), True)
    found = extract(LINK, "noindex", obey_noindex=False)
    assert (len(found.rows), found.noindex) == (1, False)


def test_a_header_counts_for_what_is_not_html() -> None:
    found = extract("%PDF", "none", content_type="application/pdf")
    assert (found.rows, found.noindex) == ((), True)


def test_a_crawler_without_a_name_is_everyone() -> None:
    assert extract("<meta name='' content=none>" + LINK, agent="").outlinks == ("http://h/x",)
    assert extract(LINK, "none", agent="").outlinks == ()
    assert extract("<meta name=mj12bot content=none>" + LINK, agent="MJ12bot/1").outlinks == ()
