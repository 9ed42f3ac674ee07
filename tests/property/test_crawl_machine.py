"""Any order of events ends the same: nothing lost, nothing doubled, no host asked too soon.

Hypothesis makes up a small web, a policy, and what happens to the fleet; after every step all invariants are checked,
and at the end healthy workers must finish the crawl.
"""

from __future__ import annotations

import os
import sys
import tempfile
from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crawlfleet.coordinator.conduct.pool_post import PoolPost
from crawlfleet.coordinator.core.policy import Policy, Unit
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.shared.messages import ExchangeRequest, Outcome, Report
from tests.policies import make_policy
from tests.property.crawl_model import World, copy_of, invariants, verdict
from tests.property.crawl_site import HOSTS, MISFORTUNES, Robots, Site, SitePage
from tests.property.sim_worker import SimProgram, SimWorker, parallel_on

LEASE_S = 10.0
_IS_LONG = os.environ.get("CRAWLFLEET_HYPOTHESIS") == "ci"
_WHO = st.integers(0, 3)
STEPS_TO_THE_END = 1_500

_NUMBERS = st.integers(0, 11)
_PAGES = st.builds(
    SitePage,
    host=st.integers(0, 2),
    links=st.lists(_NUMBERS, min_size=1, max_size=4).map(tuple),
    moved_to=st.one_of(st.none(), st.none(), st.none(), _NUMBERS),
    private=st.sampled_from([False, False, False, True]),
    deadly=st.sampled_from([False] * 9 + [True]),
)
_SITES = st.builds(
    Site,
    pages=st.lists(_PAGES, min_size=4, max_size=12).map(tuple),
    robots=st.tuples(*[st.sampled_from(Robots)] * 3),
    listed=st.one_of(st.just(()), st.lists(_NUMBERS, min_size=1, max_size=6).map(tuple)),
)
_POLICIES = st.builds(
    make_policy,
    user_agent=st.just("sim"),
    scope=st.just(Site((), (Robots.NONE,) * 3).scope()),
    delay_s=st.sampled_from([0.0, 1.0]),
    per_host=st.integers(1, 4),
    lease_s=st.just(LEASE_S),
    retries=st.integers(0, 2),
    types=st.just(("text/html",)),
    retry_max_s=st.just(8.0),
    hold_max_s=st.just(20.0),
    depth=st.one_of(st.none(), st.integers(0, 3)),
    pages=st.one_of(st.none(), st.integers(1, 4)),
    grows=st.just(False),
    unit=st.sampled_from([Unit.HOST, Unit.ADDRESS]),
    hosts_per_look=st.sampled_from([1, 2]),
    robots_wait_s=st.sampled_from([0.0, 5.0, 30.0]),
    robots_pause_s=st.just(2.0),
    robots_pause_max_s=st.just(8.0),
    robots_fresh_s=st.sampled_from([5.0, 20.0, 86_400.0]),
    robots_fresh_least_s=st.just(1.0),
    tasks_per_lease=st.integers(1, 4),
    tasks_per_slot=st.integers(1, 3),
)
_MISHAPS = st.lists(st.sampled_from(["", "", *sorted(MISFORTUNES)]), max_size=6)
_PAUSES = st.sampled_from([0.1, 0.5, 1.0, 2.0, 4.0])

_ASKED_PAGES = st.lists(_NUMBERS, min_size=1, max_size=3)
_PRIORITIES = st.sampled_from([None, None, 0, 1])

someone = precondition(lambda self: bool(self.alive))
some_program = precondition(lambda self: bool(self.programs))


