"""A session's calls of named objects: numbered, repeated until they are answered, and collected if they wait.

Calls of all threads share one connection, one after another, since each is answered at once. Calls that wait share a
second one: a thread collects their answers, a long poll of some seconds, as long as any call waits.

A call is sent again with its number after a lost connection, and the calls that wait after a restart of the
coordinator: it answers each number once.
"""

from __future__ import annotations

import itertools
import queue
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import structlog
from msgspec.structs import replace

from crawlfleet.shared.errors import CrawlfleetError, Unreachable
from crawlfleet.shared.objects import FORGOTTEN, PLACE_LOST, WITHDRAW, Collected, ObjectCall, ObjectReply
from crawlfleet.shared.ranges import shown
from crawlfleet.worker.hook_waited import WAITS, HookWaited
from crawlfleet.worker.talk.finished import JobFinished, closed
from crawlfleet.worker.talk.objects.answers import Answer, value_of
from crawlfleet.worker.talk.objects.slots import Leaving, Slot
from crawlfleet.worker.talk.objects.threads import Inbox, Threads

COLLECT_S = 5.0
FIRST_PAUSE_S = 0.05
LAST_PAUSE_S = 1.0

T = TypeVar("T")

_logger = structlog.get_logger(__name__)


class _Target(NamedTuple):
    kind: str
    name: str
    method: str
    args: tuple[Any, ...]


class Coordinator(Protocol):
    """The coordinator's objects over one connection; calls raise `Unreachable` if it is gone."""

    def call(self, call: ObjectCall) -> ObjectReply: ...
    def collect(self, session: str, after: int, timeout_s: float) -> Collected: ...


