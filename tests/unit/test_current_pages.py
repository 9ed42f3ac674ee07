"""What a worker records about the pages that it reads, for its node."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

from crawlfleet.shared.messages import Outcome, Report, TaskKey
from crawlfleet.worker.process.current_pages import CurrentPages, PageLimits, PageRecord

KEY = TaskKey(7, b"r" * 16)
OUTLINE = Report(lease=7, ref=KEY.ref, outcome=Outcome.EXTRACT_ERROR, status=200, gap_s=2.0, content_type="text/html")


def record(**values: Any) -> PageRecord:
    """Return the record of a page."""
    common = {"serial": 0, "key": KEY, "thread_id": 99, "began_at": 50.0, "cpu_before_s": 1.5, "started_at": 40.0}
    return PageRecord(**{**common, "waited_s": 0.0, "outline": OUTLINE, "url": "http://a/é", **values})


@pytest.fixture
def pages() -> CurrentPages:
    return CurrentPages(multiprocessing.get_context("spawn"), workers=3, threads=2)


def test_each_thread_of_each_worker_has_its_own_record(pages: CurrentPages) -> None:
    pages.of(1).begin(1, record())
    assert [worker for worker in range(3) if pages.of(worker).read_all()] == [1]
    assert pages.of(1).read(0) is None
    assert pages.of(1).read(1) == record(serial=1)
    assert pages.take_all(1) == (record(serial=1),)
    assert pages.take_all(1) == ()


def test_a_page_that_was_read_is_no_longer_there_and_the_next_has_another_number(pages: CurrentPages) -> None:
    mine = pages.of(0)
    mine.begin(0, record())
    mine.end(0)
    assert mine.read_all() == ()
    mine.begin(0, record(url="http://a/2"))
    assert mine.read(0) == record(serial=2, url="http://a/2")


def test_a_page_that_was_ended_becomes_a_report_of_that(pages: CurrentPages) -> None:
    mine = pages.of(0)
    mine.begin(0, record())
    mine.note_waits(0, 3.0)
    mine.mark(0, "cpu_limit", "took more than 30 s")
    (page,) = mine.read_all()
    assert (page.waited_s, page.reason) == (3.0, "cpu_limit")
    report = page.report(now=75.0)
    assert (report.reason, report.detail, report.age_s, report.gap_s) == ("cpu_limit", "took more than 30 s", 35.0, 2.0)
    mine.end(0)
    mine.begin(0, record())
    assert mine.read_all()[0].reason == ""


def test_texts_are_cut_to_what_there_is_room_for(pages: CurrentPages) -> None:
    mine = pages.of(0)
    long = Report(lease=7, ref=KEY.ref, outcome=Outcome.EXTRACT_ERROR, status=200, content_type="x" * 5_000)
    mine.begin(0, record(url="http://a/" + "é" * 9_000, outline=long))
    mine.mark(0, "cpu_limit", "d" * 9_000)
    (page,) = mine.read_all()
    assert page.outline == Report(lease=7, ref=KEY.ref, outcome=Outcome.EXTRACT_ERROR, status=200)
    assert page.url.startswith("http://a/éé")
    assert len(page.detail) == 512


def test_a_worker_says_when_it_last_ran_and_by_which_limits(pages: CurrentPages) -> None:
    mine, limits = pages.of(2), PageLimits(cpu_s=30.0, parse_time_s=600.0, lease_s=15.0)
    mine.set_limits(limits, 100.0)
    mine.beat(101.0)
    assert (pages.of(2).last_beat(), pages.of(2).limits()) == (101.0, limits)
    pages.take_all(2)
    assert (mine.last_beat(), mine.limits()) == (0.0, PageLimits())
