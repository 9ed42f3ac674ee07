"""The programs of a simulation of named objects: the real client and proxies, whose threads are greenlets.

Each message goes over a network that loses, repeats and delays it as the test says. A connection on which an answer
does not come is broken, as TCP's is; what was sent over it may still arrive.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import StrEnum
from functools import partial
from queue import Empty
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from crawlfleet.shared.errors import RemoteError, Unreachable
from crawlfleet.shared.objects import PLACE_LOST, WITHDRAW, Collected, ObjectCall, ObjectReply
from crawlfleet.worker.talk.objects.client import Coordinator, ObjectClient
from crawlfleet.worker.talk.objects.shared_objects import SharedObjects
from crawlfleet.worker.talk.objects.threads import Inbox, Threads
from tests.property.object_coordinator import SimCoordinator, Step
from tests.property.object_model import KindModel, Op, Outcome, Raised
from tests.simulation.sim_thread import SimThread
from tests.simulation.timeline import Timeline

BEAT_S = 1.5
CALL_S = 2.0
LATE_S = 3.0
SLOW_S = 0.4
TRIP_S = 0.01
PATIENCE_S = 8.0


class Fate(StrEnum):
    """What becomes of a message and of its answer."""

    ARRIVES = "message arrives"
    SLOW = "message is slow"
    LOST = "message lost"
    ANSWER_LOST = "answer lost"
    REPEATED = "message repeated"
    LATE = "message late: its sender had given up"
    CUT = "connection broken"


class SimThreads(Threads):
    """The threads of one program."""

    def __init__(self, timeline: Timeline) -> None:
        self.is_dead = False
        self._timeline = timeline
        self._threads: dict[greenlet, SimThread] = {}

    @property
    def current(self) -> SimThread:
        """The thread that runs."""
        return self._threads[getcurrent()]

    def clock(self) -> float:
        return self._timeline.now

    def sleep(self, seconds: float) -> None:
        self.wait(lambda resume: self._timeline.after(seconds, lambda: resume(None)))

    def wait(self, begin: Callable[[Callable[[Any], None]], None]) -> Any:
        """Block the thread that runs: see `SimThread.wait`. A dead one ends instead."""
        if self.is_dead:
            raise GreenletExit
        return self.current.wait(begin)

    def lock(self) -> AbstractContextManager[Any]:
        return _Lock(self, self._timeline)

    def inbox(self) -> Inbox:
        return _Inbox(self, self._timeline)

    def local(self) -> Any:
        return _Local()

    def start(self, work: Callable[[], None]) -> None:
        self.spawn(work)

    def spawn(self, work: Callable[[], None]) -> SimThread:
        """Run work in a thread; return it."""

        def run() -> None:
            self._threads[getcurrent()] = thread
            try:
                work()
            finally:
                del self._threads[getcurrent()]

        thread = SimThread(self._timeline, run)
        return thread

    def die(self) -> None:
        """End all threads where they wait."""
        self.is_dead = True
        for thread in list(self._threads.values()):
            thread.end()


class _Lock:
    """A lock, in the order of arrival."""

    def __init__(self, threads: SimThreads, timeline: Timeline) -> None:
        self._threads = threads
        self._timeline = timeline
        self._is_held = False
        self._line: deque[Callable[[Any], None]] = deque()

    def __enter__(self) -> None:
        while self._is_held:
            self._threads.wait(self._line.append)
        self._is_held = True

    def __exit__(self, *_error: object) -> None:
        self._is_held = False
        line, self._line = self._line, deque()
        for resume in line:  # an interrupted one does not hear, so all are woken, and the first comes first
            self._timeline.after(0.0, partial(resume, None))


class _Inbox:
    """As `queue.SimpleQueue`."""

    def __init__(self, threads: SimThreads, timeline: Timeline) -> None:
        self._threads = threads
        self._timeline = timeline
        self._items: deque[Any] = deque()
        self._resume: Callable[[Any], None] | None = None

    def put(self, item: Any) -> None:
        self._items.append(item)
        if self._resume is not None:
            resume = self._resume
            self._timeline.after(0.0, lambda: resume(None))

    def get(self, *, timeout: float | None = None) -> Any:
        until = None if timeout is None else self._timeline.now + timeout
        while not self._items:
            if until is not None and self._timeline.now >= until:
                raise Empty
            self._threads.wait(lambda resume: self._sleep(resume, timeout))
        return self._items.popleft()

    def empty(self) -> bool:
        return not self._items

    def _sleep(self, resume: Callable[[Any], None], timeout: float | None) -> None:
        self._resume = resume
        if timeout is not None:
            self._timeline.after(timeout, lambda: resume(None))


class _Local:
    """As `threading.local`."""

    def __init__(self) -> None:
        object.__setattr__(self, "_values", {})

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[getcurrent(), name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._values[getcurrent(), name] = value


class SimProgram:
    """One session: its threads, its client, and its beats. `fates` are those of its next messages."""

    def __init__(
        self,
        session: str,
        coordinator: SimCoordinator,
        kinds: dict[str, type[KindModel]],
        happened: Counter[str],
        threads: int,
    ) -> None:
        self.session = session
        self.coordinator = coordinator
        self.kinds = kinds
        self.happened = happened
        self.timeline = coordinator.timeline
        self.sim_threads = SimThreads(self.timeline)
        self.fates: deque[Fate] = deque()
        self.poll_fates: deque[Fate] = deque()
        self.cut_off_until = 0.0
        self.is_open = True
        self.ops: dict[tuple[int, int], Op] = {}
        self._is_member = False
        self.client = ObjectClient(lambda: Line(self), session, patience_s=PATIENCE_S, threads=self.sim_threads)
        self.objects = SharedObjects(lambda: self.client)
        self.threads = [ProgramThread(self) for _ in range(threads)]
        self._beat()

    @property
    def is_cut_off(self) -> bool:
        """Whether nothing reaches the coordinator, nor comes from it."""
        return self.timeline.now < self.cut_off_until

    def die(self) -> None:
        """Be killed."""
        self.is_open = False
        self.sim_threads.die()

    def leave(self) -> None:
        """Close the connection in good order."""
        self.is_open = False
        self.client.close()
        if self.coordinator.is_up and not self.is_cut_off:
            self.coordinator.request(self.coordinator.goodbye(self.session), lambda _: None)

    def op_of(self, message: ObjectCall) -> Op:
        """Return the operation that a message belongs to."""
        key = message.slot, message.number
        if message.method == WITHDRAW:  # of an earlier operation, or of a call that was never sent
            return self.ops.get(key) or Op(message.kind, message.name, message.method)
        running = [thread.op for thread in self.threads if thread.op and thread.is_current]
        if running and message.number == 0:
            return running[0]
        if running:
            self.ops[key] = running[0]
        return self.ops[key]

    def _beat(self) -> None:
        if not self.is_open or self.sim_threads.is_dead:
            return
        self.timeline.after(BEAT_S, self._beat)
        if self.is_cut_off or not self.coordinator.is_up:
            return
        step = self.coordinator.renew if self._is_member else self.coordinator.hello
        self.coordinator.request(step(self.session), self._note_member, is_beat=True)

    def _note_member(self, known: Any) -> None:
        self._is_member = known is True


class ProgramThread:
    """A thread of a program. It does one operation after another, as it is told."""

    def __init__(self, program: SimProgram) -> None:
        self.program = program
        self.op: Op | None = None
        self.key: tuple[str, int, int] | None = None
        self.is_interrupted = False
        self.has_started = False
        self.last: Outcome = None
        self._proxies: dict[tuple[str, str], Any] = {}
        self._wake: Callable[[Any], None] | None = None
        self.sim = program.sim_threads.spawn(self._work)

    @property
    def is_current(self) -> bool:
        """Whether it is this thread that runs."""
        return self.sim.is_current

    def begin(self, op: Op) -> None:
        """Do an operation, from now on."""
        self.op, self.key, self.is_interrupted = op, None, False
        self.program.coordinator.story.append(f"{self.program.timeline.now:.3f} {self.program.session} begins {op}")
        self.program.timeline.after(0.0, self._go)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        if self.has_started and self.op is not None and self._wake is None:
            self.is_interrupted = True
            self.sim.interrupt()

    def note(self, message: ObjectCall) -> None:
        """Note which call is to be answered, unless it only tidies up after another one."""
        if message.method != WITHDRAW and (message.method != "resume" or self.is_interrupted):
            self.key = (message.session, message.slot, message.number)

    def _go(self) -> None:
        if self._wake is None:  # it has not started yet
            if not self.sim.is_over:
                self.program.timeline.after(0.001, self._go)
            return
        wake, self._wake = self._wake, None
        wake(None)

    def _work(self) -> None:
        self.has_started = True
        while True:
            self.program.sim_threads.wait(self._rest)
            op = self.op
            assert op is not None
            outcome = self._do(op)
            self._judge(op, outcome)
            self.last, self.op = outcome, None

    def _rest(self, wake: Callable[[Any], None]) -> None:
        self._wake = wake

    def _do(self, op: Op) -> Outcome:
        model = self.program.kinds[op.kind]
        try:
            key = op.kind, op.name
            if key not in self._proxies:
                self._proxies[key] = getattr(self.program.objects, op.kind)(op.name, *model.options)
            proxy = self._proxies.pop(key) if op.method in model.forgets else self._proxies[key]
            return model.perform(proxy, op)
        except RemoteError as error:
            return Raised(error.name)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # any error is an outcome
            return Raised(type(error).__name__)

    def _judge(self, op: Op, outcome: Outcome) -> None:
        """What the program was told is what the model says, and was committed."""
        coordinator = self.program.coordinator
        coordinator.story.append(f"{self.program.timeline.now:.3f} {self.program.session} ends {op}: {outcome!r}")
        if outcome == Raised("KeyboardInterrupt"):
            assert self.is_interrupted
            return
        if outcome == Raised("Unreachable"):
            self.program.happened["no coordinator in time"] += 1
            return
        if not self.program.is_open:
            return
        assert outcome != Raised(PLACE_LOST), "a program heard of a place that its client should have taken again"
        if op.method in self.program.kinds[op.kind].reads and self.key is not None and self.key[2] == 0:
            known = coordinator.model.read[op.number]
        else:
            assert self.key is not None
            model, key = coordinator.model, self.key
            known = [given[key] for given in (model.given, model.given_late) if key in given]
        assert any(_same(outcome, each) for each in known), f"{self.program.session} {op}: {outcome!r}, not {known!r}"


class Line(Coordinator):
    """A connection of a program."""

    def __init__(self, program: SimProgram) -> None:
        self._program = program
        self._connected_to: int | None = None

    def call(self, message: ObjectCall) -> ObjectReply:
        program = self._program
        op = program.op_of(message)
        for thread in program.threads:
            if thread.is_current:
                thread.note(message)
        step = program.coordinator.call(message, op)
        fate = program.fates.popleft() if program.fates else Fate.ARRIVES
        reply: ObjectReply = self._trip(fate, _Request(self, step))
        return reply

    def collect(self, session: str, after: int, timeout_s: float) -> Collected:
        fate = self._program.poll_fates.popleft() if self._program.poll_fates else Fate.ARRIVES
        collected: Collected = self._trip(fate, _Poll(self, session, after, timeout_s))
        return collected

    def _trip(self, fate: Fate, carried: _Request | _Poll) -> Any:
        program = self._program
        threads, coordinator = program.sim_threads, program.coordinator
        if threads.is_dead:
            raise GreenletExit
        if program.is_cut_off or not coordinator.is_up:
            threads.sleep(TRIP_S)
            raise Unreachable("nobody is there")
        if self._connected_to not in (None, coordinator.incarnation):
            self._connected_to = None
            raise Unreachable("the connection was lost")
        self._connected_to = coordinator.incarnation
        program.happened[fate] += 1
        try:
            answer = threads.wait(lambda resume: self._send(fate, carried, resume))
        except BaseException:
            self._connected_to = None
            raise
        if isinstance(answer, _Broken):
            self._connected_to = None
            raise Unreachable(answer.why)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _send(self, fate: Fate, carried: _Request | _Poll, resume: Callable[[Any], None]) -> None:
        program = self._program
        after, coordinator = program.timeline.after, program.coordinator
        trip_s = SLOW_S if fate is Fate.SLOW else TRIP_S
        incarnation = coordinator.incarnation
        coordinator.on_crash.append(lambda: resume(_Broken("the coordinator died")))

        def answered(answer: Any) -> None:
            def back() -> None:
                if incarnation == coordinator.incarnation and coordinator.is_up and not program.is_cut_off:
                    resume(answer)

            after(trip_s, back)

        def arrive(then: Callable[[Any], None]) -> None:
            if incarnation == coordinator.incarnation and coordinator.is_up:
                carried.arrive(then)

        timeout_s = carried.timeout_s + CALL_S
        after(0.0 if fate is Fate.CUT else timeout_s, lambda: resume(_Broken("no answer in time")))
        if fate in (Fate.ARRIVES, Fate.SLOW, Fate.REPEATED):
            after(trip_s, lambda: arrive(answered))
        if fate in (Fate.ANSWER_LOST, Fate.CUT):
            after(trip_s, lambda: arrive(_ignore))
        if fate is Fate.REPEATED:
            after(3 * trip_s + SLOW_S, lambda: arrive(_ignore))
        if fate is Fate.LATE:
            after(timeout_s + LATE_S / 2, lambda: arrive(_ignore))


class _Broken:
    """The connection is gone."""

    def __init__(self, why: str) -> None:
        self.why = why


class _Request:
    """A call of an object, on its way."""

    timeout_s = 0.0

    def __init__(self, line: Line, step: Step) -> None:
        self._coordinator = line._program.coordinator
        self._step = step

    def arrive(self, answer: Callable[[Any], None]) -> None:
        self._coordinator.request(self._step, answer)


class _Poll:
    """A long poll, on its way."""

    def __init__(self, line: Line, session: str, after: int, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._coordinator = line._program.coordinator
        self._session = session
        self._after = after

    def arrive(self, answer: Callable[[Any], None]) -> None:
        self._coordinator.collect(self._session, self._after, self.timeout_s, answer)


def _ignore(_answer: Any) -> None:
    pass


def _same(told: Outcome, known: Outcome) -> bool:
    return type(told) is type(known) and bool(told == known)
