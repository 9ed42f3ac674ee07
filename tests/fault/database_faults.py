"""What may happen to the database of a crawl, and to the coordinator that owns it; a seed is a plan of such mishaps."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from random import Random

from tests.fault.faulty_database import FaultyDatabase, can_fill_disk
from tests.fault.fleet_processes import await_that, kill
from tests.fault.two_coordinators import Progress, TwoCoordinators
from tests.site.generated_site import GeneratedSite
from tests.site.postgresql_proxy import Passes, PostgresqlProxy

END_S = 90.0
LOOK_EVERY_S = 0.05
DELAY_S = 0.15
# What does not end connections lasts so long at least, so that it is noticed.
NOTICED_S = 1.0
BOTH = "both at once"


class Fault(StrEnum):
    """What may happen. A fault of an owner lasts until the other coordinator has taken over, or is brief."""

    DATABASE_KILLED = "database killed"
    DATABASE_RESTARTED = "database restarted"
    DATABASE_FROZEN = "database frozen"
    DATABASE_SLOW = "database slow"
    DISK_FULL = "disk full"
    COMMIT_CUT = "commit cut"
    STANDBY_PROMOTED = "standby promoted"
    OWNER_KILLED = "owner killed"
    OWNER_STOPPED = "owner stopped"
    OWNER_CUT_OFF = "owner cut off"


OF_OWNER = (Fault.OWNER_KILLED, Fault.OWNER_STOPPED, Fault.OWNER_CUT_OFF)
#: These need a server of their own kind, so a run has one of them at most, and once.
ONCE = (Fault.DISK_FULL, Fault.STANDBY_PROMOTED)
#: After these a database is opened anew.
_ENDS_SESSIONS = (Fault.DATABASE_KILLED, Fault.DATABASE_RESTARTED, Fault.STANDBY_PROMOTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """Faults that happen together `after_s` after the site's `at_hit`-th request: one, or that of an owner and that of
    the database. Each lasts `lasts_s`, beside the time until it is noticed unless it `is_brief`."""

    faults: tuple[Fault, ...]
    at_hit: int
    after_s: float
    lasts_s: float
    is_brief: bool

    @property
    def names(self) -> tuple[str, ...]:
        """As what it is counted."""
        return (*self.faults, *((BOTH,) if len(self.faults) > 1 else ()))


def possible_faults() -> list[tuple[Fault, ...]]:
    """Return which mishaps a machine can make: each fault alone, and two at once."""
    both = (Fault.OWNER_KILLED, Fault.DATABASE_KILLED)
    return [*((fault,) for fault in Fault if fault is not Fault.DISK_FULL or can_fill_disk()), both]


def plan(seed: int, hits: int) -> list[Mishap]:
    """Draw one to three mishaps, in the order in which they come. Seeds in a row have each of those possible, in the
    first half of the `hits` that a crawl makes; others may come at its end, or while another one is being overcome."""
    rng = Random(f"mishaps {seed}")
    possible = possible_faults()
    usual = [fault for fault in Fault if fault not in ONCE]
    certain = possible[seed % len(possible)]
    if len(certain) > 1:
        certain = (rng.choice(OF_OWNER), rng.choice(_ENDS_SESSIONS))
    place = rng.randint(1, hits // 2)
    others = rng.sample(usual, rng.choice((0, 0, 1, 2)))
    drawn = [(place, certain), *((rng.choice((place, rng.randint(1, hits))), (fault,)) for fault in others)]
    return [
        Mishap(
            faults=faults,
            at_hit=at_hit,
            after_s=rng.uniform(0, 1.0 if at_hit > hits // 2 else 0.3),
            lasts_s=rng.choice((0.0, rng.uniform(0, 1.5))),
            is_brief=rng.random() < 0.4,
        )
        for at_hit, faults in sorted(drawn)
    ]


class Witness:
    """A thread that notes how a crawl gets on, while this is entered."""

    def __init__(self, progress: Callable[[], Progress]) -> None:
        self._progress = progress
        self._noted: list[tuple[float, Progress]] = [(0.0, Progress())]
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def look(self) -> Progress:
        """Note how far the crawl is now, and return it."""
        with self._lock:
            self.note(time.monotonic(), self._progress())
            return self._noted[-1][1]

    def note(self, at: float, progress: Progress) -> None:
        """Note how far the crawl is at an instant."""
        if progress != self._noted[-1][1]:
            self._noted.append((at, progress))

    def took_over_s(self, since: float) -> float | None:
        """Return how long after an instant the next owner had its first commit; None if there is none yet."""
        before = max(progress for at, progress in self._noted if at <= since)
        later = (
            at - since
            for at, progress in self._noted
            if at > since and progress.epoch > before.epoch and progress.commits > before.commits
        )
        return next(later, None)

    def _run(self) -> None:
        while not self._ends.wait(LOOK_EVERY_S):
            self.look()


class CrawlOver(Exception):
    """The crawl has ended, so nothing more can happen to it."""


class Torturer:
    """Carries a plan out, and notes what happened, and how soon the crawl had its next owner.

    Each fault is a context: it begins where that is entered, and ends where it is left.
    """

    def __init__(self, two: TwoCoordinators, database: FaultyDatabase, site: GeneratedSite, witness: Witness) -> None:
        self._two = two
        self._database = database
        self._site = site
        self._witness = witness
        self._since = 0.0
        self.happened: Counter[str] = Counter()
        self.take_overs: defaultdict[str, list[float]] = defaultdict(list)
        quick, slow = partial(database.delay, 0.0), partial(database.delay, DELAY_S)
        self._contexts: Mapping[Fault, Callable[[Mishap], AbstractContextManager[None]]] = {
            Fault.DATABASE_KILLED: partial(self._of_database, database.kill, database.start, 0.0),
            Fault.DATABASE_RESTARTED: partial(self._of_database, database.stop, database.start, 0.0),
            Fault.DATABASE_FROZEN: partial(self._of_database, database.freeze, database.thaw, NOTICED_S),
            Fault.DATABASE_SLOW: partial(self._of_database, slow, quick, NOTICED_S),
            Fault.DISK_FULL: partial(self._of_database, database.fill_disk, database.free_disk, NOTICED_S),
            Fault.STANDBY_PROMOTED: partial(self._of_database, database.kill, database.fail_over, 0.0),
            Fault.COMMIT_CUT: self._commit_cut,
            Fault.OWNER_KILLED: self._owner_killed,
            Fault.OWNER_STOPPED: self._owner_stopped,
            Fault.OWNER_CUT_OFF: self._owner_cut_off,
        }

    def carry_out(self, mishaps: Sequence[Mishap]) -> None:
        """Let mishaps happen as planned, for as long as there is a crawl."""
        with suppress(CrawlOver):
            for each in mishaps:
                self._await(partial(self._site.await_hits, each.at_hit, LOOK_EVERY_S), "requests")
                time.sleep(each.after_s)
                self._let_happen(each)
                together = [other for other in mishaps if other.at_hit == each.at_hit]
                if each is together[-1]:
                    self._await_commits()
                if together == [each]:
                    self._note_take_over(each.names[-1])

    def _let_happen(self, mishap: Mishap) -> None:
        self._mark()
        with ExitStack() as over:
            for fault in mishap.faults:
                over.enter_context(self._contexts[fault](mishap))
        self.happened.update(mishap.names)

    def _note_take_over(self, name: str) -> None:
        took_over_s = self._witness.took_over_s(self._since)
        if took_over_s is not None:
            self.take_overs[name].append(round(took_over_s, 3))

    def _await(self, holds: Callable[[], object], what: str) -> None:
        """Wait until something holds; raise `CrawlOver` if the crawl has ended before."""
        await_that(lambda: holds() or self._is_over(), END_S, what)
        if self._is_over():
            raise CrawlOver

    def _is_over(self) -> bool:
        coordinators = (self._two.one.coordinator, self._two.other.coordinator)
        return any(each is None or each.poll() is not None for each in coordinators)

    def _await_commits(self) -> None:
        known = self._witness.look().commits
        self._await(lambda: self._witness.look().commits > known, "commit after a fault")

    def _mark(self) -> None:
        """Let a take-over be counted from now on."""
        self._witness.look()
        self._since = time.monotonic()

    @contextmanager
    def _of_database(
        self, begin: Callable[[], None], end: Callable[[], None], least_s: float, mishap: Mishap
    ) -> Iterator[None]:
        """A fault of the database: how it begins and ends, and how long it lasts at least."""
        begin()
        yield
        time.sleep(least_s + mishap.lasts_s)
        end()
        self._mark()

    @contextmanager
    def _commit_cut(self, mishap: Mishap) -> Iterator[None]:
        """The commit is not in if the mishap is brief."""
        self._await(lambda: self._way_of_owner().cut_commit(LOOK_EVERY_S, is_sent=not mishap.is_brief), "commit to cut")
        self._mark()
        yield

    @contextmanager
    def _owner_killed(self, mishap: Mishap) -> Iterator[None]:
        owner = self._two.owner()
        assert owner.coordinator is not None
        kill(owner.coordinator)
        yield
        time.sleep(mishap.lasts_s)
        self._two.start(owner)

    @contextmanager
    def _owner_stopped(self, mishap: Mishap) -> Iterator[None]:
        coordinator = self._two.owner().coordinator
        assert coordinator is not None
        epoch = self._witness.look().epoch
        coordinator.send_signal(signal.SIGSTOP)
        try:
            yield
            self._last(mishap, epoch)
        finally:
            coordinator.send_signal(signal.SIGCONT)

    @contextmanager
    def _owner_cut_off(self, mishap: Mishap) -> Iterator[None]:
        way = self._way_of_owner()
        epoch = self._witness.look().epoch
        way.passes = Passes.NOTHING
        try:
            yield
            self._last(mishap, epoch)
        finally:
            way.passes = Passes.ALL

    def _last(self, mishap: Mishap, epoch: int) -> None:
        """Let a fault of an owner last until the crawl has the next one, or about as long as that takes."""
        if mishap.is_brief:
            time.sleep(NOTICED_S + 2 * mishap.lasts_s)
        else:
            self._await(lambda: self._witness.look().epoch > epoch, "next owner")
            time.sleep(mishap.lasts_s)

    def _way_of_owner(self) -> PostgresqlProxy:
        one, other = self._database.ways
        return one if self._two.owner() is self._two.one else other
