"""What a person's thread stages for a URL that it holds."""

from __future__ import annotations

import pytest
from bs4 import BeautifulSoup

from crawlfleet.fleet.held import Held
from crawlfleet.shared.messages import Kind, Outcome, Report, Task, decode, encode
from crawlfleet.worker.lanes import Attempt

MAX_BYTES = 1 << 20
TASK = Task(ref=b"r", kind=Kind.PAGE, url="http://h/", depth=0)


@pytest.fixture
def held() -> Held:
    return Held(Attempt(lease_id=1, host="h", task=TASK, started_at=0.0))


def staged(held: Held) -> object:
    delivery = held.delivery(Outcome.FETCHED, "", MAX_BYTES)
    report = decode(encode(delivery.report), Report)
    return report.rows[0].fields["value"]


def test_the_strings_that_beautifulsoup_gives_are_staged_as_plain_ones(held: Held) -> None:
    title = BeautifulSoup("<title>One</title>", "lxml").find("title")
    assert title is not None
    assert type(title.string) is not str
    held.stage({"title": title.string, "all": [title.string]})
    assert staged(held) == {"title": "One", "all": ["One"]}


def test_a_value_that_changes_later_was_staged_as_it_was(held: Held) -> None:
    value = [1]
    held.stage(value)
    value.append(2)
    assert staged(held) == [1]


def test_what_cannot_travel_is_refused_by_its_type(held: Held) -> None:
    with pytest.raises(TypeError, match="set"):
        held.stage({"seen": {1, 2}})


def test_what_holds_itself_is_refused(held: Held) -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(ValueError, match="nested"):
        held.stage(value)


def test_a_failure_carries_no_value(held: Held) -> None:
    held.stage(1)
    report = held.delivery(Outcome.HTTP_ERROR, "gone", MAX_BYTES).report
    assert (report.rows, report.reason) == ((), "gone")


def test_a_value_that_is_too_large_makes_the_task_fail(held: Held) -> None:
    held.stage("x" * 100)
    report = held.delivery(Outcome.FETCHED, "", 100).report
    assert (report.outcome, report.rows) == (Outcome.REPORT_TOO_LARGE, ())
