"""Each answer of the web becomes the one report that tells it truly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from shared.messages import Kind, Outcome, Report, Row, Task, decode, encode
from worker.extract import Extracted
from worker.fetch import Fetched, Headers
from worker.pipeline import MAX_ROBOTS_BYTES, Pipeline, internal_error

PAGE = Task(ref=b"r", kind=Kind.PAGE, url="http://a/dir/page", depth=3)
ROBOTS = Task(ref=b"r", kind=Kind.ROBOTS, url="http://a/robots.txt", depth=0)
ROW = Row(item="i", index=0, fields={"x": "y"})
LINKS = ("http://a/1", "http://a/2")
NOW = 1_000_000_000.0


@dataclass
class GivenExtractor:
    page: Extracted

    def extract(self, fetched: Fetched) -> Extracted:
        assert fetched.url == PAGE.url
        return self.page


def settle(
    fetched: Fetched, task: Task = PAGE, page: Extracted | None = None, max_report_bytes: int = 1 << 20
) -> Report:
    extractor = GivenExtractor(page if page is not None else Extracted())
    pipeline = Pipeline(extractor=extractor, max_report_bytes=max_report_bytes, wall_clock=lambda: NOW)
    settled = pipeline.settle(task, 7, fetched)
    assert settled.wire_bytes == len(encode(settled.report)) <= max_report_bytes
    assert (settled.report.lease, settled.report.ref) == (7, b"r")
    return settled.report


def answer(status: int, body: bytes = b"", **headers: str) -> Fetched:
    pairs = ((name.replace("_", "-"), value) for name, value in headers.items())
    return Fetched(url=PAGE.url, status=status, body=body, headers=Headers(pairs), elapsed_s=0.5)


def test_a_page_is_fetched_with_its_rows_outlinks_and_figures() -> None:
    page = Extracted(rows=(ROW,), outlinks=LINKS, capped=True)
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
        capped=True,
    )


def test_a_failed_fetch_is_reported_as_the_fetcher_names_it() -> None:
    fetched = Fetched(url=PAGE.url, failure=Outcome.NETWORK_ERROR, reason="dns", detail="no such host")
    report = settle(fetched)
    assert (report.outcome, report.reason, report.detail) == (Outcome.NETWORK_ERROR, "dns", "no such host")


def test_a_failing_hook_costs_the_rows_and_not_the_outlinks() -> None:
    report = settle(answer(200), page=Extracted(outlinks=LINKS, error="hook.py:3: boom"))
    assert (report.outcome, report.reason) == (Outcome.EXTRACT_ERROR, "extract_error")
    assert (report.detail, report.rows, report.outlinks) == ("hook.py:3: boom", (), LINKS)


@pytest.mark.parametrize("task", [PAGE, ROBOTS])
def test_an_error_status_is_named_and_extracts_nothing(task: Task) -> None:
    page = Extracted(rows=(ROW,), outlinks=LINKS)
    report = settle(answer(404, b"gone"), task, page)
    assert (report.outcome, report.status, report.reason) == (Outcome.HTTP_ERROR, 404, "http_404")
    assert (report.rows, report.outlinks, report.body) == ((), (), b"")


def test_not_modified_is_an_outcome_of_its_own() -> None:
    assert settle(answer(304)).outcome is Outcome.NOT_MODIFIED


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
        ({"Location": "http://[::1"}, "redirect_without_location"),
        ({"Location": "file:///etc/passwd"}, "redirect_scheme_blocked"),
        ({"Location": "javascript:alert(1)"}, "redirect_scheme_blocked"),
    ],
)
def test_a_redirect_to_nowhere_is_an_error(headers: dict[str, str], reason: str) -> None:
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
    ],
)
def test_retry_after_is_seconds_from_now(headers: dict[str, str], seconds: float | None) -> None:
    assert settle(answer(503, **headers)).retry_after_s == seconds


def test_robots_travels_with_its_first_half_mebibyte() -> None:
    report = settle(answer(200, b"x" * (MAX_ROBOTS_BYTES + 1)), ROBOTS)
    assert (report.outcome, len(report.body)) == (Outcome.FETCHED, MAX_ROBOTS_BYTES)


def test_a_report_that_is_too_large_is_left_bare() -> None:
    page = Extracted(rows=(ROW,) * 100, outlinks=LINKS)
    report = settle(answer(200, b"12345"), page=page, max_report_bytes=400)
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
    report = internal_error(PAGE, 7, KeyError("x")).report
    assert (report.outcome, report.reason) == (Outcome.INTERNAL_ERROR, "internal_error")
    assert report.detail == "KeyError: 'x'"
