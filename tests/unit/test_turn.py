"""A turn: what it shows, what it reads for that, and what it hands to the store."""

from __future__ import annotations

import pytest

from crawlfleet.coordinator.core.changes import Accepted, TaskEvent
from crawlfleet.coordinator.core.objects.rows import PartRow
from crawlfleet.coordinator.core.rows import FINAL, LeaseRow, TrapRow, succeed
from crawlfleet.coordinator.core.transitions import TRANSITIONS, ImpossibleTransition
from crawlfleet.coordinator.core.turn import Ready, existing
from tests.unit.rule_turns import (
    DROPPED,
    HOST,
    LEASED,
    ORIGIN,
    OTHER_HOST,
    PENDING,
    Turns,
    after,
    born,
    gone,
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
)

ONE, TWO, THREE = page("1", reserved=True), page("2", order=2), page("3", order=3, not_before=9.0)
GRANTED = {"state": LEASED, "lease": 3, "reserved": True}


# What it reads


def test_what_nothing_has_read_is_read_when_it_is_looked_up_and_counts_as_a_miss_once(turns: Turns) -> None:
    turn = turns(host())
    for _ in range(2):
        assert (turn.hosts[HOST], turn.hosts["never.test"]) == (host(), None)
    assert (turn.misses, turn.reads) == (2, 2)


def test_many_keys_are_read_in_one_call_and_only_those_that_are_not_shown_yet(turns: Turns) -> None:
    turn = turns(ONE, TWO, THREE)
    turn.tasks.read([ONE.ref, TWO.ref, b"never"])
    turn.tasks.read([ONE.ref, b"never"])
    turn.tasks.read([])
    assert (turn.tasks[ONE.ref], turn.tasks[b"never"]) == (ONE, None)
    assert (turn.misses, turn.reads) == (0, 1)
    turn.tasks.read([TWO.ref, THREE.ref])
    assert (turn.misses, turn.reads) == (0, 2)


def test_depths_are_read_and_counted_like_rows(turns: Turns) -> None:
    turn = turns(page("1", depth=3))
    turn.depths.read([ONE.ref, TWO.ref])
    assert (turn.depths[ONE.ref], turn.depths[TWO.ref], turn.depths[THREE.ref]) == (3, None, None)
    assert (turn.misses, turn.reads) == (1, 2)


def test_strangers_are_found_and_depths_of_what_is_named_are_read_with_them(turns: Turns) -> None:
    turn = turns(page("1", depth=3), page("2", order=2))
    turn.depths.read([ONE.ref])
    assert turn.strangers({ONE.ref, b"nobody"}, [ONE.ref, TWO.ref, THREE.ref]) == {b"nobody"}
    assert (turn.depths[ONE.ref], turn.depths[TWO.ref], turn.depths[THREE.ref]) == (3, 0, None)
    assert (turn.strangers(set()), turn.misses) == (set(), 0)


def test_the_table_of_a_kind_is_the_one_that_rules_know_by_name(turns: Turns) -> None:
    turn = turns(TrapRow(key=HOST))
    assert turn.table(TrapRow) is turn.traps
    assert turn.table(TrapRow)[HOST] == TrapRow(key=HOST)


def test_a_host_is_the_unit_that_it_is_asked_as_one_with(turns: Turns) -> None:
    turn = turns(host(unit="10.0.0.1"), host("10.0.0.1", is_unit=True), host(OTHER_HOST))
    turn.read_hosts([HOST, OTHER_HOST, "never.test"])
    assert (turn.host(HOST).key, turn.host(OTHER_HOST).key) == ("10.0.0.1", OTHER_HOST)
    assert (turn.misses, turn.reads) == (0, 2)


def test_a_rule_that_takes_for_known_what_is_not_has_a_bug(turns: Turns) -> None:
    with pytest.raises(AssertionError, match="not there"):
        turns().host("never.test")


def test_what_is_no_task_is_a_stranger(turns: Turns) -> None:
    turn = turns(ONE)
    assert turn.strangers({ONE.ref, b"never"}) == {b"never"}
    assert turn.strangers(frozenset()) == frozenset()


