"""The last wait: only origins are left whose robots.txt could not be had, and they get little more time.

While it lasts, the ledger says until when; `gates.again_at` heeds that. Files that would be requested late in it,
or after its end, are requested earlier.
"""

from __future__ import annotations

from collections.abc import Sequence

from crawlfleet.coordinator.core import gates
from crawlfleet.coordinator.core.admission import awaken_host
from crawlfleet.coordinator.core.awaited_rows import AwaitedRow
from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.rows import TaskRow, TaskState, succeed
from crawlfleet.coordinator.core.turn import Turn, existing
from crawlfleet.shared.reasons import Reason


def set_end(turn: Turn, until: float | None) -> None:
    """Begin the last wait, or, with None, call it off: there is something else to do."""
    turn.put(succeed(turn.ledger, robots_waits=turn.ledger.robots_waits.but(last_until=until)))


def look_earlier(turn: Turn, awaited: Sequence[AwaitedRow]) -> None:
    """Let files be requested within the first quarter, unless their host has asked for more time."""
    at = turn.now + turn.policy.politeness.robots_wait_last_s / gates.LAST_LOOKS
    for task in _that_wait(turn, awaited):
        if task.not_before > at and turn.host(task.host).hold_until <= turn.now:
            refused = turn.move(task, TaskEvent.REFUSED, lease=0)
            turn.move(refused, TaskEvent.RECHECKED, not_before=at)
            awaken_host(turn, task.host, at)


def end(turn: Turn, awaited: Sequence[AwaitedRow]) -> None:
    """Give up the origins whose robots.txt is not being requested now; the others are judged by the answer."""
    for task in _that_wait(turn, awaited):
        turn.move(task, TaskEvent.REFUSED, reason=Reason.ROBOTS_UNREACHABLE, lease=0)
        origin = existing(turn.origins[task.origin])
        gates.cannot_be_had(turn, task, origin.why, origin.detail)


def _that_wait(turn: Turn, awaited: Sequence[AwaitedRow]) -> list[TaskRow]:
    """Read what deciding on origins looks up; return their robots tasks that are not being fetched."""
    turn.tasks.read(row.ref for row in awaited)
    tasks = [turn.tasks[row.ref] for row in awaited]
    waiting = [task for task in tasks if task is not None and task.state is TaskState.PENDING]
    turn.origins.read(task.origin for task in waiting)
    served = (existing(turn.origins[task.origin]).host for task in waiting)
    turn.read_hosts({*served, *(task.host for task in waiting)})
    return waiting
