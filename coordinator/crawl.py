"""One crawl while it is served, from its seeds to its summary.

Shutdown order: the crawl is finished or a signal came, workers hear of it and say goodbye, the server closes, the loop
ends, the sinks are written to the end, the tables are written, the summary is written.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType
from typing import NamedTuple

import structlog
from msgspec.structs import asdict

from crawlfleet.coordinator.conduct.again import Again
from crawlfleet.coordinator.conduct.causes import Causes
from crawlfleet.coordinator.conduct.counting import count, is_unanswered, last_s
from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.pool_post import PoolPost
from crawlfleet.coordinator.conduct.post import Post
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.conduct.shortages import taken_up
from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.coordinator.crawl_folder import CrawlFolder
from crawlfleet.coordinator.expecting import unmet
from crawlfleet.coordinator.findings import ALREADY_FINISHED, findings, since_last_run
from crawlfleet.coordinator.frontier.port import WITH_VERDICTS, Store
from crawlfleet.coordinator.job.change import ChangedJob
from crawlfleet.coordinator.job.forewarnings import forewarnings
from crawlfleet.coordinator.job.job import Job
from crawlfleet.coordinator.job.seeds import pages_of, sitemaps_of
from crawlfleet.coordinator.results.results_dict import ResultsDict
from crawlfleet.coordinator.server import Control, referents
from crawlfleet.coordinator.sinks.follower import Follower
from crawlfleet.coordinator.sinks.outputs import Output
from crawlfleet.coordinator.sinks.rejected_sink import REJECTED
from crawlfleet.coordinator.summary import Summary, is_left, write
from crawlfleet.coordinator.table_files import TableFiles
from crawlfleet.shared.errors import CrawlfleetError
from crawlfleet.shared.exits import INTERRUPTED, UNMET
from crawlfleet.shared.paths import shown
from crawlfleet.shared.status import Numbers, Status
from crawlfleet.shared.wire.control_port import FleetServer
from crawlfleet.shared.wire.join_token import JoinToken

FAREWELL_S = 3.0
READING_S = 1.0
TICK_S = 1.0
FAILED = 1
# Adding seeds is worth a line in the log if it takes so long, and then again and again.
SAID_EVERY_S = 3.0

OnTick = Callable[[Status, tuple[str, ...]], None]


class CrawlParts(NamedTuple):
    """The parts of a crawl, open and not yet running. `listen` opens the server of the given objects.

    `changed_job` is the job if it has changed since the last run: it is kept once all known URLs are judged by it.
    `notices` are sentences about the sinks, `outputs`, that the user must see.
    """

    store: Store
    changed_job: ChangedJob | None
    service: Service
    follower: Follower
    results: ResultsDict
    listen: Callable[[Mapping[str, object]], tuple[FleetServer, JoinToken]]
    outputs: Sequence[Output]
    notices: tuple[str, ...] = ()


class Crawl:
    """One coordinator: it serves one job. `run` starts it."""

    def __init__(self, job: Job, folder: CrawlFolder, parts: CrawlParts) -> None:
        self.folder = folder
        self._job = job
        self._forewarnings = forewarnings(job)
        self._started_at = datetime.now(UTC)
        self._stop = threading.Event()
        self._over = threading.Event()
        self._store = parts.store
        self._results_seen = 0
        self._tables = TableFiles(folder.path, job.tables.files)
        self._changed_job = parts.changed_job
        self._outputs = parts.outputs
        self._sink_notices = parts.notices
        self._began_at = parts.store.opened_at
        self._fetched_before = self._store.ledger().pages_fetched
        self._served_programs = parts.service.awaits_programs
        self._verdicts_before = self._verdicts()
        ended = (TaskState.DONE, TaskState.FAILED)
        self._ended_before = sum(number for (state, _), number in self._verdicts_before[0].items() if state in ended)
        self._service = parts.service
        self._service.expect_seeds(pages_of(job.seeds), sitemaps_of(job.seeds))
        self._follower = parts.follower
        self._results = parts.results
        self._loop = Loop(self._service, on_commit=self._on_commit, began_at=self._began_at)
        control = Control(self.status, self.stop)
        self._post = Post(parts.store.epoch)
        self._pool_post = PoolPost(parts.store, self._service.pools.book_of)
        self._service.pools.uncollected = self._pool_post.uncollected
        objects = referents(self._service, self._loop, self._results, self._post, self._pool_post, control)
        self._server, self.token = parts.listen(objects)

    @property
    def address(self) -> tuple[str, int]:
        """Where the server listens."""
        host, port = self._server.address
        return host, port

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences about the job that the user must see."""
        ignored = self._job.politeness.ignore_robots
        return (
            *(f"robots.txt of {entry.host} is ignored: {entry.reason}" for entry in ignored),
            *self._forewarnings,
            *self._sink_notices,
            *since_last_run(self._changed_job.keys if self._changed_job else (), self._ended_before),
        )

    def stop(self) -> None:
        """Request a stop before the crawl is finished. Any thread, and a signal handler, may call this."""
        self._stop.set()

    def status(self) -> Status:
        """Return the crawl's numbers now."""
        return self._loop.call(self._status)

    def run(self, on_tick: OnTick | None = None) -> Summary:
        """Serve until the crawl is finished or stopped; return its summary.

        `on_tick` is told every second, in this thread, what the numbers are, and who came and went.
        """
        for notice in self.notices:
            structlog.get_logger().warning(notice)
        self._follower.start()
        self._loop.start()
        self._take_up()
        if self._changed_job is not None:
            self._go_by_new_job(self._changed_job)
        self._server.start()
        self._add_seeds()
        finished = self._wait(on_tick)
        elapsed_s = self._loop.now() - self._began_at
        if finished:
            self._post.finish()
            self._pool_post.finish()
        self._farewell(finished)
        self._post.close()
        self._pool_post.close()
        self._server.stop()
        self._loop.stop()
        self._follower.stop()
        finished = self._write_tables(finished)
        summary = self._summary(finished, elapsed_s)
        if not (self._was_idle(finished) and is_left(summary, self.folder.summary)):
            self._leave(summary)
        self._store.close()
        return summary

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Stop the crawl on SIGTERM and SIGINT while this is entered."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.stop()

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _add_seeds(self) -> None:
        """Add the job's seeds."""
        seeding = self._service.seeding
        self._go_through(self._service.add_some_seeds, lambda: f"adding seeds: {seeding.added:,} of {seeding.total:,}")

    def _take_up(self) -> None:
        """Let pages be fetched again for which a machine lacked something, or whose robots.txt was not had."""
        for again, sentence in self._loop.call(lambda _: taken_up(self._service, self._store)):
            if sentence:
                structlog.get_logger().info(sentence)
            self._judge(again, "taking pages up again")

    def _go_by_new_job(self, changed: ChangedJob) -> None:
        """Judge the known URLs by the new job, then keep it."""
        self._loop.call(lambda _: changed.begin())
        if self._judge(self._service.judging_again(), "judging known URLs by the changed job"):
            self._loop.call(lambda _: changed.keep())

    def _judge(self, again: Again, what: str) -> bool:
        known = sum(self._store.counts().values())
        return self._go_through(again.step, lambda: f"{what}: {again.seen:,} of {known:,}")

    def _go_through(self, step: Callable[[float], bool], progress: Callable[[], str]) -> bool:
        """Take a portion a commit; say how far it is if that takes long, and at the end whether it was all."""
        said_at = time.monotonic()
        while not self._stop.is_set() and self._loop.call(step):
            if time.monotonic() >= said_at + SAID_EVERY_S:
                said_at = time.monotonic()
                structlog.get_logger().info(progress())
        return not self._stop.is_set()

    def _wait(self, on_tick: OnTick | None) -> bool:
        """Wait for the end; return True if the crawl is finished, False if it was stopped or has failed."""
        ticked_at = time.monotonic()
        while True:
            self._over.clear()
            while not self._over.wait(0.05):
                is_broken = self._loop.failure is not None or self._follower.failure is not None
                if is_broken or self._stop.is_set():
                    return False
                if on_tick is not None and time.monotonic() >= ticked_at + TICK_S:
                    ticked_at = time.monotonic()
                    self._tick(on_tick)
            # Meanwhile a program may have asked for more pages.
            with suppress(CrawlfleetError):
                if self._loop.call(lambda _now: self._service.end()):
                    return True

    def _tick(self, on_tick: OnTick) -> None:
        with suppress(CrawlfleetError):  # the loop has failed, which is noticed at once
            on_tick(*self._loop.call(lambda now: (self._status(now), self._service.members.take_news())))

    def _on_commit(self) -> None:
        """After a commit, by the thread that made it: wake the sinks, and check whether the crawl is finished."""
        results = self._store.result_count()
        if results != self._results_seen:
            self._results_seen = results
            self._follower.nudge()
        self._post.deliver(self._service.take_woken())
        self._pool_post.deliver(self._service.pools.take_answers())
        if self._service.is_finished:
            self._over.set()

    def _farewell(self, finished: bool) -> None:
        """Wait, for a limited time, until workers know that the crawl is over and readers have read all results."""
        over_at = time.monotonic()
        while finished and self._is_awaited(over_at, time.monotonic()) and not self._stop.wait(0.02):
            pass

    def _is_awaited(self, over_at: float, now: float) -> bool:
        if now < self._results.last_read_at + READING_S:
            return True
        return self._service.sessions > 0 and now < over_at + FAREWELL_S

    def _numbers(self, elapsed_s: float) -> Numbers:
        wait_s = self._job.politeness.robots_wait_s
        return count(
            self._store,
            job=self._job.name,
            elapsed_s=elapsed_s,
            robots_wait_s=wait_s,
            rows_rejected=self._follower.rows_rejected,
            rules=[rule.name for rule in self._job.items],
        )

    def _status(self, now: float) -> Status:
        numbers = asdict(self._numbers(now - self._began_at))
        return Status(
            **numbers,
            sessions=self._service.sessions,
            workers=self._service.fetching,
            finished=self._service.is_finished,
            awaits_programs=self._service.awaits_programs,
            robots_last_s=last_s(self._store, now),
            unanswered=is_unanswered(self._store),
            seeds=self._service.seeding.total,
            seeds_added=self._service.seeding.added,
        )

    def _write_tables(self, finished: bool) -> bool:
        """Write the job's tables if the crawl is finished; return False if that was stopped."""
        if not finished or self._follower.failure is not None or self._loop.failure is not None:
            return finished
        return self._tables.write(self._stop.is_set)

    def _summary(self, finished: bool, elapsed_s: float) -> Summary:
        numbers = self._numbers(elapsed_s)
        ended, detail, exit_code = self._verdict(finished)
        warnings = findings(self._job, numbers, self._store.ledger().seeds_fetched) if ended == "finished" else ()
        missed = unmet(self._job.expect, numbers) if ended == "finished" else ()
        exit_code = exit_code or (UNMET if missed else 0)
        for warning in (*warnings, *missed):
            structlog.get_logger().warning(warning)
        return Summary(
            **asdict(numbers),
            ended=ended,
            detail=detail,
            started_at=self._started_at.isoformat(timespec="seconds"),
            fetched_before=self._fetched_before,
            sinks=tuple(shown(each.place) for each in self._outputs if not each.is_late or each.path.exists()),
            tables=tuple(map(shown, self._tables.paths)) if ended == "finished" else (),
            resumable=self._job.durability != "none",
            notices=(
                *self.notices,
                *self._rejected_notice(numbers.rows_rejected),
                *((ALREADY_FINISHED,) if self._was_idle(finished) else ()),
            ),
            fresh=self.folder.is_fresh,
            warnings=warnings,
            unmet=missed,
            exit_code=exit_code,
        )

    def _rejected_notice(self, rows: int) -> tuple[str, ...]:
        if not rows:
            return ()
        were = "row was" if rows == 1 else "rows were"
        return (f"{rows:,} {were} rejected, and set aside with the reason: {shown(self.folder.path / REJECTED)}",)

    def _leave(self, summary: Summary) -> None:
        try:
            write(summary, self.folder.summary)
        except OSError as error:
            structlog.get_logger().warning("the summary could not be left", reason=error.strerror)

    def _was_idle(self, finished: bool) -> bool:
        """Whether the crawl had finished before, and this run did nothing, not even for programs."""
        is_same = any(self._verdicts_before) and self._verdicts() == self._verdicts_before
        return finished and is_same and not self._served_programs

    def _verdicts(self) -> tuple[Mapping[tuple[TaskState, str], int], ...]:
        """Return the verdicts of pages, and those of checks."""
        return tuple(self._store.verdicts(kind) for kind in WITH_VERDICTS)

    def _verdict(self, finished: bool) -> tuple[str, str, int]:
        """Return how the crawl ended: a word, a sentence, and an exit code."""
        failure = self._follower.failure or self._loop.failure or self._tables.failure
        if failure is not None:
            return "failed", str(failure), FAILED
        if not finished:
            return "interrupted", "", INTERRUPTED
        if not self._follower.is_at_end():
            return "failed", "A sink is behind the crawl's log: run the job again.", FAILED
        if self._job.seeds and self._store.ledger().seeds_fetched == 0:
            lines = (f"No seed gave a page: see {shown(self.folder.log)}.", *Causes(self._store).why_no_seed())
            return "failed", "\n  ".join(lines), FAILED
        return "finished", "", 0
