"""What becomes of an origin's gate, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core import gates, retry
from crawlfleet.coordinator.core.awaited_rows import AwaitedRow
from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.figures import RobotsWaits
from crawlfleet.coordinator.core.rows import Gate, HostRow, LedgerRow, OriginRow, TaskRow
from crawlfleet.coordinator.core.turn import existing
from crawlfleet.shared.messages import Outcome, Report
from tests.unit.rule_turns import (
    DONE,
    DROPPED,
    FAILED,
    HOST,
    ORIGIN,
    PENDING,
    Turns,
    after,
    changes,
    host,
    leased,
    moved,
    new,
    numbers,
    origin,
    page,
    put,
    report,
    robots,
    sitemap,
)

DAY_S = 86_400.0
RULES = b"User-agent: *\nCrawl-delay: 9\n"
WAITING = origin(gate=Gate.WAITING, expires_at=0.0)
KNOWN = origin(gate=Gate.RULES, robots=RULES, asked_delay_s=9.0, rechecking=True, expires_at=0.0)
FREE = host(origins=(ORIGIN,), ready_at=0.0)
TASK, OVER = leased(robots(), 3), robots(state=DONE, lease=3)
DOWN: dict[str, Any] = {"outcome": Outcome.NETWORK_ERROR, "status": 0, "reason": "timeout_connect"}
NOT_THERE: dict[str, Any] = {"outcome": Outcome.HTTP_ERROR, "status": 404, "reason": "http_404"}
REFUSED: dict[str, Any] = {**DOWN, "reason": "connect"}
FINAL: dict[str, Any] = {"outcome": Outcome.HTTP_ERROR, "status": 501, "reason": "http_501"}


def waits(waiting: int = 0, given_up: int = 0, why: str = "timeout_connect", at: str = ORIGIN) -> RobotsWaits:
    """Return the ledger's numbers of origins, each at most one and named."""
    named = ((at, why),)
    return RobotsWaits(waiting, named * waiting, given_up, named * given_up)


@pytest.mark.parametrize(
    ("row", "holds", "overdue"),
    [
        (WAITING, True, False),
        (origin(expires_at=5.1), False, False),
        (origin(expires_at=5.0), False, True),
        (origin(gate=Gate.DISALLOW, expires_at=5.0), False, True),
        (origin(expires_at=5.0, rechecking=True), True, False),
        (origin(expires_at=5.0, rechecking=True, failed_looks=1), False, False),
    ],
    ids=["never had", "fresh", "expired", "closed a day ago", "asked for again", "not had again"],
)
def test_who_waits_for_a_robots_txt_and_who_asks_for_it_again(row: OriginRow, holds: bool, overdue: bool) -> None:
    assert (gates.holds_back(row), gates.is_overdue(row, 5.0)) == (holds, overdue)


@pytest.mark.parametrize(
    ("outcome", "status", "gate"),
    [
        (Outcome.FETCHED, 200, Gate.RULES),
        (Outcome.HTTP_ERROR, 404, Gate.ALLOW),
        (Outcome.HTTP_ERROR, 401, Gate.ALLOW),
        (Outcome.HTTP_ERROR, 403, Gate.ALLOW),
        (Outcome.HTTP_ERROR, 429, Gate.DISALLOW),
        (Outcome.HTTP_ERROR, 500, Gate.DISALLOW),
        (Outcome.NETWORK_ERROR, 0, Gate.DISALLOW),
        (Outcome.DENIED, 0, Gate.DISALLOW),
    ],
)
def test_what_the_last_answer_makes_of_a_gate(turns: Turns, outcome: Outcome, status: int, gate: Gate) -> None:
    turn = turns(OVER, WAITING, FREE)
    gates.judge(turn, OVER, report(OVER, outcome=outcome, status=status))
    assert existing(turn.origins[ORIGIN]).gate is gate


def test_an_absurd_crawl_delay_is_bounded(turns: Turns) -> None:
    turn = turns(OVER, WAITING, FREE)
    gates.judge(turn, OVER, report(OVER, body=b"User-agent: *\nCrawl-delay: 86400\n"))
    assert changes(turn, HostRow) == [put(FREE, delay_s=60.0, asked_s=86_400.0, next_start_at=60.0)]


