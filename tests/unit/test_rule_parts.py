"""Reports in parts, rule by rule: what is kept of them, what is answered, and when it is discarded."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core import capping, leases, parts, settle
from crawlfleet.coordinator.core.changes import Capped, Gone, Recorded
from crawlfleet.coordinator.core.figures import LeftOut
from crawlfleet.coordinator.core.kept_parts import KeptParts
from crawlfleet.coordinator.core.later_rows import KeptPartRow
from crawlfleet.coordinator.core.policy import HostLimits
from crawlfleet.coordinator.core.rows import LeaseRow, StoreRow
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.messages import Ack, AckState, Outcome, Report, Row
from crawlfleet.shared.parts import Bulk, split
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.links import pack
from tests.unit.rule_turns import (
    HOST,
    ORIGIN,
    Turns,
    after,
    changes,
    held_by,
    host,
    lease,
    leased,
    new,
    numbers,
    origin,
    page,
    put,
    report,
    robots,
)

TASK, OTHER_TASK = leased(page("1"), 3), leased(page("2", order=2), 3)
LEASE = lease(3, TASK, OTHER_TASK)
HELD = host(origins=(ORIGIN,), holders=held_by(3))
NEXT = numbers(next_order=50, pages_reserved=2)
ROWS = tuple(Row(item="i", index=index, fields={"t": "x" * 30}) for index in range(3))
URLS = (f"{ORIGIN}/7", f"{ORIGIN}/8")
OF_OTHER = KeptParts(OTHER_TASK.ref, (47,), 9)


@pytest.fixture
def pieces() -> list[bytes]:
    found = split(Bulk(rows=ROWS, links=pack(URLS)), 40)
    assert len(found) > 2
    return found


def of_parts(place: int, piece: bytes, **values: Any) -> Report:
    return report(TASK, **{"place": place, "part": piece, "more": True, **values})


def begun(pieces: list[bytes]) -> list[StoreRow]:
    """Return the rows of a crawl where all pieces but the last are here, and one of another page."""
    kept = [KeptPartRow(order=10 + place, data=piece) for place, piece in enumerate(pieces[:-1])]
    here = KeptParts(TASK.ref, tuple(row.order for row in kept), sum(map(len, pieces[:-1])))
    return [
        *(TASK, OTHER_TASK, HELD, origin(), NEXT, lease(3, TASK, OTHER_TASK, parts=(here, OF_OTHER))),
        *(*kept, KeptPartRow(order=47, data=b"of other")),
    ]


def settled_with(turn: Turn, *reports: Report) -> tuple[Ack, ...]:
    return settle.take(turn, "s", reports)


def removed(turn: Turn) -> list[int]:
    gone = [change.row for change in turn.batch() if isinstance(change, Gone)]
    return [row.order for row in gone if isinstance(row, KeptPartRow)]


def more(parts: int) -> tuple[Ack, ...]:
    return (Ack(lease=3, ref=TASK.ref, state=AckState.MORE, parts=parts),)


def test_a_part_is_kept_under_its_lease_and_changes_nothing_else(turns: Turns) -> None:
    turn = turns(TASK, OTHER_TASK, LEASE, HELD, origin(), NEXT)
    assert settled_with(turn, of_parts(0, b"abc")) == more(1)
    ledger = put(NEXT, next_order=51)
    kept = (KeptParts(TASK.ref, (50,), 3),)
    assert turn.batch() == [put(LEASE, parts=kept), new(KeptPartRow(order=50, data=b"abc")), ledger]


def test_the_next_part_follows_those_that_are_here(turns: Turns) -> None:
    turn = turns(TASK, OTHER_TASK, LEASE, HELD, origin(), NEXT)
    assert settled_with(turn, of_parts(0, b"abc"), of_parts(1, b"de")) == (*more(1), *more(2))
    assert turn.leases[3] == after(after(LEASE), parts=(KeptParts(TASK.ref, (50, 51), 5),))


@pytest.mark.parametrize("place", [0, 1, 3, 9])
def test_a_part_that_is_here_or_comes_too_early_changes_nothing(turns: Turns, pieces: list[bytes], place: int) -> None:
    rows = begun(pieces[:3])
    turn = turns(*rows)
    assert settled_with(turn, of_parts(place, b"abc")) == more(2)
    assert turn.batch() == []


def test_a_last_part_without_those_before_is_answered_with_what_is_missing(turns: Turns, pieces: list[bytes]) -> None:
    turn = turns(TASK, OTHER_TASK, LEASE, HELD, origin(), NEXT)
    assert settled_with(turn, of_parts(2, pieces[-1], more=False)) == more(0)
    assert turn.batch() == []


def test_with_the_last_part_all_become_one_report(turns: Turns, pieces: list[bytes]) -> None:
    turn = turns(*begun(pieces))
    (ack,) = settled_with(turn, of_parts(len(pieces) - 1, pieces[-1], more=False))
    assert ack == Ack(lease=3, ref=TASK.ref, state=AckState.OK)
    (recorded,) = [change for change in turn.batch() if isinstance(change, Recorded)]
    assert recorded.result.rows == ROWS
    assert all(turn.tasks[page(name).ref] is not None for name in ("7", "8"))
    assert removed(turn) == list(range(10, 10 + len(pieces) - 1))
    assert changes(turn, LeaseRow) == [put(lease(3, TASK, OTHER_TASK), refs=(OTHER_TASK.ref,), parts=(OF_OTHER,))]


def test_a_report_in_one_piece_needs_no_others(turns: Turns) -> None:
    turn = turns(TASK, OTHER_TASK, LEASE, HELD, origin(), NEXT)
    (piece,) = split(Bulk(rows=ROWS))
    assert settled_with(turn, of_parts(0, piece, more=False))[0].state is AckState.OK
    assert [change.result.rows for change in turn.batch() if isinstance(change, Recorded)] == [ROWS]


def test_a_report_in_parts_that_was_accepted_before_is_again(turns: Turns) -> None:
    task = page("1", state=TASK.state, lease=4, settled=(3,))
    turn = turns(task, lease(4, task), HELD, origin(), NEXT)
    assert settled_with(turn, of_parts(2, b"x", lease=3, more=False))[0].state is AckState.OK
    assert turn.batch() == []


@pytest.mark.parametrize("is_last", [True, False])
def test_parts_of_a_lost_lease_do_not_count(turns: Turns, is_last: bool) -> None:
    lost = page("1", lease=3, reserved=True)
    turn = turns(lost, host(origins=(ORIGIN,)), origin(), NEXT)
    assert settled_with(turn, of_parts(0, b"x", more=not is_last))[0].state is AckState.STALE
    assert turn.batch() == []


@pytest.mark.parametrize("end", ["lost", "released"])
def test_what_is_kept_under_a_lease_ends_with_it(turns: Turns, pieces: list[bytes], end: str) -> None:
    turn = turns(*begun(pieces))
    row = turn.leases[3]
    assert row is not None
    (leases.lose if end == "lost" else leases.release)(turn, row, ())
    assert removed(turn) == [*range(10, 10 + len(pieces) - 1), 47]


@pytest.mark.parametrize(
    ("size", "piece", "why"),
    [
        (1, b"x" * 2_000_000, "its parts are larger than limits.report_bytes allows"),
        (1_000_000, b"nonsense", "its parts are damaged"),
    ],
)
def test_parts_that_cannot_be_a_report_fail_the_attempt(turns: Turns, size: int, piece: bytes, why: str) -> None:
    limits = HostLimits(report_bytes=size)
    turn = turns(TASK, OTHER_TASK, LEASE, HELD, origin(), NEXT, limits=limits)
    assert settled_with(turn, of_parts(0, piece, more=False))[0].state is AckState.OK
    task = turn.tasks[TASK.ref]
    assert task is not None
    assert (task.outcome, task.reason) == (Outcome.INTERNAL_ERROR, Reason.REPORT_REFUSED)
    assert task.detail == f"a worker's report was refused: {why}"


def test_parts_without_end_fail_the_attempt_however_small_they_are(turns: Turns) -> None:
    orders = tuple(range(100, 202))
    kept = [KeptPartRow(order=order, data=b"") for order in orders]
    begun = lease(3, TASK, OTHER_TASK, parts=(KeptParts(TASK.ref, orders),))
    ledger = numbers(next_order=300, pages_reserved=2)
    turn = turns(TASK, OTHER_TASK, begun, HELD, origin(), ledger, *kept, limits=HostLimits(report_bytes=1))
    assert settled_with(turn, of_parts(len(orders), b""))[0].state is AckState.OK
    task = turn.tasks[TASK.ref]
    assert task is not None
    assert task.reason == Reason.REPORT_REFUSED
    assert removed(turn) == list(orders)


def test_only_of_pages_there_are_such_parts(turns: Turns) -> None:
    task = leased(robots(), 3)
    turn = turns(task, lease(3, task), host(HOST, origins=(ORIGIN,), holders=held_by(3)), origin(), NEXT)
    assert settled_with(turn, report(task, place=4, part=b"x"))[0].state is AckState.OK


def test_a_report_of_one_message_stays_as_it_is(turns: Turns) -> None:
    turn = turns(TASK, OTHER_TASK, LEASE, HELD, origin(), NEXT)
    sent = report(TASK, rows=ROWS)
    assert parts.gathered(turn, sent) is sent


def test_of_what_is_kept_only_that_of_some_tasks_is_discarded(turns: Turns, pieces: list[bytes]) -> None:
    turn = turns(*begun(pieces))
    row = turn.leases[3]
    assert row is not None
    assert parts.without(turn, row, [TASK.ref]) == (OF_OTHER,)
    table = turn.table(KeptPartRow)
    assert [order for order in (*row.parts[0].orders, 47) if table[order] is not None] == [47]
    turn.put(after(row, parts=(OF_OTHER,)))


def test_what_was_left_out_is_noted_and_summed_up(turns: Turns) -> None:
    turn = turns(TASK, OTHER_TASK, LEASE, HELD, origin(), NEXT)
    for sent in (
        report(TASK),
        report(TASK, rows_left_out=2),
        report(TASK, outcome=Outcome.HTTP_ERROR, links_left_out=9),
    ):
        capping.note(turn, TASK, sent)
    assert turn.batch() == [
        Capped(ref=TASK.ref, url=TASK.url, kind=TASK.kind, links=0, rows=2),
        put(NEXT, left_out=LeftOut(1, 0, 2)),
    ]


def test_notes_on_a_recorded_page_are_counted_in_the_ledger(turns: Turns) -> None:
    turn = turns(NEXT)
    capping.count_notes(turn, ())
    assert turn.batch() == []
    capping.count_notes(turn, ("tls_cut", "truncated"))
    assert turn.batch() == [put(NEXT, noted={"tls_cut": 1, "truncated": 1})]
    capping.count_notes(turn, ("tls_cut",))
    assert turn.ledger.noted == {"tls_cut": 2, "truncated": 1}
