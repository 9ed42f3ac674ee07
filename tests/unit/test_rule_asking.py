"""The pages that programs ask for, rule by rule: how they are admitted, led on from, taken back and found again."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core import admission, asking, leads, leases, settle
from crawlfleet.coordinator.core.asking import Wish
from crawlfleet.coordinator.core.changes import TaskEvent, TaskMoved
from crawlfleet.coordinator.core.later_rows import KeptLinksRow, LeadOnRow
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.policy import Extent, Priority, TrapLimits
from crawlfleet.coordinator.core.rows import NOT_REACHED, Gate, TaskRow, TrapRow
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Outcome
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.links import pack, unpack
from tests.unit.rule_turns import (
    DONE,
    DROPPED,
    FAILED,
    HOST,
    LEASED,
    ORIGIN,
    OTHER_HOST,
    PENDING,
    Turns,
    after,
    born,
    but,
    changes,
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

FREE = host(origins=(ORIGIN,), ready_at=0.0)
NEXT = numbers(next_order=5)
SHALLOW = Extent(depth=2)
REDIRECTED: dict[str, Any] = {"state": DONE, "outcome": Outcome.REDIRECTED, "status": 301}
FETCHED: dict[str, Any] = {"state": DONE, "outcome": Outcome.FETCHED, "status": 200}


def asked(name: str, **values: Any) -> TaskRow:
    """Return a page that a program asked for, and the crawl has not reached."""
    return page(name, **{"depth": NOT_REACHED, "asked": True, **values})


def wish(task: TaskRow, *, follow: bool = False, priority: int | None = None) -> Wish:
    return Wish(task.url, priority, follow)


def events(turn: Turn) -> list[tuple[TaskEvent, bytes]]:
    return [(change.event, change.task.ref) for change in turn.batch() if isinstance(change, TaskMoved)]


# Asking


def test_an_unknown_page_is_admitted_beyond_the_crawl(turns: Turns) -> None:
    turn = turns(FREE, origin(), NEXT)
    assert asking.ask(turn, [wish(asked("1"))]) == [asked("1", order=5)]
    assert turn.batch() == [born(asked("1", order=5)), put(FREE, known=1), put(NEXT, next_order=6)]


def test_the_first_page_of_an_origin_has_its_robots_txt_asked_for(turns: Turns) -> None:
    turn = turns(now=5.0)
    asking.ask(turn, [wish(asked("1"))])
    assert turn.batch()[:4] == [
        born(asked("1")),
        born(robots(order=2)),
        new(host(origins=(ORIGIN,), ready_at=5.0, known=1)),
        new(origin(gate=Gate.WAITING, expires_at=0.0)),
    ]


def test_a_page_that_is_followed_is_a_seed_of_the_crawl(turns: Turns) -> None:
    turn = turns(FREE, origin(), NEXT, extent=SHALLOW)
    asking.ask(turn, [wish(page("1"), follow=True)])
    assert turn.batch()[0] == born(page("1", depth=0, asked=True, order=5))


def test_a_page_that_is_asked_for_comes_before_all_of_its_priority() -> None:
    waiting = [page("1", depth=0, priority=1), asked("2"), page("3", depth=1), page("4", depth=9, asked=True)]
    assert [task.rank for task in sorted(waiting, key=lambda task: task.rank)] == [-(2**32), 0, 0, 1]


def test_a_priority_of_its_own_beats_those_of_the_job(turns: Turns) -> None:
    turn = turns(FREE, origin(), NEXT, priorities=(Priority(match="/", priority=9),))
    asking.ask(turn, [wish(page("1"), priority=0), wish(page("2"))])
    rows = [turn.tasks[page(name).ref] for name in "12"]
    assert [row.priority for row in rows if row is not None] == [0, 9]


def test_what_the_scope_refuses_is_no_task(turns: Turns) -> None:
    turn = turns(FREE, origin(), scope=ScopeSpec(hosts=(HOST,), exclude=("/private/",)))
    private, other = Wish(f"{ORIGIN}/private/1"), Wish("http://c.test/")
    assert asking.ask(turn, [private, other]) == [Reason.EXCLUDE, Reason.HOST]
    assert turn.batch() == []


def test_what_is_asked_for_is_neither_too_deep_nor_a_trap(turns: Turns) -> None:
    turn = turns(FREE, origin(), NEXT, traps=TrapLimits(url_length=5), extent=SHALLOW)
    assert asking.ask(turn, [wish(asked("1"))]) == [asked("1", order=5)]


@pytest.mark.parametrize("state", [PENDING, LEASED])
def test_a_known_page_that_waits_moves_forward(turns: Turns, state: Any) -> None:
    known = page("1", depth=2) if state is PENDING else leased(page("1", depth=2), 3)
    held = (lease(3, known), host(origins=(ORIGIN,), holders=held_by(3))) if state is LEASED else (FREE,)
    turn = turns(known, *held, origin(), numbers(pages_reserved=state is LEASED))
    assert asking.ask(turn, [wish(known, priority=4)]) == [after(known, asked=True, priority=4)]
    assert turn.batch() == [moved(TaskEvent.ASKED, known, asked=True, priority=4)]


@pytest.mark.parametrize(
    "known",
    [page("1", **FETCHED), page("1", state=FAILED, reason="dns_failed"), page("1", state=DROPPED, reason="robots")],
    ids=["done", "failed", "dropped"],
)
def test_a_settled_page_stays_as_it_is(turns: Turns, known: TaskRow) -> None:
    turn = turns(known, FREE, origin())
    assert asking.ask(turn, [wish(known)]) == [known]
    assert turn.batch() == []


@pytest.mark.parametrize(
    ("reason", "depth", "then"),
    [("cancelled", NOT_REACHED, NOT_REACHED), ("depth", 5, 5), ("trap_query", 2, NOT_REACHED), ("exclude", 1, 1)],
)
def test_what_was_dropped_for_being_beyond_the_crawl_is_revived(
    turns: Turns, reason: str, depth: int, then: int
) -> None:
    known = page("1", state=DROPPED, reason=reason, depth=depth)
    turn = turns(known, FREE, origin(), extent=SHALLOW)
    asking.ask(turn, [wish(known)])
    assert turn.batch() == [moved(TaskEvent.REVIVED, known, state=PENDING, reason="", depth=then, asked=True)]


@pytest.mark.parametrize(
    ("rules", "again"),
    [(robots(order=2, state=DROPPED, reason="budget_pages"), True), (robots(order=2, **REDIRECTED), False)],
    ids=["dropped", "redirected"],
)
def test_a_revived_page_has_its_robots_txt_asked_for_again_only_if_that_was_dropped(
    turns: Turns, rules: TaskRow, *, again: bool
) -> None:
    known = page("1", state=DROPPED, reason="cancelled", depth=NOT_REACHED)
    turn = turns(known, rules, FREE, origin(gate=Gate.WAITING))
    asking.ask(turn, [wish(known)])
    assert ((TaskEvent.RECHECKED, rules.ref) in events(turn)) is again


def test_what_is_out_of_scope_stays_dropped(turns: Turns) -> None:
    known = page("1", state=DROPPED, reason="exclude")
    turn = turns(known, FREE, origin(), scope=ScopeSpec(hosts=(HOST,), exclude=("/1",)))
    assert asking.ask(turn, [wish(known)]) == [known]
    assert turn.batch() == []


def test_asking_with_follow_lowers_a_page_that_was_read_already(turns: Turns) -> None:
    known = asked("1", **FETCHED)
    turn = turns(known, FREE, origin())
    asking.ask(turn, [wish(known, follow=True)])
    assert turn.batch() == [moved(TaskEvent.LOWERED, known, depth=0), new(LeadOnRow(order=1, ref=known.ref, host=HOST))]


# Redirects


def test_a_redirected_page_is_answered_by_its_last_target(turns: Turns) -> None:
    last = page("3", order=3)
    second = page("2", order=2, **REDIRECTED, outlinks=(last.ref,))
    first = page("1", **REDIRECTED, outlinks=(second.ref,))
    turn = turns(first, second, last, FREE, origin())
    assert asking.ask(turn, [wish(first)]) == [after(last, asked=True)]
    assert turn.batch() == [moved(TaskEvent.ASKED, last, asked=True)]


def test_pages_that_redirect_in_a_circle_end_where_the_circle_closes(turns: Turns) -> None:
    one, two = page("1"), page("2", order=2)
    one, two = page("1", **REDIRECTED, outlinks=(two.ref,)), page("2", order=2, **REDIRECTED, outlinks=(one.ref,))
    turn = turns(one, two, FREE, origin())
    assert [task.ref for task in asking.redirects(turn, one.ref)] == [one.ref, two.ref]
    assert asking.want_page(turn, one.ref) == two
    assert turn.batch() == []


def test_the_target_of_an_asked_page_is_asked_for_too(turns: Turns) -> None:
    known = page("2", order=2, depth=1)
    task = leased(asked("1"), 3)
    busy = host(origins=(ORIGIN,), holders=held_by(3))
    turn = turns(task, known, lease(3, task), busy, origin(), numbers(pages_reserved=1))
    moved_to = report(task, outcome=Outcome.REDIRECTED, status=301, location=known.url)
    settle.take(turn, "s", [moved_to])
    assert (TaskEvent.ASKED, known.ref) in events(turn)
    row = turn.tasks[task.ref]
    assert row is not None
    assert row.outlinks == (known.ref,)


def test_an_unknown_target_of_an_asked_page_is_beyond_the_crawl_too(turns: Turns) -> None:
    task = leased(asked("1"), 3)
    busy = host(origins=(ORIGIN,), holders=held_by(3))
    turn = turns(task, lease(3, task), busy, origin(), numbers(pages_reserved=1, next_order=5))
    settle.take(turn, "s", [report(task, outcome=Outcome.REDIRECTED, status=301, location=f"{ORIGIN}/2")])
    target = turn.tasks[page("2").ref]
    assert target == asked("2", order=5, found_on=task.ref, hops=(task.url,))


def test_the_target_of_a_page_that_nobody_asks_for_any_more_is_dropped(turns: Turns) -> None:
    task = leased(asked("1", asked=False), 3)
    busy = host(origins=(ORIGIN,), holders=held_by(3))
    turn = turns(task, lease(3, task), busy, origin(), numbers(pages_reserved=1, next_order=5))
    settle.take(turn, "s", [report(task, outcome=Outcome.REDIRECTED, status=301, location=f"{ORIGIN}/2")])
    target = turn.tasks[page("2").ref]
    assert target is not None
    assert (target.state, target.reason) == (DROPPED, Reason.CANCELLED)


# Outlinks that are kept


@pytest.mark.parametrize("outcome", [Outcome.FETCHED, Outcome.EXTRACT_ERROR])
def test_the_outlinks_of_a_page_beyond_the_crawl_are_kept(turns: Turns, outcome: Outcome) -> None:
    task = leased(asked("1"), 3)
    busy = host(origins=(ORIGIN,), holders=held_by(3))
    turn = turns(task, lease(3, task), busy, origin(), numbers(pages_reserved=1, next_order=5))
    links = pack([f"{ORIGIN}/2", f"{ORIGIN}/3"])
    settle.take(turn, "s", [report(task, outcome=outcome, kept=links)])
    assert changes(turn, KeptLinksRow) == [new(KeptLinksRow(order=1, links=links))]
    assert turn.tasks[page("2").ref] is None


@pytest.mark.parametrize("has_some", [True, False])
def test_the_outlinks_of_a_page_that_was_taken_up_again_replace_those_of_before(turns: Turns, has_some: bool) -> None:
    task, earlier = leased(asked("1", settled=(2,)), 3), KeptLinksRow(order=1, links=pack([f"{ORIGIN}/9"]))
    busy = host(origins=(ORIGIN,), holders=held_by(3))
    rows = (earlier,) if has_some else ()
    turn = turns(task, lease(3, task), busy, origin(), numbers(pages_reserved=1, next_order=5), *rows)
    links = pack([f"{ORIGIN}/2"])
    settle.take(turn, "s", [report(task, kept=links)])
    after = put(earlier, links=links) if has_some else new(KeptLinksRow(order=1, links=links))
    assert changes(turn, KeptLinksRow) == [after]


def test_a_page_that_the_crawl_has_reached_meanwhile_leads_on_at_once(turns: Turns) -> None:
    task = leased(asked("1", depth=1), 3)
    busy = host(origins=(ORIGIN,), holders=held_by(3))
    turn = turns(task, lease(3, task), busy, origin(), numbers(pages_reserved=1, next_order=5))
    settle.take(turn, "s", [report(task, kept=pack([f"{ORIGIN}/2", f"{ORIGIN}/3", "no url"]))])
    assert turn.tasks[page("2").ref] == page("2", depth=2, order=5, found_on=task.ref)
    assert changes(turn, KeptLinksRow) == []


def test_a_page_that_is_reached_by_another_report_of_the_same_message_leads_on(turns: Turns) -> None:
    first, second = leased(page("1"), 3), leased(asked("2", order=2), 3)
    busy = host(origins=(ORIGIN,), holders=held_by(3))
    turn = turns(first, second, lease(3, first, second), busy, origin(), numbers(pages_reserved=2))
    links = pack([f"{ORIGIN}/3"])
    settle.take(turn, "s", [report(first, outlinks=(second.url,)), report(second, kept=links)])
    row = turn.tasks[second.ref]
    assert row is not None
    assert row.depth == first.depth + 1
    assert changes(turn, KeptLinksRow, LeadOnRow) == [
        new(KeptLinksRow(order=2, links=links)),
        new(LeadOnRow(order=2, ref=second.ref, host=HOST)),
    ]


def test_outlinks_that_are_named_of_a_page_beyond_the_crawl_are_kept_too(turns: Turns) -> None:
    """The job's depth was less when the page was granted."""
    task = leased(page("1", depth=3), 3)
    turn = turns(task, extent=SHALLOW)
    named = report(task, outlinks=(f"{ORIGIN}/2",), known=b"x" * 16)
    room = leads.Room(turn.policy.tuning)
    bare, later = leads.within_reach(turn, named, room)
    assert bare == report(task)
    assert (unpack(later.links, 9), later.known, later.number) == ([f"{ORIGIN}/2"], b"", 0)
    assert leads.within_reach(turn, report(task, kept=later.links), room) == (bare, later)
    assert leads.within_reach(turn, report(page("9"), 3), room) == (report(page("9"), 3), leads.NOTHING)


