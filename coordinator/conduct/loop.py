"""Calls of the service from all connections, one after another, committed together.

One thread at a time owns the service. The thread of a call that finds it free serves all calls that have come, its own
among them, without handing them to another thread; calls that arrive meanwhile share the next commit. A thread of the
loop's own serves what is left over, and flushes at every tick.

A caller gets its answer after the commit of its call; what only reads gets it after the commit of what it saw. While a
commit is under way, calls that come are run, and belong to the next one, which begins as soon as that has ended: so
the longer commits take, the more calls share one. What is run ahead of its commit is bounded; beyond that, callers
wait until a commit has ended. Most stores' commits end where they begin: then nothing is ever left under way.

A process that was stopped may find when it goes on that another owner has the crawl, which it hears from its next
commit. So nothing is answered but by an owner that is sure of its crawl, or after a commit that began after the call:
while it is not sure, a flush asks its store even if there is nothing to commit.

A refusal (an error that says what the caller must change) is raised at its caller, and so is the failure of an object's
method, which has changed nothing. Any other error in a call or a commit is a failed store or a bug of ours, and ends
the loop: everybody who calls is told so. What was not committed was not answered, so nothing is lost. The same holds of
a commit that another owner of the crawl has fenced off, and of one of which nobody knows whether it is in.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

import structlog

from crawlfleet.coordinator.conduct.service import CallFailed, Service
from crawlfleet.coordinator.frontier.port import Conclusion
from crawlfleet.shared.errors import CrawlFailed, CrawlfleetError, CrawlLost, Unreachable, UsageError

T = TypeVar("T")


class Answer(Protocol):
    """Where the answer to a call goes: a `concurrent.futures.Future`, or what is like one."""

    def done(self) -> bool: ...
    def set_result(self, value: Any, /) -> None: ...
    def set_exception(self, error: Any, /) -> None: ...


Call = tuple[Callable[[float], Any], Answer]
# A call that was run: where its answer goes, and what that is.
Decided = tuple[Answer, Any, Exception | None]
# What came of a look: a value or an error.
Seen = tuple[T | None, Exception | None]

TICK_S = 0.1
# While the service is behind, it is left to others for so long between two flushes.
BREATH_S = 0.001
# So many calls at most are run while a commit is under way; those beyond wait. `Service.is_full` bounds their bytes.
MOST_DECIDED = 1_000
_REFUSALS = (UsageError, Unreachable, CallFailed)
_LOST = {
    Conclusion.FENCED: (
        "another coordinator has taken this crawl over, and what this one has not committed is not counted"
    ),
    Conclusion.UNKNOWN: (
        "the connection to the crawl's database was lost while a commit was under way; nothing that was told is lost"
    ),
}


class Loop:
    """Runs calls against a service, in crawl time from `began_at` on.

    `on_commit` is called after each commit, by the thread that owns the service. `lost` says how the commit has ended
    after which the store can only be closed, and opened anew.
    """

    def __init__(self, service: Service, on_commit: Callable[[], None], began_at: float = 0.0) -> None:
        self._service = service
        self._on_commit = on_commit
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._zero = time.monotonic() - began_at
        # Held by the thread that owns the service.
        self._owned = threading.Lock()
        self._wake = threading.Event()
        # The calls that wait for the next commit, and those that wait for the one under way, if one is.
        self._decided: list[Decided] = []
        self._under_way: list[Decided] | None = None
        # Set by any thread: the commit under way has ended.
        self._has_ended = False
        # When the loop's own thread wakes, and when the first call that waits gives up, in crawl time.
        self._wakes_at = 0.0
        self._due_at = math.inf
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="service", daemon=True)
        self.failure: CrawlfleetError | None = None
        self.lost: Conclusion | None = None

    def start(self) -> None:
        """Start to flush at every tick."""
        self._thread.start()

    def stop(self) -> None:
        """Serve the calls made so far, conclude their commits, then end the thread. Make no calls afterwards."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def lose(self, error: CrawlLost) -> None:
        """End, since the store can only be closed; whoever calls is told so. Any thread may call this."""
        with self._owned:
            if self.failure is None:
                self._fail(error)

    def now(self) -> float:
        """Return crawl time."""
        return time.monotonic() - self._zero

    def call(self, step: Callable[[float], T]) -> T:
        """Run `step(now)` on the service; return its answer once committed. Any thread may call this."""
        answer: _Answer[T] = _Answer()
        self._calls.put((step, answer))
        # Whoever owns the service now looks for more calls after it has let go of it.
        if self._owned.acquire(blocking=False):
            self._serve_and_let_go()
        return answer.result()

    def read(self, step: Callable[[float], T]) -> T:
        """Run `step(now)`, which changes nothing; return its answer once what it saw is committed. Any thread may call
        this.

        An error is its caller's alone.
        """
        try:
            with self._owned:
                if self._under_way is None and self.failure is None and self._service.is_surely_owned:
                    return step(self.now())
                answer: _Answer[Seen[T]] = _Answer()
                self.look(step, answer)
        finally:
            self._wake_for_more()
        value, error = answer.result()
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # without an error it is what the step has returned

    def look(self, step: Callable[[float], T], answer: Answer) -> None:
        """Run `step(now)`, which changes nothing, as the owner; give a `Seen` to `answer` once what it saw is
        committed.

        Who is not sure of the crawl leaves it to the next commit: the one under way may be from before another owner.
        """

        def see(now: float) -> Seen[T]:
            try:
                return step(now), None
            except Exception as error:  # noqa: BLE001  # it is raised at the caller
                return None, error

        if self.failure is not None:
            answer.set_exception(self.failure)
        elif self._is_held_up or not self._service.is_surely_owned:
            self._calls.put((see, answer))
        elif self._under_way is None:
            answer.set_result(see(self.now()))
        else:
            (self._decided or self._under_way).append((answer, see(self.now()), None))

    def assured(self, answer: T) -> T:
        """Return an answer that was found past the loop, once it is known that no other owner had the crawl by then.

        Any thread may call this.
        """
        if self.failure is not None or not self._service.is_surely_owned:
            self.call(_look_whether_it_is_owned)
        return answer

    def serve(self, batch: Sequence[Call] = ()) -> None:
        """Run the calls that have come, and some more, as the owner; begin to commit their changes together, or in
        several commits if they are large, and answer what is committed."""
        for call in batch:
            self._calls.put(call)
        now = self.now()
        # Not those that come meanwhile: whoever serves waits for an answer, too.
        for _ in range(self._calls.qsize()):
            if self._has_ended:
                self._go_on(now)
            if self._under_way is not None and self._is_held_up:
                break
            self._run_call(self._calls.get_nowait(), now)
            if self._under_way is None and self._service.is_full:
                self._flush(now)
        if self._has_ended:
            self._go_on(now)
        if self._under_way is None:
            self._flush(now)
        self._due_at = self._next_due_at()

    def _run(self) -> None:
        """Serve and flush at every tick, and when a caller says that there is more to do; the top of a thread."""
        stopping = False
        while not stopping or self._under_way is not None:
            self._wakes_at = min(self.now() + TICK_S, self._due_at)
            self._wake.wait(max(0.0, self._wakes_at - self.now()))
            self._wake.clear()
            stopping = self._stopping
            self._owned.acquire()
            self._serve_and_let_go()

    def _serve_and_let_go(self) -> None:
        """Serve the calls that have come, as the owner of the service."""
        try:
            if self.failure is not None:
                raise self.failure
            self.serve()
        except BaseException as error:  # noqa: BLE001  # whoever waits must hear of it, and whoever calls later
            self._fail(_as_failure(error))
        finally:
            self._owned.release()
            self._wake_for_more()

    def _fail(self, failure: CrawlfleetError) -> None:
        """Tell everybody who waits that the loop has ended."""
        self.failure = failure
        waiting = [answer for answer, *_ in (*(self._under_way or ()), *self._decided)]
        self._under_way, self._decided = None, []
        with suppress(Empty):
            while True:
                waiting.append(self._calls.get_nowait()[1])
        for answer in waiting:
            if not answer.done():
                answer.set_exception(failure)

    def _wake_for_more(self) -> None:
        """Let the loop's own thread go on where the owner that has let go of the service did not."""
        # Calls that came too late found the service owned; and a call that waits may give up before the next tick.
        has_more = not self._calls.empty() and not self._is_held_up
        if has_more or (self._has_ended and self._under_way is not None) or self._due_at < self._wakes_at:
            self._wake.set()

    def _note_end(self) -> None:
        """Note that the commit under way has ended. Any thread may call this."""
        self._has_ended = True
        # An owner sees it, at the latest when it lets go.
        if not self._owned.locked():
            self._wake.set()

    @property
    def _is_held_up(self) -> bool:
        """Whether calls have to wait until the commit under way has ended."""
        return self._under_way is not None and (len(self._decided) >= MOST_DECIDED or self._service.is_full)

    def _run_call(self, call: Call, now: float) -> None:
        step, answer = call
        value, error = None, None
        try:
            value = step(now)
        except _REFUSALS as refusal:
            # Its frames know what was called with, and this list: that would be kept until a garbage collection.
            error = refusal.with_traceback(None)
        finally:
            # Whatever else it was, its caller must hear of it.
            self._decided.append((answer, value, error))

    def _flush(self, now: float) -> None:
        """Begin to commit what was run. No commit is under way."""
        self._under_way, self._decided = self._decided, []
        self._end_commit(self._service.flush(now, self._note_end))

    def _go_on(self, now: float) -> None:
        """Conclude the commit that has ended, and begin the next one if calls wait for it."""
        self._has_ended = False
        if self._under_way is not None:
            self._end_commit(self._service.conclude())
        if self._under_way is None and self._decided:
            self._flush(now)

    def _end_commit(self, conclusion: Conclusion | None) -> None:
        """Answer the calls of the commit under way if it is done; raise `CrawlLost` if it is lost."""
        if conclusion is None:
            return
        if conclusion is not Conclusion.DONE:
            self.lost = conclusion
            raise CrawlLost(_LOST[conclusion])
        answered, self._under_way = self._under_way or (), None
        self._has_ended = False
        for answer, value, error in answered:
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(value)
        self._on_commit()

    def _next_due_at(self) -> float:
        """Return when to flush again though nobody calls."""
        if self._under_way is not None:
            return math.inf
        due_at = self._service.next_deadline() or math.inf
        return min(due_at, self.now() + BREATH_S) if self._service.is_behind else due_at


