"""One crawl while it is served, from its seeds to its summary.

Shutdown order: the crawl is finished or a signal came, workers hear of it and say goodbye, the server closes, the loop
ends, the sinks are written to the end, the tables are written, the summary is written.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

import structlog
from msgspec.structs import asdict

from crawlfleet.coordinator.conduct.again import Again
from crawlfleet.coordinator.conduct.causes import Causes
from crawlfleet.coordinator.conduct.counting import count, is_unanswered, last_s
from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.pool_post import PoolPost
from crawlfleet.coordinator.conduct.post import Post
from crawlfleet.coordinator.conduct.shortages import taken_up
from crawlfleet.coordinator.conduct.strangers import Strangers
from crawlfleet.coordinator.core import gates
from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.coordinator.crawl_folder import CrawlFolder
from crawlfleet.coordinator.crawl_parts import CrawlParts
from crawlfleet.coordinator.earlier_run import note_end
from crawlfleet.coordinator.expecting import unmet
from crawlfleet.coordinator.findings import findings, rejected, since_last_run
from crawlfleet.coordinator.frontier.port import WITH_VERDICTS
from crawlfleet.coordinator.job.change import ChangedJob
from crawlfleet.coordinator.job.forewarnings import forewarnings, still_closed, to_open
from crawlfleet.coordinator.job.job import Job
from crawlfleet.coordinator.job.seeds import pages_of, sitemaps_of
from crawlfleet.coordinator.seed_files import SeedFiles
from crawlfleet.coordinator.server import Control, referents
from crawlfleet.coordinator.summary import ALREADY_FINISHED, Summary, is_left, write
from crawlfleet.coordinator.table_files import TableFiles
from crawlfleet.shared.errors import CrawlfleetError, CrawlLost
from crawlfleet.shared.exits import INTERRUPTED, UNMET
from crawlfleet.shared.paths import shown
from crawlfleet.shared.status import Numbers, Status
from crawlfleet.shared.wire.binding import shown_address

FAREWELL_S = 3.0
READING_S = 1.0
TICK_S = 1.0
FAILED = 1
ENDED = (TaskState.DONE, TaskState.FAILED)
# Adding seeds is worth a line in the log if it takes so long, and then again and again.
SAID_EVERY_S = 3.0

OnTick = Callable[[Status, tuple[str, ...]], None]


class Crawl:
    """One coordinator: it serves one job. `run` starts it.

    It calls `on_over`, if that is set, when nothing is left but to take leave and to write outputs to their ends.
    """

    def __init__(self, job: Job, folder: CrawlFolder, parts: CrawlParts) -> None:
        self.folder = folder
        self.on_over: Callable[[], object] | None = None
        self._job = job
        self._forewarnings = forewarnings(job)
        self._started_at = datetime.now(UTC)
        self._stop = threading.Event()
        self._over = threading.Event()
        self._store = parts.store
        self._tables = TableFiles(folder.path, job.tables.files)
        self._changed_job = parts.changed_job
        self._outputs = parts.outputs
        self._notices = parts.notices
        self._began_at = parts.store.opened_at
        self._ticked_at = time.monotonic()
        self._fetched_before = self._store.ledger().pages_fetched
        self._served_programs = parts.service.awaits_programs
        self._verdicts_before = self._verdicts()
        self._ended_before = sum(number for (state, _), number in self._verdicts_before[0].items() if state in ENDED)
        self._service = parts.service
        self._seed_files = files = SeedFiles(job)
        self._seed_findings: tuple[str, ...] = ()
        self._seeds_to_read = 0
        pages, maps = pages_of(job.seeds), sitemaps_of(job.seeds)
        self._service.expect_seeds(pages, maps, files or None, is_open=bool(files) and not job.follows)
        self._follower = parts.follower
        self._results = parts.results
        self._loop = Loop(self._service, on_commit=self._on_commit, began_at=self._began_at)
        self._counted = self._numbers(0.0)
        control = Control(self._loop, self.status, self.stop)
        self._post, self._pool_post = Post(parts.store.epoch), PoolPost(parts.store, self._service.pools.book_of)
        self._service.pools.uncollected = self._pool_post.uncollected
        self._objects = referents(self._service, self._loop, self._results, self._post, self._pool_post, control)
        self._server, self.token = parts.listen()
        self._standing_by: tuple[str, ...] = ()
        self._has_ended = False
        self._strangers = Strangers()

    @property
    def address(self) -> tuple[str, int]:
        """Where the server listens."""
        return self._server.address

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences about the job that the user must see."""
        ignored = self._job.politeness.ignore_robots
        return (
            *(f"robots.txt of {entry.host} is ignored: {entry.reason}" for entry in ignored),
            *self._forewarnings,
            *to_open(self._job, still_closed(self._job, self._store.ledger().kept_out)),
            *self._notices,
            *since_last_run(self._changed_job.keys if self._changed_job else (), self._ended_before),
        )

    @property
    def lost(self) -> CrawlLost | None:
        """Why the crawl has to be opened anew; None if it has not, or was stopped."""
        return self._loss if not self._stop.is_set() else None

    def stop(self) -> None:
        """Request a stop before the crawl is finished. Any thread, and a signal handler, may call this."""
        self._stop.set()
        self._store.hurry()  # its owner may have to wait for it

    def status(self) -> Status:
        """Return the crawl's numbers now."""
        return self._loop.call(self._status)

    def run(self, on_tick: OnTick | None = None) -> Summary:
        """Serve until the crawl is finished or stopped; return its summary.

        `on_tick` is told every second, in this thread, what the numbers are, and who came and went.
        """
        try:
            return self._serve(on_tick)
        except CrawlLost as error:
            self._loop.lose(error)
            self._end_service()
            self._store.close()
            raise

    def _serve(self, on_tick: OnTick | None) -> Summary:
        for notice in self.notices:
            structlog.get_logger().warning(notice)
        note_end(self._store, finished=False)
        self._follower.start()
        self._loop.start()
        self._take_up()
        if self._changed_job is not None:
            self._go_by_new_job(self._changed_job)
        self._server.share(self._objects)
        self._server.start()
        self._add_seeds(on_tick)
        finished = self._wait(on_tick)
        elapsed_s = self._loop.now() - self._began_at
        if self.on_over is not None and self.lost is None:
            self.on_over()
        if finished:
            self._post.finish()
            self._pool_post.finish()
        self._farewell(finished)
        self._end_service()
        finished = self._write_tables(finished)
        summary = self._summary(finished, elapsed_s)
        if self.lost is None and not (self._was_idle(finished) and is_left(summary, self.folder.summary)):
            self._leave(summary)
        if self._loop.failure is None and self._loss is None:
            note_end(self._store, finished=finished and self._has_written_all())
        self._store.close()
        return summary

    def _end_service(self) -> None:
        """Let nobody be served any more. If the crawl is lost, the port is kept for when it is opened next."""
        if self._has_ended:
            return
        self._has_ended = True
        if self.lost is not None:
            self._server.stand_by(lambda: None)
        self._post.close()
        self._pool_post.close()
        if self.lost is None:
            self._server.stop()
        self._strangers.look(self._server.counters, math.inf)
        self._loop.stop()
        self._follower.stop()

    def _add_seeds(self, on_tick: OnTick | None) -> None:
        """Add the job's seeds. Files are read by this thread, so that nobody else waits for a slow disk."""
        seeding, files = self._service.seeding, self._seed_files

        def add() -> bool:
            portion = seeding.take()
            files.tell()
            self._seeds_to_read = files.estimated_left if not portion.is_last else 0
            self._tick_if_due(on_tick)
            return self._loop.call(lambda now: self._service.add_some_seeds(now, portion))

        def progress() -> str:
            about = "about " if self._seeds_to_read else ""
            return f"adding seeds: {seeding.added:,} of {about}{seeding.total + self._seeds_to_read:,}"

        if self._go_through(add, progress) and files:
            self._seed_findings = self._loop.call(lambda _: files.findings(seeding.tally, self._store))
            for sentence in self._seed_findings:
                structlog.get_logger().warning(sentence)

    def _take_up(self) -> None:
        """Let pages be fetched again for which a machine lacked something, or whose robots.txt was not had."""
        for again, sentence in self._loop.call(lambda _: taken_up(self._service, self._store)):
            if sentence:
                structlog.get_logger().info(sentence)
            self._judge(again, "taking pages up again")

    def _go_by_new_job(self, changed: ChangedJob) -> None:
        """Judge the known URLs by the new job, then keep it."""
        self._loop.call(lambda _: changed.begin())
        if self._judge(self._service.judging_again(gates.go_by_new_job), "judging known URLs by the changed job"):
            self._loop.call(lambda _: changed.keep())

    def _judge(self, again: Again, what: str) -> bool:
        known = sum(self._store.counts().values())
        return self._go_through(lambda: self._loop.call(again.step), lambda: f"{what}: {again.seen:,} of {known:,}")

    def _go_through(self, step: Callable[[], bool], progress: Callable[[], str]) -> bool:
        """Take a portion a commit; say how far it is if that takes long, and at the end whether it was all."""
        said_at = time.monotonic()
        while not self._stop.is_set() and step():
            if time.monotonic() >= said_at + SAID_EVERY_S:
                said_at = time.monotonic()
                structlog.get_logger().info(progress())
        return not self._stop.is_set()

    def _wait(self, on_tick: OnTick | None) -> bool:
        """Wait for the end; return True if the crawl is finished, False if it was stopped or has failed."""
        while True:
            self._over.clear()
            while not self._over.wait(0.05):
                is_broken = self._loop.failure is not None or self._follower.failure is not None
                if is_broken or self._stop.is_set():
                    return False
                self._tick_if_due(on_tick)
            # Meanwhile a program may have asked for more pages.
            with suppress(CrawlfleetError):
                if self._loop.call(lambda _now: self._service.end()):
                    return True

    def _tick_if_due(self, on_tick: OnTick | None) -> None:
        if time.monotonic() < self._ticked_at + TICK_S:
            return
        self._ticked_at = time.monotonic()
        self._strangers.look(self._server.counters, self._ticked_at)
        self._look_around()
        if on_tick is None:
            return
        with suppress(CrawlfleetError):  # the loop has failed, which is noticed at once
            on_tick(*self._loop.call(lambda now: (self._status(now), self._service.members.take_news())))

    def _look_around(self) -> None:
        """Look who waits for the crawl, and whether another coordinator has it, even if nothing is committed."""
        try:
            self._standing_by = self._store.standing_by()
        except CrawlLost as error:
            self._loop.lose(error)

    @property
    def _loss(self) -> CrawlLost | None:
        return next(
            (each for each in (self._loop.failure, self._follower.failure) if isinstance(each, CrawlLost)), None
        )

    def _on_commit(self) -> None:
        """After a commit, by the thread that made it: wake the sinks, and check whether the crawl is finished."""
        if self.folder.commits.note(self._store):
            self._follower.nudge()
        self._post.deliver(self._service.outgoing.take_woken())
        self._pool_post.deliver(self._service.outgoing.take_answers())
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
        """Return the crawl's numbers now; those of the last time if its store can only be closed any more."""
        if self._loss is None:
            self._counted = count(
                self._store,
                job=self._job.name,
                elapsed_s=elapsed_s,
                robots_wait_s=self._job.politeness.robots_wait_s,
                rows_rejected=self._follower.rows_rejected,
                rules=[rule.name for rule in self._job.items],
            )
        return self._counted

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
            seeds=self._service.seeding.total + self._seeds_to_read,
            seeds_estimated=self._seeds_to_read > 0,
            seeds_added=self._service.seeding.added,
            strangers_refused=self._server.counters.strangers,
            address=shown_address(self._server.place_among(self.token.addresses)),
            addresses=tuple(map(shown_address, self._service.members.addresses)),
            standing_by=self._standing_by,
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
                *self._seed_findings,
                *rejected(numbers.rows_rejected, self.folder.path),
                *((ALREADY_FINISHED,) if self._was_idle(finished) else ()),
            ),
            fresh=self.folder.is_fresh,
            warnings=warnings,
            unmet=missed,
            exit_code=exit_code,
        )

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

    def _has_written_all(self) -> bool:
        return self._follower.failure is None and self._tables.failure is None and self._follower.is_at_end()

    def _verdict(self, finished: bool) -> tuple[str, str, int]:
        """Return how the crawl ended: a word, a sentence, and an exit code."""
        failure = self._loop.failure or self._follower.failure or self._tables.failure
        if failure is not None:
            return "failed", str(failure), FAILED
        if not finished:
            return "interrupted", "", INTERRUPTED
        if not self._has_written_all():
            return "failed", "A sink is behind the crawl's log: run the job again.", FAILED
        if self._job.seeds and self._store.ledger().seeds_fetched == 0:
            lines = (f"No seed gave a page: see {shown(self.folder.log)}.", *Causes(self._store).why_no_seed())
            return "failed", "\n  ".join(lines), FAILED
        return "finished", "", 0
