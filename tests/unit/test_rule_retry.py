"""Which outcomes are tried again, and when, rule by rule."""

from __future__ import annotations

import pytest

from crawlfleet.coordinator.core import retry
from crawlfleet.shared.messages import Outcome, Report
from tests.unit.rule_turns import POLICY, host, numbers, page, report


@pytest.mark.parametrize(
    ("outcome", "status", "again"),
    [
        (Outcome.NETWORK_ERROR, 0, True),
        (Outcome.HTTP_ERROR, 206, True),
        (Outcome.HTTP_ERROR, 304, True),
        (Outcome.HTTP_ERROR, 408, True),
        (Outcome.HTTP_ERROR, 425, True),
        (Outcome.HTTP_ERROR, 429, True),
        (Outcome.HTTP_ERROR, 500, True),
        (Outcome.HTTP_ERROR, 503, True),
        (Outcome.HTTP_ERROR, 404, False),
        (Outcome.HTTP_ERROR, 410, False),
        (Outcome.HTTP_ERROR, 501, False),
        (Outcome.HTTP_ERROR, 505, False),
        (Outcome.TOO_LARGE, 200, False),
        (Outcome.DENIED, 0, False),
        (Outcome.EXTRACT_ERROR, 200, False),
        (Outcome.HOOK_WAITED, 200, False),
        (Outcome.REPORT_TOO_LARGE, 200, False),
        (Outcome.INTERNAL_ERROR, 0, False),
    ],
)
def test_only_what_may_pass_is_tried_again(outcome: Outcome, status: int, again: bool) -> None:
    assert retry.is_passing(Report(lease=1, ref=b"", outcome=outcome, status=status)) is again


@pytest.mark.parametrize(
    ("refusals", "host_refusals", "is_excused"), [(0, 0, True), (19, 0, True), (20, 0, False), (0, 99, True)]
)
def test_an_attempt_whose_hook_waited_is_excused_by_the_count_of_its_page_alone(
    refusals: int, host_refusals: int, is_excused: bool
) -> None:
    task = page("1", refusals=refusals)
    sent = report(task, outcome=Outcome.HOOK_WAITED, status=200)
    assert retry.is_excused(sent, task, host(refusals=host_refusals), POLICY) is is_excused


def test_a_worker_cannot_make_up_any_number_of_reasons() -> None:
    ledger = numbers()
    for number in range(300):
        ledger = retry.counted(ledger, f"made_up_{number}")
    assert (ledger.retries, len(ledger.retried), sum(ledger.retried.values())) == (300, 101, 300)


def test_the_pause_doubles_within_a_quarter_and_up_to_its_limit() -> None:
    for number in range(50):
        ref = number.to_bytes(16, "big")
        pauses = [retry.backoff_s(POLICY, ref, attempt) for attempt in range(60)]
        for attempt, pause in enumerate(pauses):
            whole = min(POLICY.tuning.retry_max_s, POLICY.tuning.retry_base_s * 2.0 ** min(attempt, 40))
            assert 0.75 * whole <= pause <= 1.25 * whole
        assert pauses == [retry.backoff_s(POLICY, ref, attempt) for attempt in range(60)]


def test_pauses_of_different_tasks_differ() -> None:
    assert len({retry.backoff_s(POLICY, number.to_bytes(16, "big"), 0) for number in range(100)}) == 100


def test_attempts_that_were_excused_make_pauses_longer_all_the_same() -> None:
    assert retry.pause_s(POLICY, page("1", attempt=1, refusals=2)) == retry.backoff_s(POLICY, page("1").ref, 3)


@pytest.mark.parametrize(
    ("outcome", "status", "asked_s", "held_s"),
    [
        (Outcome.HTTP_ERROR, 503, 30.0, 30.0),
        (Outcome.HTTP_ERROR, 429, 30.0, 30.0),
        (Outcome.HTTP_ERROR, 503, 1e12, 3_600.0),
        (Outcome.REDIRECTED, 302, 30.0, 30.0),
        (Outcome.HTTP_ERROR, 503, None, 0.0),
        (Outcome.FETCHED, 200, 30.0, 0.0),
        (Outcome.HOOK_WAITED, 200, 30.0, 0.0),
        (Outcome.HTTP_ERROR, 404, 30.0, 0.0),
    ],
)
def test_how_long_a_server_can_hold_its_host(
    outcome: Outcome, status: int, asked_s: float | None, held_s: float
) -> None:
    sent = report(page("1"), outcome=outcome, status=status, retry_after_s=asked_s)
    assert retry.hold_s(POLICY, page("1"), sent) == held_s
