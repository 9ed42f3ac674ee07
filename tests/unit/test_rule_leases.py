"""The end of leases, rule by rule."""

from __future__ import annotations

from crawlfleet.coordinator.core import leases
from crawlfleet.coordinator.core.changes import Gone, Put, TaskEvent, TaskMoved
from crawlfleet.coordinator.core.rows import Holder, HostRow, TaskState
from tests.unit.rule_turns import HOST, Turns, after, lease, leased, numbers, page

ONE, TWO = page("1"), page("2", order=2)


def held(*numbers: int) -> HostRow:
    return HostRow(key=HOST, delay_s=0.0, holders=(Holder("s", tuple((number, 1) for number in numbers)),))


def test_a_released_lease_puts_its_tasks_back_and_lets_the_host_be_looked_at(turns: Turns) -> None:
    task, mine, host = leased(ONE, 3), lease(3, ONE), held(3)
    ledger = numbers(pages_reserved=1)
    turn = turns(task, mine, host, ledger, now=5.0)
    leases.release(turn, mine, started=())
    assert turn.batch() == [
        TaskMoved(
            event=TaskEvent.RELEASED,
            before=TaskState.LEASED,
            task=after(task, state=TaskState.PENDING, lease=0, reserved=False),
        ),
        Gone(row=after(mine), why="released"),
        Put(row=after(host, holders=(), ready_at=5.0)),
        Put(row=after(ledger, pages_reserved=0)),
    ]


def test_a_task_that_another_report_settled_is_not_among_the_open_ones(turns: Turns) -> None:
    done = leased(TWO, 3, state=TaskState.DONE, reserved=False)
    turn = turns(leased(ONE, 3), done, lease(3, ONE, TWO), held(3))
    assert leases.open_tasks(turn, lease(3, ONE, TWO)) == [leased(ONE, 3)]


def test_a_lease_of_which_a_task_is_left_goes_on(turns: Turns) -> None:
    turn = turns(leased(ONE, 3), leased(TWO, 3), lease(3, ONE, TWO), held(3))
    leases.settle_some(turn, lease(3, ONE, TWO), {ONE.ref})
    assert turn.batch() == [Put(row=after(lease(3, ONE, TWO), refs=(TWO.ref,)))]
