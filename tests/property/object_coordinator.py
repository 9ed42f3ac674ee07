"""The coordinator of a simulation of named objects: the real service, loop, post and store, in virtual time.

A crash abandons all of them and goes on with a copy of the store's file, as the last commit left it. A model is served
the same messages; every answer and, after each commit, all lines and rows must be the model's.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from crawlfleet.coordinator.conduct.post import Post
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.objects.calls import End
from crawlfleet.coordinator.core.objects.registry import OBJECTS
from crawlfleet.coordinator.core.objects.rows import PartRow, WaitRow
from crawlfleet.coordinator.frontier.crawl_clock import ClockReading
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.frontier.port import Conclusion, Frontier
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.database import SqliteDatabase
from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.messages import ExchangeRequest, Hello
from crawlfleet.shared.objects import PLACE_LOST, Collected, ObjectCall, ObjectReply
from tests.policies import make_policy
from tests.property.object_kinds import KINDS
from tests.property.object_model import WAITS, WITHDRAWN, ObjectModel, Op, Outcome, Raised
from tests.simulation.chronicle import Fault
from tests.simulation.fragile import Crash, FragileStore, Fuse, SimLoop
from tests.simulation.timeline import Timeline
from tests.unit.object_fleet import check_rows

LEASE_S = 5.0
TICK_S = 0.5
GATHER_S = 0.002
RESTART_S = 1.0

Answer = Callable[[Any], None]
Step = Callable[[float], Any]


class _MemoryStore(MemoryStore):
    def __init__(self, on_commit: Callable[[], None]) -> None:
        super().__init__()
        self._on_commit = on_commit

    def conclude(self) -> Conclusion | None:
        conclusion = super().conclude()
        self._on_commit()
        return conclusion


class _Service(Service):
    """The service, which tells of the sessions that it loses."""

    on_loss: Callable[[str, float, End], None]

    def _lose_objects(self, session: str, now: float, end: End) -> None:
        self.on_loss(session, now, end)
        super()._lose_objects(session, now, end)


class SimCoordinator:
    """One incarnation after another over a store: in a file if there is a `folder`, else one in memory that stays."""

    def __init__(
        self, timeline: Timeline, model: ObjectModel, folder: Path | None, happened: Counter[str], story: list[str]
    ) -> None:
        self.timeline = timeline
        self.model = model
        self.happened = happened
        self.story = story
        self.fuse = Fuse()
        self.is_up = False
        self.incarnation = 0
        self.on_crash: list[Callable[[], None]] = []
        self.losses: Counter[str] = Counter()
        self._folder = folder
        self._committed = model.copy()
        self._calls: list[tuple[Step, Future[Any]]] = []
        self._has_calls = False
        self._polls: dict[str, tuple[int, Answer]] = {}
        self._heard: dict[str, float] = {}
        self._store: Frontier
        self.open()

    @property
    def now(self) -> float:
        """Crawl time."""
        return self._opened_at + self.timeline.now - self._opened_on

    @property
    def is_durable(self) -> bool:
        """Whether it can be killed."""
        return self._folder is not None

    def open(self) -> None:
        """Start over what was committed."""
        if self.is_up:
            return
        self.incarnation += 1
        if self._folder is None:
            self._store = _MemoryStore(self._on_commit)
        else:
            folder = self._folder / str(self.incarnation)
            folder.mkdir(exist_ok=True)
            file = SqliteDatabase(folder / FRONTIER, clocks=self._clocks)
            self._store = FragileStore(file, self.fuse, self._on_commit)
        self._opened_at, self._opened_on = self._store.opened_at, self.timeline.now
        policy = make_policy(ScopeSpec(), lease_s=LEASE_S)
        brief = Brief(job="sim", scope=policy.scope)
        self.service = _Service(
            self._store, policy, brief, self._store.epoch, lambda _changes: None, self._store.opened_at
        )
        self.service.on_loss = self._on_loss
        self.post = Post(self._store.epoch)
        self.loop = SimLoop(self.service, lambda: None, lambda: self.now)
        self._heard = dict.fromkeys(self.model.sessions, self.timeline.now)
        self._calls, self._polls, self._has_calls = [], {}, False
        self.is_up = True
        self.check()
        self._tick(self.incarnation)

    def crash(self) -> None:
        """Die, and leave a copy of the file."""
        self.story.append(f"{self.timeline.now:.3f} the coordinator dies")
        assert self._folder is not None
        self.fuse.clear()
        before, after = self._folder / str(self.incarnation), self._folder / str(self.incarnation + 1)
        after.mkdir()
        for path in before.iterdir():
            if not path.name.endswith("-shm"):
                shutil.copyfile(path, after / path.name)
        self._store.close()
        shutil.rmtree(before)
        self.model = self._committed.copy()
        self.is_up = False
        broken, self.on_crash = self.on_crash, []
        for hear in broken:
            hear()

    def close(self) -> None:
        """End without a word."""
        if self.is_up:
            self._store.close()
        self.is_up = False

    def request(self, step: Step, answer: Answer, *, is_beat: bool = False) -> None:
        """Serve a call together with those that come meanwhile; its answer, or refusal, is given after the commit.

        The fuse burns at calls of objects and at the end of their times, not at a `beat`.
        """
        self._has_calls = self._has_calls or not is_beat
        future: Future[Any] = Future()
        future.add_done_callback(lambda done: answer(done.exception() or done.result()))
        if not self._calls:
            incarnation = self.incarnation
            self.timeline.after(GATHER_S, lambda: self._serve(incarnation))
        self._calls.append((step, future))

    def hello(self, session: str) -> Step:
        """Return the call by which a session says hello."""

        def step(now: float) -> bool:
            self._heard[session] = self.timeline.now
            self.service.hello(Hello(session=session, worker=""), now)
            return True

        return step

    def renew(self, session: str) -> Step:
        """Return the call by which a session renews itself; its answer is whether it is known."""

        def step(now: float) -> bool:
            known = self.service.exchange(ExchangeRequest(session=session), now).known
            if known:
                self._heard[session] = self.timeline.now
            return known

        return step

    def goodbye(self, session: str) -> Step:
        """Return the call by which a session leaves."""

        def step(now: float) -> None:
            self._heard.pop(session, None)
            self.service.goodbye(session, now)

        return step

    def call(self, message: ObjectCall, op: Op) -> Step:
        """Return the call of an object, whose answer must be the model's."""

        def step(now: float) -> ObjectReply:
            serve = self.service.call_object if message.number else self.service.read_object
            reply = serve(message, now)
            expected = self.model.serve(message, op, now, reply.value)
            self.story.append(
                f"{self.timeline.now:.3f} serves {message.session}/{message.slot}:{message.number} "
                f"thread {message.thread} {message.method} of {op}: {reply}"
            )
            _compare(reply, expected, op)
            return reply

        return step

    def collect(self, session: str, after: int, timeout_s: float, answer: Answer) -> None:
        """Serve a long poll."""
        collected = self.post.collect(session, after, 0.0)
        if collected.woken:
            answer(collected)
            return
        poll = self._polls[session] = after, answer
        self.timeline.after(timeout_s, lambda: self._end_poll(session, poll))

    def check(self) -> None:
        """Compare all lines and rows with the model; check that no row is left over."""
        check_rows(self._store)
        waited_for = {wait.object for wait in self._store.resident(WaitRow)}
        for (kind, name), thing in self.model.objects.items():
            row = self._store.rows(OBJECTS[kind].row, [name]).get(name)
            assert row is not None, f"{kind} {name!r} is gone"
            for number, line in ((row.number, thing.line), (-row.number, thing.other_line)):
                waits = [(wait.owner.session, wait.slot) for wait in self._store.family(WaitRow, number)]
                assert waits == [call.key[:2] for call in line], f"the line of {kind} {name!r}"
                waited_for.discard(number)
            thing.check(row, list(self._store.family(PartRow, row.number)))
        assert not waited_for, "calls wait for what is not there"

    def rows(self, kind: type[Any]) -> list[Any]:
        """Return all rows of a kind."""
        return list(self._store.resident(kind))

    def _serve(self, incarnation: int) -> None:
        if not self.is_up or incarnation != self.incarnation:
            return
        deadline = self.service.next_deadline()
        self.fuse.is_paused = not self._has_calls and (deadline is None or deadline > self.now)
        batch, self._calls, self._has_calls = self._calls, [], False
        try:
            self.loop.serve(batch)
        except Crash as crash:
            self.happened[str(crash.fault)] += 1
            self.crash()
            self.timeline.after(RESTART_S, self.open)
            return
        self._deliver()
        deadline = self.service.next_deadline()
        if deadline is not None and deadline < self.now + TICK_S:
            self.timeline.after(max(deadline - self.now, GATHER_S), lambda: self._serve(incarnation))

    def _deliver(self) -> None:
        woken = self.service.outgoing.take_woken()
        for session, answer in woken:
            if answer is None:
                continue
            key = (session, answer.slot, answer.number)
            self.happened["place lost"] += answer.reply.error == PLACE_LOST
            assert key in self.model.given, f"woke {key}, which did not call"
            expected = self.model.given[key]
            if expected is WITHDRAWN:
                continue  # it was given up in the same batch
            assert answer.reply.error == (expected.error if isinstance(expected, Raised) else "")
        self.post.deliver(woken)
        for session in {session for session, _ in woken}:
            after, answer_poll = self._polls.pop(session, (0, None))
            if answer_poll is not None:
                answer_poll(self.post.collect(session, after, 0.0))

    def _end_poll(self, session: str, poll: tuple[int, Answer]) -> None:
        if self._polls.get(session) is poll:
            del self._polls[session]
            poll[1](Collected(upto=poll[0], epoch=self.post.epoch))

    def _tick(self, incarnation: int) -> None:
        if self.is_up and incarnation == self.incarnation:
            self._serve(incarnation)
            self.timeline.after(TICK_S, lambda: self._tick(incarnation))

    def _on_commit(self) -> None:
        self.model.expire(self.now)
        if self.model.changed:
            self.model.changed = False
            self._committed = self.model.copy()
            self.check()

    def _on_loss(self, session: str, now: float, end: End) -> None:
        self.story.append(f"{self.timeline.now:.3f} loses {session}")
        if end is End.SILENCE:
            self.happened["session lost"] += 1
            silent_s = self.timeline.now - self._heard.get(session, 0.0)
            assert silent_s >= LEASE_S - 1e-6, f"{session} was lost after a silence of only {silent_s:.3f} s"
        self.losses[session] += 1
        self.model.lose(session, now, end)

    def _clocks(self) -> ClockReading:
        return ClockReading(1e9 + self.timeline.now, "boot", 1_000.0 + self.timeline.now)


def _compare(reply: ObjectReply, expected: Outcome, op: Op) -> None:
    """Compare what is said on the way; the program compares the value itself, of which proxies make some errors."""
    error = expected.error if isinstance(expected, Raised) else ""
    if error in KINDS[op.kind].proxy_errors:
        error = reply.error and error
    assert (reply.waits, reply.error) == (expected is WAITS, error), f"{op}: {reply}, not {expected}"


FUSES = (Fault.CRASH_BEFORE_APPLY, Fault.CRASH_AFTER_APPLY, Fault.CRASH_BEFORE_COMMIT, Fault.CRASH_AFTER_COMMIT)