@pytest.mark.parametrize("outcome", [Outcome.FETCHED, Outcome.EXTRACT_ERROR, Outcome.HTTP_ERROR])
def test_a_page_that_the_crawl_reaches_is_to_lead_on_if_it_was_read(turns: Turns, outcome: Outcome) -> None:
    state = DONE if outcome is Outcome.FETCHED else FAILED
    known = asked("1", state=state, outcome=outcome)
    turn = turns(known, FREE, origin())
    admission.admit(turn, [Link(url=known.url, depth=4)])
    due = [] if outcome is Outcome.HTTP_ERROR else [new(LeadOnRow(order=1, ref=known.ref, host=HOST))]
    assert turn.batch() == [moved(TaskEvent.LOWERED, known, depth=4), *due]


def test_a_page_that_is_found_too_deep_does_not_lead_on(turns: Turns) -> None:
    known = asked("1", **FETCHED)
    turn = turns(known, FREE, origin(), extent=SHALLOW)
    admission.admit(turn, [Link(url=known.url, depth=4)])
    assert turn.batch() == [moved(TaskEvent.LOWERED, known, depth=4)]


def test_a_trap_that_was_asked_for_does_not_lead_on(turns: Turns) -> None:
    known = asked("1", **FETCHED)
    turn = turns(known, FREE, origin(), traps=TrapLimits(url_length=5))
    admission.admit(turn, [Link(url=known.url, depth=4)])
    assert turn.batch() == []


