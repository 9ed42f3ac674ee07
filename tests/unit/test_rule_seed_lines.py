"""Lines of seeds files, rule by rule: what they make, what they change of known pages, and where they lead."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core import latest_scope, seed_lines, settle
from crawlfleet.coordinator.core.changes import Recorded, TaskEvent
from crawlfleet.coordinator.core.later_rows import SeedLineRow
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.policy import LinkRules
from crawlfleet.coordinator.core.rows import Gate, TaskRow
from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.coordinator.core.seed_lines import Listed
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Outcome
from crawlfleet.shared.reasons import Reason
from tests.unit.rule_turns import (
    DONE,
    DROPPED,
    FAILED,
    HOST,
    LEASED,
    ORIGIN,
    OTHER,
    OTHER_HOST,
    PENDING,
    Turns,
    born,
    changes,
    check,
    held_by,
    host,
    lease,
    leased,
    moved,
    new,
    numbers,
    origin,
    page,
    put,
    report,
    robots,
)

FAR, FAR_HOST = "http://far.test", "far.test"
GIVEN = SeedLine("HTTP://A.test/1#top", {"id": "7"})
OTHER_LINE = SeedLine("http://a.test/1")
FREE = host(origins=(ORIGIN,), ready_at=0.0)
KNOWN = (FREE, origin(), robots(order=2, state=DONE))


def line(task: TaskRow, given: SeedLine = GIVEN) -> tuple[Link, SeedLine]:
    """Return the line that names a page."""
    return Link(url=task.url, depth=0, seed=True, always=True), given


def kept(number: int, given: SeedLine = GIVEN, **values: Any) -> SeedLineRow:
    return SeedLineRow(number=number, line=given, **values)


def events(turn: Turn) -> list[TaskEvent]:
    return [change.event for change in turn.batch() if hasattr(change, "event")]


def test_a_new_line_makes_a_page_that_names_it(turns: Turns) -> None:
    turn = turns(now=5.0)
    assert seed_lines.admit(turn, [line(page("1"))]) == [Listed(1, False, True)]
    assert turn.batch() == [
        born(page("1", order=2, seed=True, seed_line=1)),
        born(robots(order=3)),
        new(host(origins=(ORIGIN,), ready_at=5.0, known=1)),
        new(origin(gate=Gate.WAITING, expires_at=0.0)),
        new(kept(1)),
        put(turns().ledger, next_order=4),
    ]


def test_the_first_of_two_lines_that_name_one_page_is_the_one_that_it_has(turns: Turns) -> None:
    turn = turns(*KNOWN, numbers(next_order=3))
    told = seed_lines.admit(turn, [line(page("1")), line(page("1"), OTHER_LINE)])
    assert told == [Listed(3, False, True)] * 2
    assert changes(turn, SeedLineRow) == [new(kept(3))]
    turn = turns(page("1", seed=True, seed_line=9), kept(9), *KNOWN)
    assert seed_lines.admit(turn, [line(page("1"), OTHER_LINE)]) == [Listed(9, False, True)]
    assert turn.batch() == []


@pytest.mark.parametrize("depth", [0, 2])
def test_a_page_that_waits_becomes_a_seed_with_a_line(turns: Turns, depth: int) -> None:
    task = page("1", depth=depth)
    turn = turns(task, *KNOWN, numbers(next_order=3))
    assert seed_lines.admit(turn, [line(task)]) == [Listed(3, False, True)]
    listed = turn.tasks[task.ref]
    assert listed is not None
    assert (listed.seed_line, listed.seed, listed.depth, listed.state) == (3, True, 0, PENDING)
    assert events(turn) == [TaskEvent.LISTED, *([TaskEvent.LOWERED] if depth else [])]


@pytest.mark.parametrize("state", [DONE, FAILED])
def test_a_line_of_a_page_that_has_ended_is_late(turns: Turns, state: Any) -> None:
    task = page("1", state=state, outcome=Outcome.FETCHED)
    turn = turns(task, *KNOWN, numbers(next_order=3))
    assert seed_lines.admit(turn, [line(task)]) == [Listed(3, True, True)]
    assert turn.batch() == [
        moved(TaskEvent.LISTED, task, seed_line=3, seed=True),
        new(kept(3, is_late=True)),
        put(numbers(next_order=3), next_order=4),
    ]


def test_a_line_brings_back_a_page_that_the_scope_had_refused(turns: Turns) -> None:
    task = page("1", FAR, depth=1, state=DROPPED, reason=Reason.HOST)
    turn = turns(task, numbers(next_order=2), host(FAR_HOST, known=1), listed_hosts=True)
    assert seed_lines.admit(turn, [line(task)]) == [Listed(2, False, False)]
    assert events(turn) == [TaskEvent.LISTED, TaskEvent.LOWERED, TaskEvent.REVIVED, TaskEvent.ADMITTED]


def test_a_line_brings_back_no_page_that_a_spent_budget_had_dropped(turns: Turns) -> None:
    task = page("1", state=DROPPED, reason=Reason.BUDGET_PAGES)
    turn = turns(task, *KNOWN, numbers(next_order=3))
    assert seed_lines.admit(turn, [line(task)]) == [Listed(3, True, True)]
    assert events(turn) == [TaskEvent.LISTED]


def test_a_line_makes_a_page_of_a_check(turns: Turns) -> None:
    task = check("1", FAR)
    rows = (host(FAR_HOST, origins=(FAR,), known=1), origin(FAR), robots(FAR, order=2, state=DONE))
    turn = turns(task, *rows, numbers(next_order=3), links=LinkRules(check_external=True), listed_hosts=True)
    assert seed_lines.admit(turn, [line(task)]) == [Listed(3, False, False)]
    assert events(turn) == [TaskEvent.LISTED, TaskEvent.ADOPTED]


def test_hosts_of_lines_join_the_scope_as_long_as_there_is_room(turns: Turns) -> None:
    lines = [line(page("1", f"http://h{number}.test")) for number in (1, 2, 1, 3)] + [line(page("1"))]
    turn = turns(listed_hosts=True, joining_hosts=2)
    assert [each.is_joined for each in seed_lines.admit(turn, lines)] == [True, True, True, False, True]
    assert turn.ledger.scope_hosts == ("h1.test", "h2.test")
    assert [change.task.state for change in turn.batch() if hasattr(change, "task")] == [PENDING] * 8
    turn = turns(numbers(scope_hosts=("h1.test", "h2.test")), listed_hosts=True, joining_hosts=2)
    assert [each.is_joined for each in seed_lines.admit(turn, lines)] == [True, True, True, False, True]
    assert turn.ledger.scope_hosts == ("h1.test", "h2.test")


def test_a_host_that_is_in_the_scope_need_not_join_it(turns: Turns) -> None:
    turn = turns(joining_hosts=2)
    assert seed_lines.admit(turn, [line(page("1"))]) == [Listed(1, False, True)]
    assert turn.ledger.scope_hosts == ()


def test_a_line_is_let_in_whatever_its_host_if_the_job_lists_no_hosts(turns: Turns) -> None:
    for listed_hosts, refusal in ((True, ""), (False, Reason.HOST)):
        turn = turns(listed_hosts=listed_hosts)
        seed_lines.admit(turn, [line(page("1", FAR))])
        task = turn.tasks[page("1", FAR).ref]
        assert task is not None
        assert task.reason == refusal
        assert latest_scope.refusal_in(turn, task.url, task.seed_line) == refusal
        assert latest_scope.refusal_in(turn, task.url) == Reason.HOST
    scope = ScopeSpec(hosts=(HOST,), exclude=("/1",))
    turn = turns(listed_hosts=True, scope=scope)
    assert latest_scope.refusal_in(turn, page("1", FAR).url, 1) == Reason.EXCLUDE


def redirect(turns: Turns, source: TaskRow, target: TaskRow, *rows: Any, **policy: Any) -> Turn:
    """Return the turn in which a page turned out to redirect."""
    held = host(origins=(ORIGIN,), ready_at=0.0, holders=held_by(3))
    source = leased(source, 3)
    turn: Turn = turns(source, held, lease(3, source), origin(), kept(9), *rows, **policy)
    answer = report(source, outcome=Outcome.REDIRECTED, status=301, location=target.url)
    settle.take(turn, "s", [answer])
    return turn


def test_the_line_of_a_page_that_redirects_goes_on_to_its_target(turns: Turns) -> None:
    source, target = page("1", seed=True, seed_line=9), page("new", FAR)
    turn = redirect(turns, source, target, numbers(next_order=4, pages_reserved=1), listed_hosts=True)
    led = turn.tasks[target.ref]
    assert led is not None
    assert (led.seed_line, led.seed, led.state, led.hops) == (9, True, PENDING, (source.url,))
    assert turn.ledger.scope_hosts == ()  # there is no room for its host


@pytest.mark.parametrize(
    ("values", "then"),
    [
        ({"state": PENDING}, (9, PENDING)),
        ({"state": DROPPED, "reason": Reason.HOST}, (9, PENDING)),
        ({"state": PENDING, "seed_line": 8}, (8, PENDING)),
        ({"state": DONE, "outcome": Outcome.FETCHED}, (0, DONE)),
    ],
)
def test_a_known_target_without_a_line_gets_it_unless_it_has_ended(
    turns: Turns, values: dict[str, Any], then: tuple[int, Any]
) -> None:
    target = page("2", OTHER, order=2, **values)
    there = (target, host(OTHER_HOST, origins=(OTHER,), known=1), origin(OTHER), robots(OTHER, order=3, state=DONE))
    policy = {"listed_hosts": True, "scope": ScopeSpec(hosts=(HOST,))}
    turn = redirect(turns, page("1", seed_line=9), target, numbers(next_order=4, pages_reserved=1), *there, **policy)
    led = turn.tasks[target.ref]
    assert led is not None
    assert (led.seed_line, led.state) == then


def test_what_no_line_leads_to_passes_none_on(turns: Turns) -> None:
    target = page("2", order=2)
    turn = turns(page("1"), target, *KNOWN)
    seed_lines.pass_on(turn, page("1"), target.ref)
    assert turn.batch() == []


def test_hosts_to_which_lines_redirect_join_while_there_is_room_and_those_of_other_seeds_always(turns: Turns) -> None:
    seed, listed = page("1", seed=True), page("1", seed=True, seed_line=9)
    turn = turns(numbers(scope_hosts=("x.test",)), joining_hosts=1)
    assert seed_lines.may_join(turn, seed, FAR_HOST)
    assert not seed_lines.may_join(turn, listed, FAR_HOST)
    assert not seed_lines.may_join(turn, seed, "x.test")
    assert not seed_lines.may_join(turn, page("1"), FAR_HOST)
    assert seed_lines.may_join(turns(joining_hosts=1), listed, FAR_HOST)
    assert not seed_lines.may_join(turns(joining_hosts=1, grows=False), listed, FAR_HOST)


def test_the_result_of_a_page_has_its_line(turns: Turns) -> None:
    for number, given in ((9, GIVEN), (0, None)):
        task = leased(page("1", seed_line=number), 3)
        held = host(origins=(ORIGIN,), ready_at=0.0, holders=held_by(3))
        turn = turns(task, held, lease(3, task), origin(), kept(9), numbers(pages_reserved=1))
        assert seed_lines.line_of(turn, task) == given
        settle.take(turn, "s", [report(task)])
        assert [each.result.seed_line for each in turn.batch() if isinstance(each, Recorded)] == [given]
        assert turn.tasks[task.ref].state is not LEASED  # type: ignore[union-attr]  # it is there