def test_a_robots_txt_that_is_overdue_is_asked_for_again(turns: Turns) -> None:
    had = robots(state=DONE, status=200, outcome=Outcome.FETCHED, lease=2, settled=(2,))
    old = origin(expires_at=0.0)
    turn = turns(had, old, host(origins=(ORIGIN,)), now=5.0)
    asked, task = gates.recheck(turn, old)
    assert (asked, task) == (after(old, rechecking=True), turn.tasks[had.ref])
    assert turn.batch() == [
        moved(TaskEvent.RECHECKED, had, state=PENDING, status=0, outcome=None, lease=0),
        put(host(origins=(ORIGIN,)), ready_at=5.0),
        put(old, rechecking=True),
    ]


# When to ask again


@pytest.mark.parametrize(
    ("row", "sent", "policy", "at"),
    [
        (WAITING, {}, {}, None),
        (WAITING, NOT_THERE, {}, None),
        (WAITING, DOWN, {"ignore_robots": (HOST,)}, None),
        (WAITING, FINAL, {}, 65.0),
        (WAITING, DOWN, {"retries": 0}, 65.0),
        (WAITING, DOWN, {"retries": 0, "robots_wait_s": 30.0}, 35.0),
        (WAITING, DOWN, {"retries": 0, "robots_wait_s": 0.0}, None),
        (origin(gate=Gate.WAITING, failing_since=1.0, failed_looks=2), FINAL, {}, 245.0),
        (origin(gate=Gate.WAITING, failing_since=1.0, failed_looks=9), FINAL, {}, 905.0),
        (origin(gate=Gate.WAITING, failing_since=1.0), FINAL, {"robots_wait_s": 9.0}, 10.0),
        (origin(gate=Gate.WAITING, failing_since=1.0), FINAL, {"robots_wait_s": 4.0}, None),
        (WAITING, REFUSED, {"retries": 0}, None),
        (origin(gate=Gate.WAITING, why="connect"), REFUSED, {"retries": 0}, None),
        (KNOWN, FINAL, {}, None),
        (KNOWN, DOWN, {"retries": 0}, None),
    ],
)
def test_when_a_robots_txt_that_could_not_be_had_is_asked_for_again(
    turns: Turns, row: OriginRow, sent: dict[str, Any], policy: dict[str, Any], at: float | None
) -> None:
    turn = turns(TASK, row, FREE, now=5.0, **policy)
    assert gates.again_at(turn, TASK, report(TASK, **sent)) == at
    assert turn.batch() == []


@pytest.mark.parametrize("row", [WAITING, KNOWN], ids=["waiting", "known"])
def test_what_may_pass_soon_is_asked_for_soon(turns: Turns, row: OriginRow) -> None:
    turn = turns(TASK, row, FREE, now=5.0)
    at = 5.0 + retry.backoff_s(turn.policy, TASK.ref, 0)
    assert gates.again_at(turn, TASK, report(TASK, **DOWN)) == at


@pytest.mark.parametrize(("hold_until", "is_waited_for"), [(100.0, True), (101.0, False)])
def test_a_server_that_says_to_come_back_after_the_wait_is_not_waited_for(
    turns: Turns, hold_until: float, is_waited_for: bool
) -> None:
    for sent in (DOWN, FINAL):
        held = host(origins=(ORIGIN,), hold_until=hold_until)
        turn = turns(TASK, WAITING, held, now=5.0, robots_wait_s=95.0, retry_max_s=20.0)
        assert (gates.again_at(turn, TASK, report(TASK, **sent)) is not None) is is_waited_for


def test_a_server_that_answered_badly_and_now_refuses_is_asked_once_more(turns: Turns) -> None:
    restarting = origin(gate=Gate.WAITING, failing_since=1.0, failed_looks=2, why="http_503")
    later = leased(robots(attempt=5), 3)
    turn = turns(later, restarting, FREE, now=5.0)
    at = 5.0 + retry.backoff_s(turn.policy, later.ref, 5)
    assert gates.again_at(turn, later, report(later, **REFUSED)) == at


# Looks that failed


def test_nobody_waits_for_a_server_that_refuses(turns: Turns) -> None:
    turn = turns(TASK, WAITING, FREE, numbers(), now=5.0)
    gates.look_failed(turn, TASK, report(TASK, **REFUSED))
    assert turn.batch() == [put(WAITING, why="connect")]


