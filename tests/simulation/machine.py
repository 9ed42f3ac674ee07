"""The coordinator of a simulation: the real core, service, loop, store, sinks and follower, over files that survive it.

A crash abandons all objects as they are, and goes on with a copy of the files. `history` has the changes of each
commit, so that what a reopened store must hold is known: exactly those.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec

from crawlfleet.coordinator.conduct.loop import Answer, Call
from crawlfleet.coordinator.conduct.pool_post import PoolPost
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.conduct.shortages import taken_up
from crawlfleet.coordinator.core.changes import Change, TaskMoved
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.frontier.crawl_clock import LONGEST_GAP_S, ClockReading
from crawlfleet.coordinator.frontier.port import Conclusion
from crawlfleet.coordinator.sinks.follower import Follower
from crawlfleet.coordinator.sinks.jsonl_sink import JsonLines
from crawlfleet.coordinator.sinks.line_sink import LineSink
from crawlfleet.shared.brief import Brief
from crawlfleet.shared.errors import CrawlFailed
from crawlfleet.shared.messages import Ack, AckState, ExchangeAnswer, ExchangeRequest, Hello, Kind, Welcome
from crawlfleet.worker.lanes import Attempt
from tests.property.crawl_model import TOLERANCE_S, Mirror, World, invariants
from tests.property.crawl_site import Site
from tests.shapes import QUOTES
from tests.simulation.chronicle import Chronicle, Fault
from tests.simulation.fragile import Crash, FragileMarks, FullFile, Fuse, SimLoop, cut, garbage
from tests.simulation.keepers import Keeper, Settings
from tests.simulation.laws import Laws
from tests.simulation.outgoing_laws import OutgoingLaws
from tests.simulation.pool_laws import PoolLaws
from tests.simulation.slow_commits import SlowDatabase, SlowStore
from tests.simulation.timeline import Action, Timeline

ITEMS = "items.jsonl"
# A database counts microseconds; two readings of its clock are two roundings.
CLOCK_TOLERANCE_S = 3e-6


class Commit(NamedTuple):
    """The changes that a commit made durable, and how long the write-ahead log was then. `followed` are the pages that
    were asked for as seeds."""

    wal_bytes: int
    changes: list[Change]
    followed: frozenset[str]


class Clocks:
    """The clocks of a machine: that on the wall may be set, that since boot is the boot's own."""

    def __init__(self, timeline: Timeline) -> None:
        self.wall_ahead = 0.0
        self.boots = 1
        self._timeline = timeline
        self._booted_on = -1_000.0

    def reboot(self) -> None:
        """Start the machine again."""
        self.boots += 1
        self._booted_on = self._timeline.now

    def __call__(self) -> ClockReading:
        now = self._timeline.now
        return ClockReading(1e9 + now + self.wall_ahead, f"boot {self.boots}", now - self._booted_on)


