"""All links of a page, for the table of links: which are listed, with which texts, and why some are not followed."""

from __future__ import annotations

import pytest

from crawlfleet.shared.brief import Brief, LimitSpec, LinkSpec, ScopeSpec
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.shared.web import link_records
from crawlfleet.shared.web.link_records import MAX_ADDRESS_CHARS, MAX_TEXT_CHARS, LinkRecord, pack, unpack
from crawlfleet.worker.extract import registry
from crawlfleet.worker.extract.extractor import Extracted, Extractor
from crawlfleet.worker.extract.harvest import Parse
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.fetch.port import Fetched, Headers

URL = "http://h.example/dir/page"
LISTED = LinkSpec(listed=True)


@pytest.fixture(autouse=True, params=sorted(PARSE_ENGINES))
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test of this file over each parse engine."""
    monkeypatch.setattr(registry, "PARSE_ENGINES", {request.param: PARSE_ENGINES[request.param]})


def extract(body: str, parse: Parse | None = None, header: str = "", **changes: object) -> Extracted:
    given = {"job": "j", "scope": ScopeSpec(hosts=("h.example",), exclude=("/no/*",)), "links": LISTED, **changes}
    headers = Headers((("Content-Type", "text/html; charset=utf-8"), *((("Link", header),) if header else ())))
    fetched = Fetched(url=URL, status=200, headers=headers, body=body.encode())
    return Extractor(Brief(**given), parse).extract(fetched)  # type: ignore[arg-type]  # fields of a test


def listed(body: str, parse: Parse | None = None, header: str = "", **changes: object) -> list[LinkRecord]:
    return unpack(extract(body, parse, header, **changes).links)


def reasons(body: str, **changes: object) -> dict[str, str]:
    return {each.target: each.why for each in listed(body, None, "", **changes)}


def test_nothing_is_listed_unless_the_job_asks() -> None:
    assert extract("<a href=/a>1</a>", links=LinkSpec()).links == b""


def test_each_link_has_its_element_its_relation_and_its_text() -> None:
    body = """<head><link rel=canonical href=/c><link rel=stylesheet href=/s><meta http-equiv=refresh content="0;/r">
        <a href="/a" rel="Next up">  the <b>first</b>
        page</a><a href=/a>again</a><a name=x>none</a><a href="#top">top</a><a href="/b#part">b</a>
        <map><area href=/area alt="a map"></map><iframe src=/frame></iframe><img src=/img alt=i>"""
    assert listed(body, header="</h>; rel=next, </s>; rel=preload") == [
        LinkRecord("http://h.example/h", "header", "next"),
        LinkRecord("http://h.example/r", "meta"),
        LinkRecord("http://h.example/c", "link", "canonical"),
        LinkRecord("http://h.example/a", "a", "Next up", "the first page"),
        LinkRecord("http://h.example/a", "a", "", "again"),
        LinkRecord("http://h.example/b", "a", "", "b"),
        LinkRecord("http://h.example/area", "area", "", "a map"),
        LinkRecord("http://h.example/frame", "iframe"),
    ]


def test_links_of_the_header_are_listed_as_they_are_followed() -> None:
    headers = (("Link", "<h>; rel=next"), ("Refresh", "0; url=r"), ("Content-Type", "text/html"))
    fetched = Fetched(url=URL, status=200, headers=Headers(headers), body=b"<base href=/up/><a href=a>1</a>")
    found = Extractor(Brief(job="j", scope=ScopeSpec(hosts=("h.example",)), links=LISTED)).extract(fetched)
    addresses = [f"{URL.rpartition('/')[0]}/{name}" for name in "hr"] + ["http://h.example/up/a"]
    assert list(found.outlinks) == addresses
    assert [(each.target, each.element, each.rel, each.why) for each in unpack(found.links)] == [
        (addresses[0], "header", "next", ""),
        (addresses[1], "header", "refresh", ""),
        (addresses[2], "a", "", ""),
    ]


def test_assets_are_listed_if_they_count() -> None:
    body = "<link rel=stylesheet href=/s><img src=/i srcset='/j 2x' alt='an image'><script src=/x></script>"
    assert listed(body) == []
    assert listed(body, links=LinkSpec(listed=True, assets=True)) == [
        LinkRecord("http://h.example/s", "link", "stylesheet"),
        LinkRecord("http://h.example/i", "img", "", "an image"),
        LinkRecord("http://h.example/j", "img", "", "an image"),
        LinkRecord("http://h.example/x", "script"),
    ]


def test_each_link_that_is_not_followed_has_its_reason() -> None:
    long = "x" * 40_000
    body = f"""<a href=/yes>1</a><a href=http://other.example/>2</a><a href=/no/1>3</a><a href="mailto:a@b">4</a>
        <a href="http://[::1">5</a><a href=/n rel="ugc">6</a><a href=page>7</a><a href="/{long}">8</a>
        <a href="/{long[:8_200]}">9</a><a href=http://other.example/ rel=nofollow>10</a>"""
    assert reasons(body) == {
        "http://h.example/yes": "",
        "http://other.example/": "host",
        "http://h.example/no/1": "exclude",
        "mailto:a@b": "not_http",
        "http://[::1": "not_http",
        "http://h.example/n": "nofollow",
        URL: "itself",
        f"/{long}"[:MAX_ADDRESS_CHARS]: "length",
        f"http://h.example/{long}"[:MAX_ADDRESS_CHARS]: "length",
    }