def test_the_first_look_that_fails_is_told_and_named(turns: Turns) -> None:
    turn = turns(TASK, WAITING, FREE, numbers(), now=5.0)
    gates.look_failed(turn, TASK, report(TASK, **DOWN))
    assert turn.batch() == [
        put(WAITING, failing_since=5.0, why="timeout_connect"),
        put(numbers(), robots_waits=waits(waiting=1)),
    ]


def test_a_later_look_that_fails_is_counted_once_it_is_not_tried_again_soon(turns: Turns) -> None:
    failing, ledger = origin(gate=Gate.WAITING, failing_since=1.0), numbers(robots_waits=waits(waiting=1))
    last = leased(robots(attempt=3), 3)
    turn = turns(last, failing, FREE, ledger, now=5.0)
    gates.look_failed(turn, last, report(last, **DOWN))
    assert turn.batch() == [
        put(failing, failed_looks=1, why="timeout_connect"),
        new(AwaitedRow(origin=ORIGIN, ref=last.ref)),
    ]


def test_while_rules_are_known_nobody_waits(turns: Turns) -> None:
    turn = turns(TASK, KNOWN, FREE, numbers(), now=5.0)
    gates.look_failed(turn, TASK, report(TASK, **DOWN))
    assert turn.batch() == [put(KNOWN, failing_since=5.0, why="timeout_connect")]


def test_five_origins_that_wait_are_named_and_all_are_counted(turns: Turns) -> None:
    five = RobotsWaits(5, tuple((f"http://{number}.test", "dns_timeout") for number in range(5)))
    turn = turns(TASK, WAITING, FREE, numbers(robots_waits=five))
    gates.look_failed(turn, TASK, report(TASK, **DOWN))
    assert changes(turn, LedgerRow) == [put(numbers(robots_waits=five), robots_waits=five.but(waiting=6))]


# Judged


@pytest.mark.parametrize(
    ("sent", "gate"),
    [
        ({"body": RULES}, {"gate": Gate.RULES, "robots": RULES, "asked_delay_s": 9.0}),
        ({"body": b"User-agent: *\nRequest-rate: 1/9\n"}, {"gate": Gate.RULES, "asked_delay_s": 9.0}),
        (NOT_THERE, {"gate": Gate.ALLOW}),
        ({**NOT_THERE, "status": 403, "body": RULES}, {"gate": Gate.ALLOW}),
        ({"outcome": Outcome.REDIRECTED, "status": 301}, {"gate": Gate.ALLOW}),
    ],
    ids=["rules", "rate", "not there", "forbidden", "sent on for ever"],
)
def test_an_answer_opens_the_gate_for_a_day_and_sets_the_delay(
    turns: Turns, sent: dict[str, Any], gate: dict[str, Any]
) -> None:
    turn = turns(OVER, WAITING, FREE, now=5.0)
    gates.judge(turn, OVER, report(OVER, **sent))
    robots_text = sent.get("body", b"") if gate["gate"] is Gate.RULES else b""
    opened = {"expires_at": DAY_S + 5.0, "robots": robots_text, **gate}
    slowed = put(FREE, delay_s=9.0, asked_s=9.0, next_start_at=14.0)
    assert turn.batch() == [*([slowed] if "asked_delay_s" in gate else []), put(WAITING, **opened)]


@pytest.mark.parametrize(("fresh_s", "kept_s"), [(None, DAY_S), (7_200.0, 7_200.0), (1e9, DAY_S), (0.0, 600.0)])
def test_an_answer_may_hold_for_less_than_a_day_but_for_ten_minutes(
    turns: Turns, fresh_s: float | None, kept_s: float
) -> None:
    turn = turns(OVER, WAITING, FREE)
    gates.judge(turn, OVER, report(OVER, **NOT_THERE, fresh_s=fresh_s))
    assert changes(turn, OriginRow) == [put(WAITING, gate=Gate.ALLOW, expires_at=kept_s)]


def test_on_a_host_that_is_rarely_asked_an_answer_holds_for_ten_starts(turns: Turns) -> None:
    turn = turns(OVER, WAITING, host(delay_s=100.0, asked_s=0.0, origins=(ORIGIN,)), delay_s=100.0)
    gates.judge(turn, OVER, report(OVER, **NOT_THERE, fresh_s=0.0))
    assert changes(turn, OriginRow) == [put(WAITING, gate=Gate.ALLOW, expires_at=1_000.0)]


