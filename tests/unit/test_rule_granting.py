"""Who is granted what, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core import gates, granting
from crawlfleet.coordinator.core.changes import Leased, TaskEvent, TaskMoved
from crawlfleet.coordinator.core.figures import ShortMaps
from crawlfleet.coordinator.core.granting import Asker, Grant
from crawlfleet.coordinator.core.policy import Budget
from crawlfleet.coordinator.core.rows import ALONE_QUEUE, Gate, Holder, HostRow, LedgerRow, OriginRow, StoreRow, TaskRow
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.messages import Outcome
from tests.unit.rule_turns import (
    DONE,
    DROPPED,
    HOST,
    LEASED,
    ORIGIN,
    OTHER,
    OTHER_HOST,
    PENDING,
    Turns,
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
    robots,
    sitemap,
)

DUE = host(origins=(ORIGIN,), ready_at=0.0)
ONE, TWO, THREE = page("1"), page("2", order=2), page("3", order=3)
SUSPECT = page("7", order=7, alone=True, queue=ALONE_QUEUE)
CLOSED = origin(gate=Gate.RULES, robots=b"User-agent: *\nDisallow: /\n")
NUMBERS = numbers(next_lease=3)
THEIRS = (Holder("t", ((2, 4),)),)


def asker(want: int = 8, sessions: int = 1, **values: Any) -> Asker:
    return Asker(session="s", want=want, sessions=sessions, **values)


def granted(task: TaskRow, number: int = 3, **changed: Any) -> Any:
    """Return that a page was granted."""
    return moved(TaskEvent.GRANTED, task, state=LEASED, lease=number, **{"reserved": True, **changed})


def refused(task: TaskRow, reason: str) -> Any:
    return moved(TaskEvent.REFUSED, task, state=DROPPED, reason=reason, lease=0, reserved=False)


def names(found: Grant) -> list[bytes]:
    """Return the tasks of a grant."""
    return [ref for row in found.leases for ref in row.refs]


# Room


@pytest.mark.parametrize(
    ("row", "asked", "open_tasks", "starts"),
    [
        (host(), asker(2), 0, [5.0, 5.0]),
        (host(), asker(99), 0, [5.0] * 16),
        (host(), asker(99), 15, [5.0]),
        (host(), asker(99), 17, []),
        (host(), asker(99, sessions=2), 0, [5.0] * 8),
        (host(holders=held_by(2, session="t", slots=3)), asker(99), 0, [5.0] * 4),
        (host(holders=THEIRS), asker(99), 0, []),
        (host(hold_until=6.0), asker(99), 0, []),
        (host(latency_s=0.01), asker(99), 0, [5.0] * 64),
        (host(delay_s=1.0), asker(99), 0, [5.0, 6.0, 7.0]),
        (host(delay_s=1.0), asker(2), 0, [5.0, 6.0]),
        (host(delay_s=1.0, next_start_at=6.5), asker(99), 0, [6.5]),
        (host(delay_s=1.0, next_start_at=8.0), asker(99), 0, []),
        (host(delay_s=1.0, holders=held_by(2, session="t")), asker(99), 0, []),
        (host(delay_s=1.0, holders=held_by(2), recalled_under=2), asker(99), 0, []),
    ],
)
def test_which_starts_there_is_room_for(
    turns: Turns, row: HostRow, asked: Asker, open_tasks: int, starts: list[float]
) -> None:
    assert granting.room(turns(now=5.0), row, asked, open_tasks) == starts


@pytest.mark.parametrize(
    ("row", "sessions", "open_tasks", "waiting", "part"),
    [
        (host(delay_s=1.0), 2, 0, 12, 12),
        (host(), 1, 0, 12, 12),
        (host(holders=held_by(2, session="t", slots=3)), 2, 0, 12, 12),
        (host(), 2, 0, 12, 6),
        (host(), 2, 0, 3, 2),
        (host(), 3, 0, 12, 4),
        (host(), 2, 1, 1, 1),
    ],
    ids=["delayed", "alone", "nobody else could", "half", "few", "a third", "of one"],
)
def test_how_much_of_what_waits_an_asker_may_take(
    turns: Turns, row: HostRow, sessions: int, open_tasks: int, waiting: int, part: int
) -> None:
    assert granting.share(turns(), row, asker(sessions=sessions), open_tasks, waiting) == part


# Robots.txt


def test_what_its_origins_robots_txt_refuses_is_dropped(turns: Turns) -> None:
    lost = page("1", reserved=True, lease=2, losses=1, queue=HOST)
    ledger = numbers(pages_reserved=1)
    turn = turns(lost, sitemap(order=2), robots(order=3), CLOSED, DUE, ledger)
    allowed = gates.refuse_by_robots(turn, [lost, sitemap(order=2), robots(order=3)])
    assert allowed == [robots(order=3)]
    assert turn.batch() == [
        refused(lost, "robots"),
        refused(sitemap(order=2), "robots"),
        put(ledger, pages_reserved=0, short_maps=ShortMaps(1, ((sitemap().url, "robots"),))),
    ]


@pytest.mark.parametrize("origins", [(), (origin(),)], ids=["no origin known", "allowed"])
def test_what_nothing_refuses_is_left_to_be_granted(turns: Turns, origins: tuple[OriginRow, ...]) -> None:
    turn = turns(ONE, *origins, DUE)
    assert gates.refuse_by_robots(turn, [ONE]) == [ONE]
    assert turn.batch() == []


def test_a_sitemap_is_judged_where_it_lies_and_not_by_whom_it_serves(turns: Turns) -> None:
    away = sitemap(f"{OTHER}/map.xml", serves=ORIGIN)
    turn = turns(away, CLOSED, origin(OTHER), DUE, host(OTHER_HOST, origins=(OTHER,), ready_at=0.0))
    assert gates.refuse_by_robots(turn, [away]) == [away]


# Leases


def test_tasks_are_leased_at_most_one_for_each_start(turns: Turns) -> None:
    turn = turns(ONE, TWO, DUE, origin(), NUMBERS, now=5.0)
    row = granting.lease_out(turn, [ONE, TWO], [5.0], asker())
    mine = lease(3, ONE, starts=((ONE.ref, 5.0),))
    assert row == mine
    assert turn.batch() == [
        granted(ONE),
        new(mine),
        put(DUE, holders=held_by(3)),
        put(NUMBERS, next_lease=4, pages_reserved=1),
    ]


def test_the_story_has_the_worker_of_a_lease_before_its_grants_without_characters_that_no_line_has(
    turns: Turns,
) -> None:
    turn = turns(ONE, TWO, DUE, origin(), NUMBERS, now=5.0)
    granting.lease_out(turn, [ONE, TWO], [5.0, 5.0], asker(worker="host/7/0\n"))
    assert turn.whole_batch()[:3] == [Leased(lease=3, worker="host/7/0 "), granted(ONE), granted(TWO)]


def test_a_lease_on_a_delayed_host_holds_all_of_it_and_its_starts_come_one_after_another(turns: Turns) -> None:
    slow = host(delay_s=1.0, asked_s=1.0, origins=(ORIGIN,), ready_at=0.0)
    turn = turns(ONE, TWO, slow, origin(), NUMBERS, now=5.0, delay_s=1.0)
    granting.lease_out(turn, [ONE, TWO], [5.0, 6.0, 7.0], asker())
    starts = ((ONE.ref, 5.0), (TWO.ref, 6.0))
    assert turn.batch()[2:-1] == [
        new(lease(3, ONE, TWO, starts=starts, spacing_s=1.0, slots=4)),
        put(slow, holders=held_by(3, slots=4), next_start_at=7.0),
    ]


def test_a_lease_takes_the_slots_that_its_session_needs_with_what_it_has_open(turns: Turns) -> None:
    held = host(origins=(ORIGIN,), ready_at=0.0, holders=held_by(2))
    turn = turns(ONE, leased(TWO, 2), lease(2, TWO), held, origin(), numbers(next_lease=3, pages_reserved=1))
    row = granting.lease_out(turn, [ONE], [0.0], asker(), open_tasks=1)
    assert row == lease(3, ONE, slots=2)
    assert changes(turn, HostRow) == [put(held, holders=(Holder("s", ((2, 1), (3, 2))),))]


def test_what_was_lost_keeps_the_place_that_it_has(turns: Turns) -> None:
    lost = page("1", reserved=True, lease=2, losses=1, queue=HOST)
    mine = host(origins=(ORIGIN,), ready_at=0.0, pages_reserved=1, began_at=1.0)
    ledger = numbers(next_lease=3, pages_reserved=1)
    turn = turns(lost, TWO, mine, origin(), ledger, host_budget=Budget(pages=9))
    granting.lease_out(turn, [lost, TWO], [0.0, 0.0], asker())
    assert changes(turn, HostRow, LedgerRow) == [
        put(mine, holders=held_by(3, slots=2), pages_reserved=2),
        put(ledger, next_lease=4, pages_reserved=2),
    ]


def test_a_host_in_a_unit_is_leased_as_the_unit(turns: Turns) -> None:
    unit = host("10.0.0.1", is_unit=True, ready_at=0.0)
    turn = turns(ONE, host(unit="10.0.0.1", origins=(ORIGIN,), ready_at=0.0), unit, origin(), NUMBERS)
    assert granting.lease_out(turn, [ONE], [0.0], asker()) == lease(3, ONE, host="10.0.0.1")


@pytest.mark.parametrize("tasks", [(), (ONE,)], ids=["nothing", "nothing that can be paid for"])
def test_nothing_is_leased_if_nothing_waits_that_the_budgets_have_room_for(
    turns: Turns, tasks: tuple[TaskRow, ...]
) -> None:
    turn = turns(ONE, DUE, origin(), size_bytes=0)
    assert granting.lease_out(turn, tasks, [0.0], asker()) is None
    assert turn.batch() == []


# Grants


def test_a_session_gets_what_waits_on_a_host_that_is_due(turns: Turns) -> None:
    turn = turns(ONE, TWO, DUE, origin(), NUMBERS, now=5.0)
    mine = lease(3, ONE, TWO, starts=((ONE.ref, 5.0), (TWO.ref, 5.0)), slots=2)
    assert granting.grant(turn, asker()) == Grant(leases=(mine,))
    assert turn.batch() == [
        granted(ONE),
        granted(TWO),
        new(mine),
        put(DUE, holders=held_by(3, slots=2), ready_at=None),
        put(NUMBERS, next_lease=4, pages_reserved=2),
    ]


def test_a_session_that_wants_nothing_is_told_what_is_called_back(turns: Turns) -> None:
    held = host(origins=(ORIGIN,), holders=held_by(2), recalled_under=2, ready_at=0.0)
    turn = turns(ONE, leased(TWO, 2), lease(2, TWO), held, origin())
    assert granting.grant(turn, asker(0)) == Grant(recalled=(2,))
    assert turn.batch() == []


def test_a_host_on_which_nothing_waits_is_looked_at_no_more(turns: Turns) -> None:
    turn = turns(DUE, origin())
    assert granting.grant(turn, asker()) == Grant()
    assert turn.batch() == [put(DUE, ready_at=None)]


def test_pages_wait_for_the_robots_txt_of_their_origin_which_is_granted_before_them(turns: Turns) -> None:
    turn = turns(ONE, robots(order=2), DUE, origin(gate=Gate.WAITING), NUMBERS)
    assert names(granting.grant(turn, asker())) == [robots().ref]
    assert turn.batch()[0] == granted(robots(order=2), reserved=False)
    assert turn.ledger.pages_reserved == 0


def test_pages_of_an_origin_whose_robots_txt_is_ignored_wait_for_nothing(turns: Turns) -> None:
    turn = turns(ONE, DUE, origin(gate=Gate.DISALLOW, expires_at=0.0), ignore_robots=(HOST,))
    assert names(granting.grant(turn, asker())) == [ONE.ref]


@pytest.mark.parametrize(("looks", "with_page"), [(0, False), (1, True)], ids=["first look", "known rules go on"])
def test_the_next_page_of_an_origin_asks_for_a_robots_txt_that_is_overdue(
    turns: Turns, looks: int, with_page: bool
) -> None:
    had, old = robots(state=DONE, order=9, outcome=Outcome.FETCHED), origin(expires_at=0.0, failed_looks=looks)
    turn = turns(ONE, had, DUE, old, NUMBERS, now=5.0)
    found = granting.grant(turn, asker())
    assert set(names(found)) == {had.ref, *([ONE.ref] if with_page else [])}
    assert turn.batch()[0] == moved(TaskEvent.RECHECKED, had, state=PENDING, outcome=None)
    assert changes(turn, OriginRow) == [put(old, rechecking=True)]


def test_without_a_page_that_waits_an_overdue_robots_txt_is_left(turns: Turns) -> None:
    turn = turns(robots(state=DONE), DUE, origin(expires_at=0.0), now=5.0)
    granting.grant(turn, asker())
    assert turn.batch() == [put(DUE, ready_at=None)]


def test_behind_a_gate_that_is_closed_everything_is_dropped_at_once(turns: Turns) -> None:
    pages = [page(str(number), order=number) for number in range(1, 50)]
    turn = turns(*pages, DUE, origin(gate=Gate.DISALLOW))
    assert granting.grant(turn, asker(1)) == Grant()
    assert turn.batch() == [*(refused(task, "robots_unreachable") for task in pages), put(DUE, ready_at=None)]


def test_pages_that_the_rules_refuse_make_room_for_no_others_in_this_look(turns: Turns) -> None:
    turn = turns(ONE, DUE, CLOSED)
    assert granting.grant(turn, asker()) == Grant()
    assert turn.batch() == [refused(ONE, "robots"), put(DUE, ready_at=None)]


def test_what_waits_for_a_retry_is_looked_at_when_its_time_comes(turns: Turns) -> None:
    turn = turns(page("1", not_before=9.0), DUE, origin(), now=5.0)
    assert granting.grant(turn, asker()) == Grant()
    assert turn.batch() == [put(DUE, ready_at=9.0)]


def test_a_host_on_which_more_waits_is_looked_at_again_at_once(turns: Turns) -> None:
    turn = turns(ONE, TWO, DUE, origin(), now=5.0)
    assert names(granting.grant(turn, asker(1))) == [ONE.ref]
    assert changes(turn, HostRow) == [put(DUE, holders=held_by(3 - 2), ready_at=5.0)]


def test_what_another_session_could_start_at_once_is_left_to_it(turns: Turns) -> None:
    turn = turns(ONE, TWO, THREE, DUE, origin(), now=5.0)
    assert names(granting.grant(turn, asker(sessions=2))) == [ONE.ref, TWO.ref]
    assert changes(turn, HostRow) == [put(DUE, holders=held_by(1, slots=2), ready_at=5.0)]


def test_what_the_budget_keeps_waiting_is_looked_at_after_a_pause(turns: Turns) -> None:
    turn = turns(ONE, TWO, DUE, origin(), numbers(pages_fetched=1), now=5.0, pages=2)
    assert names(granting.grant(turn, asker())) == [ONE.ref]
    assert changes(turn, HostRow) == [put(DUE, holders=held_by(1), ready_at=5.0 + granting.PAUSE_S)]


def test_pages_of_a_host_whose_budget_is_spent_are_dropped_and_its_robots_txt_is_not(turns: Turns) -> None:
    spent = host(origins=(ORIGIN,), ready_at=0.0, pages_fetched=2)
    turn = turns(ONE, robots(order=2), spent, origin(), host_budget=Budget(pages=2))
    assert names(granting.grant(turn, asker())) == [robots().ref]
    assert turn.batch()[0] == refused(ONE, "budget_host_pages")


def test_pages_of_a_spent_host_are_dropped_though_nothing_may_start_there(turns: Turns) -> None:
    full = host(origins=(ORIGIN,), ready_at=0.0, pages_fetched=2, holders=THEIRS)
    turn = turns(ONE, leased(TWO, 2), lease(2, TWO, session="t", slots=4), full, origin(), host_budget=Budget(pages=2))
    assert granting.grant(turn, asker()) == Grant()
    assert turn.batch() == [refused(ONE, "budget_host_pages"), put(full, ready_at=None)]


@pytest.mark.parametrize(
    ("row", "ready_at"),
    [
        (host(origins=(ORIGIN,), ready_at=0.0, holders=THEIRS), None),
        (host(origins=(ORIGIN,), ready_at=0.0, hold_until=9.0), 9.0),
        (host(origins=(ORIGIN,), ready_at=0.0, delay_s=1.0, asked_s=1.0, next_start_at=9.0), 9.0),
    ],
    ids=["full", "held", "just asked"],
)
def test_a_host_that_has_no_room_for_anyone_is_put_off(turns: Turns, row: HostRow, ready_at: float | None) -> None:
    theirs = (leased(TWO, 2), lease(2, TWO, session="t", slots=4)) if row.holders else ()
    turn = turns(ONE, *theirs, row, origin(), now=5.0, delay_s=row.delay_s)
    assert granting.grant(turn, asker()) == Grant()
    assert turn.batch() == [put(row, ready_at=ready_at)]


def test_a_host_that_is_to_be_looked_at_later_keeps_its_time(turns: Turns) -> None:
    row = host(holders=held_by(2), hold_until=20.0, ready_at=20.0)
    turn = turns(row, leased(ONE, 2), lease(2, ONE), numbers(next_lease=3, pages_reserved=1), now=5.0)
    assert names(granting.grant(turn, asker())) == []
    assert turn.batch() == []


def test_a_host_that_has_room_for_others_alone_is_left_to_them(turns: Turns) -> None:
    mine = [page(str(number), order=number, queue=ORIGIN) for number in range(10, 26)]
    held = host(origins=(ORIGIN,), ready_at=0.0, holders=held_by(2, slots=2))
    tasks = [leased(task, 2) for task in mine]
    turn = turns(ONE, *tasks, lease(2, *tasks, slots=2), held, origin(), now=5.0)
    assert granting.grant(turn, asker()) == Grant()
    assert turn.batch() == []


def test_a_host_that_is_held_by_the_asker_and_put_off_already_is_left_so(turns: Turns) -> None:
    slow = {"delay_s": 1.0, "asked_s": 1.0, "next_start_at": 99.0}
    held = host(origins=(ORIGIN,), holders=held_by(2), ready_at=99.0, **slow)
    turn = turns(ONE, leased(TWO, 2), lease(2, TWO), held, origin(), now=5.0, delay_s=1.0)
    assert granting.grant(turn, asker()) == Grant()
    assert turn.batch() == []


def test_a_host_that_is_held_is_granted_from_before_those_that_are_due(turns: Turns) -> None:
    held = host(OTHER_HOST, origins=(OTHER,), holders=held_by(2), ready_at=9.0)
    there, more = page("1", OTHER, order=4), page("2", OTHER, order=5)
    rows = (leased(there, 2), more, lease(2, there), held, origin(OTHER))
    turn = turns(ONE, DUE, origin(), *rows, numbers(next_lease=3, pages_reserved=1), now=5.0)
    assert names(granting.grant(turn, asker())) == [more.ref, ONE.ref]


def test_a_host_that_is_held_and_full_is_not_looked_at(turns: Turns) -> None:
    slow = host(delay_s=1.0, asked_s=1.0, origins=(ORIGIN,), holders=held_by(2), next_start_at=99.0)
    turn = turns(ONE, leased(TWO, 2), lease(2, TWO), slow, origin(), now=5.0)
    assert granting.grant(turn, asker()) == Grant()
    assert (turn.batch(), turn.reads) == ([], 2)


def test_when_too_little_waits_on_the_first_hosts_more_are_looked_at(turns: Turns) -> None:
    there = page("1", OTHER, order=4)
    later = host(OTHER_HOST, origins=(OTHER,), ready_at=1.0)
    turn = turns(there, DUE, later, origin(), origin(OTHER), now=5.0)
    assert names(granting.grant(turn, asker(1))) == [there.ref]
    assert changes(turn, HostRow)[0] == put(DUE, ready_at=None)


def test_a_job_that_wants_a_longer_delay_now_slows_its_hosts_before_they_are_asked(turns: Turns) -> None:
    asked = host(origins=(ORIGIN,), ready_at=0.0, last_start_at=4.0, next_start_at=4.0)
    turn = turns(ONE, asked, origin(), now=5.0, delay_s=10.0)
    assert granting.grant(turn, asker()) == Grant()
    assert turn.batch() == [put(asked, delay_s=10.0, next_start_at=15.0, ready_at=15.0)]


def test_what_waits_under_the_name_of_a_host_in_a_unit_is_found_by_the_unit(turns: Turns) -> None:
    lost = page("1", queue=HOST, losses=1)
    unit = host("10.0.0.1", is_unit=True, ready_at=0.0)
    turn = turns(lost, TWO, host(unit="10.0.0.1", origins=(ORIGIN,), ready_at=0.0), unit, origin())
    assert names(granting.grant(turn, asker())) == [lost.ref, TWO.ref]


UNIT = host("10.0.0.1", is_unit=True, ready_at=0.0)
NAMES = tuple(f"h{number}.test" for number in range(5))


def in_unit(name: str, ready_at: float | None = 0.0) -> HostRow:
    return host(name, unit=UNIT.key, origins=(f"http://{name}",), ready_at=ready_at)


def of_unit(*joined: HostRow, pages: int = 1) -> list[StoreRow]:
    """Return the rows of a unit, and of pages on each of its hosts."""
    rows: list[StoreRow] = [UNIT, *joined]
    for number, each in enumerate(joined):
        (at,) = each.origins
        rows += [origin(at), *(page(str(n), at, order=10 * number + n) for n in range(pages))]
    return rows


def times(turn: Turn) -> dict[str, float | None]:
    return {name: row.ready_at for name in (UNIT.key, *NAMES) if (row := turn.hosts[name]) is not None}


def test_a_look_at_a_unit_goes_on_with_the_hosts_that_have_waited_longest(turns: Turns) -> None:
    rows = of_unit(*(in_unit(name, float(number)) for number, name in enumerate(NAMES)), pages=3)
    turn = turns(*rows, now=9.0, hosts_per_look=2, per_host=1, tasks_per_slot=4)
    found = granting.grant(turn, asker(want=4))
    # By rank and age among those that are looked at.
    assert names(found) == [page(str(n), f"http://{NAMES[m]}").ref for m, n in ((0, 0), (0, 1), (0, 2), (1, 0))]
    assert [(lease.host, len(lease.refs)) for lease in found.leases] == [(UNIT.key, 4)]
    # The first has nothing left but nobody knows, since as much was read as there was room for; now others are first.
    assert times(turn) == {UNIT.key: None, **dict(zip(NAMES, (None, 9.0, 2.0, 3.0, 4.0), strict=True))}


def test_hosts_of_a_unit_keep_their_order_while_all_are_looked_at(turns: Turns) -> None:
    rows = of_unit(*(in_unit(name, float(number)) for number, name in enumerate(NAMES[:2])), pages=2)
    turn = turns(*rows, now=9.0, hosts_per_look=2, per_host=2, tasks_per_slot=1)
    granting.grant(turn, asker(want=1))
    assert times(turn) == {UNIT.key: 9.0, NAMES[0]: 0.0, NAMES[1]: 1.0}


def test_a_host_of_a_unit_on_which_nothing_waits_is_looked_at_no_more(turns: Turns) -> None:
    turn = turns(*of_unit(in_unit(NAMES[0]), pages=0), now=9.0)
    assert granting.grant(turn, asker()) == Grant()
    assert times(turn) == {UNIT.key: None, NAMES[0]: None}


@pytest.mark.parametrize(("others_at", "next_at"), [(20.0, 15.0), (12.0, 12.0)])
def test_a_unit_is_looked_at_again_when_something_may_wait_on_any_of_its_hosts(
    turns: Turns, others_at: float, next_at: float
) -> None:
    later = page("later", f"http://{NAMES[0]}", not_before=15.0)
    rows = of_unit(in_unit(NAMES[0]), in_unit(NAMES[1], others_at), pages=0)
    turn = turns(*rows, later, now=9.0)
    assert granting.grant(turn, asker()) == Grant()
    assert times(turn) == {UNIT.key: next_at, NAMES[0]: 15.0, NAMES[1]: others_at}


def test_what_waits_on_a_unit_goes_by_rank_whichever_host_it_is_on(turns: Turns) -> None:
    rows = of_unit(*map(in_unit, NAMES[:3]), pages=0)
    deep, near, own = (page("x", f"http://{NAMES[n]}", order=n, depth=depth) for n, depth in ((0, 2), (1, 1), (2, 3)))
    turn = turns(*rows, deep, near, but(own, queue=NAMES[2], losses=1), now=9.0)
    assert names(granting.grant(turn, asker())) == [own.ref, near.ref, deep.ref]


def test_a_robots_txt_of_a_unit_that_is_overdue_is_asked_for_again_and_its_pages_wait(turns: Turns) -> None:
    at = f"http://{NAMES[0]}"
    had = robots(at, state=DONE, order=99)
    rows = [row for row in of_unit(in_unit(NAMES[0])) if not isinstance(row, OriginRow)]
    turn = turns(*rows, had, origin(at, expires_at=5.0), now=9.0)
    assert names(granting.grant(turn, asker())) == [had.ref]
    # It is looked at once more, in vain: the answer wakes it.
    assert times(turn) == {UNIT.key: 9.0, NAMES[0]: 0.0}


def test_of_a_unit_whose_budget_is_spent_a_turn_drops_no_more_than_of_a_host(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(granting, "DROPPED_PER_TURN", 6)
    rows = of_unit(*map(in_unit, NAMES[:2]), pages=5)
    spent = but(UNIT, pages_fetched=2)
    turn = turns(spent, *rows[1:], now=9.0, host_budget=Budget(pages=2))
    assert granting.grant(turn, asker()) == Grant()
    dropped = [change for change in turn.batch() if isinstance(change, TaskMoved)]
    assert len(dropped) == 4  # two of each of three hosts, of which the unit's own has none
    assert times(turn) == {UNIT.key: 9.0, NAMES[0]: 0.0, NAMES[1]: 0.0}


def test_a_unit_without_room_is_looked_at_for_what_its_spent_budget_drops(turns: Turns) -> None:
    spent = but(UNIT, pages_fetched=2, holders=THEIRS)
    rows = of_unit(*map(in_unit, NAMES[:3]))
    turn = turns(spent, *rows[1:], now=9.0, host_budget=Budget(pages=2), hosts_per_look=1)
    assert granting.grant(turn, asker()) == Grant()
    assert [change.task.host for change in turn.batch() if isinstance(change, TaskMoved)] == [NAMES[0]]
    assert times(turn) == {UNIT.key: None, NAMES[0]: None, NAMES[1]: 0.0, NAMES[2]: 0.0}


# Suspects


def test_a_suspect_is_granted_alone_to_a_session_with_nothing_else(turns: Turns) -> None:
    turn = turns(SUSPECT, ONE, DUE, origin(), NUMBERS, now=5.0)
    mine = lease(3, SUSPECT, starts=((SUSPECT.ref, 5.0),), alone=True)
    assert granting.grant(turn, asker()) == Grant(leases=(mine,), is_cleared=True)
    assert turn.batch() == [
        granted(SUSPECT),
        new(mine),
        put(DUE, holders=held_by(3)),
        put(NUMBERS, next_lease=4, pages_reserved=1),
    ]


@pytest.mark.parametrize("is_bearer", [True, False], ids=["the one", "another"])
def test_one_session_is_emptied_for_a_suspect_and_the_others_work_on(turns: Turns, is_bearer: bool) -> None:
    held = host(origins=(ORIGIN,), ready_at=0.0, holders=held_by(2))
    turn = turns(SUSPECT, ONE, leased(TWO, 2), lease(2, TWO), held, origin(), numbers(next_lease=3, pages_reserved=1))
    found = granting.grant(turn, asker(may_be_cleared=is_bearer))
    assert found == Grant(leases=() if is_bearer else (lease(3, ONE, slots=2),), is_cleared=is_bearer)


def test_a_session_with_a_suspect_gets_nothing_beside_it(turns: Turns) -> None:
    held = host(origins=(ORIGIN,), ready_at=0.0, holders=held_by(2))
    rows = (leased(SUSPECT, 2), lease(2, SUSPECT, alone=True), held)
    turn = turns(*rows, ONE, origin(), numbers(pages_reserved=1))
    assert granting.grant(turn, asker()) == Grant()
    assert turn.batch() == []


def test_a_suspect_that_robots_txt_refuses_now_is_dropped(turns: Turns) -> None:
    turn = turns(SUSPECT, DUE, CLOSED)
    assert granting.grant(turn, asker()) == Grant(is_cleared=True)
    assert turn.batch() == [refused(SUSPECT, "robots")]


@pytest.mark.parametrize(
    ("there", "policy"),
    [
        (host(OTHER_HOST, origins=(OTHER,), hold_until=99.0, ready_at=99.0), {}),
        (host(OTHER_HOST, origins=(OTHER,), ready_at=0.0, pages_reserved=1), {"host_budget": Budget(pages=1)}),
    ],
    ids=["its host is held", "its host has no place"],
)
def test_a_suspect_that_cannot_be_granted_keeps_no_session_from_its_work(
    turns: Turns, there: HostRow, policy: dict[str, Any]
) -> None:
    suspect = page("7", OTHER, order=7, alone=True, queue=ALONE_QUEUE)
    turn = turns(suspect, ONE, DUE, origin(), there, origin(OTHER), now=5.0, **policy)
    assert names(granting.grant(turn, asker(1))) == [ONE.ref]


def test_a_suspect_of_a_host_whose_budget_is_spent_is_dropped_and_a_suspect_robots_txt_is_not(turns: Turns) -> None:
    rules = robots(order=8, alone=True, queue=ALONE_QUEUE)
    spent = host(origins=(ORIGIN,), ready_at=0.0, pages_fetched=1)
    turn = turns(SUSPECT, rules, spent, origin(gate=Gate.WAITING), host_budget=Budget(pages=1))
    assert names(granting.grant(turn, asker())) == [rules.ref]
    assert turn.batch()[0] == refused(SUSPECT, "budget_host_pages")


def test_a_suspect_waits_for_the_delay_that_its_host_has_by_now(turns: Turns) -> None:
    asked = host(origins=(ORIGIN,), ready_at=9.0, last_start_at=4.0, next_start_at=4.0)
    turn = turns(SUSPECT, asked, origin(), now=5.0, delay_s=10.0)
    assert granting.grant(turn, asker()) == Grant(is_cleared=True)
    assert turn.batch() == [put(asked, delay_s=10.0, next_start_at=15.0)]
