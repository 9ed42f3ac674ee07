"""Taking in: links that are discovered, and reports."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from itertools import chain

from crawlfleet.coordinator.conduct.turns import Turns
from crawlfleet.coordinator.core import admission, robots, settle, traps
from crawlfleet.coordinator.core.admission import Link, Nearer
from crawlfleet.coordinator.core.facts import Facts
from crawlfleet.coordinator.core.leases import settle_some
from crawlfleet.coordinator.core.policy import TrapLimits, Unit
from crawlfleet.coordinator.core.rows import TaskRow
from crawlfleet.coordinator.core.settle import Named
from crawlfleet.coordinator.core.units import key_of_address
from crawlfleet.coordinator.frontier.reading import (
    read_addresses,
    read_depths,
    read_hosts,
    read_leases,
    read_origins,
    read_siblings,
    read_tasks,
    read_traps,
)
from crawlfleet.shared.messages import Ack, AckState, Kind, Report
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.web.urls import is_canonical, origin

RECONSIDERED_PER_TURN = 1_000


class Intake:
    """The shell around the rules of admission and settling."""

    def __init__(self, turns: Turns, max_outlinks: int) -> None:
        self._turns = turns
        self._store = turns.store
        self._policy = turns.policy
        self._max_outlinks = max_outlinks
        self._urls = policy_of(self._policy.urls)
        self._counts_traps = self._policy.traps != TrapLimits()

    def admit(self, links: Sequence[Link], now: float) -> None:
        """Admit links in one turn."""
        self._turns.run(lambda facts: self._admit(links, facts, now))

    def take(self, reports: Sequence[Report], session: str, now: float) -> tuple[Ack, ...]:
        """Settle the reports of a session in one turn; return their acks in order."""
        if not reports:
            return ()
        return self._turns.run(lambda facts: self._take(reports, session, facts, now))

    def reconsider(self, now: float, reasons: Collection[str] = ()) -> None:
        """Judge known pages again, by rules that have changed: all, or those that were dropped for certain reasons."""
        after = 0
        while rows := self._store.walk(after, RECONSIDERED_PER_TURN):
            pages = [row for row in rows if row.kind is Kind.PAGE and (not reasons or row.reason in reasons)]
            if pages:
                self._turns.run(partial(self._reconsider, pages, now=now))
            after = rows[-1].order

    def _reconsider(self, pages: Sequence[TaskRow], facts: Facts, now: float) -> None:
        read_tasks(facts, self._store, (page.ref for page in pages))
        self._read_places(facts, [page.url for page in pages])
        read_hosts(facts, self._store, (page.host for page in pages))
        read_tasks(facts, self._store, (robots.task_ref(origin(page.url)) for page in pages))
        for page in pages:
            admission.reconsider(page, facts, self._policy, now)

    def _admit(self, links: Sequence[Link], facts: Facts, now: float) -> None:
        read_depths(facts, self._store, (link.ref for link in links))
        self._read_places(facts, [link.url for link in links])
        self._lower(admission.admit(links, facts, self._policy, now), facts, now)

    def _take(self, reports: Sequence[Report], session: str, facts: Facts, now: float) -> tuple[Ack, ...]:
        self._read(reports, facts)
        named = [self._named_by(report, facts) for report in reports]
        read_depths(facts, self._store, chain.from_iterable(found.refs for found in named))
        known = set(chain.from_iterable(found.known for found in named))
        facts.strangers = self._store.strangers(known)
        if self._policy.depth is not None:
            read_depths(facts, self._store, known - facts.strangers)
        settled: dict[int, set[bytes]] = {}
        acks = []
        for report, found in zip(reports, named, strict=True):
            state = self._judge(report, session, facts)
            if state is None:
                state = AckState.OK
                self._settle(report, found, facts, now)
                if not self._is_part(report, facts):
                    settled.setdefault(report.lease, set()).add(report.ref)
            acks.append(Ack(lease=report.lease, ref=report.ref, state=state))
        for number, done in settled.items():
            lease = facts.leases[number]
            if lease is not None:
                settle_some(lease, done, facts, self._policy, now)
        return tuple(acks)

    def _read(self, reports: Sequence[Report], facts: Facts) -> None:
        read_tasks(facts, self._store, (report.ref for report in reports))
        read_leases(facts, self._store, (report.lease for report in reports))
        rows = [row for row in facts.tasks.values() if row is not None]
        read_hosts(facts, self._store, (row.host for row in rows))
        if self._policy.unit is Unit.ADDRESS:
            read_hosts(facts, self._store, (key_of_address(report.address, self._policy) for report in reports))
        read_origins(facts, self._store, (row.origin for row in rows if row.kind is Kind.ROBOTS))

    def _judge(self, report: Report, session: str, facts: Facts) -> AckState | None:
        """Return the ack of a report that changes nothing, or None if it counts."""
        lease = facts.leases[report.lease]
        state = settle.judge(report, facts.tasks[report.ref])
        return AckState.STALE if state is None and lease is not None and lease.session != session else state

    def _settle(self, report: Report, named: Named, facts: Facts, now: float) -> None:
        """Let a report happen. Only a link that is not known is judged again: is it what it claims to be?"""
        task = facts.tasks[report.ref]
        assert task is not None, "a report of an unknown task does not count"
        links, told = settle.links_of(task, report, named, facts, self._policy)
        sound = [link for link in links if facts.depths[link.ref] is not None or self._is_sound(link)]
        if task.kind is Kind.ROBOTS:
            self._read_siblings(task, report, facts)
        self._read_ends(sound, facts)
        self._lower(settle.settle(report, sound, told, facts, self._policy, now), facts, now)

    def _read_siblings(self, task: TaskRow, report: Report, facts: Facts) -> None:
        """Read the origins whose robots.txt files set the delay of a host together with this one."""
        row = facts.origins[task.origin]
        keys = {task.host, row.host if row is not None else "", key_of_address(report.address, self._policy)}
        read_siblings(facts, self._store, keys)

    def _read_ends(self, links: Sequence[Link], facts: Facts) -> None:
        """Read where links to what is new lead to, and the tasks of robots.txt files, which may be asked for again."""
        robots = [link for link in links if link.kind is Kind.ROBOTS]
        if robots:
            read_tasks(facts, self._store, (link.ref for link in robots))
        fresh = [link for link in links if facts.depths[link.ref] is None]
        if robots or fresh:
            self._read_places(facts, [link.url for link in (*robots, *fresh)])

    def _is_sound(self, link: Link) -> bool:
        """Say whether a URL is canonical. A sitemap's is kept as it is found, whatever the job takes for one."""
        return self._urls.is_canonical(link.url) if link.kind is Kind.PAGE else is_canonical(link.url)

    def _is_part(self, report: Report, facts: Facts) -> bool:
        task = facts.tasks[report.ref]
        return task is not None and settle.is_part(task, report)

    def _lower(self, nearer: Sequence[Nearer], facts: Facts, now: float) -> None:
        """Pass smaller depths on until nothing is nearer any more."""
        while nearer:
            read_tasks(facts, self._store, (found.ref for found in nearer))
            rows = [facts.tasks[found.ref] for found in nearer]
            self._read_places(facts, [row.url for row in rows if row is not None])
            nearer = admission.lower(nearer, facts, self._policy, now)

    def _read_places(self, facts: Facts, urls: Sequence[str]) -> None:
        """Read what judging canonical URLs may need, and opening them: their hosts and origins, and what is counted."""
        read_addresses(facts, self._store, urls, self._policy)
        if self._counts_traps:
            read_traps(facts, self._store, (key for url in urls for key in traps.keys_of(url, facts, self._policy)))

    def _named_by(self, report: Report, facts: Facts) -> Named:
        task = facts.tasks[report.ref]
        return settle.named_by(task, report, self._policy, self._max_outlinks) if task is not None else Named([], [])
