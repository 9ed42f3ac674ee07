"""Puts a coordinator together and runs it: the only file that names concrete classes.

Order of the end: the crawl is over (or a signal came), workers hear of it and say goodbye, the server closes, the loop
ends, the sinks are written to the end, the summary is left.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType

import msgspec
import structlog

from crawlfleet.coordinator.conduct.journal import Journal
from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.conduct.tally import Tally, tally
from crawlfleet.coordinator.core.policy import Budget, Policy, Priority, TrapLimits, Unit
from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.coordinator.crawl_folder import FRONTIER, JOIN, MARKS, CrawlFolder
from crawlfleet.coordinator.frontier.memory_store import MemoryStore
from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.coordinator.frontier.sqlite_store import SqliteStore
from crawlfleet.coordinator.job.change import take_job
from crawlfleet.coordinator.job.job import Job, as_data, brief, load
from crawlfleet.coordinator.job.seeds import pages_of, sitemaps_of
from crawlfleet.coordinator.results.results_dict import ResultsDict
from crawlfleet.coordinator.server import Control, referents
from crawlfleet.coordinator.sinks.follower import Follower
from crawlfleet.coordinator.sinks.marks import Marks
from crawlfleet.coordinator.sinks.registry import open_sink
from crawlfleet.coordinator.summary import Summary, write
from crawlfleet.shared import log
from crawlfleet.shared.errors import CrawlFailed
from crawlfleet.shared.exits import INTERRUPTED
from crawlfleet.shared.messages import Brief, Status
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.wire.control_port import FleetServer
from crawlfleet.shared.wire.identity import load_or_create
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.shared.wire.manager import FleetManager

FAREWELL_S = 3.0
READING_S = 1.0
GC_THRESHOLDS = (50_000, 20, 100)
FAILED = 1


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to serve a job. `advertise` are the addresses that the join token names (default: this machine's)."""

    job: Path
    crawls: Path = Path("crawls")
    host: str = "127.0.0.1"
    port: int = 0
    advertise: tuple[str, ...] = ()
    fresh: bool = False
    accept_changes: bool = False
    identity: Path | None = None
    join_file: Path | None = None
    log_to_console: bool = True