def test_a_page_that_was_asked_for_counts_for_the_traps_once_it_is_reached(turns: Turns) -> None:
    known = asked("1?a=1", **FETCHED)
    turn = turns(known, FREE, origin(), traps=TrapLimits(query_variants=5))
    admission.admit(turn, [Link(url=known.url, depth=4)])
    assert len(changes(turn, TrapRow)) == 1


def test_the_target_of_a_page_that_is_reached_is_reached_at_the_same_depth(turns: Turns) -> None:
    target = asked("2", order=2, **FETCHED)
    known = asked("1", **REDIRECTED, outlinks=(target.ref,))
    turn = turns(known, target, FREE, origin())
    admission.admit(turn, [Link(url=known.url, depth=4)])
    assert turn.batch() == [
        moved(TaskEvent.LOWERED, known, depth=4),
        moved(TaskEvent.LOWERED, target, depth=4),
        new(LeadOnRow(order=2, ref=target.ref, host=HOST)),
    ]


def test_a_chain_of_known_redirects_is_followed_only_so_far(turns: Turns) -> None:
    refs = [page(str(number)).ref for number in range(asking.MOST_HOPS + 9)]
    chain = [
        page(str(number), order=number + 1, **REDIRECTED, outlinks=(refs[number + 1],))
        for number in range(len(refs) - 1)
    ]
    turn = turns(*chain, FREE, origin())
    assert len(list(asking.redirects(turn, refs[0]))) == asking.MOST_HOPS + 1