class Machine(World):
    """The coordinator's machine: what `World` checks of a service, over one incarnation after another."""

    def __init__(
        self,
        folder: Path,
        keeper: Keeper,
        site: Site,
        policy: Policy,
        settings: Settings,
        timeline: Timeline,
        chronicle: Chronicle,
    ) -> None:
        self.keeper = keeper
        self.site = site
        self.policy = policy
        self.settings = settings
        self.timeline = timeline
        self.chronicle = chronicle
        self.folder = folder / "0"
        self.folder.mkdir()
        self.fuse = Fuse()
        self.laws = Laws(policy)
        self.outgoing = OutgoingLaws()
        self.programs = PoolLaws(self)
        self.wished, self.followed = set(), set()
        self.lines_read = 0
        self.history: list[Commit] = []
        self.acked: set[tuple[bytes, int]] = set()
        self.last_start_at = {}
        self.accepted = []
        self.finished = False
        self.crawl_ahead = 0.0
        self.is_up = False
        self.incarnations = 0
        self.amnesia_until = 0.0
        self.lost_by_power = 0
        self.fetches: Counter[bytes] = Counter()
        self.events: Counter[tuple[bytes, str]] = Counter()
        self.clocks = Clocks(timeline)
        self._opened_boot = self.clocks.boots
        self._has_amnesia = False
        self._under_way = Commit(0, [], frozenset())
        self._last_epoch = 0
        self._kept_at = 0.0
        # The crawl time that was written last, and what the clock on the wall said then.
        self._written = (0.0, self.clocks().wall_s)
        self.open()

    @property
    def now(self) -> float:  # type: ignore[override]  # here time is the timeline's, not set by hand
        """Crawl time."""
        return self._opened_at + self.timeline.now - self._opened_on

    def open(self) -> None:
        """Start an incarnation over what is stored, which must be what was committed."""
        before = self.incarnations and self.now
        self.database = self.keeper.open(self.folder, self.settings, self.clocks, self.fuse)
        slow = SlowDatabase(self.database, self, self.timeline, self.clocks)
        self.store: SlowStore = SlowStore(slow, self.fuse, self)
        self._opened_at, self._opened_on = self.store.opened_at, self.timeline.now
        self._check_crawl_time(self._opened_at - before)
        self._settle_in()
        assert self.store.epoch > self._last_epoch, "an incarnation with the number of an earlier one"
        self._last_epoch = self.store.epoch
        self._uncommitted: list[Change] = []
        self.laws.begin_epoch()
        self.outgoing.begin_epoch()
        self.mirror = self._remember()
        brief = Brief(job="sim", scope=self.policy.scope)
        self.service = Service(self.store, self._rules(), brief, self.store.epoch, self._journal, self._opened_at)
        self.service.outgoing.log = self.outgoing.log
        self._open_sinks()
        self.pool_post = PoolPost(self.store, self.service.pools.book_of)
        self.loop = SimLoop(self.service, self._deliver, lambda: self.now)
        self.incarnations += 1
        self.is_up = True
        if self._has_amnesia:
            self._forgive()
        self.chronicle.tell(self.timeline.now, f"coordinator up, epoch {self.store.epoch}")
        invariants(self)
        self._check_acked()
        self.programs.begin_epoch(self._opened_at)
        self._take_up()
        self._seed()
        self.store.database.fates = self.settings.fates

    def _check_crawl_time(self, jump_s: float) -> None:
        """Check by how much crawl time has jumped over a restart, beside the time that has passed.

        That of a database goes on from the last commit by a clock that may be set: no gap may be shorter for that.
        """
        boot, self._opened_boot = self._opened_boot, self.clocks.boots
        assert self._opened_at >= self._kept_at or self.lost_by_power, "crawl time went back"
        if self.keeper.is_elsewhere:
            written_s, wall_s = self._written
            gap_s = min(max(0.0, self.clocks().wall_s - wall_s), LONGEST_GAP_S)
            assert abs(self._opened_at - written_s - gap_s) < CLOCK_TOLERANCE_S, "crawl time left the database's clock"
            self._written = (self._opened_at, self.clocks().wall_s)
            return
        self.crawl_ahead += max(0.0, jump_s)
        if boot == self._opened_boot and self.incarnations:
            assert abs(jump_s) < TOLERANCE_S, "crawl time jumped, though the machine was up"

    def _rules(self) -> Policy:
        """Return the policy of an incarnation, as the product has it."""
        if not self.keeper.is_elsewhere:
            return self.policy
        return msgspec.structs.replace(self.policy, taken_over_at=self._opened_at)

    def _seed(self) -> None:
        """Give the service its seeds, with some lines more each time."""
        # What was over goes on if pages are taken up again.
        self.finished = self.finished and not self.service.open_tasks()
        if not self.finished:  # meanwhile somebody has written more lines
            self.lines_read = min(len(self.site.given), self.lines_read + 3)
        lines = self.site.lines(self.lines_read)
        self.service.expect_seeds(self.site.seeds(), self.site.maps(), lines or None)
        self.serve([(self.service.add_some_seeds, Future())])

    def _take_up(self) -> None:
        for again, _ in taken_up(self.service, self.store):
            goes_on = True
            while goes_on and self.is_up:
                answer: Future[bool] = Future()
                self.serve([(again.step, answer)])
                goes_on = self.is_up and answer.result()

    def serve(self, batch: list[Call]) -> None:
        """Serve calls as the loop does: together, with one commit; a failure ends the incarnation."""
        if not self.is_up:
            return
        if batch and self.store.database.under_way is not None:
            self.chronicle.fault(self.timeline.now, Fault.COMMIT_OVERLAPPED)
        self.run(lambda: self.loop.serve(batch))

    def run(self, action: Action) -> None:
        """Let something happen here that may be the end of this incarnation."""
        fate = self.store.database.under_way
        try:
            action()
        except Crash as crash:
            self.crash(crash.fault)
        except CrawlFailed as error:
            lost = self.loop.lost
            if lost is None:
                self._fail(Fault.DISK_FULL, error, "disk is full")
            else:
                assert fate is not None
                assert fate.fault is not None
                self._fail(fate.fault, error, "another coordinator" if lost is Conclusion.FENCED else "was lost")

    def look(self, step: Callable[[float], object], answer: Answer) -> None:
        """Read something, as the loop lets callers do."""
        if self.is_up:
            self.loop.look(step, answer)

    def lose_unnoticed(self) -> None:
        """Let this incarnation go on as if nothing had happened, though another owner has had its crawl."""
        self.chronicle.fault(self.timeline.now, Fault.OWNER_STOPPED)
        self.store.database.take()
        self.outgoing.is_stale = True

    def follow(self) -> None:
        """Let the sinks catch up."""
        if not self.is_up:
            return
        try:
            self.follower.catch_up()
            assert self.marks.get(ITEMS) == self.sink.mark, "a sink is at no mark that it would be found at"
        except Crash as crash:
            self.crash(crash.fault)
        except CrawlFailed as error:
            self._fail(Fault.SINK_DISK_FULL, error, "No space left")

    def _fail(self, fault: Fault, error: CrawlFailed, why: str) -> None:
        """End as the coordinator does on a failure; there is only one that may be."""
        assert why in str(error), f"failed for no reason: {error}"
        self.chronicle.fault(self.timeline.now, fault, str(error))
        self.stop()

    def stop(self) -> None:
        """End in good order: what is not committed is gone, the files are closed."""
        self._close()
        self.is_up = False

    def crash(self, fault: Fault, wal_bytes: int | None = None, spoil: Callable[[Path], None] | None = None) -> None:
        """Die here: go on with a copy of the files, the log cut to a length, the folder spoiled further."""
        self.chronicle.fault(self.timeline.now, fault)
        self.fuse.clear()
        abandoned, self.folder = self.folder, self.folder.with_name(str(self.incarnations))
        self.folder.mkdir()
        for path in abandoned.iterdir():
            if not path.name.endswith("-shm"):
                shutil.copyfile(path, self.folder / path.name)
        if wal_bytes is not None:
            self._lose_beyond(wal_bytes)
        if spoil is not None:
            spoil(self.folder)
        self.database.die()
        self._close()
        shutil.rmtree(abandoned)
        self.is_up = False

    def cut_power(self, random: Random) -> None:
        """Lose what was never synced, and of the store's log anything beyond that."""
        synced = self._synced_bytes
        self.clocks.reboot()
        if self.settings.power:
            self.crash(Fault.POWER_CUT_SYNCED, synced, self._lose_unsynced_rows(random))
        else:
            size = self._log_bytes()
            self.crash(Fault.POWER_CUT, random.randint(min(synced, size), size), self._lose_unsynced_rows(random))

    def spoil_sink(self, fault: Fault, random: Random) -> None:
        """Die, and let the sink's file be longer or shorter than its mark says, or have none."""

        def lengthen(folder: Path) -> None:
            with (folder / ITEMS).open("ab") as file:
                file.write(garbage(random))

        def shorten(folder: Path) -> None:
            cut(folder / ITEMS, random.randint(0, (folder / ITEMS).stat().st_size))

        self.chronicle.fault(self.timeline.now, fault)
        forget = self.keeper.forget_marks
        spoil = {Fault.SINK_LENGTHENED: lengthen, Fault.SINK_TRUNCATED: shorten, Fault.SINK_MARK_LOST: forget}
        self.crash(Fault.CRASH_IDLE, spoil=spoil[fault])

    def fill_disk(self, spare_pages: int) -> None:
        """Let the store grow by so many pages, and no further."""
        self.database.fill_disk(spare_pages)

    def fill_sink_disk(self) -> None:
        """Let the next write to the sink fail half-way."""
        self.sink._file._file = FullFile(self.sink._file._file)  # type: ignore[assignment]  # as much file as is used

    def make_room(self) -> None:
        """Let there be space on all disks."""
        self.database.make_room()
        if isinstance(self.sink._file._file, FullFile):
            self.stop()

    def checkpoint(self) -> None:
        """Move the log of the store into its tables."""
        self.database.checkpoint()
        self._synced_bytes = 0
        self.history = [commit._replace(wal_bytes=0) for commit in self.history]

    def greet(self, hello: Hello) -> Callable[[float], Welcome]:
        """Return the call of a hello."""
        return lambda now: self.service.hello(hello, now)

    def exchange_call(self, request: ExchangeRequest) -> Callable[[float], ExchangeAnswer]:
        """Return the call of an exchange; every ack must be what the mirror says it must be."""

        def call(now: float) -> ExchangeAnswer:
            expected = [self._ack_of(report, request.session) for report in request.reports]
            lost = {report.lease for report in request.reports} - self.mirror.leases.keys()
            self.laws.without_room = frozenset(request.alone)
            answer = self.service.exchange(request, now)
            self.laws.without_room = frozenset()
            if answer.finished:
                self.programs.check_end(now)
            if answer.known:
                self.laws.note_begun(request.started)
                self._judge(request, expected, answer.acks)
                self._check_recalled(request.session, answer)
                self._note_late(request, expected, lost)
            return answer

        return call

    def begun(self, session: str, attempt: Attempt, spacing_s: float) -> None:
        """Note an attempt that begins now, spaced as the session last heard; its lease must be its session's."""
        if self.timeline.now < self.amnesia_until:
            return
        lease = self.mirror.leases.get(attempt.lease_id)
        assert lease is not None, f"{attempt.task.url} started under a lease that was lost"
        assert lease.session == session
        self.fetches[attempt.task.ref] += 1
        self.started(attempt.host, spacing_s)

    def started(self, host: str, spacing_s: float) -> None:
        """Note a start on a host, by a time that stands still over no restart: crawl time cannot know better."""
        at = self.timeline.now + self.crawl_ahead
        last = self.last_start_at.get(host)
        gap = at - last if last is not None else spacing_s
        assert gap >= spacing_s - 1e-6, f"{host} was asked again after {gap:.3f} s, not {spacing_s} s"
        self.last_start_at[host] = at

    def _forgive(self) -> None:
        """After commits were lost: workers may go on under leases that nobody knows of, until those are over."""
        self._has_amnesia = False
        self.amnesia_until = self.timeline.now + self.policy.lease_s
        self.last_start_at.clear()

    def _judge(self, request: ExchangeRequest, expected: list[str], acks: tuple[Ack, ...]) -> None:
        """After commits were lost a report may be of a task that an earlier report of its request brings back."""
        if self.lost_by_power:
            for place, ack in enumerate(acks):
                if (expected[place], ack.state) == (AckState.REJECTED, AckState.STALE):
                    expected[place] = AckState.STALE
        super()._judge(request, expected, acks)

    def _note_late(self, request: ExchangeRequest, expected: list[str], lost: set[int]) -> None:
        for report, wanted in zip(request.reports, expected, strict=True):
            if wanted == AckState.MORE:
                self.chronicle.fault(self.timeline.now, Fault.PARTS_AGAIN, request.session)
            if wanted == "new" and report.lease in lost:
                self.chronicle.fault(self.timeline.now, Fault.LATE_REPORT_TAKEN, request.session)

    def _journal(self, changes: Any) -> None:
        self.outgoing.applied(changes)
        self.laws.before(changes, self.mirror)
        self.mirror(changes)
        self.laws.after(changes, self.mirror)
        self._uncommitted += changes
        self.chronicle.take(self.timeline.now, changes)
        self.events.update((change.task.ref, change.event) for change in changes if isinstance(change, TaskMoved))

    def commit_begun(self, now: float) -> None:
        """A commit begins."""
        self._under_way = Commit(0, self._uncommitted, self.programs.begin_commit())
        self._begun_at = now
        self._uncommitted = []

    def commit_written(self) -> None:
        """It is in."""
        self._written = (self._begun_at, self.clocks().wall_s)
        if self._under_way.changes:
            self._kept_at = self._begun_at
            size = self._log_bytes()
            self.history.append(self._under_way._replace(wal_bytes=size))
            if self.settings.power:
                self._synced_bytes = size

    def commit_done(self) -> None:
        """Its owner knows that."""
        self.outgoing.done(len(self._under_way.changes))
        self.programs.committed()

    def commit_over(self) -> None:
        """It has ended, in whatever way: the loop's thread wakes up."""
        self.serve([])

    def _deliver(self) -> None:
        answers = self.service.outgoing.take_answers()
        self.outgoing.check_answers(answered for _, _, answered in answers)
        self.pool_post.deliver(answers)

    def _settle_in(self) -> None:
        if self.settings.cuts:
            self.checkpoint()
        if self.store.kept("job") is None:
            self.store.keep("job", msgspec.json.encode({"sinks": [ITEMS]}))
        self._synced_bytes = self._log_bytes()

    def _remember(self) -> Mirror:
        """Return what the surviving commits come to. Ids of leases are never used again, so they go on higher."""
        mirror = Mirror()
        for commit in self.history:
            mirror(commit.changes)
        self.followed = {url for commit in self.history for url in commit.followed}
        stored = self.store.ledger().next_lease
        assert stored >= mirror.ledger.next_lease
        mirror.ledger = msgspec.structs.replace(mirror.ledger, next_lease=stored)
        return mirror

    def _open_sinks(self) -> None:
        self.marks = FragileMarks(self.store.open_marks(), self.fuse)
        sink = JsonLines(QUOTES).open(self.folder / ITEMS, self.marks.get(ITEMS), power=self.settings.power)
        assert isinstance(sink, LineSink)
        self.sink = sink
        self.follower = Follower(self.store, {"items.jsonl": self.sink}, self.marks)
        self.follower.restore()

    def keeps(self, ack: Ack) -> bool:
        """Say whether an ack promises that its task is settled: a part of a sitemap settles nothing."""
        if ack.state is not AckState.OK:
            return False
        task = self.mirror.tasks[ack.ref]
        return task.kind is not Kind.SITEMAP or ack.lease in task.settled

    def _check_acked(self) -> None:
        """What was acked was committed, and is still there."""
        for ref, lease in self.acked:
            assert lease in self.mirror.tasks[ref].settled, f"acked, but lost: {self.mirror.tasks[ref].url}"

    def _lose_beyond(self, wal_bytes: int) -> None:
        self.keeper.cut_log(self.folder, wal_bytes)
        kept = [commit for commit in self.history if commit.wal_bytes <= wal_bytes]
        lost, self.history = len(self.history) - len(kept), kept
        if lost:
            self.lost_by_power += lost
            self.acked.clear()
            self.accepted.clear()
            self.programs.forget()
            self.finished = False
            self._has_amnesia = True
        self.chronicle.tell(self.timeline.now, f"power cut: {lost} commits lost")

    def _lose_unsynced_rows(self, random: Random) -> Callable[[Path], None]:
        def lose(folder: Path) -> None:
            size = (folder / ITEMS).stat().st_size
            if random.random() < 0.5:  # or else all of it was written out in time
                cut(folder / ITEMS, random.randint(self.sink.mark.size_bytes if self.settings.power else 0, size))

        return lose

    def _log_bytes(self) -> int:
        return self.keeper.log_bytes(self.folder)

    def _close(self) -> None:
        self.fuse.clear()
        self.store.close()
        self.sink.close()
        self.marks.close()
