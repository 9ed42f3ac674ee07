"""The end of leases, rule by rule."""

from __future__ import annotations

import msgspec
import pytest

from crawlfleet.coordinator.core import leases
from crawlfleet.coordinator.core.changes import TaskEvent, TaskMoved
from crawlfleet.coordinator.core.figures import ShortMaps
from crawlfleet.coordinator.core.rows import ALONE_QUEUE, Gate, HostRow
from crawlfleet.shared.messages import Hello, Outcome, Report, TaskKey
from tests.unit.rule_turns import (
    DONE,
    FAILED,
    HOST,
    LEASED,
    ORIGIN,
    PENDING,
    Turns,
    changes,
    gone,
    held_by,
    host,
    lease,
    leased,
    moved,
    numbers,
    origin,
    page,
    put,
    robots,
    sitemap,
)

ONE, TWO = page("1"), page("2", order=2)
HELD = host(holders=held_by(3))
BACK = {"state": PENDING, "lease": 0, "reserved": False}


def test_a_released_lease_puts_its_tasks_back_and_lets_the_host_be_looked_at(turns: Turns) -> None:
    turn = turns(leased(ONE, 3), lease(3, ONE), HELD, numbers(pages_reserved=1), now=5.0)
    leases.release(turn, lease(3, ONE), started=())
    assert turn.batch() == [
        moved(TaskEvent.RELEASED, leased(ONE, 3), **BACK),
        gone(lease(3, ONE), "released"),
        put(HELD, holders=(), ready_at=5.0),
        put(numbers(pages_reserved=1), pages_reserved=0),
    ]


def test_a_released_robots_txt_goes_back_to_its_host_and_a_suspect_to_the_suspects(turns: Turns) -> None:
    for task, queue in ((robots(), HOST), (page("1", alone=True), ALONE_QUEUE), (page("1", queue=HOST), ORIGIN)):
        turn = turns(leased(task, 3), lease(3, task), HELD, numbers(pages_reserved=1))
        leases.release(turn, lease(3, task), started=())
        assert turn.batch()[0] == moved(TaskEvent.RELEASED, leased(task, 3), **BACK, queue=queue)


def test_a_released_task_that_found_no_room_is_granted_alone_from_now_on(turns: Turns) -> None:
    given = lease(3, ONE, TWO)
    turn = turns(leased(ONE, 3), leased(TWO, 3), given, HELD, numbers(pages_reserved=2))
    leases.release(turn, given, {ONE.ref}, alone={TaskKey(3, ONE.ref), TaskKey(4, TWO.ref)})
    assert turn.batch()[:2] == [
        moved(TaskEvent.RELEASED, leased(ONE, 3), **BACK, alone=True, queue=ALONE_QUEUE),
        moved(TaskEvent.RELEASED, leased(TWO, 3), **BACK),
    ]


def test_the_host_of_a_released_task_that_had_begun_was_asked_now_at_the_latest(turns: Turns) -> None:
    delayed = host(delay_s=2.0, asked_s=2.0, holders=held_by(3))
    turn = turns(leased(ONE, 3), lease(3, ONE, spacing_s=2.0), delayed, numbers(pages_reserved=1), now=5.0)
    leases.release(turn, lease(3, ONE, spacing_s=2.0), started={ONE.ref})
    assert changes(turn, HostRow) == [put(delayed, holders=(), last_start_at=5.0, next_start_at=7.0, ready_at=7.0)]


def test_the_task_of_a_lost_session_goes_to_its_hosts_own_queue_and_keeps_its_place(turns: Turns) -> None:
    turn = turns(leased(ONE, 3), lease(3, ONE), HELD, numbers(pages_reserved=1), now=5.0)
    leases.lose(turn, lease(3, ONE), started=())
    assert turn.batch() == [
        moved(TaskEvent.LOST, leased(ONE, 3), state=PENDING, losses=1, queue=HOST),
        gone(lease(3, ONE), "lost"),
        put(HELD, holders=(), last_start_at=5.0, next_start_at=5.0, ready_at=5.0),
        put(numbers(pages_reserved=1), leases_lost=1),
    ]


@pytest.mark.parametrize(("losses", "started"), [(0, True), (1, False)], ids=["begun", "lost before"])
def test_a_lost_task_is_suspect_if_it_had_begun_or_was_lost_before(turns: Turns, losses: int, started: bool) -> None:
    task = leased(ONE, 3, losses=losses)
    turn = turns(task, lease(3, ONE), HELD)
    leases.lose(turn, lease(3, ONE), started={ONE.ref} if started else ())
    suspect = {"alone": True, "queue": ALONE_QUEUE}
    assert turn.batch()[0] == moved(TaskEvent.LOST, task, state=PENDING, losses=losses + 1, **suspect)


