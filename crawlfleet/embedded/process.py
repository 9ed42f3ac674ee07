"""The process of an embedded crawl, as its caller sees it: told what to crawl, asked, and ended.

No message is lost if Ctrl-C interrupts a call here, but for the crawl that is to be stopped then anyway.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from crawlfleet.coordinator.summary import Summary
from crawlfleet.embedded.child import Child
from crawlfleet.embedded.messages import FROM_SUPERVISOR, AskStatus, Begin, Begun, FromSupervisor, Over, StatusIs, Stop
from crawlfleet.run.messages import Refused, Said
from crawlfleet.shared.errors import CrawlFailed, CrawlfleetError, JobError, UsageError
from crawlfleet.shared.messages import decode
from crawlfleet.shared.pipe import receive, send
from crawlfleet.shared.status import Numbers, Status

#: How long a stopped crawl is waited for. Its supervisor ends it sooner.
STOP_S = 20.0

T = TypeVar("T")


class CrawlProcess:
    """One crawl below this process, in a child. Any thread may use it. `begin` says what to crawl.

    Raises the `UsageError` that keeps the crawl from beginning.
    """

    def __init__(self, child: Child, begin: Begin) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._status: bytes | None = None
        self._news: list[str] = []
        self._begun: Begun | None = None
        self._refused: Refused | None = None
        self._is_closed = False
        #: How the crawl ended; None until then.
        self.over: Over | None = None
        self.is_temporary = not begin.folder
        self._pipe, self._child = child.pipe, child.process
        try:
            begun = self._begin(begin)
        except BaseException:
            self.close()
            raise
        self.folder = Path(os.fsdecode(begun.folder))
        #: What was moved aside: a sentence, or nothing.
        self.moved = begun.moved

    def check_open(self) -> None:
        """Raise `ValueError` if it is closed, `RuntimeError` in a process that was forked from its own."""
        if self._pid != os.getpid():
            raise RuntimeError("this crawl belongs to the process that began it: call crawl() in each process")
        if self._is_closed:
            raise ValueError("this crawl is closed")

    def take_news(self) -> list[str]:
        """Return the sentences for the user that came since the last call."""
        with self._lock:
            news, self._news = self._news, []
        return news

    def wait(self, timeout_s: float) -> None:
        """Wait until something is said, or the crawl is over, for `timeout_s` at most."""
        with self._lock:
            if self.over is None and not self._is_closed and self._pipe.poll(timeout_s):
                self._take(receive(self._pipe, FROM_SUPERVISOR))

    def status(self) -> Status | None:
        """Return the crawl's numbers; None if they are not to be had just now."""
        with self._lock:
            if self.over is None and not self._is_closed:
                self._status = None
                send(self._pipe, AskStatus())
                self._wait_until(lambda: self._status is not None or self.over is not None)
            if self.over is None or not self.over.summary:
                return decode(self._status, Status) if self._status else None
            summary = msgspec.msgpack.decode(self.over.summary, type=Summary)
        numbers = {name: getattr(summary, name) for name in Numbers.__struct_fields__}
        return Status(**numbers, finished=summary.ended == "finished")

    def request_stop(self, *, at_once: bool) -> None:
        """Have the crawl end before it is finished; `at_once`: without what is in flight. It is not waited for."""
        with self._lock:
            if self._is_ours() and self.over is None:
                send(self._pipe, Stop(at_once=at_once))

    def stop(self, *, at_once: bool) -> None:
        """Have the crawl end before it is finished, and wait until it has ended."""
        if self._is_ours():
            self.request_stop(at_once=at_once)
            until = time.monotonic() + STOP_S
            self._wait_until(lambda: self.over is not None or time.monotonic() > until)

    def close(self) -> bool:
        """End the crawl, if it has not ended, and remove its folder, if that is temporary.

        Return False in a forked process, which leaves it alone.
        """
        with self._lock:
            if not self._is_ours():
                return False
            self._is_closed = True
            self._pipe.close()  # so the supervisor knows
            try:
                self._child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            if self.is_temporary and self._begun is not None:  # if the supervisor was killed
                shutil.rmtree(Path(os.fsdecode(self._begun.folder)).parent, ignore_errors=True)
            return True

    def _begin(self, begin: Begin) -> Begun:
        """Send what to crawl; wait until the crawl has begun."""
        send(self._pipe, begin)
        self._wait_until(lambda: self._begun is not None or self.over is not None)
        if self._refused is not None:
            raise _error_of(self._refused)
        if self._begun is None:
            raise CrawlFailed("the process of the crawl ended before it began: the standard error says why")
        return self._begun

    def _is_ours(self) -> bool:
        """Whether there is something to end: a forked process must leave it alone."""
        return not self._is_closed and self._pid == os.getpid()

    def _wait_until(self, is_there: Callable[[], bool]) -> None:
        while not is_there() and not self._is_closed:
            self.wait(0.25)

    def _take(self, message: FromSupervisor | None) -> None:
        match message:
            case Begun(notices=notices):
                self._begun = message
                self._news += notices
            case Refused():
                self._refused = message
                self.over = Over(failure=message.text)
            case Said(text=text):
                self._news.append(text)
            case StatusIs(status=status):
                self._status = status
            case Over(notices=notices):
                self.over = message
                self._news += notices
            case _:
                self.over = Over(failure=self._death())

    def _death(self) -> str:
        try:
            code = self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            code = None
        return f"the process of the crawl ended unexpectedly (exit code {code})"


def _error_of(refused: Refused) -> CrawlfleetError:
    if refused.problems:
        return JobError(refused.problems)
    return UsageError(refused.text) if refused.exit_code == UsageError.exit_code else CrawlFailed(refused.text)
