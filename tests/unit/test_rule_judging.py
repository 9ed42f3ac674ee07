"""What of a report counts: its texts, and whether its outcome fits its task."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core.judging import judged
from crawlfleet.coordinator.core.rows import LeaseRow, TaskState
from crawlfleet.shared.messages import AckState, Kind, Lease, Outcome, Report, Row, SitemapEntry, Task, Unconverted
from crawlfleet.shared.reasons import Reason
from tests.policies import policy_with
from tests.unit.core_crawl import CoreCrawl
from tests.unit.rule_turns import POLICY

TYPED = policy_with(POLICY, types=("text/html",))
DENIAL: dict[str, Any] = {"outcome": Outcome.DENIED, "reason": "content_type"}


def sent(**values: Any) -> Report:
    return Report(lease=1, ref=b"r", **{"outcome": Outcome.NETWORK_ERROR, **values})


def granted(crawl: CoreCrawl) -> tuple[Lease, Task]:
    """Return the page that is granted, as soon as it is."""
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask()
    return lease, task


@pytest.mark.parametrize(
    "reason",
    ["", *Reason, "http_404", "no_title", "ConnectionError", "a" * 64, "http_429"],
    ids=lambda reason: reason[:9],
)
def test_a_word_is_a_reason(reason: str) -> None:
    report = sent(reason=reason, detail="why", content_type="text/html", address="fe80::1%eth0")
    assert judged(report, Kind.PAGE, POLICY) is report


@pytest.mark.parametrize("reason", ["a" * 65, "sold out", "a\n", "\x1b[2J", "ä", "x" * 10**6, "a-b"], ids=range(7))
def test_another_reason_is_replaced_and_kept_as_the_detail(reason: str) -> None:
    report = judged(sent(reason=reason), Kind.PAGE, POLICY)
    assert report.reason == Reason.ODD_REASON
    assert report.detail == reason[:500].replace("\n", " ").replace("\x1b", " ")
    assert judged(sent(reason=reason, detail="why"), Kind.PAGE, POLICY).detail == "why"


def test_texts_are_cut_and_have_no_control_characters() -> None:
    long = "a\r\n\x1b[31m\x00b\u202ec\u2028\x85ü" + "x" * 10_000
    report = judged(sent(detail=long, content_type=long, address=long, location=long), Kind.PAGE, POLICY)
    start = "a   [31m b c  ü"
    assert [text[: len(start)] for text in (report.detail, report.content_type, report.address)] == [start] * 3
    assert (len(report.detail), len(report.content_type), len(report.address)) == (500, 200, 64)
    assert report.location == ""


def test_samples_and_reasons_of_rejected_rows_are_cut_and_have_no_control_characters() -> None:
    told = tuple(Unconverted("i", "f" * 999, number, "a\x1b" + "x" * 999) for number in range(150))
    rows = (Row(item="i", index=0, fields={}, rejected="b\n" + "x" * 999), Row(item="i", index=0, fields={}))
    report = judged(sent(outcome=Outcome.FETCHED, rows=rows, unconverted=told), Kind.PAGE, POLICY)
    assert report.unconverted == tuple(Unconverted("i", "f" * 200, number, "a " + "x" * 198) for number in range(100))
    assert [row.rejected for row in report.rows] == ["b " + "x" * 498, ""]


def test_a_location_counts_for_a_redirect_only_and_is_no_longer_than_an_address_may_be() -> None:
    moved = {"outcome": Outcome.REDIRECTED, "status": 301}
    assert judged(sent(**moved, location="http://a.test/2"), Kind.PAGE, POLICY).location == "http://a.test/2"
    assert judged(sent(**moved, location="http://a.test/" + "x" * 10_000), Kind.PAGE, POLICY).location == ""


@pytest.mark.parametrize(("reason", "kept"), [("noindex", "noindex"), ("dns_failed", ""), ("mine", ""), ("\n", "")])
def test_a_page_that_was_fetched_has_no_reason_but_noindex(reason: str, kept: str) -> None:
    assert judged(sent(outcome=Outcome.FETCHED, reason=reason), Kind.PAGE, POLICY).reason == kept


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        *((kind, {"outcome": Outcome.NOT_MODIFIED, "status": 304}) for kind in Kind),
        *((kind, {**DENIAL, "reason": reason}) for kind in Kind for reason in ("hook", "")),
        (Kind.ROBOTS, DENIAL),
        (Kind.SITEMAP, DENIAL),
        (Kind.ROBOTS, {"outcome": Outcome.EXTRACT_ERROR}),
        (Kind.ROBOTS, {"outcome": Outcome.HOOK_WAITED}),
        (Kind.SITEMAP, {"outcome": Outcome.HOOK_WAITED}),
    ],
)
def test_an_outcome_that_does_not_fit_its_task_is_refused(kind: Kind, values: dict[str, Any]) -> None:
    links = ("http://a.test/2",)
    report = judged(sent(**values, age_s=2.0, size_bytes=9, outlinks=links, known=b"k" * 16), kind, TYPED)
    assert (report.outcome, report.reason) == (Outcome.INTERNAL_ERROR, "report_refused")
    assert (report.age_s, report.size_bytes, report.status) == (2.0, 9, 0)
    assert (report.outlinks, report.known) == ((), b"")
    assert "refused: " in report.detail


def test_a_page_is_denied_for_its_content_type_where_the_job_names_some() -> None:
    assert judged(sent(**DENIAL), Kind.PAGE, TYPED) == sent(**DENIAL)
    assert judged(sent(**DENIAL), Kind.PAGE, POLICY).reason == "report_refused"
    assert judged(sent(**DENIAL), Kind.SITEMAP, TYPED).reason == "report_refused"
    assert judged(sent(**{**DENIAL, "reason": "hook"}), Kind.PAGE, TYPED).reason == "report_refused"


@pytest.mark.parametrize("kind", Kind)
def test_whatever_a_task_is_for_it_may_lead_to_a_private_address(kind: Kind) -> None:
    kept_out = sent(outcome=Outcome.DENIED, reason="private_address")
    assert judged(kept_out, kind, POLICY) == kept_out


def test_a_refused_report_ends_its_lease_and_its_page_is_tried_again_within_its_retries() -> None:
    crawl = CoreCrawl(retries=2)
    lease, task = granted(crawl)
    for attempt in range(3):
        assert crawl.settle(lease, task, outcome=Outcome.NOT_MODIFIED, status=304) is AckState.OK
        assert crawl.settle(lease, task, outcome=Outcome.NOT_MODIFIED, status=304) is AckState.OK
        assert crawl.store.rows(LeaseRow, [lease.id]) == {}
        if attempt < 2:
            crawl.pass_time(10.0)
            ((lease, task),) = crawl.ask()
    page = crawl.task()
    assert (page.state, page.reason, page.attempt) == (TaskState.FAILED, "report_refused", 2)
    assert crawl.store.ledger().retried == {"report_refused": 2}
    assert crawl.store.ledger().pages_reserved == 0
    assert crawl.service.is_finished


def test_another_worker_fetches_a_page_whose_report_was_refused() -> None:
    crawl = CoreCrawl()
    lease, task = granted(crawl)
    crawl.settle(lease, task, **DENIAL)
    assert crawl.task().state is TaskState.PENDING
    crawl.pass_time(10.0)
    crawl.settle(*crawl.ask()[0])
    assert (crawl.task().state, crawl.task().reason) == (TaskState.DONE, "")


def test_a_robots_txt_whose_report_was_refused_opens_no_gate_and_is_requested_again() -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outcome=Outcome.NOT_MODIFIED, status=404)
    assert crawl.ask() == []
    crawl.pass_time(10.0)
    ((_, again),) = crawl.ask()
    assert (again.kind, again.attempt) == (Kind.ROBOTS, 1)


def test_a_part_of_a_sitemap_that_is_refused_ends_it() -> None:
    crawl = CoreCrawl(retries=0)
    crawl.service.add_seeds((), crawl.now, ["http://a.test/map.xml"])
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = [pair for pair in crawl.ask() if pair[1].kind is Kind.SITEMAP]
    entries = (SitemapEntry("http://a.test/listed"),)
    crawl.settle(lease, task, outcome=Outcome.HOOK_WAITED, entries=entries, more=True)
    assert crawl.settle(lease, task, entries=entries) is AckState.OK
    assert not crawl.knows("http://a.test/listed")


def test_what_an_odd_reason_said_reaches_neither_summary_nor_retries() -> None:
    crawl = CoreCrawl(retries=1)
    lease, task = granted(crawl)
    for _ in range(2):
        crawl.settle(lease, task, outcome=Outcome.NETWORK_ERROR, status=0, reason="evil\n\x1b[2J" * 1000)
        crawl.pass_time(10.0)
        lease, task = (crawl.ask() or [(lease, task)])[0]
    assert crawl.store.verdicts()[TaskState.FAILED, "odd_reason"] == 1
    assert crawl.store.ledger().retried == {"odd_reason": 1}
    assert crawl.task().detail == ("evil  [2J" * 1000)[:500]
