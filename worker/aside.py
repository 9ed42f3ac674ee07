"""Runs what may take long without the interpreter in a thread aside, at a low priority once it does take long.

A parser in C lets other threads run Python, but not all of them at once if the machine has fewer processors. A thread
cannot be stopped in there. But the system can run it last, when nothing else wants to run (Linux: a priority for each
thread). An unprivileged process cannot raise a priority again, and a thread that holds the interpreter must not be the
last to run, since all others would wait for it. So such a call is made by a thread aside, which ends with it once its
priority is low, while the thread whose page it is waits, and goes on as before. The time that a call of low priority
was kept from running counts for no limit: its CPU time does.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from _thread import start_new_thread
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast

from crawlfleet.worker.process.cpu_time import ThreadClock, ThreadGone

# A call that has taken more CPU time takes long.
LONG_S = 0.1
# Low, see setpriority(2): it gets a thirtieth of what a usual one gets. With the lowest of all, on a busy machine, a
# thread that holds the interpreter for the last time, and loses its processor to another, would keep it for a second.
LOW = 15
# How often a thread comes along that takes the interpreter.
COME_ALONG_S = 0.005

Result = TypeVar("Result")


def lower(thread_id: int) -> None:
    """Let a thread of this process run last; the number is the system's."""
    os.setpriority(os.PRIO_PROCESS, thread_id, LOW)


class Taken(NamedTuple):
    """What calls aside took: CPU time, and time in which those of low priority were kept from running."""

    cpu_s: float = 0.0
    kept_s: float = 0.0

    def plus(self, other: Taken) -> Taken:
        return Taken(self.cpu_s + other.cpu_s, self.kept_s + other.kept_s)


@dataclass(frozen=True, slots=True)
class _Account:
    """What the calls of one thread have taken that ended, and the thread aside that makes one for it now."""

    taken: Taken = Taken()  # noqa: RUF009  # a frozen value
    runner: _Runner | None = None


_NOTHING = _Account()


class _Runner:
    """A thread aside. It makes one call after another, until its priority was lowered.

    `low` counts the calls of low priority that are under way.
    """

    def __init__(self, clock: Callable[[], float], low: list[_Runner]) -> None:
        self._now = clock
        self._low = low
        self._wake, self._done = threading.Lock(), threading.Lock()
        self._wake.acquire()
        self._done.acquire()
        self._work: Callable[[], Any] | None = None
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread_id = 0
        self._cpu: ThreadClock | None = None
        self._before_s = 0.0
        # Since when its priority is low, and its CPU time then.
        self._low_since: tuple[float, float] | None = None
        self._has_ended = False
        self._last = Taken()
        start_new_thread(self._run, ())

    @property
    def is_low(self) -> bool:
        """Whether it makes no other call."""
        return self._low_since is not None

    def call(self, work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        """Make a call, and wait for its end; return its result, or its error."""
        self._work = work
        self._wake.release()
        while not self._done.acquire(timeout=LONG_S):
            if self.taken().cpu_s > LONG_S:
                self._lower()
        result, error = self._result, self._error
        self._work = self._result = self._error = None
        if self.is_low and not self._has_ended:
            self._wake.release()
        return result, error

    def _lower(self) -> None:
        """Lower its priority, and wait for the end of its call.

        When it wants the interpreter back, the thread that gives it up waits until another one has taken it, which
        may be long. So threads that will take it at once come along often enough.
        """
        self._low_since = self._now(), self.taken().cpu_s
        lower(self._thread_id)
        self._low.append(self)
        while not self._done.acquire(timeout=COME_ALONG_S * len(self._low)):
            pass
        self._low.remove(self)
        self._done.release()

    def taken(self) -> Taken:
        """Return what the call that is under way has taken until now, or what the last one took."""
        if self._cpu is None:
            return Taken()
        try:
            cpu_s = self._cpu.seconds() - self._before_s
        except ThreadGone:
            return self._last
        if self._low_since is None:
            return Taken(cpu_s)
        since, cpu_then_s = self._low_since
        return Taken(cpu_s, max(0.0, self._now() - since - (cpu_s - cpu_then_s)))

    def _run(self) -> None:
        self._thread_id, self._cpu = threading.get_native_id(), ThreadClock()
        while self._wake.acquire() and self._work is not None:
            self._before_s = self._cpu.seconds()
            try:
                self._result = self._work()
            except BaseException as error:  # noqa: BLE001  top of a thread: it is raised again in the one that waits
                self._error = error
            self._has_ended = self.is_low
            self._last = self.taken()
            self._done.release()
            if self._has_ended:  # at once: it would have to wait for the interpreter once more
                return


class Aside:
    """The threads aside of a process, and what their calls took."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._idle: list[_Runner] = []
        self._low: list[_Runner] = []
        self._accounts: dict[int, _Account] = {}

    def watch(self) -> None:
        """Let calls of this thread be made aside from now on, and count what they take."""
        if sys.platform == "linux":
            self._accounts[threading.get_ident()] = _NOTHING

    def begin(self, thread: int) -> None:
        """Count what calls of a watched thread take from now on, without what they have taken."""
        if self._accounts.get(thread, _NOTHING) is not _NOTHING:
            self._accounts[thread] = _NOTHING

    def run(self, work: Callable[[], Result]) -> Result:
        """Make a call that runs without the interpreter, in this thread if it is not watched."""
        ident = threading.get_ident()
        account = self._accounts.get(ident)
        if account is None:
            return work()
        try:
            runner = self._idle.pop() if self._idle else _Runner(self._clock, self._low)
        except RuntimeError:  # the system has no room for another thread
            return work()
        self._accounts[ident] = _Account(account.taken, runner)
        result, error = runner.call(work)
        self._accounts[ident] = _Account(account.taken.plus(runner.taken()))
        if not runner.is_low:
            self._idle.append(runner)
        if error is not None:
            raise error
        return cast("Result", result)

    def taken(self, thread: int) -> Taken:
        """Return what the calls of a thread have taken since its `begin`; nothing for one that is not watched."""
        account = self._accounts.get(thread, _NOTHING)
        return account.taken if account.runner is None else account.taken.plus(account.runner.taken())


# Those of this process.
ASIDE = Aside()