def test_leases_and_hosts_that_the_store_names_are_shown_without_a_read(turns: Turns) -> None:
    held, idle = host(holders=held_by(3), ready_at=0.0), host(OTHER_HOST, ready_at=9.0)
    turn = turns(leased(ONE, 3), lease(3, ONE), held, idle, now=5.0)
    assert turn.leases_of("s") == (lease(3, ONE),)
    assert turn.leases_of("t") == ()
    assert turn.due(8) == (held,)
    assert (turn.leases[3], turn.hosts[HOST], turn.reads) == (lease(3, ONE), held, 0)


def test_a_family_is_shown_from_a_place_on_and_backwards_with_what_was_put(turns: Turns) -> None:
    turn = turns(lease(1, ONE), lease(3, ONE), lease(5, ONE))
    for number in (4, 2):
        turn.put(lease(number, ONE))
    turn.remove(succeed(existing(turn.leases[3])))
    assert [row.id for row in turn.family(LeaseRow, "s")] == [1, 2, 4, 5]
    assert [row.id for row in turn.family(LeaseRow, "s", 2)] == [4, 5]
    assert [row.id for row in turn.family(LeaseRow, "s", 1, backwards=True)] == [5, 4, 2]


def test_a_row_that_was_removed_and_created_again_is_shown_at_its_new_place(turns: Turns) -> None:
    first, second = PartRow(object=1, subkey=b"first", place=1), PartRow(object=1, subkey=b"second", place=2)
    turn = turns(first, second)
    turn.remove(succeed(existing(turn.table(PartRow)[first.key])))
    turn.put(PartRow(object=1, subkey=b"first", place=3))
    assert [row.subkey for row in turn.family(PartRow, 1)] == [b"second", b"first"]
    assert [row.place for row in turn.family(PartRow, 1, 2)] == [3]


def test_a_row_that_was_created_and_removed_in_one_turn_leaves_no_trace(turns: Turns) -> None:
    turn = turns()
    part = PartRow(object=1, subkey=b"a", place=5)
    assert turn.table(PartRow)[part.key] is None
    turn.put(part)
    turn.remove(succeed(part))
    assert list(turn.family(PartRow, 1)) == []
    assert turn.batch() == []


def test_what_the_store_names_later_does_not_undo_what_was_put(turns: Turns) -> None:
    turn = turns(leased(ONE, 3), lease(3, ONE), host(holders=held_by(3), ready_at=0.0))
    turn.put(succeed(existing(turn.hosts[HOST]), ready_at=3.0))
    turn.put(succeed(existing(turn.leases[3]), slots=0))
    assert (turn.due(8), turn.leases_of("s")) == ((host(holders=held_by(3), ready_at=0.0),), (lease(3, ONE),))
    assert existing(turn.hosts[HOST]).ready_at == 3.0
    assert existing(turn.leases[3]).slots == 0


def test_what_waits_is_read_for_many_queues_in_one_call(turns: Turns) -> None:
    turn = turns(ONE, TWO, THREE, page("1", "http://b.test"), now=5.0)
    turn.read_queues({ORIGIN: 1, HOST: 8})
    turn.read_queues({ORIGIN: 8, HOST: 8})
    assert (turn.ready(ORIGIN, 8), turn.ready(HOST, 8)) == (Ready((ONE,), 5.0), Ready((), None))
    assert (turn.reads, turn.tasks[ONE.ref]) == (1, ONE)
    assert turn.ready("http://b.test", 8) == Ready((page("1", "http://b.test"),), None)
    assert (turn.reads, turn.misses) == (2, 0)


def test_what_this_turn_has_moved_does_not_wait_any_more(turns: Turns) -> None:
    turn = turns(ONE, TWO, THREE, page("4", order=4), now=5.0)
    assert turn.ready(ORIGIN, 8) == Ready((ONE, TWO, page("4", order=4)), 9.0)
    turn.move(ONE, TaskEvent.REFUSED, reserved=False)
    lowered = turn.move(TWO, TaskEvent.LOWERED, depth=0)
    turn.move(turn.move(page("4", order=4), TaskEvent.GRANTED, lease=3), TaskEvent.LOST, queue=HOST)
    assert turn.ready(ORIGIN, 8) == Ready((lowered,), 9.0)


# What it hands to the store


