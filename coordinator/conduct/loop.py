"""The one thread that owns the service: calls from all connections, one after another, committed together.

Calls that arrive during a commit share the next one. A caller gets its answer after the commit. A refusal (an error
that says what the caller must change) is raised at its caller. Any other error in a call or a commit is a failed store
or a bug of ours, and ends the loop. What was not committed was not answered, so nothing is lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.shared.errors import Unreachable, UsageError

T = TypeVar("T")
Call = tuple[Callable[[float], Any], "Future[Any]"]

TICK_S = 0.1
_REFUSALS = (UsageError, Unreachable)


class _Mistake(NamedTuple):
    error: Exception


class Loop:
    """Runs calls against a service, in crawl time from `began_at` on.

    `on_commit` is called after each commit, in the loop's thread.
    """

    def __init__(self, service: Service, on_commit: Callable[[], None], began_at: float = 0.0) -> None:
        self._service = service
        self._on_commit = on_commit
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._zero = time.monotonic() - began_at
        self._thread = threading.Thread(target=self._run, name="service", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Start to serve calls."""
        self._thread.start()

    def stop(self) -> None:
        """Serve the calls made so far, then end the thread."""
        self._calls.put(None)
        self._thread.join()

    def now(self) -> float:
        """Return crawl time."""
        return time.monotonic() - self._zero

    def call(self, step: Callable[[float], T]) -> T:
        """Run `step(now)` in the loop's thread; return its answer once committed. Any other thread may call this."""
        answer: Future[T] = Future()
        self._calls.put((step, answer))
        return answer.result()

    def ask(self, step: Callable[[float], T]) -> T:
        """Like `call`, for a step whose `ValueError` or `TypeError` is the caller's mistake: it is raised here."""
        answer = self.call(partial(_caught, step))
        if isinstance(answer, _Mistake):
            raise answer.error
        return answer

    def _run(self) -> None:
        going = True
        while going:
            batch, going = self._gather()
            try:
                self.serve(batch)
                self._on_commit()
            except BaseException as error:  # noqa: BLE001  # the top of a thread: whoever waits must hear of it
                self.failure = error
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                if going:
                    self._refuse_all(error)
                return

    def _refuse_all(self, error: BaseException) -> None:
        """Raise an error at all callers, whose answers will never come."""
        while (call := self._calls.get()) is not None:
            call[1].set_exception(error)

    def _gather(self) -> tuple[list[Call], bool]:
        """Wait for a call or the next tick; return all calls that have come, and whether to continue."""
        batch: list[Call] = []
        try:
            call = self._calls.get(timeout=self._rest_s())
            while call is not None:
                batch.append(call)
                call = self._calls.get_nowait()
        except Empty:
            return batch, True
        return batch, False

    def _rest_s(self) -> float:
        """Return how long the loop may rest: a tick, or until a call of an object gives up."""
        deadline = self._service.next_deadline()
        return TICK_S if deadline is None else min(TICK_S, max(0.0, deadline - self.now()))

    def serve(self, batch: list[Call]) -> None:
        """Run some calls and commit their changes together; answer them afterwards."""
        now = self.now()
        answers: list[tuple[Future[Any], Any, Exception | None]] = []
        for step, answer in batch:
            try:
                answers.append((answer, step(now), None))
            except _REFUSALS as refusal:
                answers.append((answer, None, refusal))
        self._service.flush(now)
        for answer, value, error in answers:
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(value)


def _caught(step: Callable[[float], T], now: float) -> T | _Mistake:
    try:
        return step(now)
    except (ValueError, TypeError) as error:
        return _Mistake(error)