class Crawl:
    """One coordinator: everything that serves one job, put together and not yet running."""

    def __init__(self, job: Job, folder: CrawlFolder, options: Options) -> None:
        self.folder = folder
        self._job = job
        self._started_at = datetime.now(UTC)
        self._stop = threading.Event()
        self._over = threading.Event()
        work = brief(job)
        with ExitStack() as opened:  # closed again unless all of it can be opened
            self._store, epoch, began_at = _open_store(job, folder)
            opened.callback(self._store.close)
            self._fetched_before = self._store.ledger().pages_fetched
            self._began_at = began_at
            self._keep_job: Callable[[], None] | None = None
            if isinstance(self._store, SqliteStore):
                self._keep_job = take_job(self._store, as_data(job), accept=options.accept_changes)
            self._service = Service(self._store, policy(job, work), work, epoch, Journal(), began_at)
            self._follower = self._open_follower(opened)
            self._loop = Loop(self._service, on_commit=self._look_up, began_at=began_at)
            self._results = ResultsDict(self._store, policy_of(work.urls))
            self._server = self._open_server(options)
            self.token = self._server.join_token(options.advertise or None)
            opened.pop_all()

    @property
    def address(self) -> tuple[str, int]:
        """Where the server listens."""
        host, port = self._server.address
        return host, port

    @property
    def notices(self) -> tuple[str, ...]:
        """What the job asks for that whoever runs it has to know."""
        ignored = self._job.politeness.ignore_robots
        return tuple(f"robots.txt of {entry.host} is ignored: {entry.reason}" for entry in ignored)

    def stop(self) -> None:
        """Ask the crawl to stop before it is finished."""
        self._stop.set()

    def run(self) -> Summary:
        """Serve until the crawl is finished or told to stop; return what it came to."""
        for notice in self.notices:
            structlog.get_logger().warning(notice)
        self._follower.start()
        self._loop.start()
        if self._keep_job is not None:
            self._loop.call(partial(self._go_by_new_job, self._keep_job))
        self._loop.call(self._add_seeds)
        self._server.start()
        finished = self._wait()
        elapsed_s = self._loop.now() - self._began_at
        self._farewell(finished)
        self._server.stop()
        self._loop.stop()
        self._follower.stop()
        summary = self._summary(finished, elapsed_s)
        try:
            write(summary, self.folder.summary)
        except OSError as error:
            structlog.get_logger().warning("the summary could not be left", reason=error.strerror)
        self._store.close()
        return summary

    def _add_seeds(self, now: float) -> None:
        seeds = self._job.seeds
        self._service.add_seeds(pages_of(seeds), now, maps=sitemaps_of(seeds))

    def _go_by_new_job(self, keep: Callable[[], None], now: float) -> None:
        """Judge what is known by the new job, and keep the job, in one commit."""
        self._service.reconsider(now)
        keep()

    def status(self) -> Status:
        """Return the crawl's numbers now."""
        return self._loop.call(self._status)

    def _open_follower(self, opened: ExitStack) -> Follower:
        power = self._job.durability == "power"
        marks = Marks(self.folder.path / MARKS, power=power)
        opened.callback(marks.close)
        sinks = {}
        for name in self._job.sinks:
            sinks[name] = open_sink(self.folder.path / name, marks.get(name), power=power)
            opened.callback(sinks[name].close)
        follower = Follower(self._store, sinks, marks)
        follower.restore()
        return follower

    def _open_server(self, options: Options) -> FleetServer:
        identity = load_or_create(options.identity or self.folder.path)
        control = Control(self.status, self.stop)
        objects = referents(self._service, self._loop, self._results, control)
        return FleetManager.serving(objects, identity, options.host, options.port, on_bug=_log_bug).get_server()

    def _wait(self) -> bool:
        """Wait for the end; say whether it is the crawl's own, proved from its state."""
        self._over.clear()  # it had no tasks before its seeds
        while not self._over.wait(0.05):
            is_broken = self._loop.failure is not None or self._follower.failure is not None
            if is_broken or self._stop.is_set():
                return False
        return True

    def _look_up(self) -> None:
        """Let the sinks follow a commit, and see whether it was the last; in the loop's thread."""
        self._follower.nudge()
        if self._service.is_finished:
            self._over.set()

    def _farewell(self, finished: bool) -> None:
        """Give workers the time to hear that the crawl is over, and whoever reads the results that to read on."""
        over_at = time.monotonic()
        while finished and self._is_awaited(over_at, time.monotonic()) and not self._stop.wait(0.02):
            pass

    def _is_awaited(self, over_at: float, now: float) -> bool:
        if now < self._results.last_read_at + READING_S:
            return True
        return self._service.sessions > 0 and now < over_at + FAREWELL_S

    def _status(self, now: float) -> Status:
        numbers = tally(self._store)
        return Status(
            job=self._job.name,
            pending=numbers.pages(TaskState.PENDING),
            leased=numbers.pages(TaskState.LEASED),
            done=numbers.pages(TaskState.DONE),
            failed=numbers.pages(TaskState.FAILED),
            dropped=numbers.pages(TaskState.DROPPED),
            fetched=numbers.ledger.pages_fetched,
            rows=numbers.ledger.rows,
            sessions=self._service.sessions,
            elapsed_s=now - self._began_at,
            finished=self._service.is_finished,
            reasons=numbers.reasons,
            robots_waiting=numbers.ledger.robots_waits.waiting,
            robots_waiting_for=_named(numbers.ledger.robots_waits.waiting_for),
            robots_wait_s=self._job.politeness.robots_wait_s,
        )

    def _summary(self, finished: bool, elapsed_s: float) -> Summary:
        numbers = tally(self._store)
        ended, detail, exit_code = self._verdict(finished, numbers)
        return Summary(
            job=self._job.name,
            ended=ended,
            detail=detail,
            started_at=self._started_at.isoformat(timespec="seconds"),
            elapsed_s=round(elapsed_s, 3),
            discovered=numbers.pages(),
            done=numbers.pages(TaskState.DONE),
            fetched=numbers.ledger.pages_fetched,
            fetched_before=self._fetched_before,
            redirected=numbers.redirected,
            failed=numbers.pages(TaskState.FAILED),
            dropped=numbers.pages(TaskState.DROPPED),
            unfinished=numbers.pages(TaskState.PENDING, TaskState.LEASED),
            rows=numbers.ledger.rows,
            retries=numbers.ledger.retries,
            retried=numbers.ledger.retried,
            leases_lost=numbers.ledger.leases_lost,
            reasons=numbers.reasons,
            sinks=tuple(str(self.folder.path / name) for name in self._job.sinks),
            resumable=self._job.durability != "none",
            robots_wait_s=self._job.politeness.robots_wait_s,
            robots_waiting=numbers.ledger.robots_waits.waiting,
            robots_given_up=numbers.ledger.robots_waits.given_up,
            robots_given_up_on=_named(numbers.ledger.robots_waits.given_up_on),
            notices=self.notices,
            exit_code=exit_code,
        )

    def _verdict(self, finished: bool, numbers: Tally) -> tuple[str, str, int]:
        """Return how the crawl ended, in a word, in a sentence, and as an exit code."""
        failure = self._follower.failure or self._loop.failure
        if failure is not None:
            return "failed", str(failure), FAILED
        if not finished:
            return "interrupted", "", INTERRUPTED
        if not self._follower.is_at_end():
            return "failed", "A sink is behind the crawl's log: run the job again.", FAILED
        if numbers.ledger.seeds_fetched == 0:
            reasons = ", ".join(sorted(numbers.reasons))
            why = f" ({reasons})" if reasons else ""
            return "failed", f"No seed gave a page{why}: see {self.folder.log}.", FAILED
        return "finished", "", 0