def test_what_asks_not_to_be_followed_is_told_only_if_the_job_obeys() -> None:
    whole = "<meta name=robots content=nofollow><a href=/a>1</a>"
    assert reasons(whole) == {"http://h.example/a": "nofollow"}
    assert reasons("<a href=/a rel=nofollow>1</a><a href=/a>2</a>") == {"http://h.example/a": ""}
    ignoring = LinkSpec(listed=True, obey_nofollow=False)
    assert reasons(whole, links=ignoring) == {"http://h.example/a": ""}
    assert reasons("<a href=/a rel=nofollow>1</a>", links=ignoring) == {"http://h.example/a": ""}


def test_links_out_of_scope_that_are_only_checked_are_not_followed() -> None:
    body = "<a href=/yes>1</a><a href=http://other.example/>2</a>"
    checking = LinkSpec(listed=True, check_external=True)
    assert extract(body, links=checking).outlinks == ("http://h.example/yes", "http://other.example/")
    assert reasons(body, links=checking) == {"http://h.example/yes": "", "http://other.example/": "host"}


def test_links_that_no_selector_of_follow_matches_are_listed_as_such() -> None:
    body = "<nav><a href=/in>1</a></nav><a href=/out>2</a>"
    assert reasons(body, follow=("nav",)) == {"http://h.example/in": "", "http://h.example/out": "not_selected"}


def test_what_a_limit_leaves_out_is_told() -> None:
    body = "".join(f"<a href=/{number}>{number}</a>" for number in range(10))
    page = extract(body, limits=LimitSpec(links=4))
    assert [each.why for each in unpack(page.links)] == [""] * 4
    assert (len(page.outlinks), page.links_left_out) == (4, 6)
    small = extract(body, limits=LimitSpec(report_bytes=1_000))
    assert 1 <= len(unpack(small.links)) < 10
    assert small.links_left_out == 10 - len(unpack(small.links))


def test_links_of_a_hook_are_listed_also_if_it_fails_later() -> None:
    def parse(page: Page) -> None:
        page.follow("/by-hook")
        raise ValueError("no")

    page = extract("<a href=/a>1</a>", parse)
    assert page.error
    assert unpack(page.links) == [
        LinkRecord("http://h.example/a", "a", "", "1"),
        LinkRecord("http://h.example/by-hook", "hook"),
    ]


def test_texts_and_relations_are_cut() -> None:
    (link,) = listed(f"<a href=/a rel='{'r' * 500}'>{'t ' * 5_000}</a>")
    assert len(link.text) == MAX_TEXT_CHARS
    assert len(link.rel) == 100


def test_a_page_that_is_read_again_gives_the_same() -> None:
    body = "<a href=http://other.example/x>1</a><a href=?q>2</a><a href=a/b>3</a>"
    extractor = Extractor(Brief(job="j", scope=ScopeSpec(hosts=("h.example",)), links=LISTED))
    pages = [
        Fetched(url=url, status=200, headers=Headers((("Content-Type", "text/html"),)), body=body.encode())
        for url in (URL, "http://h.example/dir/other", URL)
    ]
    first, other, again = (unpack(extractor.extract(page).links) for page in pages)
    assert first == again
    assert [each.target for each in other] == [
        "http://other.example/x",
        "http://h.example/dir/other?q",
        "http://h.example/dir/a/b",
    ]


def test_a_long_relation_is_obeyed_as_a_whole() -> None:
    assert reasons(f"<a href=/a rel='{'r' * 500} nofollow'>1</a>") == {"http://h.example/a": "nofollow"}


@pytest.mark.parametrize("number", [1, 100])
def test_what_is_packed_is_unpacked(number: int) -> None:
    records = [LinkRecord(f"http://h.example/{each}", "a", "", "ü", "host") for each in range(number)]
    packed, kept = pack(records)
    assert (unpack(packed), kept) == (records, number)


def test_no_more_is_unpacked_than_an_honest_worker_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    packed, _ = pack([LinkRecord("http://h.example/", "a", "", "x" * 3_000)])
    assert len(unpack(packed)) == 1
    monkeypatch.setattr(link_records, "MAX_BYTES", 2_000)
    assert unpack(packed) == []


def test_what_is_damaged_or_no_text_gives_no_error() -> None:
    packed, _ = pack([LinkRecord(f"http://h.example/{each}", "a") for each in range(200)])
    assert unpack(packed[:-9]) == unpack(b"\xff") == unpack(b"") == []
    odd, _ = pack([LinkRecord("http://h.example/", "a", "", "\ud800")])
    assert unpack(odd) == [LinkRecord("http://h.example/", "a", "", "?")]
    assert pack([LinkRecord("http://h.example/", "a")], 5) == (b"", 0)