# Taking back


def test_what_nobody_asks_for_any_more_is_dropped_unless_the_crawl_has_reached_it(turns: Turns) -> None:
    beyond, reached, deep = asked("1"), asked("2", depth=1, order=2), asked("3", depth=7, order=3)
    settled, other = asked("4", order=4, **FETCHED), page("5", order=5, depth=1)
    turn = turns(beyond, reached, deep, settled, other, FREE, origin(), extent=SHALLOW)
    asking.give_up(turn, [task.ref for task in (beyond, reached, deep, settled, other)] + [b"unknown"])
    rows = [turn.tasks[task.ref] for task in (beyond, reached, deep, settled, other)]
    assert [(row.state, row.reason, row.asked) for row in rows if row is not None] == [
        (DROPPED, "cancelled", False),
        (PENDING, "", False),
        (DROPPED, "depth", False),
        (DONE, "", True),
        (PENDING, "", False),
    ]


def test_what_has_started_goes_on_and_is_dropped_when_it_comes_back(turns: Turns) -> None:
    task = leased(asked("1"), 3)
    held = lease(3, task)
    busy = host(origins=(ORIGIN,), holders=held_by(3))
    turn = turns(task, held, busy, origin(), numbers(pages_reserved=1))
    asking.give_up(turn, [task.ref])
    assert turn.batch() == [moved(TaskEvent.UNASKED, task, asked=False), put(held, recalled=True)]
    (recalled,) = turn.leases_of("s")
    assert leases.recalled(turn, [held]) == (3,)
    leases.release(turn, recalled, started=())
    row = turn.tasks[task.ref]
    assert row is not None
    assert (row.state, row.reason, row.reserved, turn.ledger.pages_reserved) == (DROPPED, "cancelled", False, 0)