class CrawlMachine(RuleBasedStateMachine):
    """A fleet at work, and everything that can happen to it."""

    @initialize(site=_SITES, policy=_POLICIES, rounds=st.integers(0, 6))
    def begin(self, site: Site, policy: Policy, rounds: int) -> None:
        self.store = self._open()
        self.world = World(self.store, policy, site)
        self.names = (f"s{number}" for number in count(1))
        self.alive: list[SimWorker] = []
        self.dead: list[str] = []
        self.post = PoolPost(self.world.store, self.world.service.pools.book_of)
        self.programs: list[SimProgram] = []
        self._join()
        self._join()
        self.all_work(rounds, 0.5, [])

    @someone
    @rule(who=_WHO, rounds=st.integers(2, 12), mishaps=_MISHAPS)
    def one_works(self, who: int, rounds: int, mishaps: list[str]) -> None:
        self.mishaps = mishaps
        session = self._worker(who).session
        for _ in range(rounds):
            for worker in [worker for worker in self.alive if worker.session == session]:
                self._work(worker, 2)
                self.world.advance(0.5)

    @precondition(lambda self: len(self.alive) < 4)
    @rule(replace=st.booleans())
    def join(self, replace: bool) -> None:
        self._join(replaces=self.dead.pop() if replace and self.dead else "")

    @rule(rounds=st.integers(1, 6), pause_s=st.sampled_from([0.0, 0.3, 1.0, 2.0]), mishaps=_MISHAPS)
    def all_work(self, rounds: int, pause_s: float, mishaps: list[str]) -> None:
        self.mishaps = mishaps
        for _ in range(rounds):
            for worker in list(self.alive):
                self._work(worker, 6)
            self.world.advance(pause_s)

    @someone
    @rule(who=_WHO, want=st.integers(0, 8), trip_s=st.sampled_from([0.0, 0.0, 0.25]), lost=st.booleans())
    def exchange(self, who: int, want: int, trip_s: float, lost: bool) -> None:
        self._worker(who).exchange(want, trip_s, lose_answer=lost and trip_s > 0)

    @someone
    @rule(who=_WHO, want=st.integers(1, 8))
    def exchange_and_start(self, who: int, want: int) -> None:
        worker = self._worker(who)
        worker.exchange(want)
        if not worker.start():
            self._bury(worker)

    @someone
    @rule(who=_WHO, places=st.lists(st.integers(0, 3), min_size=1, max_size=4), lying=st.integers(0, 4))
    def finish(self, who: int, places: list[int], lying: int) -> None:
        worker = self._worker(who)
        for place in places[: len(worker.running)]:
            worker.finish(place, lying=lying == 4)

    @someone
    @rule(who=_WHO, place=st.integers(0, 3), mishap=st.sampled_from(sorted(MISFORTUNES)))
    def fail(self, who: int, place: int, mishap: str) -> None:
        if self._worker(who).running:
            self._worker(who).finish(place, mishap)

    @someone
    @rule(who=_WHO)
    def give_back(self, who: int) -> None:
        self._worker(who).give_back()
        self._worker(who).exchange(0)

    @someone
    @rule(who=_WHO)
    def drain(self, who: int) -> None:
        worker = self._worker(who)
        worker.drain()
        worker.exchange(0)
        self._see_off(worker)

    @someone
    @rule(who=_WHO)
    def goodbye(self, who: int) -> None:
        worker = self._worker(who)
        worker.goodbye()
        self.alive.remove(worker)

    @someone
    @rule(who=_WHO)
    def die(self, who: int) -> None:
        self._bury(self._worker(who))

    @rule(seconds=_PAUSES, flush=st.booleans())
    def pass_time(self, seconds: float, flush: bool) -> None:
        self.world.advance(seconds, flush)

    @someone
    @rule(who=_WHO, rounds=st.integers(0, 3))
    def fall_silent(self, who: int, rounds: int) -> None:
        silent = self._worker(who)
        for pause_s in (*[1.0] * rounds, LEASE_S - rounds + 0.5, *[0.5] * rounds):
            self.world.advance(pause_s)
            for worker in [worker for worker in self.alive if worker is not silent]:
                self._work(worker, 4)

    @someone
    @rule(who=_WHO, place=st.integers(0, 50))
    def resend(self, who: int, place: int) -> None:
        if self.world.accepted:
            old = self.world.accepted[place % len(self.world.accepted)]
            self._tell(self._worker(who), copy_of(old, 1.0))

    @someone
    @rule(who=_WHO, place=st.integers(0, 50), lease=st.integers(0, 12))
    def forge(self, who: int, place: int, lease: int) -> None:
        worker, tasks = self._worker(who), list(self.world.mirror.tasks.values())
        task, current = tasks[place % len(tasks)], self.world.mirror.leases.get(lease)
        if lease == 0 or (current is not None and current.session != worker.session):
            self._tell(worker, Report(lease=lease, ref=task.ref, outcome=Outcome.FETCHED, status=200))

    @precondition(lambda self: len(self.programs) < 2)
    @rule()
    def come_as_a_program(self) -> None:
        self.programs.append(SimProgram(self.world, f"p{next(self.names)}", self.post))
        self.programs[-1].turn()

    @some_program
    @rule(who=_WHO, pages=_ASKED_PAGES, follow=st.booleans(), priority=_PRIORITIES, lost=st.booleans())
    def ask_for(self, who: int, pages: list[int], follow: bool, priority: int | None, lost: bool) -> None:
        program = self._program(who)
        for number in pages:
            program.asks.wish(self.world.site.url(number), priority, follow=follow)
        program.turn(lose_reply=lost)

    @some_program
    @rule(who=_WHO, places=st.lists(st.integers(0, 6), max_size=4), started_too=st.booleans(), lost=st.booleans())
    def take_back(self, who: int, places: list[int], started_too: bool, lost: bool) -> None:
        self._program(who).cancel(places, started_too, lost)

    @some_program
    @rule(who=_WHO, lost=st.booleans())
    def collect(self, who: int, lost: bool) -> None:
        self._program(who).turn(lose_reply=lost)

    @some_program
    @rule(who=_WHO)
    def let_a_program_die(self, who: int) -> None:
        self.programs.remove(self._program(who))

    @invariant()
    def all_holds(self) -> None:
        if hasattr(self, "world"):
            invariants(self.world)
            for host in HOSTS:
                under_way = parallel_on(self.alive, self.world, host)
                assert under_way <= self.world.policy.politeness.per_host, f"{under_way} at once on {host}"

    def teardown(self) -> None:
        try:
            if hasattr(self, "world") and sys.exc_info()[0] is None:
                self._finish()
        finally:
            if hasattr(self, "store"):
                self.store.close()

    def _open(self) -> Store:
        """Return the store of an example."""
        return MemoryStore()

    def _finish(self) -> None:
        """Let healthy workers and programs finish the crawl, and judge it."""
        self.mishaps = []
        for _ in range(STEPS_TO_THE_END):
            if self._are_programs_served() and self.world.service.is_finished:
                break
            while len(self.alive) < 2:
                self._join()
            for worker in list(self.alive):
                self._work(worker, 8)
            self.all_holds()
            self.world.advance(0.5)
        verdict(self.world)
        for program in self.programs:
            program.check()

    def _are_programs_served(self) -> bool:
        """Let programs collect what is left, and close their pools; say whether all have."""
        served = 0
        for program in self.programs:
            program.turn()
            if not program.asks.open():
                program.close()
                served += 1
        return served == len(self.programs)

    def _program(self, who: int) -> SimProgram:
        return self.programs[who % len(self.programs)]

    def _join(self, replaces: str = "") -> None:
        self.alive.append(SimWorker(self.world, next(self.names), replaces))

    def _worker(self, who: int) -> SimWorker:
        return self.alive[who % len(self.alive)]

    def _bury(self, worker: SimWorker) -> None:
        self.alive.remove(worker)
        self.dead.append(worker.session)

    def _work(self, worker: SimWorker, want: int) -> None:
        """Do all that can be done now, as a healthy worker does."""
        if not worker.start():
            self._bury(worker)
            return
        while worker.running:
            worker.finish(mishap=self.mishaps.pop() if self.mishaps else "")
        worker.exchange(want)
        self._see_off(worker)

    def _see_off(self, worker: SimWorker) -> None:
        """Let a worker leave once its drain is complete."""
        if worker.is_drained:
            worker.goodbye()
            self.alive.remove(worker)

    def _tell(self, worker: SimWorker, report: Report) -> None:
        """Send a report past the worker's client."""
        self.world.exchange(ExchangeRequest(session=worker.session, reports=(report,)))


class StoredCrawlMachine(CrawlMachine):
    """The same over a file."""

    def _open(self) -> Store:
        self.folder = tempfile.TemporaryDirectory()
        return SqliteStore(Path(self.folder.name) / FRONTIER)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            self.folder.cleanup()


def settings_of(examples: int, *, long: int) -> settings:
    """Return the settings of a machine that runs so many examples, or `long` ones of more steps if that is set."""
    return settings(
        max_examples=long if _IS_LONG else examples,
        stateful_step_count=80 if _IS_LONG else 30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


TestCrawl = CrawlMachine.TestCase
TestCrawl.settings = settings_of(200, long=5_000)
TestStoredCrawl = StoredCrawlMachine.TestCase
TestStoredCrawl.settings = settings_of(20, long=500)