def _look_whether_it_is_owned(_now: float) -> None:
    """Do nothing: that this is answered says it."""


def _as_failure(error: BaseException) -> CrawlfleetError:
    """Return the error that ended the loop as callers hear of it; log it if nobody has said yet what it means."""
    if isinstance(error, CrawlfleetError):
        return error
    structlog.get_logger().error("the coordinator failed", exc_info=error)
    failure = CrawlFailed(f"the coordinator failed: {error!r:.500}; its log says where: run the job again")
    failure.__cause__ = error
    return failure


class _Answer(Generic[T]):
    """An answer that one caller waits for. A `concurrent.futures.Future` costs more than many a call."""

    __slots__ = ("_error", "_pending", "_value")

    def __init__(self) -> None:
        self._pending = threading.Lock()
        self._pending.acquire()
        self._error: BaseException | None = None

    def done(self) -> bool:
        return not self._pending.locked()

    def set_result(self, value: T) -> None:
        self._value = value
        self._pending.release()

    def set_exception(self, error: BaseException) -> None:
        self._error = error
        self._pending.release()

    def result(self) -> T:
        """Wait for the answer; return it, or raise the error."""
        self._pending.acquire()
        error, self._error = self._error, None
        if error is None:
            return self._value
        try:
            raise error
        finally:
            del error  # it refers to this frame
