"""The reasons of programs' own that a crawl counts: the first hundred different ones, and all others together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.core import words
from crawlfleet.coordinator.core.words import MOST_WORDS
from crawlfleet.shared.messages import Outcome, Report
from tests.unit.durable_crawl import DurableCrawl
from tests.unit.durable_crawl import report as honest
from tests.unit.rule_turns import Turns, leased, numbers, page, put, report

ONE = leased(page("1"), 3)
FULL = tuple(f"word_{number}" for number in range(MOST_WORDS))


@pytest.mark.parametrize("reason", ["", "connect", "http_404", "word_7"])
def test_a_reason_that_has_a_number_changes_nothing(turns: Turns, reason: str) -> None:
    turn = turns(numbers(words=FULL))
    sent = report(ONE, outcome=Outcome.NETWORK_ERROR, reason=reason)
    assert words.counted(turn, sent) is sent
    assert turn.batch() == []


def test_a_new_word_gets_a_number_as_long_as_there_is_room(turns: Turns) -> None:
    turn = turns(numbers(words=FULL[:-1]))
    sent = report(ONE, outcome=Outcome.NETWORK_ERROR, reason="mine")
    assert words.counted(turn, sent) is sent
    assert turn.batch() == [put(numbers(words=FULL[:-1]), words=(*FULL[:-1], "mine"))]


@pytest.mark.parametrize(("detail", "told"), [("", "mine"), ("so", "mine: so"), ("x" * 500, "mine: " + "x" * 494)])
def test_a_word_beyond_that_counts_as_other_and_is_told_in_the_detail(turns: Turns, detail: str, told: str) -> None:
    turn = turns(numbers(words=FULL))
    counted = words.counted(turn, report(ONE, outcome=Outcome.NETWORK_ERROR, reason="mine", detail=detail))
    assert (counted.reason, counted.detail) == ("other", told)
    assert turn.batch() == []


def test_a_program_with_a_word_for_each_page_leaves_a_bounded_number_of_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "MOST_WORDS", 1)
    crawl = DurableCrawl(tmp_path)
    crawl.begin()
    ((lease, robots),) = crawl.ask()
    ((lease, seed),) = crawl.ask(honest(lease, robots))
    granted = crawl.ask(honest(lease, seed))
    assert len(granted) == 2
    fields: dict[str, Any] = {"outcome": Outcome.HTTP_ERROR, "status": 404}
    crawl.ask(
        *(Report(lease=lease.id, ref=task.ref, reason=f"w{at}", **fields) for at, (lease, task) in enumerate(granted))
    )
    reasons = {reason for (_, reason) in crawl.store.verdicts() if reason.startswith(("w", "other"))}
    assert reasons == {"w0", "other"}
    crawl.close()