def test_a_row_that_was_put_is_seen_and_several_successors_are_one(turns: Turns) -> None:
    turn = turns(host())
    for at in (3.0, 4.0, 5.0):
        turn.put(succeed(turn.host(HOST), ready_at=at))
    assert turn.host(HOST).ready_at == 5.0
    assert turn.batch() == [put(host(), ready_at=5.0)]


def test_a_new_row_is_its_first_version_whatever_became_of_it_in_the_turn(turns: Turns) -> None:
    turn = turns(host())
    turn.put(succeed(origin()))
    turn.put(succeed(existing(turn.origins[ORIGIN]), why="dns_failed"))
    turn.put(succeed(host(), origins=(ORIGIN,)))
    assert turn.batch() == [put(host(), origins=(ORIGIN,)), new(origin(why="dns_failed"))]


def test_events_come_first_in_their_order_and_then_rows_by_kind_and_the_ledger(turns: Turns) -> None:
    mine = host(origins=(ORIGIN,), ready_at=0.0)
    turn = turns(ONE, mine, origin(), numbers(pages_reserved=1))
    turn.put(succeed(turn.ledger, next_lease=4))
    turn.put(succeed(origin(), why="dns_failed"))
    turn.put(succeed(mine, holders=held_by(3)))
    note = Accepted(ref=ONE.ref, lease=2, outlinks=b"")
    turn.note(note)
    turn.move(ONE, TaskEvent.GRANTED, lease=3)
    turn.put(lease(3, ONE))
    assert turn.batch() == [
        note,
        moved(TaskEvent.GRANTED, ONE, **GRANTED),
        new(lease(3, ONE)),
        put(mine, holders=held_by(3)),
        put(origin(), why="dns_failed"),
        put(numbers(pages_reserved=1), next_lease=4),
    ]


def test_a_task_that_moves_twice_moves_twice(turns: Turns) -> None:
    turn = turns(ONE, host(ready_at=0.0), numbers(pages_reserved=1))
    turn.move(turn.move(ONE, TaskEvent.GRANTED, lease=3), TaskEvent.LOST, losses=1, queue=HOST)
    granted = moved(TaskEvent.GRANTED, ONE, **GRANTED)
    assert turn.batch() == [granted, moved(TaskEvent.LOST, granted.task, state=PENDING, losses=1, queue=HOST)]


def test_tasks_are_born_next_in_the_order_of_admission_and_known_with_their_depth(turns: Turns) -> None:
    turn = turns(host(ready_at=0.0), origin(), numbers(next_order=7))
    one, two = page("1", order=7, depth=2), page("2", order=8, state=DROPPED, reason="depth")
    for event, task in ((TaskEvent.ADMITTED, one), (TaskEvent.REFUSED, two)):
        values = {name: getattr(task, name) for name in task.__struct_fields__ if name not in ("order", "state")}
        assert turn.create(event, **values) == task
    assert (turn.depths[one.ref], turn.tasks[one.ref], turn.misses) == (2, one, 0)
    assert turn.batch() == [born(one), born(two, TaskEvent.REFUSED), put(numbers(next_order=7), next_order=9)]


def test_a_lease_that_is_over_is_gone_with_its_last_row(turns: Turns) -> None:
    turn = turns(lease(3, ONE, TWO))
    turn.put(succeed(existing(turn.leases[3]), refs=(TWO.ref,)))
    turn.remove(succeed(existing(turn.leases[3]), refs=()), "settled")
    assert turn.leases[3] is None
    assert turn.batch() == [gone(lease(3, ONE, TWO), "settled", refs=())]


def test_a_turn_that_decides_nothing_hands_over_nothing_and_a_batch_can_be_had_twice(turns: Turns) -> None:
    turn = turns(ONE, host())
    assert (turn.host(HOST), turn.batch()) == (host(), [])
    turn.put(after(host()))
    assert turn.batch() == turn.batch() == [put(host())]


def test_what_the_table_of_transitions_does_not_have_cannot_happen(turns: Turns) -> None:
    turn = turns()
    for state in FINAL:
        assert (state, TaskEvent.GRANTED) not in TRANSITIONS
        with pytest.raises(ImpossibleTransition, match="granted cannot happen"):
            turn.move(page("1", state=state), TaskEvent.GRANTED, lease=3)
    assert turn.batch() == []
