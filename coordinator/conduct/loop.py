"""Calls of the service from all connections, one after another, committed together.

One thread at a time owns the service. The thread of a call that finds it free serves all calls that have come, its own
among them, without handing them to another thread; calls that arrive meanwhile share the next commit. A thread of the
loop's own serves what is left over, and flushes at every tick. A caller gets its answer after the commit; what only
reads needs none, since the owner of the service has committed before it lets go. A refusal (an error that says what the
caller must change) is raised at its caller, and so is the failure of an object's method, which has changed nothing. Any
other error in a call or a commit is a failed store or a bug of ours, and ends the loop: everybody who calls is told so.
What was not committed was not answered, so nothing is lost.
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
from crawlfleet.shared.errors import CrawlFailed, CrawlfleetError, Unreachable, UsageError

T = TypeVar("T")


class Answer(Protocol):
    """Where the answer to a call goes: a `concurrent.futures.Future`, or what is like one."""

    def done(self) -> bool: ...
    def set_result(self, value: Any, /) -> None: ...
    def set_exception(self, error: Any, /) -> None: ...


Call = tuple[Callable[[float], Any], Answer]

TICK_S = 0.1
# While the service is behind, it is left to others for so long between two flushes.
BREATH_S = 0.001
_REFUSALS = (UsageError, Unreachable, CallFailed)


class Loop:
    """Runs calls against a service, in crawl time from `began_at` on.

    `on_commit` is called after each commit, by the thread that made it.
    """

    def __init__(self, service: Service, on_commit: Callable[[], None], began_at: float = 0.0) -> None:
        self._service = service
        self._on_commit = on_commit
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._zero = time.monotonic() - began_at
        # Held by the thread that owns the service.
        self._owned = threading.Lock()
        self._wake = threading.Event()
        # When the loop's own thread wakes, and when the first call that waits gives up, in crawl time.
        self._wakes_at = 0.0
        self._due_at = math.inf
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="service", daemon=True)
        self.failure: CrawlfleetError | None = None

    def start(self) -> None:
        """Start to flush at every tick."""
        self._thread.start()

    def stop(self) -> None:
        """Serve the calls made so far, then end the thread."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def now(self) -> float:
        """Return crawl time."""
        return time.monotonic() - self._zero

    def call(self, step: Callable[[float], T]) -> T:
        """Run `step(now)` on the service; return its answer once committed. Any thread may call this."""
        answer: _Answer[T] = _Answer()
        self._calls.put((step, answer))
        # Whoever owns the service now looks for more calls after it has let go of it.
        while not answer.done() and self._owned.acquire(blocking=False):
            self._serve_and_let_go()
        return answer.result()

    def read(self, step: Callable[[float], T]) -> T:
        """Run `step(now)`, which changes nothing, on what is committed; return its answer. Any thread may call this.

        An error is its caller's alone.
        """
        try:
            with self._owned:
                if self.failure is not None:
                    raise self.failure
                return step(self.now())
        finally:
            self._wake_for_more()

    def _run(self) -> None:
        """Serve and flush at every tick, and when a caller says that there is more to do; the top of a thread."""
        stopping = False
        while not stopping:
            self._wakes_at = min(self.now() + TICK_S, self._due_at)
            self._wake.wait(max(0.0, self._wakes_at - self.now()))
            self._wake.clear()
            stopping = self._stopping
            self._owned.acquire()
            self._serve_and_let_go()

    def _serve_and_let_go(self) -> None:
        """Serve the calls that have come, as the owner of the service."""
        batch: list[Call] = []
        try:
            with suppress(Empty):
                while True:
                    batch.append(self._calls.get_nowait())
            if self.failure is not None:
                raise self.failure
            self.serve(batch)
            self._on_commit()
            self._due_at = self._service.next_deadline() or math.inf
            if self._service.is_behind:
                self._due_at = min(self._due_at, self.now() + BREATH_S)
        except BaseException as error:  # noqa: BLE001  # whoever waits must hear of it, and whoever calls later
            self.failure = failure = _as_failure(error)
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(failure)
        finally:
            self._owned.release()
            self._wake_for_more()

    def _wake_for_more(self) -> None:
        """Let the loop's own thread go on where the owner that has let go of the service did not."""
        # Calls that came too late found the service owned; and a call that waits may give up before the next tick.
        if not self._calls.empty() or self._due_at < self._wakes_at:
            self._wake.set()

    def serve(self, batch: Sequence[Call]) -> None:
        """Run some calls and commit their changes together, or in several commits if they are large; then answer."""
        now = self.now()
        answers: list[tuple[Answer, Any, Exception | None]] = []
        for step, answer in batch:
            try:
                answers.append((answer, step(now), None))
            except _REFUSALS as refusal:
                answers.append((answer, None, refusal))
            if self._service.is_full:
                self._commit(answers, now)
                answers = []
        self._commit(answers, now)

    def _commit(self, answers: Sequence[tuple[Answer, Any, Exception | None]], now: float) -> None:
        self._service.flush(now)
        for answer, value, error in answers:
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(value)


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
        if self._error is not None:
            raise self._error
        return self._value