def test_only_those_of_a_lost_lease_that_had_begun_are_suspects(turns: Turns) -> None:
    turn = turns(leased(ONE, 3), leased(TWO, 3), lease(3, ONE, TWO), HELD)
    leases.lose(turn, lease(3, ONE, TWO), started={TWO.ref})
    assert turn.batch()[:2] == [
        moved(TaskEvent.LOST, leased(ONE, 3), state=PENDING, losses=1, queue=HOST),
        moved(TaskEvent.LOST, leased(TWO, 3), state=PENDING, losses=1, alone=True, queue=ALONE_QUEUE),
    ]


def test_a_suspect_that_is_lost_while_alone_has_died_once_more(turns: Turns) -> None:
    suspect = leased(ONE, 3, alone=True, losses=1, deaths=1)
    turn = turns(suspect, lease(3, ONE, alone=True), HELD)
    leases.lose(turn, lease(3, ONE, alone=True), started=())
    dead = {"losses": 2, "deaths": 2, "queue": ALONE_QUEUE}
    assert turn.batch()[0] == moved(TaskEvent.LOST, suspect, state=PENDING, **dead)


def test_the_third_death_alone_is_poison_and_gives_the_place_back(turns: Turns) -> None:
    suspect = leased(ONE, 3, alone=True, deaths=2)
    turn = turns(suspect, lease(3, ONE, alone=True), HELD, numbers(pages_reserved=1), now=5.0)
    leases.lose(turn, lease(3, ONE, alone=True), started={ONE.ref})
    assert turn.batch() == [
        moved(TaskEvent.POISONED, suspect, state=FAILED, reason="poison", deaths=3, reserved=False),
        gone(lease(3, ONE, alone=True), "lost"),
        put(HELD, holders=(), last_start_at=5.0, next_start_at=5.0, ready_at=5.0),
        put(numbers(pages_reserved=1), pages_reserved=0, leases_lost=1),
    ]


def test_a_page_that_is_poison_after_its_body_came_keeps_its_place(turns: Turns) -> None:
    suspect, key = leased(ONE, 3, alone=True, deaths=2), TaskKey(3, ONE.ref)
    turn = turns(suspect, lease(3, ONE, alone=True), HELD, numbers(pages_reserved=1))
    full = Report(lease=3, ref=ONE.ref, outcome=Outcome.EXTRACT_ERROR, status=200, reason="out_of_memory")
    leases.end_by(Hello(session="t", began=(key,), ended=(full,)))(turn, lease(3, ONE, alone=True), ())
    why = {"reason": "out_of_memory", "outcome": Outcome.EXTRACT_ERROR, "status": 200}
    assert turn.batch()[0] == moved(TaskEvent.POISONED, suspect, state=FAILED, deaths=3, reserved=False, **why)
    assert turn.batch()[-1] == put(numbers(pages_reserved=1), pages_reserved=0, pages_unused=1, leases_lost=1)


def test_a_robots_txt_that_is_poison_closes_its_origin(turns: Turns) -> None:
    suspect, held = leased(robots(), 3, alone=True, deaths=2), host(holders=held_by(3), origins=(ORIGIN,))
    waiting = origin(gate=Gate.WAITING)
    turn = turns(suspect, lease(3, suspect, alone=True), held, waiting, now=5.0)
    leases.lose(turn, lease(3, suspect, alone=True), started=())
    assert turn.batch()[0] == moved(TaskEvent.POISONED, suspect, state=FAILED, reason="poison", deaths=3)
    assert put(waiting, gate=Gate.DISALLOW, expires_at=86_405.0, why="poison") in turn.batch()


def test_a_task_that_another_report_settled_is_not_among_the_open_ones(turns: Turns) -> None:
    done = leased(TWO, 3, state=DONE, reserved=False)
    again = leased(page("3", order=3), 4)
    turn = turns(leased(ONE, 3), done, again, lease(3, ONE, TWO, again), HELD)
    assert leases.open_tasks(turn, lease(3, ONE, TWO, again, page("never"))) == [leased(ONE, 3)]


def test_a_lease_of_which_a_task_is_left_goes_on(turns: Turns) -> None:
    turn = turns(leased(ONE, 3, state=DONE, reserved=False), leased(TWO, 3), lease(3, ONE, TWO), HELD)
    leases.settle_some(turn, lease(3, ONE, TWO), {ONE.ref})
    assert turn.batch() == [put(lease(3, ONE, TWO), refs=(TWO.ref,))]


def test_a_lease_is_over_with_its_last_task(turns: Turns) -> None:
    turn = turns(leased(ONE, 3, state=DONE, reserved=False), lease(3, ONE), HELD, now=5.0)
    leases.settle_some(turn, lease(3, ONE), {ONE.ref})
    assert turn.batch() == [gone(lease(3, ONE), "settled", refs=()), put(HELD, holders=(), ready_at=5.0)]


def test_leases_from_before_a_hold_or_a_longer_delay_are_called_back(turns: Turns) -> None:
    held = host(holders=held_by(3, 4), recalled_under=3)
    turn = turns(leased(ONE, 3), leased(TWO, 4), lease(3, ONE), lease(4, TWO), held)
    assert leases.recalled(turn, [lease(3, ONE), lease(4, TWO)]) == (3,)


