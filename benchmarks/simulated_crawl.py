"""A crawl without a network: a site of any size and one session that asks, reports and asks again.

It drives the coordinator's real service, message by message and through the codec, as its loop does; it must not reach
behind the store's port. The site has `HOSTS` hosts; every page has 20 outlinks of which one is new, fourteen
are popular or recent, as navigation is, and five lie anywhere among all that is known: no cache can hold those.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import msgspec
import structlog

from coordinator.core.admission import Link
from coordinator.core.policy import Policy
from coordinator.frontier.port import Store
from coordinator.intake import Intake
from coordinator.service import Service
from coordinator.turns import Turns
from shared.messages import (
    Brief,
    ExchangeAnswer,
    ExchangeRequest,
    Hello,
    Kind,
    Lease,
    Outcome,
    Report,
    Row,
    ScopeSpec,
    Task,
    decode,
    encode,
)

HOSTS = 20
POPULAR = 100
RECENT = 2_000
ANYWHERE = 5
PER_EXCHANGE = 64
LINKS_PER_TURN = 1_000
TURNS_PER_COMMIT = 5
SESSION = "simulated"
_ROWS = (Row(item="page", index=0, fields={"title": "A title of usual length, as pages have them"}),)


def address(number: int) -> str:
    """Return the address of a page by its number."""
    return f"http://www.host-{number % HOSTS:02}.test/section-{number % 37}/an-article-of-some-length-{number}.html"


def site_scope() -> ScopeSpec:
    """Return the scope that holds every page."""
    return ScopeSpec(hosts=tuple(f"www.host-{number:02}.test" for number in range(HOSTS)))


def site_policy() -> Policy:
    """Return rules that hold nothing back: the store is to be the limit, not politeness."""
    return Policy(user_agent="bench", scope=site_scope(), delay_s=0.0, per_host=64, lease_s=3_600.0)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured over some pages; the commit times are in the order of the commits."""

    pages: int
    elapsed_s: float
    cpu_s: float
    commits_s: tuple[float, ...]


class Outlinks:
    """The outlinks of each page in turn. `known` is how many pages have been told so far."""

    def __init__(self, known: int) -> None:
        self.known = known
        self._chance = random.Random(known)

    def next(self) -> tuple[str, ...]:
        """Return the outlinks of one more page; the first of them is new."""
        chance, known = self._chance, self.known
        self.known += 1
        popular = [chance.randrange(min(POPULAR, known)) for _ in range(8)]
        recent = [known - 1 - chance.randrange(min(RECENT, known)) for _ in range(6)]
        anywhere = [chance.randrange(known) for _ in range(ANYWHERE)]
        return tuple(address(number) for number in (known, *popular, *recent, *anywhere))


class SimulatedCrawl:
    """One service over a store, and the session that keeps it busy."""

    def __init__(self, store: Store, known: int = 0, now: float = 0.0) -> None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
        self._store = store
        self._now = now
        policy = site_policy()
        self._intake = Intake(Turns(store, policy, _tell_nobody), max_outlinks=10_000)
        self._service = Service(store, policy, Brief(job="bench", scope=policy.scope), 1, _tell_nobody, now)
        self._outlinks = Outlinks(known)
        self._reports: list[Report] = []

    @property
    def known(self) -> int:
        """How many pages the store knows."""
        return self._outlinks.known

    def fill(self, known: int) -> None:
        """Make the store know that many pages, by admission in large turns."""
        for commit in _runs(self.known, known, LINKS_PER_TURN * TURNS_PER_COMMIT):
            for turn in _runs(commit.start, commit.stop, LINKS_PER_TURN):
                self._intake.admit([Link(url=address(number), depth=1) for number in turn], self._now)
            self._commit()
        self._outlinks = Outlinks(max(known, self.known))

    def open(self) -> None:
        """Join, and settle what robots.txt files there are."""
        self._service.hello(Hello(session=SESSION), self._now)
        self.crawl(HOSTS * 2)

    def crawl(self, pages: int) -> Window:
        """Go on until that many tasks more are settled; measure the coordinator's part, with its codec."""
        commits: list[float] = []
        settled, elapsed_s, cpu_s = 0, 0.0, 0.0
        while settled < pages:
            data = encode(ExchangeRequest(session=SESSION, reports=tuple(self._reports), want=PER_EXCHANGE))
            began, cpu = time.perf_counter(), time.process_time()
            answer = encode(self._service.exchange(decode(data, ExchangeRequest), self._now))
            commits.append(self._commit())
            elapsed_s += time.perf_counter() - began
            cpu_s += time.process_time() - cpu
            settled += len(self._reports)
            self._reports = [report for lease in decode(answer, ExchangeAnswer).leases for report in self._fetch(lease)]
        return Window(pages=settled, elapsed_s=elapsed_s, cpu_s=cpu_s, commits_s=tuple(commits))

    def _fetch(self, lease: Lease) -> Iterator[Report]:
        for task in lease.tasks:
            yield robots_report(lease, task) if task.kind is Kind.ROBOTS else self._page_report(lease, task)

    def _page_report(self, lease: Lease, task: Task) -> Report:
        return page_report(lease, task, self._outlinks.next())

    def _commit(self) -> float:
        began = time.perf_counter()
        self._now += 0.01
        self._service.flush(self._now)
        return time.perf_counter() - began


def robots_report(lease: Lease, task: Task) -> Report:
    """Return the report of a host that has no robots.txt."""
    return Report(lease=lease.id, ref=task.ref, outcome=Outcome.HTTP_ERROR, status=404, reason="http_404", age_s=0.0)


def page_report(lease: Lease, task: Task, outlinks: tuple[str, ...]) -> Report:
    """Return the report of a page."""
    return Report(
        lease=lease.id,
        ref=task.ref,
        outcome=Outcome.FETCHED,
        status=200,
        age_s=0.0,
        elapsed_s=0.02,
        size_bytes=38_000,
        content_type="text/html",
        outlinks=outlinks,
        rows=_ROWS,
    )


def _runs(first: int, end: int, length: int) -> Iterator[range]:
    for start in range(first, end, length):
        yield range(start, min(start + length, end))


def _tell_nobody(_changes: object) -> None:
    pass
