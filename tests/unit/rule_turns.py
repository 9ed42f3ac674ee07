"""Turns over literal rows: what the tests of single rules call the rules with, and how they write what is decided.

    turn = turns(host(), leased(page("1"), 3), lease(3, page("1")), now=5.0)
    leases.release(turn, turn.leases[3], started=())
    assert turn.batch() == [moved(TaskEvent.RELEASED, ...), gone(..., "released"), put(..., ready_at=5.0)]

When a test is over, each of its turns is checked: its batch is taken by a store that has the rows, and breaks none of
the laws of `rule_laws`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from crawlfleet.coordinator.core import robots as robots_rules
from crawlfleet.coordinator.core.changes import Accepted, Change, Gone, Leased, Put, TaskEvent, TaskMoved
from crawlfleet.coordinator.core.rows import (
    FINAL,
    Gate,
    Holder,
    HostRow,
    LeaseRow,
    LedgerRow,
    OriginRow,
    StoreRow,
    TaskRow,
    TaskState,
)
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Kind, Outcome, Report
from crawlfleet.shared.web.urls import fingerprint, host_key, page_fingerprint
from crawlfleet.shared.web.urls import origin as origin_of
from tests.policies import make_policy, policy_with
from tests.unit.rule_laws import Rows, broken

HOST, ORIGIN = "a.test", "http://a.test"
OTHER_HOST, OTHER = "b.test", "http://b.test"
POLICY = make_policy(user_agent="bot", scope=ScopeSpec(hosts=(HOST, OTHER_HOST)), delay_s=0.0, per_host=4)
PENDING, LEASED, DONE, FAILED, DROPPED = TaskState


def page(name: str, at: str = ORIGIN, **values: Any) -> TaskRow:
    """Return the task of a page; PENDING by default."""
    return _task(Kind.PAGE, f"{at}/{name}", at, **values)


def robots(at: str = ORIGIN, url: str = "", **values: Any) -> TaskRow:
    """Return the task of an origin's robots.txt, or of where that was redirected to; PENDING by default."""
    return _task(Kind.ROBOTS, url or robots_rules.url_of(at), at, **values)


def sitemap(url: str = f"{ORIGIN}/map.xml", serves: str = ORIGIN, **values: Any) -> TaskRow:
    """Return the task of a sitemap; PENDING by default."""
    return _task(Kind.SITEMAP, url, serves, **{"priority": 1_000, **values})


def check(name: str, at: str, **values: Any) -> TaskRow:
    """Return the task of a check, found on a page of the crawl; PENDING by default."""
    return _task(Kind.CHECK, f"{at}/{name}", at, **{"depth": 1, **values})


def leased(task: TaskRow, number: int, **values: Any) -> TaskRow:
    """Return a task as it is under a lease."""
    row: TaskRow = but(task, **{"state": LEASED, "lease": number, "reserved": task.kind is Kind.PAGE, **values})
    return row


def lease(number: int, *tasks: TaskRow, session: str = "s", **values: Any) -> LeaseRow:
    """Return a lease of a session on tasks of one host, of which all could start at once."""
    refs = tuple(task.ref for task in tasks)
    common = {"id": number, "session": session, "host": tasks[0].host if tasks else HOST, "refs": refs}
    return LeaseRow(**{**common, "starts": tuple((ref, 0.0) for ref in refs), **values})


def host(key: str = HOST, /, **values: Any) -> HostRow:
    """Return a host without a delay."""
    return HostRow(**{"key": key, "delay_s": 0.0, "asked_s": 0.0, **values})


def held_by(*numbers: int, session: str = "s", slots: int = 1) -> tuple[Holder, ...]:
    """Return the holders of a host on which one session has leases."""
    return (Holder(session, tuple((number, slots) for number in numbers)),)


def origin(at: str = ORIGIN, **values: Any) -> OriginRow:
    """Return an origin whose robots.txt allows all, kept for a day."""
    return OriginRow(**{"origin": at, "host": host_key(f"{at}/"), "gate": Gate.ALLOW, "expires_at": 86_400.0, **values})


def numbers(**values: Any) -> LedgerRow:
    """Return the ledger of a crawl that has begun: a new store has one already, at version 1."""
    return LedgerRow(version=2, **values)


def report(task: TaskRow, number: int | None = None, **values: Any) -> Report:
    """Return the report of a task under its lease: FETCHED by default."""
    return Report(**{"lease": task.lease if number is None else number, "ref": task.ref, **_FETCHED, **values})