def test_an_answer_after_failed_looks_ends_the_wait(turns: Turns) -> None:
    failing = origin(gate=Gate.WAITING, failing_since=1.0, failed_looks=2, why="timeout_connect")
    ledger = numbers(robots_waits=waits(waiting=1))
    turn = turns(OVER, failing, FREE, ledger, now=5.0)
    gates.judge(turn, OVER, report(OVER, **NOT_THERE))
    had = {"gate": Gate.ALLOW, "expires_at": DAY_S + 5.0, "failing_since": None, "failed_looks": 0, "why": ""}
    assert turn.batch() == [put(failing, **had), put(ledger, robots_waits=waits())]


def test_a_host_keeps_the_longest_delay_that_one_of_its_origins_asks_for(turns: Turns) -> None:
    at = "http://a.test:81"
    other = origin(at, gate=Gate.RULES, robots=b"User-agent: *\nCrawl-delay: 4\n", asked_delay_s=4.0)
    slow = host(delay_s=9.0, asked_s=9.0, origins=(ORIGIN, at, "http://a.test:82"))
    turn = turns(OVER, KNOWN, other, slow, now=5.0)
    gates.judge(turn, OVER, report(OVER, **NOT_THERE))
    assert changes(turn, HostRow) == [put(slow, delay_s=4.0, asked_s=4.0, ready_at=5.0)]


def test_an_idle_host_is_looked_at_when_its_gate_opens(turns: Turns) -> None:
    idle = host(origins=(ORIGIN,))
    turn = turns(OVER, WAITING, idle, page("1"), now=5.0)
    gates.judge(turn, OVER, report(OVER, **NOT_THERE))
    assert changes(turn, HostRow) == [put(idle, ready_at=5.0)]


# Not had


def closed(sent: Report | str, turns: Turns, row: OriginRow, **ledger: Any) -> list[Any]:
    """Return what is decided of an origin whose robots.txt could not be had, asked by either rule."""
    task: TaskRow = robots(state=FAILED, lease=3)
    turn = turns(task, row, FREE, numbers(**ledger), now=5.0)
    if isinstance(sent, str):
        gates.cannot_be_had(turn, task, sent)
    else:
        gates.judge(turn, task, sent)
    return turn.batch()


@pytest.mark.parametrize("sent", [report(OVER, **DOWN), "timeout_connect"], ids=["a report", "a loss"])
def test_an_origin_whose_robots_txt_cannot_be_had_is_closed_for_a_day(turns: Turns, sent: Report | str) -> None:
    failing = origin(gate=Gate.WAITING, failing_since=1.0, failed_looks=2, why="dns_timeout")
    shut = {"gate": Gate.DISALLOW, "expires_at": DAY_S + 5.0, "failing_since": None, "failed_looks": 0}
    assert closed(sent, turns, failing, robots_waits=waits(waiting=1)) == [
        put(failing, **shut, why="timeout_connect"),
        put(numbers(robots_waits=waits(waiting=1)), robots_waits=waits(given_up=1)),
    ]


def test_an_origin_that_was_closed_is_closed_again_and_counted_once(turns: Turns) -> None:
    shut = origin(gate=Gate.DISALLOW, rechecking=True, why="dns_timeout")
    again = {"rechecking": False, "expires_at": DAY_S + 5.0, "why": "timeout_connect"}
    assert closed("timeout_connect", turns, shut) == [put(shut, **again)]


@pytest.mark.parametrize(("looks", "pause_s"), [(0, 60.0), (1, 120.0), (4, 900.0), (999, 900.0)])
def test_known_rules_go_on_and_are_looked_at_with_growing_pauses(turns: Turns, looks: int, pause_s: float) -> None:
    known = origin(rechecking=True, failed_looks=looks, failing_since=1.0 if looks else None)
    since = 1.0 if looks else 5.0
    kept = {"rechecking": False, "expires_at": 5.0 + pause_s, "failing_since": since, "failed_looks": looks + 1}
    assert closed("timeout_connect", turns, known) == [put(known, **kept, why="timeout_connect")]


