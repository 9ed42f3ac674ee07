"""Turns over literal rows: what the tests of single rules call the rules with, and what holds of every decision.

    turn = turns(host(), task("1", state=LEASED, lease=3), lease(3, "1"), now=5.0)
    leases.release(turn, turn.leases[3], started=())
    assert turn.batch() == [...]

When a test is over, each of its turns is checked: its batch is taken by a store that has the rows, and leads to rows of
which the invariants hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crawlfleet.coordinator.core.changes import Change, Gone, Put, TaskEvent, TaskMoved
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import (
    HostRow,
    LeaseRow,
    LedgerRow,
    OriginRow,
    StoreRow,
    TaskRow,
    TaskState,
)
from crawlfleet.coordinator.core.transitions import TRANSITIONS
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.coordinator.frontier.memory_store import MemoryStore
from crawlfleet.shared.messages import Kind, ScopeSpec
from crawlfleet.shared.web.urls import fingerprint
from tests.policies import make_policy

HOST, ORIGIN = "a.test", "http://a.test"
POLICY = make_policy(user_agent="bot", scope=ScopeSpec(hosts=(HOST, "b.test")), delay_s=0.0, per_host=4)


def page(name: str, **values: Any) -> TaskRow:
    """Return the task of a page of a.test; PENDING unless told otherwise."""
    url = f"{ORIGIN}/{name}"
    common = {"ref": fingerprint(Kind.PAGE, "", url), "kind": Kind.PAGE, "url": url, "origin": ORIGIN, "host": HOST}
    return TaskRow(**{**common, "queue": ORIGIN, "depth": 0, "order": 1, "state": TaskState.PENDING, **values})


def robots(**values: Any) -> TaskRow:
    """Return the task of the robots.txt of a.test; PENDING unless told otherwise."""
    url = f"{ORIGIN}/robots.txt"
    common = {"ref": fingerprint(Kind.ROBOTS, ORIGIN, url), "kind": Kind.ROBOTS, "url": url, "origin": ORIGIN}
    return TaskRow(
        **{**common, "host": HOST, "queue": HOST, "depth": 0, "order": 1, "state": TaskState.PENDING, **values}
    )


def leased(task: TaskRow, number: int, **values: Any) -> TaskRow:
    """Return a task as it is under a lease."""
    fields = {name: getattr(task, name) for name in task.__struct_fields__}
    reserved = task.kind is Kind.PAGE
    return TaskRow(**{**fields, "state": TaskState.LEASED, "lease": number, "reserved": reserved, **values})


def lease(number: int, *tasks: TaskRow, session: str = "s", **values: Any) -> LeaseRow:
    """Return a lease of a session on tasks of a.test."""
    refs = tuple(task.ref for task in tasks)
    starts = tuple((ref, 0.0) for ref in refs)
    return LeaseRow(**{"id": number, "session": session, "host": HOST, "refs": refs, "starts": starts, **values})


def numbers(**values: Any) -> LedgerRow:
    """Return the ledger of a crawl that has begun: a new store has one already, at version 1."""
    return LedgerRow(version=2, **values)


def after(row: Any, **changed: Any) -> Any:
    """Return what a row of a test becomes in one batch: its fields changed, its version the next one."""
    fields = {name: getattr(row, name) for name in row.__struct_fields__}
    return type(row)(**{**fields, "version": row.version + 1, **changed})


class Turns:
    """Makes turns over literal rows, and checks them when the test is over."""

    def __init__(self) -> None:
        self._made: list[tuple[Turn, MemoryStore]] = []

    def __call__(self, *rows: StoreRow, now: float = 0.0, policy: Policy = POLICY) -> Turn:
        store = MemoryStore()
        store.apply([_as_first(row) for row in rows])
        turn = Turn(store, policy, now)
        self._made.append((turn, store))
        return turn

    def check(self) -> None:
        """Check each turn that was made."""
        for turn, store in self._made:
            batch = turn.batch()
            store.apply(batch)
            for change in batch:
                _check_change(change)
            _check_rows(batch, store)


def _as_first(row: StoreRow) -> Change:
    if isinstance(row, TaskRow):
        return TaskMoved(event=TaskEvent.ADMITTED, before=None, task=row)
    return Put(row=row)


def _check_change(change: Change) -> None:
    """A task moves as the table of transitions allows."""
    if isinstance(change, TaskMoved):
        assert TRANSITIONS[change.before, change.event] is change.task.state


def _check_rows(batch: Sequence[Change], store: MemoryStore) -> None:
    """The rows that a batch leads to fit together."""
    for change in batch:
        match change:
            case Put(row=LedgerRow() as ledger):
                waits = ledger.robots_waits
                assert min(ledger.pages_reserved, ledger.pages_fetched, waits.waiting, waits.given_up) >= 0
            case Put(row=HostRow() as host):
                assert host.pages_reserved >= 0
                assert not host.unit or not host.holders, f"{host.key} joined a unit and is held by itself"
                held = [number for holder in host.holders for number, _ in holder.leases]
                assert len(held) == len(set(held)), f"{host.key} names a lease twice"
                assert len(store.rows(LeaseRow, held)) == len(held), f"{host.key} is held under a lease that is over"
            case Put(row=LeaseRow() as row):
                assert row.refs, f"lease {row.id} has no tasks and goes on"
                tasks = store.rows(TaskRow, row.refs)
                assert all(task.lease == row.id for task in tasks.values()), f"lease {row.id} has another's tasks"
            case Gone(row=row):
                assert not store.rows(LeaseRow, [row.id])
            case Put(row=OriginRow() as origin):
                assert store.rows(HostRow, [origin.host]), f"{origin.origin} is on a host that is not there"
            case _:
                pass
