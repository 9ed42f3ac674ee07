"""Taking in: links that are discovered, and reports."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from coordinator.core import admission, settle
from coordinator.core.admission import Link, Nearer
from coordinator.core.facts import Facts
from coordinator.core.rows import TaskRow
from coordinator.frontier.reading import read_addresses, read_hosts, read_leases, read_origins, read_tasks
from coordinator.turns import Turns
from shared.messages import Ack, AckState, Kind, Report

RECONSIDERED_PER_TURN = 1_000


class _Discovery(NamedTuple):
    """What a report discovers, by the row of its task as it was then."""

    task: TaskRow | None
    links: list[Link]


class Intake:
    """The shell around the rules of admission and settling."""

    def __init__(self, turns: Turns, max_outlinks: int) -> None:
        self._turns = turns
        self._store = turns.store
        self._policy = turns.policy
        self._max_outlinks = max_outlinks

    def admit(self, links: Sequence[Link], now: float) -> None:
        """Admit links in one turn."""
        self._turns.run(lambda facts: self._admit(links, facts, now))

    def take(self, reports: Sequence[Report], session: str, now: float) -> tuple[Ack, ...]:
        """Settle the reports of a session in one turn; return their acks in order."""
        if not reports:
            return ()
        return self._turns.run(lambda facts: self._take(reports, session, facts, now))

    def reconsider(self, now: float) -> None:
        """Judge all known pages again, by rules that have changed."""
        after = 0
        while rows := self._store.walk(after, RECONSIDERED_PER_TURN):
            pages = [row for row in rows if row.kind is Kind.PAGE]
            self._turns.run(partial(self._reconsider, pages, now=now))
            after = rows[-1].order

    def _reconsider(self, pages: Sequence[TaskRow], facts: Facts, now: float) -> None:
        read_tasks(facts, self._store, (page.ref for page in pages))
        read_addresses(facts, self._store, (page.url for page in pages))
        for page in pages:
            admission.reconsider(page, facts, self._policy, now)

    def _admit(self, links: Sequence[Link], facts: Facts, now: float) -> None:
        read_tasks(facts, self._store, (link.ref for link in links))
        read_addresses(facts, self._store, (link.url for link in links))
        self._lower(admission.admit(links, facts, self._policy, now), facts, now)

    def _take(self, reports: Sequence[Report], session: str, facts: Facts, now: float) -> tuple[Ack, ...]:
        self._read(reports, facts)
        discoveries = [self._discover(report, facts) for report in reports]
        read_tasks(facts, self._store, (link.ref for found in discoveries for link in found.links))
        read_tasks(facts, self._store, (ref for report in reports for ref in settle.known_of(report)))
        return tuple(
            self._take_one(report, found, session, facts, now)
            for report, found in zip(reports, discoveries, strict=True)
        )

    def _read(self, reports: Sequence[Report], facts: Facts) -> None:
        read_tasks(facts, self._store, (report.ref for report in reports))
        read_leases(facts, self._store, (report.lease for report in reports))
        rows = [row for row in facts.tasks.values() if row is not None]
        read_hosts(facts, self._store, (row.host for row in rows))
        read_origins(facts, self._store, (row.origin for row in rows if row.kind is Kind.ROBOTS))

    def _take_one(self, report: Report, found: _Discovery, session: str, facts: Facts, now: float) -> Ack:
        lease = facts.leases[report.lease]
        state = settle.judge(report, facts.tasks[report.ref])
        if state is None and lease is not None and lease.session != session:
            state = AckState.STALE
        if state is None:
            state = AckState.OK
            self._settle(report, found, facts, now)
        return Ack(lease=report.lease, ref=report.ref, state=state)

    def _settle(self, report: Report, found: _Discovery, facts: Facts, now: float) -> None:
        """Let a report happen. Only a link that is not known is judged again: is it what it claims to be?"""
        if facts.tasks[report.ref] is not found.task:
            # An earlier report of the same turn found the page nearer, and so its links.
            found = self._discover(report, facts)
        sound = [link for link in found.links if facts.tasks[link.ref] or admission.is_canonical(link.url)]
        read_addresses(facts, self._store, (link.url for link in sound if facts.tasks[link.ref] is None))
        self._lower(settle.settle(report, sound, facts, self._policy, now), facts, now)

    def _lower(self, nearer: Sequence[Nearer], facts: Facts, now: float) -> None:
        """Pass smaller depths on until nothing is nearer any more."""
        while nearer:
            read_tasks(facts, self._store, (found.ref for found in nearer))
            rows = [facts.tasks[found.ref] for found in nearer]
            read_addresses(facts, self._store, (row.url for row in rows if row is not None))
            nearer = admission.lower(nearer, facts, self._policy, now)

    def _discover(self, report: Report, facts: Facts) -> _Discovery:
        task = facts.tasks[report.ref]
        links = settle.links_of(task, report, self._policy) if task is not None else []
        return _Discovery(task, links[: self._max_outlinks])