@pytest.mark.parametrize(("hops", "why"), [((), "connect"), (("http://a.test/x",), "after a redirect: connect")])
def test_an_origin_at_which_nothing_serves_the_web_is_given_up_by_that_name(
    turns: Turns, hops: tuple[str, ...], why: str
) -> None:
    task = robots(state=DONE, lease=3, hops=hops)
    shut = {"gate": Gate.DISALLOW, "expires_at": DAY_S + 5.0, "why": why}
    sent = report(task, **REFUSED)
    turn = turns(task, WAITING, FREE, numbers(), now=5.0)
    gates.judge(turn, task, sent)
    assert turn.batch() == [
        put(WAITING, **shut),
        put(numbers(), robots_waits=waits(given_up=1, why=why)),
    ]


# Taken up again


def test_what_was_dropped_for_want_of_a_robots_txt_waits_for_it_again(turns: Turns) -> None:
    shut = origin(gate=Gate.DISALLOW, why="connect")
    had = robots(state=DONE, lease=2, settled=(2,), outcome=Outcome.NETWORK_ERROR)
    one, two = (page(name, order=order, state=DROPPED, reason="connect") for order, name in enumerate("12", 5))
    listed = sitemap(order=7, state=DROPPED, reason="robots_unreachable")
    ledger = numbers(robots_waits=waits(given_up=1))
    turn = turns(had, one, two, listed, shut, FREE, ledger, now=5.0)
    gates.look_again(turn, [had, one, two, listed])
    assert turn.batch() == [
        moved(TaskEvent.RECHECKED, had, state=PENDING, outcome=None, lease=0),
        *(moved(TaskEvent.REVIVED, task, state=PENDING, reason="") for task in (one, two, listed)),
        put(shut, gate=Gate.WAITING, why=""),
        put(ledger, robots_waits=waits()),
    ]


@pytest.mark.parametrize(
    ("row", "policy"),
    [(origin(), {}), (origin(gate=Gate.DISALLOW), {"ignore_robots": (HOST,)})],
    ids=["had by now", "ignored by now"],
)
def test_a_robots_txt_that_is_not_needed_any_more_is_not_asked_for(
    turns: Turns, row: OriginRow, policy: dict[str, Any]
) -> None:
    dropped = page("1", order=5, state=DROPPED, reason="robots_unreachable")
    turn = turns(robots(state=DONE), dropped, row, FREE, now=5.0, **policy)
    gates.look_again(turn, [dropped])
    assert turn.batch() == [moved(TaskEvent.REVIVED, dropped, state=PENDING, reason="")]


def test_what_nobody_wants_any_more_stays_dropped(turns: Turns) -> None:
    deep = page("1", order=5, depth=9, state=DROPPED, reason="robots_unreachable")
    turn = turns(robots(state=DONE), deep, origin(gate=Gate.DISALLOW), FREE, depth=3)
    gates.look_again(turn, [deep])
    assert turn.batch() == []


def test_an_origin_that_was_given_up_and_answers_counts_no_more(turns: Turns) -> None:
    shut, ledger = origin(gate=Gate.DISALLOW, rechecking=True, why="connect"), numbers(robots_waits=waits(given_up=1))
    turn = turns(OVER, shut, FREE, ledger, now=5.0)
    gates.judge(turn, OVER, report(OVER, **NOT_THERE))
    assert changes(turn, LedgerRow) == [put(ledger, robots_waits=waits())]


def test_what_waits_behind_a_gate_that_closes_is_dropped_with_it(turns: Turns) -> None:
    waiting = page("1", order=5)
    turn = turns(OVER, waiting, WAITING, FREE, numbers(), now=5.0)
    gates.judge(turn, OVER, report(OVER, **REFUSED))
    said = "http://a.test/robots.txt could not be had"
    assert turn.batch()[0] == moved(TaskEvent.REFUSED, waiting, state=DROPPED, reason="connect", detail=said)


def test_what_waits_behind_a_gate_that_the_job_ignores_is_not_dropped_with_it(turns: Turns) -> None:
    waiting = page("1", order=5)
    turn = turns(OVER, waiting, WAITING, FREE, numbers(), now=5.0, ignore_robots=(HOST,))
    gates.judge(turn, OVER, report(OVER, **REFUSED))
    assert existing(turn.tasks[waiting.ref]).state is PENDING
