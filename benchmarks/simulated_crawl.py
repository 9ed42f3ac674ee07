"""A crawl in one process: the coordinator's real service, and one session that asks, reports and asks again.

It drives the service message by message, through the codec, as the coordinator's loop does; it must not reach behind
the store's port. What the session does between two exchanges is not measured.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from benchmarks.simulated_site import HOSTS, SimulatedSite, address, site_hosts
from crawlfleet.coordinator.app import GC_THRESHOLDS
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.messages import ExchangeAnswer, ExchangeRequest, Hello, Lease, Report, decode, encode
from tests.policies import make_policy

PER_EXCHANGE = 64
LINKS_PER_TURN = 1_000
TURNS_PER_COMMIT = 5
ASKS = 50
SESSION = "simulated"


class Stopwatch:
    """What was measured: how many there were, wall and CPU time, and the times of the commits."""

    def __init__(self) -> None:
        self.number = 0
        self.elapsed_s = 0.0
        self.cpu_s = 0.0
        self.commits_s: list[float] = []

    @property
    def per_s(self) -> int:
        """How many there were in a second."""
        return round(self.number / self.elapsed_s)

    @property
    def cpu_us(self) -> float:
        """How much CPU time one of them took, in microseconds, over all threads of the process."""
        return round(self.cpu_s / self.number * 1e6, 1)

    def commit_ms(self, share: float) -> float:
        """Return the time of a commit that this share of the commits kept to, in milliseconds."""
        return round(sorted(self.commits_s)[int(len(self.commits_s) * share)] * 1e3, 1)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure while the block runs."""
        began, cpu = time.perf_counter(), time.process_time()
        yield
        self.elapsed_s += time.perf_counter() - began
        self.cpu_s += time.process_time() - cpu


class SimulatedCrawl:
    """One service over a store, and the session that keeps it busy."""

    def __init__(self, store: Store, known: int = 0, now: float = 0.0) -> None:
        gc.set_threshold(*GC_THRESHOLDS)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
        scope = ScopeSpec(hosts=site_hosts())
        policy = make_policy(user_agent="bench", scope=scope, delay_s=0.0, per_host=64, lease_s=3_600.0)
        self._now = now
        self._service = Service(store, policy, Brief(job="bench", scope=scope), 1, _tell_nobody, now)
        self._site = SimulatedSite(known)
        self._reports: tuple[Report, ...] = ()

    def fill(self, known: int) -> Stopwatch:
        """Make the store know that many pages, by admission in large turns."""
        watch = Stopwatch()
        for commit in _runs(range(self._site.known, known), LINKS_PER_TURN * TURNS_PER_COMMIT):
            with watch.running():
                for turn in _runs(commit, LINKS_PER_TURN):
                    self._service.admit([Link(url=address(number), depth=1) for number in turn], self._now)
                    watch.number += len(turn)
                self._commit(watch)
        self._site = SimulatedSite(max(known, self._site.known))
        return watch

    def open(self) -> None:
        """Join, and settle what robots.txt files there are."""
        self._service.hello(Hello(session=SESSION), self._now)
        self.crawl(HOSTS * 2)

    def crawl(self, tasks: int) -> Stopwatch:
        """Go on until that many tasks more are settled."""
        watch = Stopwatch()
        while watch.number < tasks:
            leases = self._exchange(self._reports, watch)
            watch.number += len(self._reports)
            self._reports = self._site.reports(leases)
        return watch

    def grant(self) -> Stopwatch:
        """Ask for tasks without a report, then give them back; only the asking is measured."""
        watch = Stopwatch()
        leases: list[Lease] = []
        for _ in range(ASKS):
            leases += self._exchange((), watch, tuple(lease.id for lease in leases))
        watch.number = sum(len(lease.tasks) for lease in leases)
        self._service.exchange(
            ExchangeRequest(session=SESSION, released=tuple(lease.id for lease in leases)), self._now
        )
        self._commit(Stopwatch())
        self._reports = ()
        return watch

    def _exchange(self, reports: tuple[Report, ...], watch: Stopwatch, holding: tuple[int, ...] = ()) -> list[Lease]:
        """Take one turn and commit it; return the leases that are new."""
        request = encode(ExchangeRequest(session=SESSION, reports=reports, holding=holding, want=PER_EXCHANGE))
        with watch.running():
            answer = encode(self._service.exchange(decode(request, ExchangeRequest), self._now))
            self._commit(watch)
        return list(decode(answer, ExchangeAnswer).leases)

    def _commit(self, watch: Stopwatch) -> None:
        began = time.perf_counter()
        self._now += 0.01
        self._service.flush(self._now)
        watch.commits_s.append(time.perf_counter() - began)


def _runs(numbers: range, length: int) -> Iterator[range]:
    for first in range(0, len(numbers), length):
        yield numbers[first : first + length]


def _tell_nobody(_changes: object) -> None:
    pass