def but(row: Any, **changed: Any) -> Any:
    """Return a row with other values."""
    return msgspec.structs.replace(row, **changed)


def after(row: Any, **changed: Any) -> Any:
    """Return what a row of a test becomes in one batch: its fields changed, its version the next one."""
    return but(row, version=row.version + 1, **changed)


def moved(event: TaskEvent, task: TaskRow, **changed: Any) -> TaskMoved:
    """Return what happened to a task of a test, and its new values."""
    return TaskMoved(event=event, before=task.state, task=after(task, **changed))


def born(task: TaskRow, event: TaskEvent = TaskEvent.ADMITTED) -> TaskMoved:
    """Return that a task is new."""
    return TaskMoved(event=event, before=None, task=task)


def new(row: StoreRow) -> Put:
    """Return that a row is new."""
    return Put(row=row)


def put(row: StoreRow, **changed: Any) -> Put:
    """Return that a row has changed."""
    return Put(row=after(row, **changed))


def gone(lease: LeaseRow, why: str, **changed: Any) -> Gone:
    """Return that a lease is over."""
    return Gone(row=after(lease, **changed), why=why)


def changes(turn: Turn, *kinds: type[StoreRow]) -> list[Change]:
    """Return what a turn decided of rows of some kinds."""
    return [change for change in turn.batch() if isinstance(change, Put) and isinstance(change.row, kinds)]


class CostlessTurn(Turn):
    """A turn whose batch does not say what hosts took, nor what the story has of answers and workers: that is of
    interest to a few tests alone."""

    def batch(self) -> list[Change]:
        return [change for change in map(self._without_costs, super().batch()) if change is not None]

    def whole_batch(self) -> list[Change]:
        """Return the batch as it is."""
        return super().batch()

    def _without_costs(self, change: Change) -> Change | None:
        if isinstance(change, Leased):
            return None
        if isinstance(change, Accepted):
            return msgspec.structs.replace(change, answer=None)
        if not isinstance(change, Put) or not isinstance(change.row, HostRow | LedgerRow):
            return change
        before: HostRow | LedgerRow | None = self._read_ledger
        names: tuple[str, ...] = ("costs", "hosts_with_costs", "costliest", "costly_from")
        if isinstance(change.row, HostRow):
            before, names = self.hosts.first[change.row.key], ("costs",)
        first: Any = before if before is not None else HostRow(key="", delay_s=0.0)
        row = but(change.row, **{name: getattr(first, name) for name in names})
        is_alone = before is not None and row == after(before) and row != change.row
        return None if is_alone else Put(row=row)


class Turns:
    """Makes turns over literal rows, and checks them when the test is over."""

    def __init__(self) -> None:
        self._made: list[tuple[CostlessTurn, MemoryStore, Rows]] = []

    def __call__(self, *rows: StoreRow, now: float = 0.0, **policy: Any) -> CostlessTurn:
        store, before = MemoryStore(), Rows()
        first = [_as_first(row) for row in rows]
        store.apply(first)
        before.take(first)
        turn = CostlessTurn(store, policy_with(POLICY, **policy), now)
        self._made.append((turn, store, before))
        return turn

    def check(self) -> None:
        """Check each turn that was made: what it decided breaks no law that its rows kept."""
        for turn, store, rows in self._made:
            batch = turn.whole_batch()
            store.apply(batch)
            was_broken = broken(rows, turn.policy)
            rows.take(batch)
            assert broken(rows, turn.policy) <= was_broken, broken(rows, turn.policy) - was_broken
            assert turn.whole_batch() == batch


_FETCHED: dict[str, Any] = {"outcome": Outcome.FETCHED, "status": 200}


def _task(kind: Kind, url: str, serves: str, **values: Any) -> TaskRow:
    common: dict[str, Any] = {"kind": kind, "url": url, "origin": serves, "host": host_key(url), "depth": 0, "order": 1}
    is_page = kind in (Kind.PAGE, Kind.CHECK)
    common["ref"] = page_fingerprint(url) if is_page else fingerprint(kind, serves, url)
    common["queue"] = common["host"] if kind is Kind.ROBOTS else origin_of(url)
    return TaskRow(**{**common, "state": PENDING, **values})


def _as_first(row: StoreRow) -> Change:
    if not isinstance(row, TaskRow):
        return Put(row=row)
    event = TaskEvent.REFUSED if row.state in FINAL else TaskEvent.ADMITTED
    return TaskMoved(event=event, before=None, task=row)