def test_a_lease_on_a_host_that_joined_a_unit_is_called_back_by_that(turns: Turns) -> None:
    unit = host("10.0.0.1", is_unit=True, holders=held_by(3), recalled_under=3)
    turn = turns(leased(ONE, 3), lease(3, ONE), host(unit="10.0.0.1"), unit)
    assert leases.recalled(turn, [lease(3, ONE)]) == (3,)


def test_a_task_under_an_open_lease_is_known_though_its_own_row_is_from_before() -> None:
    assert (
        leases.under_lease(ONE, lease(3, ONE))
        == moved(TaskEvent.GRANTED, ONE, **leases.under(ONE, lease(3, ONE)), state=LEASED).task
    )
    assert leases.under_lease(leased(ONE, 3), lease(3, ONE)) == leased(ONE, 3)


def test_what_ending_leases_will_look_up_is_read_in_one_call_for_each_table(turns: Turns) -> None:
    rules = leased(robots(order=2), 4)
    turn = turns(leased(ONE, 3), rules, lease(3, ONE), lease(4, rules), host(holders=held_by(3, 4)), origin())
    leases.want(turn, [lease(3, ONE), lease(4, rules)])
    assert (set(turn.tasks), set(turn.hosts), set(turn.origins)) == ({ONE.ref, rules.ref}, {HOST}, {ORIGIN})
    assert (turn.reads, turn.misses, turn.batch()) == (3, 0, [])


def test_a_worker_that_ended_by_one_page_leaves_its_others_blameless(turns: Turns) -> None:
    turn = turns(leased(ONE, 3), leased(TWO, 3), lease(3, ONE, TWO), HELD, numbers(pages_reserved=2), now=5.0)
    blamed = dict.fromkeys((TaskKey(3, TWO.ref), TaskKey(4, ONE.ref)), leases.UNKNOWN)
    leases.lose_to(turn, lease(3, ONE, TWO), {ONE.ref, TWO.ref}, blamed)
    assert turn.batch() == [
        moved(TaskEvent.RELEASED, leased(ONE, 3), **BACK),
        moved(TaskEvent.LOST, leased(TWO, 3), state=PENDING, losses=1, alone=True, queue=ALONE_QUEUE),
        gone(lease(3, ONE, TWO), "lost"),
        put(HELD, holders=(), last_start_at=5.0, next_start_at=5.0, ready_at=5.0),
        put(numbers(pages_reserved=2), pages_reserved=1, leases_lost=1),
    ]


def test_what_is_blamed_is_what_ended_and_what_began(turns: Turns) -> None:
    hello = Hello(session="t", replaces="s", began=(TaskKey(3, TWO.ref),))
    ended = Report(lease=3, ref=ONE.ref, outcome=Outcome.EXTRACT_ERROR, reason="out_of_memory")
    turn = turns(leased(ONE, 3), leased(TWO, 3), lease(3, ONE, TWO), HELD, numbers(pages_reserved=2))
    leases.end_by(msgspec.structs.replace(hello, ended=(ended,)))(turn, lease(3, ONE, TWO), ())
    assert [change.task.alone for change in turn.batch()[:2] if isinstance(change, TaskMoved)] == [True, True]


def test_a_sitemap_that_is_poison_is_told_in_the_summary(turns: Turns) -> None:
    suspect = leased(sitemap(alone=True, deaths=2), 3)
    held = lease(3, suspect, alone=True)
    turn = turns(suspect, held, host(origins=(ORIGIN,), holders=held_by(3)), numbers())
    leases.lose(turn, held, started=())
    assert turn.ledger.short_maps == ShortMaps(1, ((suspect.url, "poison"),))


def test_how_the_last_worker_died_is_kept_with_what_is_poison(turns: Turns) -> None:
    suspect = leased(ONE, 3, alone=True, deaths=2)
    turn = turns(suspect, lease(3, ONE, alone=True), HELD, numbers(pages_reserved=1))
    leases.end_by(Hello(session="t", replaces="s", death="exit code 0\n"))(turn, lease(3, ONE, alone=True), {ONE.ref})
    dead = {"reason": "poison", "deaths": 3, "reserved": False, "detail": "the last of them: exit code 0 "}
    assert turn.batch()[0] == moved(TaskEvent.POISONED, suspect, state=FAILED, **dead)


def test_what_needed_more_memory_than_three_workers_had_is_named_so(turns: Turns) -> None:
    suspect = leased(ONE, 3, alone=True, deaths=2)
    turn = turns(suspect, lease(3, ONE, alone=True), HELD, numbers(pages_reserved=1))
    ended = Report(
        lease=3, ref=ONE.ref, outcome=Outcome.EXTRACT_ERROR, reason="out_of_memory", detail="MemoryError at hook.py:3"
    )
    leases.end_by(Hello(session="t", replaces="s", ended=(ended,)))(turn, lease(3, ONE, alone=True), ())
    dead = {"reason": "out_of_memory", "deaths": 3, "detail": "the last of them: MemoryError at hook.py:3"}
    assert turn.batch()[0] == moved(TaskEvent.POISONED, suspect, state=FAILED, reserved=False, **dead)