@pytest.mark.parametrize("how", ["lost", "retried"])
def test_an_unwanted_page_is_not_tried_again(turns: Turns, how: str) -> None:
    task = leased(asked("1", asked=False), 3)
    held = lease(3, task)
    busy = host(origins=(ORIGIN,), holders=held_by(3))
    turn = turns(task, held, busy, origin(), numbers(pages_reserved=1))
    if how == "lost":
        leases.lose(turn, held, started=())
    else:
        settle.take(turn, "s", [report(task, outcome=Outcome.NETWORK_ERROR, status=0, reason="dns_failed")])
    row = turn.tasks[task.ref]
    assert row is not None
    assert (row.state, row.reason, turn.ledger.pages_reserved) == (DROPPED, "cancelled", 0)


def test_other_tasks_are_never_unwanted(turns: Turns) -> None:
    turn = turns(page("1"), robots(order=2, depth=NOT_REACHED), asked("3", order=3), FREE, origin(gate=Gate.WAITING))
    for task in list(turn.tasks.values()) or [page("1"), robots(order=2, depth=NOT_REACHED), asked("3", order=3)]:
        assert task is not None
        asking.drop_if_unwanted(turn, task)
    assert turn.batch() == []


@pytest.mark.parametrize(("depth", "state", "reason"), [(1, PENDING, ""), (7, DROPPED, "depth")])
def test_a_cancelled_page_that_the_crawl_finds_is_a_page_as_any_other(
    turns: Turns, depth: int, state: Any, reason: str
) -> None:
    known = page("1", state=DROPPED, reason="cancelled", depth=NOT_REACHED)
    turn = turns(known, FREE, origin(), extent=SHALLOW)
    admission.admit(turn, [Link(url=known.url, depth=depth)])
    row = turn.tasks[known.ref]
    assert row is not None
    assert (row.state, row.reason, row.depth) == (state, reason, depth)


