"""Named queues against a plain model: deaths, ends of time, calls that are given up or sent again, in any order.

Nothing is lost, doubled or out of order: each answer of the rules must be the model's.
"""

from __future__ import annotations

import os
from bisect import insort
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crawlfleet.coordinator.core.objects.queues import TakenRow
from crawlfleet.coordinator.core.objects.rows import ObjectsRow, PartRow, SessionRow, WaitRow
from tests.unit.object_fleet import WAITS, Failed, ObjectFleet, ProgramThread

_IS_LONG = os.environ.get("CRAWLFLEET_HYPOTHESIS") == "ci"
THREADS = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c"}
TIMEOUTS = st.sampled_from([0.0, 2.0, 5.0, None])

Item = tuple[int, bytes]


@dataclass
class Waiting:
    """A call in the model's line."""

    thread: str
    value: bytes | None
    deadline: float | None


@dataclass
class QueueModel:
    """What a queue is, in lists."""

    maxsize: int
    is_joinable: bool
    now: float = 0.0
    next_item: int = 0
    items: list[Item] = field(default_factory=list)
    line: list[Waiting] = field(default_factory=list)
    joiners: list[str] = field(default_factory=list)
    taken: list[tuple[str, Item]] = field(default_factory=list)
    unfinished: int = 0
    #: The last answer of each thread, and those that have not been delivered.
    answers: dict[str, object] = field(default_factory=dict)
    woken: set[str] = field(default_factory=set)

    @property
    def is_full(self) -> bool:
        return 0 < self.maxsize <= len(self.items)

    def waits(self, thread: str) -> bool:
        return self.answers.get(thread) == WAITS

    def call(self, thread: str, method: str, value: bytes | None, timeout: float | None) -> None:
        if method == "join":
            self.answers[thread] = True if self.unfinished == 0 else WAITS
            self.joiners += [thread] if self.unfinished else []
        elif method == "task_done":
            self.answers[thread] = self._task_done(thread)
        elif self.is_full if value is not None else not self.items:
            if timeout == 0:
                self.answers[thread] = "Full" if value is not None else "Empty"
                return
            self.answers[thread] = WAITS
            self.line.append(Waiting(thread, value, None if timeout is None else self.now + timeout))
        elif value is not None:
            self.answers[thread] = self._accept(value)
        else:
            self.answers[thread] = self._take(thread, self.items.pop(0))
            self._admit()

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for wait in self.line.copy():
            if wait.deadline is not None and wait.deadline <= self.now:
                self.line.remove(wait)
                self._answer(wait.thread, "Empty" if wait.value is None else "Full")

    def lose(self, session: str) -> None:
        for thread in [thread for thread, each in THREADS.items() if each == session and self.waits(thread)]:
            self._leave(thread)
            self._answer(thread, "PlaceLost")
        back = [item for thread, item in self.taken if THREADS[thread] == session]
        self.taken = [each for each in self.taken if THREADS[each[0]] != session]
        for item in sorted(back):
            self._offer(item)

    def give_up(self, thread: str) -> None:
        answer, self.answers[thread] = self.answers.get(thread), "Withdrawn"
        self.woken.discard(thread)
        match answer:
            case "waits":
                self._leave(thread)
            case ("got", item):
                assert isinstance(item, tuple)
                if self.is_joinable and (thread, item) in self.taken:
                    self.taken.remove((thread, item))
                    self._offer(item)
                elif not self.is_joinable:
                    self._offer(item)
            case ("put", item) if item in self.items:
                self.items.remove(item)
                self._admit()
                self._finish()
            case _:
                pass

    def _leave(self, thread: str) -> None:
        self.line = [wait for wait in self.line if wait.thread != thread]
        self.joiners = [each for each in self.joiners if each != thread]

    def _answer(self, thread: str, answer: object) -> None:
        self.answers[thread] = answer
        self.woken.add(thread)

    def _accept(self, value: bytes) -> tuple[str, Item]:
        item = (self.next_item, value)
        self.next_item += 1
        self.unfinished += 1
        self._offer(item)
        return "put", item

    def _offer(self, item: Item) -> None:
        if self.line and self.line[0].value is None:
            thread = self.line.pop(0).thread
            self._answer(thread, self._take(thread, item))
        else:
            insort(self.items, item)

    def _take(self, thread: str, item: Item) -> tuple[str, Item]:
        if self.is_joinable:
            self.taken.append((thread, item))
        return "got", item

    def _admit(self) -> None:
        while self.line and not self.is_full:
            wait = self.line.pop(0)
            assert wait.value is not None
            self._answer(wait.thread, self._accept(wait.value))

    def _task_done(self, thread: str) -> object:
        mine = [each for each in self.taken if each[0] == thread]
        if not mine if self.is_joinable else not self.unfinished:
            return "ValueError"
        if mine:
            self.taken.remove(mine[0])
        self._finish()
        return None

    def _finish(self) -> None:
        self.unfinished -= 1
        if self.unfinished == 0:
            for thread in self.joiners:
                self._answer(thread, True)
            self.joiners = []