def _open_store(job: Job, folder: CrawlFolder) -> tuple[Store, int, float]:
    """Open the store that a job asks for; return it with the number of its incarnation and the crawl time it is at."""
    if job.durability == "none":
        return MemoryStore(), time.time_ns(), 0.0
    store = SqliteStore(folder.path / FRONTIER, power=job.durability == "power")
    return store, store.epoch, store.opened_at


def _named(origins: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(f"{origin} ({why})" if why else origin for origin, why in origins)


def policy(job: Job, work: Brief) -> Policy:
    """Return the numbers that the rules go by, from a job."""
    return Policy(
        user_agent=job.politeness.user_agent,
        scope=work.scope,
        delay_s=job.politeness.delay_s,
        per_host=job.politeness.per_host,
        lease_s=job.lease_s,
        retries=job.fetch.retries,
        depth=job.scope.depth,
        pages=job.scope.pages,
        keep_scope_same=job.scope.hosts == "same",
        robots_sitemaps=job.scope.sitemaps,
        robots_wait_s=job.politeness.robots_wait_s,
        ignore_robots=tuple(entry.host for entry in job.politeness.ignore_robots),
        urls=work.urls,
        max_delay_s=job.politeness.max_delay_s,
        adaptive=job.politeness.adaptive,
        patience=job.politeness.patience,
        size_bytes=job.scope.size_bytes,
        time_s=job.scope.time_s,
        host_budget=Budget(
            pages=job.scope.per_host.pages,
            size_bytes=job.scope.per_host.size_bytes,
            time_s=job.scope.per_host.time_s,
        ),
        unit=Unit(job.politeness.unit),
        traps=TrapLimits(**job.traps.model_dump()),
        priorities=tuple(Priority(rule.match, rule.priority) for rule in job.priorities),
    )


def serve(options: Options, on_ready: Callable[[Crawl], None]) -> Summary:
    """Serve a job to its end, in the main thread; `on_ready` is told when workers may join.

    Raises `UsageError` for what the user has to change, `CrawlFailed` if a sink cannot be opened.
    """
    # Rows and messages form no cycles: looking for some all the time takes a tenth of the coordinator's time.
    gc.set_threshold(*GC_THRESHOLDS)
    job = load(options.job)
    folder = CrawlFolder(options.crawls, job.name, fresh=options.fresh)
    log.configure(folder.log, console=options.log_to_console)
    crawl = Crawl(job, folder, options)
    with _stopped_by_signals(crawl):
        for path in {folder.path / JOIN, options.join_file or folder.path / JOIN}:
            _leave_token(crawl.token, path)
        on_ready(crawl)
        return crawl.run()


def _leave_token(token: JoinToken, path: Path) -> None:
    """Write the token to a file that only its owner can read, whole or not at all."""
    draft = path.with_name(path.name + ".tmp")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token.encode() + "\n")
        draft.replace(path)
    except OSError as error:
        raise CrawlFailed(f"cannot write the join token to {path}: {error.strerror}") from error


def _log_bug(error: BaseException) -> None:
    structlog.get_logger().error("internal error", exc_info=error)


@contextmanager
def _stopped_by_signals(crawl: Crawl) -> Iterator[None]:
    """Let SIGTERM and SIGINT stop the crawl."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        crawl.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