def test_a_changed_job_judges_what_was_asked_for_by_its_scope_alone(turns: Turns) -> None:
    kept, gone = asked("1"), asked("private/2", order=2)
    scope = ScopeSpec(hosts=(HOST, OTHER_HOST), exclude=("/private/",))
    turn = turns(kept, gone, FREE, origin(), scope=scope, extent=SHALLOW, traps=TrapLimits(url_length=5))
    admission.reconsider(turn, [kept, gone])
    assert turn.batch() == [moved(TaskEvent.REFUSED, gone, state=DROPPED, reason="exclude")]


@pytest.mark.parametrize(("depth", "leads_on"), [(2, True), (5, False), (NOT_REACHED, False)])
def test_a_page_that_a_larger_depth_reaches_leads_on(turns: Turns, depth: int, leads_on: bool) -> None:
    task = page("1", depth=depth, asked=True, **FETCHED)
    kept = KeptLinksRow(order=1, links=pack([f"{ORIGIN}/2"]))
    turn = turns(task, kept, FREE, origin(), extent=SHALLOW)
    admission.reconsider(turn, [task])
    assert turn.batch() == ([new(LeadOnRow(order=1, ref=task.ref, host=HOST))] if leads_on else [])
    admission.reconsider(turn, [task])
    assert len(turn.batch()) == leads_on


def test_a_page_that_kept_nothing_leads_on_to_nothing_with_a_larger_depth(turns: Turns) -> None:
    task = page("1", depth=2, asked=True, **FETCHED)
    turn = turns(task, KeptLinksRow(order=1, links=b""), FREE, origin(), extent=SHALLOW)
    admission.reconsider(turn, [task, but(task, order=9)])
    assert turn.batch() == []


def test_a_robots_txt_that_was_dropped_with_its_pages_is_requested_again_for_later_ones(turns: Turns) -> None:
    dropped = robots(state=DROPPED, reason="budget_pages")
    turn = turns(dropped, FREE, origin(gate=Gate.WAITING, expires_at=0.0))
    admission.reconsider(turn, [dropped])
    assert [change.event for change in turn.batch() if isinstance(change, TaskMoved)] == [TaskEvent.RECHECKED]


def test_a_page_that_a_deeper_limit_lets_in_leads_on(turns: Turns) -> None:
    reached, beyond = page("1", depth=2, **FETCHED), asked("2", order=2, **FETCHED)
    kept = [KeptLinksRow(order=order, links=pack([f"{ORIGIN}/9"])) for order in (1, 2)]
    turn = turns(reached, beyond, *kept, FREE, origin(), extent=SHALLOW)
    admission.reconsider(turn, [reached, beyond])
    assert turn.batch() == [new(LeadOnRow(order=1, ref=reached.ref, host=HOST))]


def test_a_page_that_is_about_to_lead_on_is_reached_again(turns: Turns) -> None:
    """The job's depth was less in between."""
    known = page("1", depth=3, **FETCHED)
    turn = turns(known, LeadOnRow(order=1, ref=known.ref, host=HOST), FREE, origin(), extent=SHALLOW)
    admission.admit(turn, [Link(url=known.url, depth=2)])
    assert turn.batch() == [moved(TaskEvent.LOWERED, known, depth=2)]


def test_what_refuses_an_unknown_page(turns: Turns) -> None:
    turn = turns(FREE, origin(), extent=SHALLOW, traps=TrapLimits(url_length=5))
    refusals = [
        admission.refusal_of(turn, Link(url=page("1").url, depth=depth, asked=is_asked))
        for depth, is_asked in ((0, False), (1, False), (3, False), (NOT_REACHED, False), (NOT_REACHED, True))
    ]
    assert refusals == ["", "trap_length", "depth", "cancelled", ""]


def test_what_can_be_revived(turns: Turns) -> None:
    known = page("1", state=DROPPED, reason="budget_pages")
    turn = turns(known, FREE, origin())
    admission.revive(turn, known)
    assert turn.batch() == []