class QueueMachine(RuleBasedStateMachine):
    """Some threads of some programs, and one queue."""

    kind = "Queue"

    @initialize(maxsize=st.integers(0, 2))
    def open(self, maxsize: int) -> None:
        self.fleet = ObjectFleet()
        self.threads = {name: self._thread(name) for name in THREADS}
        self.model = QueueModel(maxsize, self.kind == "JoinableQueue")
        self.values = 0
        for thread in self.threads.values():
            thread.open(self.kind, "q", maxsize)

    def _thread(self, name: str) -> ProgramThread:
        return self.fleet.thread(THREADS[name])

    @rule(data=st.data(), timeout=TIMEOUTS)
    def put(self, data: st.DataObject, timeout: float | None) -> None:
        self.values += 1
        self._call(data, "put", timeout, str(self.values).encode())

    @rule(data=st.data(), timeout=TIMEOUTS)
    def get(self, data: st.DataObject, timeout: float | None) -> None:
        self._call(data, "get", timeout)

    @rule(data=st.data())
    def task_done(self, data: st.DataObject) -> None:
        self._call(data, "task_done", 0.0)

    @rule(data=st.data())
    def join(self, data: st.DataObject) -> None:
        self._call(data, "join", None)

    @rule(seconds=st.sampled_from([1.0, 2.0, 4.0]))
    def advance(self, seconds: float) -> None:
        self.model.advance(seconds)
        self.fleet.advance(seconds)

    @rule(name=st.sampled_from(sorted(THREADS)))
    def again(self, name: str) -> None:
        if name in self.model.answers and name not in self.model.woken:
            assert self._outcome(self.threads[name].again) == self._seen(name)

    @rule(name=st.sampled_from(sorted(THREADS)))
    def give_up(self, name: str) -> None:
        if name in self.model.answers:
            self.model.give_up(name)
            self.threads[name].withdraw()
            self.fleet.answers.pop((self.threads[name].session, self.threads[name].slot), None)

    @rule(session=st.sampled_from("abc"), keep_answers=st.booleans())
    def lose(self, session: str, keep_answers: bool) -> None:
        self.model.lose(session)
        self.fleet.lose(session, keep_answers=keep_answers)
        if not keep_answers:  # nobody is left to ask for them
            for name in [name for name, each in THREADS.items() if each == session]:
                self.model.answers.pop(name, None)
                self.model.woken.discard(name)
                self.threads[name].calls = 0

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def deliveries_agree(self) -> None:
        for name, thread in self.threads.items():
            if name in self.model.woken:
                assert self._outcome(thread.woken) == self._seen(name)
            else:
                assert thread.woken() == WAITS
        self.model.woken.clear()

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def contents_agree(self) -> None:
        parts = sorted(self.fleet.rows(PartRow), key=lambda part: part.place)
        taken = sorted(self.fleet.rows(TakenRow), key=lambda each: each.taken)
        assert [part.value for part in parts] == [value for _, value in self.model.items]
        assert [each.value for each in taken] == [value for _, (_, value) in self.model.taken]
        assert len(self.fleet.rows(WaitRow)) == len(self.model.line) + len(self.model.joiners)
        assert not self.model.items or all(wait.value is not None for wait in self.model.line)
        if not parts and not taken and not self.model.line:
            assert [row.size_bytes for row in self.fleet.rows(ObjectsRow)] == [0]
            assert {row.size_bytes for row in self.fleet.rows(SessionRow)} <= {0}

    def _call(self, data: st.DataObject, method: str, timeout: float | None, value: bytes | None = None) -> None:
        idle = [name for name in sorted(THREADS) if not self.model.waits(name)]
        if not idle:
            return
        name = data.draw(st.sampled_from(idle))
        self.model.call(name, method, value, timeout)
        args = () if value is None else (value,)
        answer = self._outcome(lambda: self.threads[name].send(self.kind, "q", method, args, timeout))
        assert answer == self._seen(name)

    def _seen(self, name: str) -> object:
        """Return the model's answer as a thread sees it."""
        match self.model.answers[name]:
            case ("put", _):
                return "put"
            case ("got", (_, value)):
                return value
            case answer:
                return answer

    @staticmethod
    def _outcome(call: Any) -> object:
        try:
            answer = call()
        except Failed as failed:
            return failed.error
        if isinstance(answer, tuple | list):
            return answer[1]
        return "put" if isinstance(answer, int) and not isinstance(answer, bool) else answer


class JoinableQueueMachine(QueueMachine):
    """The same with a queue that knows who took its items."""

    kind = "JoinableQueue"


_SETTINGS = settings(
    max_examples=500 if _IS_LONG else 30,
    stateful_step_count=50 if _IS_LONG else 30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestQueue = QueueMachine.TestCase
TestQueue.settings = _SETTINGS
TestJoinableQueue = JoinableQueueMachine.TestCase
TestJoinableQueue.settings = _SETTINGS