class ObjectClient:
    """The calls of one session. Any thread may use it, but only in the process that made it."""

    def __init__(
        self,
        dial: Callable[[], Coordinator],
        session: str,
        *,
        patience_s: float,
        hook_wait_s: float | None = None,
        threads: Threads | None = None,
    ) -> None:
        """`dial` connects to the coordinator. After `patience_s` without it, calls raise `Unreachable`.

        `hook_wait_s`: the calls are those of a hook, and raise `HookWaited` if one waits for longer.
        """
        self._dial = dial
        self._session = session
        self._patience_s = patience_s
        self._hook_wait_s = hook_wait_s
        self._threads = threads or Threads()
        self._clock = self._threads.clock
        self._sleep = self._threads.sleep
        self._line = self._threads.lock()
        self._coordinator: Coordinator | None = None
        self._state = self._threads.lock()
        # The one that has been free longest is used next: so even a single thread soon replaces all last answers, which
        # the coordinator keeps.
        self._free: deque[Slot] = deque()
        self._slots = 0
        self._waiting: dict[int, Slot] = {}
        self._is_collecting = False
        # The thread that collects rests until this bell rings.
        self._bell = self._threads.inbox()
        self._is_resting = False
        self._numbers = itertools.count(1)
        self._thread = self._threads.local()
        self._closed = False

    def read(self, kind: str, name: str, method: str, *args: Any) -> Any:
        """Call a method that only reads."""
        return value_of(self._alone(lambda: self._send(self._message(_Target(kind, name, method, args)))))

    def call(self, kind: str, name: str, method: str, *args: Any, timeout_s: float | None = 0.0) -> Any:
        """Call a method that may change the object; wait up to `timeout_s` for its answer (None: without limit).

        Raises the error that the method gives, `JobFinished` if the crawl ends meanwhile, `Unreachable` if the
        coordinator stays away, `RuntimeError` if the thread makes another call.
        """
        return value_of(self._alone(lambda: self._call(_Target(kind, name, method, args), timeout_s)))

    def _alone(self, work: Callable[[], ObjectReply]) -> ObjectReply:
        """Do what a call does, unless the thread is inside another, in a signal handler: it would wait for itself."""
        if getattr(self._thread, "is_busy", False):
            raise RuntimeError(
                "an object of the fleet cannot be used in a signal handler or finalizer: use a flag there"
            )
        try:
            self._thread.is_busy = True
            with WAITS.waiting():
                self._settle()
                return work()
        finally:
            self._thread.is_busy = False

    def _call(self, target: _Target, timeout_s: float | None) -> ObjectReply:
        """Make a numbered call, again and again if it loses its place in the line."""
        give_up_at = None if timeout_s is None else self._clock() + timeout_s
        slot = self._take_slot()
        try:
            while True:
                left_s = None if give_up_at is None else max(0.0, give_up_at - self._clock())
                message = self._message(target, slot, left_s)
                reply = self._finish(slot, message)
                if reply.error != PLACE_LOST:
                    return reply
                # This session was silent for too long, and has lost its place: to the end of the line.
        finally:
            if not slot.is_leaving:
                self._free_slot(slot)

    def close(self) -> None:
        """Raise `ValueError` at the calls that wait, and at all later ones."""
        with self._state:
            self._closed = True
            self._ring()
            waiting = list(self._waiting.values())
        for slot in waiting:
            slot.inbox.put(closed())

    def _finish(self, slot: Slot, message: ObjectCall) -> ObjectReply:
        """Send a call and return its answer, also if it has to wait for it; give it up if there is none."""
        try:
            self._expect(slot, message)
            reply = self._send(message)
            if reply.waits:
                self._await(slot, reply.value)
                reply = self._receive(slot, message)
        except JobFinished:
            raise  # nobody needs its place any more
        except BaseException as error:
            self._withdraw(slot, message, error)
            raise
        if reply.error == FORGOTTEN:
            slot.number = 0
        return reply

    def _receive(self, slot: Slot, message: ObjectCall) -> ObjectReply:
        """Return the answer of a call that waits, as soon as it is collected."""
        try:
            answer: Answer = slot.inbox.get(timeout=self._hook_wait_s)
        except queue.Empty:
            raise HookWaited(f"waited {self._hook_wait_s:g} s for the {message.kind} {shown(message.name)}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _expect(self, slot: Slot, message: ObjectCall) -> None:
        """Note a call that is about to be sent: its answer may be collected before it is known that it waits."""
        with self._state:
            _clear(slot.inbox)
            slot.number, slot.waiting, slot.epoch = message.number, message, None
            self._waiting[slot.index] = slot

    def _await(self, slot: Slot, epoch: int) -> None:
        """Note that a call waits, and collect answers."""
        with self._state:
            if self._closed:
                raise closed()
            slot.epoch = epoch
            self._ring()
            if not self._is_collecting:
                self._threads.start(self._collect)

    def _ring(self) -> None:
        """Wake the thread that collects. One ring too many, after an interruption, does no harm; one too few would."""
        if self._is_resting:
            self._bell.put(None)
            self._is_resting = False

    def _withdraw(self, slot: Slot, message: ObjectCall, error: BaseException) -> None:
        """Give up a call: it leaves its line, or its answer is taken back. If need be, another thread sees to that."""
        with self._state:
            self._waiting.pop(slot.index, None)
            if self._closed or slot.number != message.number:  # it was not sent
                return
        withdrawal = replace(message, method=WITHDRAW, args=(message.method,))
        leaving = Leaving(slot, withdrawal, self._threads.lock())
        slot.is_leaving = True
        try:
            if not isinstance(error, Unreachable):
                with suppress(Exception):  # the other thread sees whether it lasts
                    self._give_up(leaving)
        finally:
            if not leaving.is_done:
                self._thread.leaving = leaving
                self._threads.start(partial(self._keep_giving_up, leaving))

    def _give_up(self, leaving: Leaving) -> None:
        """Try once to give up a call; then its slot makes others."""
        with leaving.lock:
            if leaving.is_done:
                return
            slot: Slot | None = leaving.slot
            try:
                self._trip(leaving.withdrawal)
            except (TypeError, ValueError, OverflowError):
                slot = None  # it cannot be sent, nor could the call: the coordinator does not know that number
            with self._state:
                leaving.is_done = True
                if slot is not None:
                    self._free.append(Slot(slot.index, self._threads.inbox(), slot.number))

    def _keep_giving_up(self, leaving: Leaving) -> None:
        """Go on trying to give up a call, until this client is closed. The top of a thread."""
        self._thread.is_busy = True  # for finalizers
        pause_s, is_told = FIRST_PAUSE_S, False
        while not (leaving.is_done or self._closed):
            try:
                self._give_up(leaving)
            except Exception as error:  # noqa: BLE001  # the top of a thread: it goes on whatever it is
                if not is_told and not isinstance(error, Unreachable):
                    is_told = True
                    _logger.warning(
                        "a call could not be given up", object=shown(leaving.withdrawal.name), reason=str(error)
                    )
                self._sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_PAUSE_S)

    def _settle(self) -> None:
        """Let the calling thread's last call be given up, if that is not done: the next one must not overtake it.

        Raise `Unreachable` if the coordinator stays away. If it refuses to give up the call, that is not waited for.
        """
        leaving: Leaving | None = getattr(self._thread, "leaving", None)
        if leaving is None:
            return
        try:
            self._repeat(partial(self._give_up, leaving))
        except Unreachable:
            raise
        except CrawlfleetError as error:
            _logger.warning("a call could not be given up", object=shown(leaving.withdrawal.name), reason=str(error))
        self._thread.leaving = None

    def _collect(self) -> None:
        """Collect answers as long as calls wait, and a poll longer, which the next wait finds open; then rest.

        The top of a thread. It says itself that it runs, since an interruption may keep it from being started; of
        two that were started the second ends at once.
        """
        with self._state:
            if self._is_collecting:
                return
            self._is_collecting = True
        self._thread.is_busy = True  # for finalizers
        cursor, lost_at, pause_s = 0, None, FIRST_PAUSE_S
        coordinator: Coordinator | None = None
        is_quiet = False
        while self._goes_on(is_quiet):
            try:
                coordinator = coordinator or self._dial()
                collected = coordinator.collect(self._session, cursor, COLLECT_S)
                cursor, is_quiet = collected.upto, not collected.woken
                self._take(collected)
            except Exception as error:  # noqa: BLE001  # the top of a thread: whoever waits must hear of it
                coordinator, cursor, is_quiet = None, 0, True  # another incarnation counts anew
                lost_at = lost_at or self._clock()
                if not isinstance(error, Unreachable) or self._clock() > lost_at + self._patience_s:
                    self._answer_all(error)
                    lost_at, pause_s = None, FIRST_PAUSE_S  # whoever waits next begins with all its patience
                    continue
                self._sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_PAUSE_S)
                continue
            lost_at, pause_s = None, FIRST_PAUSE_S

    def _take(self, collected: Collected) -> None:
        """Hand out answers; send calls again that wait at an earlier incarnation."""
        for woken in collected.woken:
            self._answer(woken.slot, woken.number, woken.reply)
        if collected.finished:
            self._answer_all(JobFinished("the crawl is over"))
        self._resend(collected.epoch)

    def _goes_on(self, is_quiet: bool) -> bool:
        """Rest until a call waits, if none does and the last poll brought nothing; say whether to go on."""
        with self._state:
            self._is_resting = is_quiet and not self._closed and not any(slot.epoch for slot in self._waiting.values())
            is_resting = self._is_resting
        if is_resting:
            self._bell.get(timeout=None)
        return not self._closed

    def _resend(self, epoch: int) -> None:
        """Send the calls again that wait at another incarnation of the coordinator."""
        with self._state:
            stale = [
                slot.waiting for slot in self._waiting.values() if slot.epoch not in (None, epoch) and slot.waiting
            ]
        for message in stale:
            reply = self._trip(message)
            if not reply.waits:
                self._answer(message.slot, message.number, reply)
            else:
                with self._state:
                    slot = self._waiting.get(message.slot)
                    if slot is not None:
                        slot.epoch = reply.value

    def _answer(self, index: int, number: int, answer: Answer) -> None:
        with self._state:
            slot = self._waiting.get(index)
            if slot is None or slot.number != number:
                return
            del self._waiting[index]
            slot.inbox.put(answer)

    def _answer_all(self, error: Exception) -> None:
        with self._state:
            waiting = [(slot.index, slot.number) for slot in self._waiting.values()]
        for index, number in waiting:
            self._answer(index, number, error)

    def _send(self, message: ObjectCall) -> ObjectReply:
        """Send a call until it is answered."""
        return self._repeat(partial(self._trip, message))

    def _repeat(self, step: Callable[[], T]) -> T:
        """Do what needs the coordinator, again and again while that is away."""
        give_up_at, pause_s = self._clock() + self._patience_s, FIRST_PAUSE_S
        while True:
            try:
                return step()
            except Unreachable:
                if self._clock() > give_up_at:
                    raise
            self._sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)

    def _trip(self, message: ObjectCall) -> ObjectReply:
        """Send a call once, over the connection that all threads share."""
        if self._closed:
            raise closed()
        with self._line:
            if self._coordinator is None:
                self._coordinator = self._dial()
            return self._coordinator.call(message)

    def _message(self, target: _Target, slot: Slot | None = None, timeout_s: float | None = None) -> ObjectCall:
        thread = getattr(self._thread, "number", None)
        if thread is None:
            thread = self._thread.number = next(self._numbers)
        return ObjectCall(
            session=self._session,
            thread=thread,
            slot=slot.index if slot is not None else 0,
            number=slot.number + 1 if slot is not None else 0,
            kind=target.kind,
            name=target.name,
            method=target.method,
            args=target.args,
            timeout_s=timeout_s,
            hook=self._hook_wait_s is not None,
        )

    def _take_slot(self) -> Slot:
        with self._state:
            if self._free:
                return self._free.popleft()
            self._slots += 1
            return Slot(self._slots - 1, self._threads.inbox())

    def _free_slot(self, slot: Slot) -> None:
        with self._state:
            self._waiting.pop(slot.index, None)
            slot.waiting = None
            self._free.append(slot)


def _clear(inbox: Inbox) -> None:
    while not inbox.empty():
        inbox.get()
