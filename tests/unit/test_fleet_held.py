"""What a person's thread stages for a URL that it holds."""

from __future__ import annotations

import msgspec
import pytest
from bs4 import BeautifulSoup

from crawlfleet.fleet.held import Held
from crawlfleet.shared.messages import Kind, Outcome, Report, Task, decode, encode
from crawlfleet.worker.lanes import Attempt

TASK = Task(ref=b"r", kind=Kind.PAGE, url="http://h/", depth=0)


@pytest.fixture
def held() -> Held:
    return Held(Attempt(lease_id=1, host="h", task=TASK, started_at=0.0))


def staged(held: Held) -> object:
    report = decode(encode(held.report(Outcome.FETCHED)), Report)
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
    assert held.report(Outcome.HTTP_ERROR, "gone").rows == ()
    assert msgspec.to_builtins(held.report(Outcome.HTTP_ERROR, "gone"))["reason"] == "gone"
