"""Each answer of the web becomes the one report that tells it truly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from crawlfleet.shared.messages import MAX_REPORT_BYTES, Kind, Outcome, Report, Row, SitemapEntry, Task, decode, encode
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.extract.extractor import Extracted
from crawlfleet.worker.extract.sitemap import Sitemap
from crawlfleet.worker.fetch.port import Fetched, Headers, Wanted
from crawlfleet.worker.fitting import internal_error
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.pipeline import MAX_ROBOTS_BYTES, Pipeline, wanted_of
from crawlfleet.worker.talk.outbox import Delivery

PAGE = Task(ref=b"r", kind=Kind.PAGE, url="http://a/dir/page", depth=3)
ROBOTS = Task(ref=b"r", kind=Kind.ROBOTS, url="http://a/robots.txt", depth=0)
CHECK = Task(ref=b"r", kind=Kind.CHECK, url="http://a/dir/page", depth=3)
ROW = Row(item="i", index=0, fields={"x": "y"})
LINKS = ("http://a/1", "http://a/2")
NOW = 1_000_000_000.0


@dataclass
class GivenExtractor:
    page: Extracted

    def extract(self, fetched: Fetched, _depth: int) -> Extracted:
        assert fetched.url == PAGE.url
        return self.page

    def read_sitemap(self, fetched: Fetched) -> Sitemap:
        raise AssertionError(f"{fetched.url} is no sitemap")


def attempt(task: Task) -> Attempt:
    return Attempt(lease_id=7, host="a", task=task, started_at=0.0)


def settle(
    fetched: Fetched,
    task: Task = PAGE,
    page: Extracted | None = None,
    max_report_bytes: int = 1 << 20,
    types: tuple[str, ...] | None = None,
) -> Report:
    extractor = GivenExtractor(page if page is not None else Extracted())
    pipeline = Pipeline(extractor=extractor, max_report_bytes=max_report_bytes, wall_clock=lambda: NOW, types=types)
    delivery = pipeline.settle(attempt(task), fetched)
    assert delivery.wire_bytes == len(encode(delivery.report)) <= max_report_bytes
    assert delivery.report.key == delivery.attempt.key == (7, b"r")
    return delivery.report


def answer(status: int, body: bytes = b"", **headers: str) -> Fetched:
    pairs = ((name.replace("_", "-"), value) for name, value in headers.items())
    return Fetched(url=PAGE.url, status=status, body=body, headers=Headers(pairs), elapsed_s=0.5)


def test_a_page_is_fetched_with_its_rows_outlinks_and_figures() -> None:
    page = Extracted(rows=(ROW,), outlinks=LINKS, links_left_out=2, rows_left_out=3)
    report = settle(answer(200, b"12345", Content_Type="Text/HTML; charset=x"), page=page)
    assert report == Report(
        lease=7,
        ref=b"r",
        outcome=Outcome.FETCHED,
        status=200,
        elapsed_s=0.5,
        size_bytes=5,
        content_type="text/html",
        rows=(ROW,),
        outlinks=LINKS,
        links_left_out=2,
        rows_left_out=3,
    )


def test_a_page_that_wants_no_rows_is_fetched_with_that_reason() -> None:
    report = settle(answer(200), page=Extracted(outlinks=LINKS, noindex=True))
    assert (report.outcome, report.reason, report.outlinks) == (Outcome.FETCHED, "noindex", LINKS)


@pytest.mark.parametrize(
    ("content_type", "is_read"),
    [
        ("text/html; charset=utf-8", True),
        ("TEXT/HTML", True),
        ("image/png", True),
        ("application/pdf", False),
        ("text/plain", False),
        ("", True),
    ],
)
def test_a_page_is_read_if_its_type_is_wanted_or_not_told(content_type: str, is_read: bool) -> None:
    types = ("text/html", "image/*")
    report = settle(answer(200, b"12345", Content_Type=content_type), page=Extracted(rows=(ROW,)), types=types)
    assert report.outcome is (Outcome.FETCHED if is_read else Outcome.DENIED)
    assert report.reason == ("" if is_read else "content_type")
    assert bool(report.rows) is is_read


def test_the_body_of_a_page_is_wanted_if_its_type_is_and_other_bodies_always_are() -> None:
    pipeline = Pipeline(extractor=GivenExtractor(Extracted()), max_report_bytes=1_000, types=("text/html",))
    reads = pipeline.wanted_of(PAGE).reads
    assert reads is not None
    html, film = (Headers([("Content-Type", each)]) for each in ("text/html; charset=utf-8", "video/mp4"))
    assert (reads(html), reads(film), reads(Headers())) == (True, False, True)
    for task in (ROBOTS, SITEMAP, CHECK):
        assert pipeline.wanted_of(task) == wanted_of(task)
    assert Pipeline(extractor=pipeline.extractor, max_report_bytes=1_000).wanted_of(PAGE) == Wanted()


def test_types_are_asked_of_pages_alone() -> None:
    fetched = answer(200, b"User-agent: *", Content_Type="text/plain")
    assert settle(fetched, ROBOTS, types=("text/html",)).outcome is Outcome.FETCHED
    assert settle(answer(404, Content_Type="text/plain"), types=("text/html",)).reason == "http_404"


def test_a_failed_fetch_is_reported_as_the_fetcher_names_it() -> None:
    fetched = Fetched(url=PAGE.url, failure=Outcome.NETWORK_ERROR, reason="dns_failed", detail="no such host")
    report = settle(fetched)
    assert (report.outcome, report.reason, report.detail) == (Outcome.NETWORK_ERROR, "dns_failed", "no such host")


def test_a_report_tells_how_long_the_name_took() -> None:
    waited = replace(attempt(PAGE), lookup_s=2.5)
    pipeline = Pipeline(extractor=GivenExtractor(Extracted()), max_report_bytes=1 << 20)
    for fetched in (Fetched(url=PAGE.url, status=200), Fetched(url=PAGE.url, failure=Outcome.NETWORK_ERROR)):
        assert pipeline.settle(waited, fetched).report.lookup_s == 2.5


def test_a_report_tells_the_address_that_was_connected_to() -> None:
    fetched = Fetched(url=PAGE.url, status=200, remote_address="127.0.0.9")
    assert settle(fetched).address == "127.0.0.9"


def test_a_failing_hook_costs_the_rows_and_not_the_outlinks() -> None:
    report = settle(answer(200), page=Extracted(outlinks=LINKS, error="hook.py:3: boom"))
    assert (report.outcome, report.reason) == (Outcome.EXTRACT_ERROR, "extract_error")
    assert (report.detail, report.rows, report.outlinks) == ("hook.py:3: boom", (), LINKS)


def test_a_page_whose_hook_waited_too_long_gives_nothing_yet() -> None:
    report = settle(answer(200), page=Extracted(error="the hook waited at hook.py:3", reason=Reason.HOOK_WAITED))
    assert (report.outcome, report.status, report.reason) == (Outcome.HOOK_WAITED, 200, "hook_waited")
    assert (report.detail, report.rows, report.outlinks) == ("the hook waited at hook.py:3", (), ())


@pytest.mark.parametrize("task", [PAGE, ROBOTS])
def test_an_error_status_is_named_and_extracts_nothing(task: Task) -> None:
    page = Extracted(rows=(ROW,), outlinks=LINKS)
    report = settle(answer(404, b"gone"), task, page)
    assert (report.outcome, report.status, report.reason) == (Outcome.HTTP_ERROR, 404, "http_404")
    assert (report.rows, report.outlinks, report.body) == ((), (), b"")


@pytest.mark.parametrize(
    ("status", "content_range"),
    [(304, ""), (206, ""), (206, "bytes 0-9/20"), (206, "bytes 5-9/10"), (206, "bytes 0-9/*"), (206, "bytes 0-9")],
)
@pytest.mark.parametrize("task", [PAGE, ROBOTS])
def test_an_answer_to_what_was_not_asked_is_no_page(status: int, content_range: str, task: Task) -> None:
    report = settle(answer(status, b"a part", Content_Range=content_range), task)
    assert (report.outcome, report.reason, report.body) == (Outcome.HTTP_ERROR, f"http_{status}", b"")


def test_a_range_of_all_there_is_is_a_page() -> None:
    assert settle(answer(206, b"0123456789", Content_Range="bytes 0-9/10")).outcome is Outcome.FETCHED


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("task", [PAGE, ROBOTS])
def test_a_redirect_names_its_canonical_target(status: int, task: Task) -> None:
    report = settle(answer(status, Location="../Else/%7ex?q#frag"), task)
    assert (report.outcome, report.location) == (Outcome.REDIRECTED, "http://a/Else/%7Ex?q")


def test_a_redirect_target_in_raw_utf8_is_read_as_such() -> None:
    report = settle(answer(302, Location="/caf\u00e9".encode().decode("latin-1")))
    assert report.location == "http://a/caf%C3%A9"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "redirect_without_location"),
        ({"Location": "  "}, "redirect_without_location"),
        ({"Location": "http://[::1"}, "redirect_invalid"),
        ({"Location": "file:///etc/passwd"}, "redirect_scheme_blocked"),
        ({"Location": "javascript:alert(1)"}, "redirect_scheme_blocked"),
    ],
)
def test_a_redirect_to_nowhere_is_an_error(headers: dict[str, Any], reason: str) -> None:
    report = settle(answer(301, **headers))
    assert (report.outcome, report.reason, report.location) == (Outcome.HTTP_ERROR, reason, "")


def test_a_status_that_only_looks_like_a_redirect_is_an_error() -> None:
    assert settle(answer(300, Location="/x")).reason == "http_300"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "120"}, 120.0),
        ({"Retry_After": "0"}, 0.0),
        ({"Retry_After": "-5"}, None),
        ({"Retry_After": "1e9"}, None),
        ({"Retry_After": "9" * 5000}, None),
        ({"Retry_After": "soon"}, None),
        ({}, None),
        ({"Retry_After": "Sun, 09 Sep 2001 01:47:40 GMT"}, 60.0),
        ({"Retry_After": "Sun, 09 Sep 2001 01:45:40 GMT"}, 0.0),
        (
            {
                "Retry_After": "Mon, 01 Jan 2024 00:00:30 GMT",
                "Date": "Mon, 01 Jan 2024 00:00:00 GMT",
            },
            30.0,
        ),
        ({"Retry_After": "Sun, 09 Sep 2001 01:47:40"}, 60.0),
        ({"Retry_After": "Sun, 09 Sep 2001 01:47:40 -0000"}, 60.0),
        ({"Retry_After": "Sun Sep  9 01:47:40 2001"}, 60.0),
        ({"Retry_After": "Sunday, 09-Sep-01 01:47:40 GMT"}, 60.0),
        ({"Retry_After": "Sun, 09 Sep 2001 03:47:40 +0200"}, 60.0),
        ({"Retry_After": "Sun Sep  9 01:47:40 2001", "Date": "Sun, 09 Sep 2001 03:47:10 +0200"}, 30.0),
    ],
)
@pytest.mark.usefixtures("far_from_utc")
def test_retry_after_is_seconds_from_now(headers: dict[str, Any], seconds: float | None) -> None:
    assert settle(answer(503, **headers)).retry_after_s == seconds


@pytest.mark.parametrize("end", [b"\n", b"\r"])
@pytest.mark.parametrize("cut_by", ["the engine", "nobody"])
def test_robots_travels_with_the_whole_lines_of_its_first_half_mebibyte(end: bytes, cut_by: str) -> None:
    lines = b"Disallow: /a" + end + b"Disallow: /but-only-this"
    body = lines.rjust(MAX_ROBOTS_BYTES + 12, b"#")
    if cut_by == "the engine":
        fetched = replace(answer(200, body[:MAX_ROBOTS_BYTES]), truncated=True)
    else:
        fetched = answer(200, body)
    report = settle(fetched, ROBOTS)
    assert report.outcome is Outcome.FETCHED
    assert report.body == body[: body.index(end) + 1]


@pytest.mark.parametrize(
    ("field", "outcome"),
    [
        ("text/html, text/html", Outcome.FETCHED),
        ("text/plain, text/html; charset=x", Outcome.FETCHED),
        ("html", Outcome.FETCHED),
        ("*/*", Outcome.FETCHED),
        ("application/unknown", Outcome.FETCHED),
        ("text/html, image/png", Outcome.DENIED),
    ],
)
def test_what_is_no_type_counts_as_none(field: str, outcome: Outcome) -> None:
    assert settle(answer(200, Content_Type=field), types=("text/html",)).outcome is outcome


def test_notes_on_the_answer_and_on_the_text_of_a_page_are_reported_together() -> None:
    noted = replace(answer(200), notes=("tls_cut",))
    assert settle(noted, page=Extracted(notes=("body_short",))).notes == ("tls_cut", "body_short")
    assert settle(noted, ROBOTS).notes == settle(replace(noted, status=404)).notes == ("tls_cut",)


def test_robots_that_is_not_cut_keeps_its_last_line() -> None:
    assert settle(answer(200, b"Disallow: /a"), ROBOTS).body == b"Disallow: /a"


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ((), None),
        (("max-age=60",), 60.0),
        (("public, Max-Age=60",), 60.0),
        (('max-age="60"',), 60.0),
        (("max-age=60, max-age=5",), 60.0),
        (("public", "max-age=7"), 7.0),
        (("no-cache",), 0.0),
        (("max-age=60", "no-store"), 0.0),
        (("max-age=-1",), None),
        (("max-age=soon",), None),
        (("s-maxage=60",), None),
        (("max-age=" + "9" * 5_000,), None),
    ],
)
@pytest.mark.parametrize("status", [200, 404])
def test_how_long_robots_txt_may_be_kept_is_what_its_cache_control_says(
    fields: tuple[str, ...], seconds: float | None, status: int
) -> None:
    fetched = replace(answer(status), headers=Headers(("Cache-Control", field) for field in fields))
    assert settle(fetched, ROBOTS).fresh_s == seconds
    assert settle(fetched).fresh_s is None


def test_only_of_robots_txt_a_beginning_is_enough() -> None:
    assert wanted_of(PAGE) == Wanted()
    assert wanted_of(ROBOTS) == Wanted(MAX_ROBOTS_BYTES)


@pytest.mark.parametrize("task", [CHECK, replace(CHECK, by_get=True)], ids=["head", "get"])
def test_of_a_check_the_head_is_enough_whatever_its_body_is(task: Task) -> None:
    cut = replace(answer(200), failure=Outcome.NETWORK_ERROR, reason="bad_encoding")
    for fetched in (answer(200, Content_Type="image/png"), cut, answer(204)):
        report = settle(fetched, task, types=("text/html",))
        assert (report.outcome, report.reason, report.size_bytes) == (Outcome.FETCHED, "", 0)
    unheard = Fetched(url=PAGE.url, failure=Outcome.NETWORK_ERROR, reason="reset", detail="it was reset")
    report = settle(unheard, task)
    assert (report.outcome, report.reason, report.detail) == (Outcome.NETWORK_ERROR, "reset", "it was reset")
    assert settle(answer(404), task).reason == "http_404"
    moved = settle(answer(302, Location="/there"), task)
    assert (moved.outcome, moved.location) == (Outcome.REDIRECTED, "http://a/there")


def test_a_check_asks_by_head_or_by_get_and_wants_no_body() -> None:
    assert wanted_of(CHECK) == Wanted(0, by_head=True)
    assert wanted_of(replace(CHECK, by_get=True, bare=True)) == Wanted(0, bare=True)
    assert wanted_of(replace(ROBOTS, bare=True)) == Wanted(MAX_ROBOTS_BYTES, bare=True)


def test_a_report_that_is_too_large_is_left_bare() -> None:
    page = Extracted(rows=(ROW,) * 100, outlinks=LINKS)
    report = settle(answer(200, b"12345"), page=page, max_report_bytes=450)
    assert (report.outcome, report.reason) == (Outcome.REPORT_TOO_LARGE, "report_too_large")
    assert (report.rows, report.outlinks, report.size_bytes) == ((), (), 5)


@pytest.mark.parametrize("value", [object(), 1 << 70, "\ud800", {"deep": object()}])
def test_a_row_that_cannot_travel_is_an_extract_error(value: Any) -> None:
    row = Row(item="i", index=0, fields={"x": value})
    report = settle(answer(200), page=Extracted(rows=(row,), outlinks=LINKS))
    assert (report.outcome, report.outlinks) == (Outcome.EXTRACT_ERROR, LINKS)


@pytest.mark.parametrize("text", ["\ud800", "x" * 10_000])
def test_whatever_a_server_or_a_hook_says_the_report_can_travel(text: str) -> None:
    report = settle(answer(200, Content_Type=text), page=Extracted(error=text))
    assert decode(encode(report), Report) == report
    assert len(encode(report)) < 2_000


def test_a_bug_is_reported_with_its_type_and_message() -> None:
    report = internal_error(attempt(PAGE), KeyError("x")).report
    assert (report.outcome, report.reason) == (Outcome.INTERNAL_ERROR, "internal_error")
    assert report.detail == "KeyError: 'x'"


# Sitemaps

SITEMAP = Task(ref=b"r", kind=Kind.SITEMAP, url="http://a/sitemap.xml", depth=1)


def settle_sitemap(sitemap: Sitemap) -> Delivery:
    pipeline = Pipeline(extractor=GivenSitemap(sitemap), max_report_bytes=100)
    delivery = pipeline.settle(attempt(SITEMAP), answer(200, b"xml"))
    parts = (*delivery.ahead, delivery.report)
    assert delivery.wire_bytes == max(len(encode(report)) for report in parts) <= MAX_REPORT_BYTES
    assert [report.more for report in parts] == [True] * len(delivery.ahead) + [False]
    assert {(report.lease, report.ref, report.status) for report in parts} == {(7, b"r", 200)}
    return delivery


@dataclass
class GivenSitemap:
    sitemap: Sitemap

    def extract(self, fetched: Fetched, _depth: int) -> Extracted:
        raise AssertionError(f"{fetched.url} is no page")

    def read_sitemap(self, fetched: Fetched) -> Sitemap:
        assert fetched.body == b"xml"
        return self.sitemap


def test_a_small_sitemap_is_one_report() -> None:
    pages = (SitemapEntry("http://a/1", 3, 7),)
    delivery = settle_sitemap(Sitemap(pages=pages, left_out=4))
    assert delivery.ahead == ()
    assert (delivery.report.outcome, delivery.report.entries) == (Outcome.FETCHED, pages)
    assert delivery.report.links_left_out == 4


def test_a_large_sitemap_is_told_in_parts_that_miss_nothing_and_repeat_nothing() -> None:
    pages = tuple(SitemapEntry(f"http://a/{number}") for number in range(50_000))
    sitemaps = tuple(f"http://a/{number}.xml" for number in range(5_000))
    delivery = settle_sitemap(Sitemap(pages=pages, sitemaps=sitemaps, left_out=4))
    parts = (*delivery.ahead, delivery.report)
    assert sum(part.links_left_out for part in parts) == 4
    assert tuple(entry for report in parts for entry in report.entries) == pages
    assert tuple(url for report in parts for url in report.sitemaps) == sitemaps
    assert all(len(report.entries) + len(report.sitemaps) <= 2_000 for report in parts)


def test_parts_of_long_addresses_fit_into_a_report() -> None:
    pages = tuple(SitemapEntry(f"http://a/{number:08000}") for number in range(1_000))
    delivery = settle_sitemap(Sitemap(pages=pages))
    assert sum(len(report.entries) for report in (*delivery.ahead, delivery.report)) == 1_000


def test_a_sitemap_that_broke_off_tells_why_and_what_it_listed() -> None:
    pages = (SitemapEntry("http://a/1"),)
    report = settle_sitemap(Sitemap(pages=pages, entries=3, error="the XML is broken: line 2")).report
    assert (report.outcome, report.reason) == (Outcome.EXTRACT_ERROR, "sitemap_broken")
    assert (report.entries, report.detail) == (pages, "the XML is broken: line 2; 3 entries were read before")


@pytest.mark.parametrize(
    ("sitemap", "told"),
    [
        (Sitemap(), "it has no entries"),
        (Sitemap(entries=1), "its only entry is no page of the crawl"),
        (Sitemap(entries=1_000), "none of its 1,000 entries is a page of the crawl"),
        (Sitemap(entries=2, sitemaps=("http://a/x",)), ""),
        (Sitemap(entries=2, pages=(SitemapEntry("http://a/1"),)), ""),
        (Sitemap(entries=2, left_out=1), "it is longer than the protocol allows: the first 2 entries were read"),
    ],
)
def test_a_sitemap_that_gives_nothing_or_not_all_tells_why(sitemap: Sitemap, told: str) -> None:
    report = settle_sitemap(sitemap).report
    assert (report.outcome, report.detail) == (Outcome.FETCHED, told)


def test_a_sitemap_is_read_as_far_as_its_protocol_allows_whatever_the_limit_of_pages() -> None:
    assert wanted_of(SITEMAP) == Wanted(50 * 1024 * 1024)
