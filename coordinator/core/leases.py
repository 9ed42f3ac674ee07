"""How leases end (settled, released, lost), and what happens to their tasks.

A lease is the right of one session to fetch some tasks of one host. It lasts as long as its session renews itself. When
the session is lost, the tasks that had started become suspects. A suspect is granted alone, to a session with nothing
else in flight, and ends as poison after three deaths alone. So an innocent task is never quarantined. A page whose body
found no room beside others is granted alone, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from crawlfleet.coordinator.core import asking, budget, gates, judging, parts, politeness, sitemaps
from crawlfleet.coordinator.core.admission import awaken_host, note_waiting
from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.rows import (
    ALONE_QUEUE,
    MAX_DETAIL_CHARS,
    LeaseRow,
    TaskRow,
    TaskState,
    queue_of,
    succeed,
)
from crawlfleet.coordinator.core.transitions import moved
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.messages import Hello, Kind, Outcome, TaskKey
from crawlfleet.shared.reasons import Reason

# Ends a lease, of which the tasks with the given fingerprints are known to have started.
End = Callable[[Turn, LeaseRow, Collection[bytes]], None]


class Death(NamedTuple):
    """How a worker died: the reason of a page that is poison by then, its detail, and the status of its answer.

    The status is 0 unless the body of the page had come.
    """

    reason: Reason
    detail: str
    status: int = 0


UNKNOWN = Death(Reason.POISON, "")


def want(turn: Turn, leases: Iterable[LeaseRow]) -> None:
    """Read what ending these leases will look up, in one call for each table."""
    leases = list(leases)
    turn.tasks.read(ref for lease in leases for ref in lease.refs)
    tasks = [task for lease in leases for task in open_tasks(turn, lease)]
    turn.read_hosts({lease.host for lease in leases} | {task.host for task in tasks})
    turn.origins.read(task.origin for task in tasks if task.kind is Kind.ROBOTS)


def open_tasks(turn: Turn, lease: LeaseRow) -> list[TaskRow]:
    """Return the tasks of a lease that are still leased under it."""
    turn.tasks.read(lease.refs)
    rows = (turn.tasks[ref] for ref in lease.refs)
    return [row for row in rows if row is not None and row.state is TaskState.LEASED and row.lease == lease.id]


def lose(turn: Turn, lease: LeaseRow, started: Collection[bytes], death: Death = UNKNOWN) -> None:
    """Take back the tasks of a lease whose session is lost; `started` are those known to have started."""
    for task in open_tasks(turn, lease):
        _lose_task(turn, task, task.ref in started, death)
    # The worker may have started a request at any time until now.
    turn.put(politeness.started(turn.host(lease.host), turn.now))
    turn.put(succeed(turn.ledger, leases_lost=turn.ledger.leases_lost + 1))
    _end(turn, succeed(lease), "lost")


def end_by(hello: Hello) -> End:
    """Return how the leases of the dead worker end that `hello` replaces."""
    if not hello.ended:
        return partial(lose, death=_death(hello.death))
    blamed = dict.fromkeys(hello.began, _death(hello.death))
    for report in hello.ended:
        is_memory = report.reason == Reason.OUT_OF_MEMORY
        status = report.status if budget.had_body(report.outcome, report.status) else 0
        blamed[report.key] = _death(report.detail, Reason.OUT_OF_MEMORY if is_memory else Reason.POISON, status)
    return partial(lose_to, blamed=blamed)


def _death(what: str, reason: Reason = Reason.POISON, status: int = 0) -> Death:
    return Death(reason, judging.line(f"the last of them: {what}" if what else "", MAX_DETAIL_CHARS), status)


def lose_to(turn: Turn, lease: LeaseRow, _started: Collection[bytes], blamed: Mapping[TaskKey, Death]) -> None:
    """Take back the tasks of a lease whose worker is known to have ended by `blamed`, and how: others are blameless."""
    for task in open_tasks(turn, lease):
        death = blamed.get(TaskKey(lease.id, task.ref))
        if death is None:
            _give_back(turn, task)
        else:
            _lose_task(turn, task, True, death)
    turn.put(politeness.started(turn.host(lease.host), turn.now))
    turn.put(succeed(turn.ledger, leases_lost=turn.ledger.leases_lost + 1))
    _end(turn, succeed(lease), "lost")


def release(turn: Turn, lease: LeaseRow, started: Collection[bytes], alone: Collection[TaskKey] = ()) -> None:
    """Take back the tasks of a lease that its worker gives up. If one of them had started, its host was asked.

    Those that are named in `alone` are granted alone from now on.
    """
    tasks = open_tasks(turn, lease)
    for task in tasks:
        _give_back(turn, task, alone=TaskKey(lease.id, task.ref) in alone)
    if any(task.ref in started for task in tasks):
        turn.put(politeness.started(turn.host(lease.host), turn.now))
    _end(turn, succeed(lease), "released")


def settle_some(turn: Turn, lease: LeaseRow, refs: Collection[bytes]) -> None:
    """Remove settled tasks from a lease; the last one ends it."""
    left = tuple(ref for ref in lease.refs if ref not in refs)
    after = succeed(lease, refs=left, parts=parts.without(turn, lease, refs))
    if after.refs:
        turn.put(after)
    else:
        _end(turn, after, "settled")


def recalled(turn: Turn, leases: Sequence[LeaseRow]) -> tuple[int, ...]:
    """Return the numbers of leases under which nothing more may start, though they stay open."""
    rows = [lease for lease in (turn.leases[lease.id] for lease in leases) if lease is not None]
    return tuple(row.id for row in rows if row.recalled or politeness.is_recalled(turn.host(row.host), row))


def under(task: TaskRow, lease: LeaseRow) -> dict[str, Any]:
    """Return the fields of a task that a grant changes."""
    return {"lease": lease.id, "reserved": task.kind is Kind.PAGE}


def under_lease(task: TaskRow, lease: LeaseRow) -> TaskRow:
    """Return a task of an open lease as LEASED; `task` may be its row from before the grant."""
    if task.state is not TaskState.PENDING:
        return task
    return moved(task, TaskEvent.GRANTED, **under(task, lease)).task


def _end(turn: Turn, lease: LeaseRow, why: str) -> None:
    """End a lease, of which `lease` is the last row, and free its host."""
    parts.without(turn, lease, lease.refs)
    turn.remove(lease, why)
    turn.put(politeness.lease_over(turn.host(lease.host), lease, turn.now))
    awaken_host(turn, lease.host)


def _give_back(turn: Turn, task: TaskRow, *, alone: bool = False) -> None:
    """Put a task back into its queue as if it had never been granted; it may have to be granted `alone`."""
    budget.give_back(turn, task)
    changed: dict[str, Any] = {"alone": True, "queue": ALONE_QUEUE} if alone else {"queue": queue_of(task)}
    after = turn.move(task, TaskEvent.RELEASED, lease=0, reserved=False, **changed)
    note_waiting(turn, task.host)
    asking.drop_if_unwanted(turn, after)


def _lose_task(turn: Turn, task: TaskRow, started: bool, death: Death) -> None:
    """Put a lost task back into its queue. The lease stays current: a late report still counts until the next grant."""
    if task.alone and task.deaths + 1 >= turn.policy.tuning.poison_deaths:
        verdict: dict[str, Any] = {"reason": death.reason, "detail": death.detail, "reserved": False}
        if death.status:
            budget.spend_in_vain(turn, task, 0)
            verdict |= {"outcome": Outcome.EXTRACT_ERROR, "status": death.status}
        else:
            budget.give_back(turn, task)
            verdict |= {"outcome": None, "status": 0}
        turn.move(task, TaskEvent.POISONED, deaths=task.deaths + 1, **verdict)
        if task.kind is Kind.ROBOTS:
            gates.cannot_be_had(turn, task, death.reason)
        elif task.kind is Kind.SITEMAP:
            sitemaps.tell_short(turn, task, death.reason)
        return
    losses = task.losses + 1
    alone = task.alone or started or losses >= turn.policy.tuning.suspect_losses
    after = turn.move(
        task,
        TaskEvent.LOST,
        losses=losses,
        deaths=task.deaths + (1 if task.alone else 0),
        alone=alone,
        # The host's own queue is served first: no task of higher rank may keep it from its reserved place.
        queue=ALONE_QUEUE if alone else task.host,
    )
    note_waiting(turn, task.host)
    asking.drop_if_unwanted(turn, after)
