"""The CPU time of single threads, as other threads and other processes read it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import get_ident

_PROC = Path("/proc")


class ThreadGone(Exception):
    """The thread has ended."""


class ThreadClock:
    """The CPU clock of the thread that creates it; any thread of the process may read it.

    Where the system has no such clock (macOS), it is that of the whole process.
    """

    def __init__(self) -> None:
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        self._clock: int | None = clock_of(get_ident()) if clock_of is not None else None

    def seconds(self) -> float:
        """Return the CPU time until now; raise `ThreadGone` if the thread has ended."""
        if self._clock is None:
            return time.process_time()
        try:
            return time.clock_gettime(self._clock)
        except OSError as error:
            raise ThreadGone from error


def of_thread(process_id: int, thread_id: int) -> float | None:
    """Return the CPU time of a thread of another process, in ticks of the system; None if it does not say.

    Raise `ThreadGone` if the thread has ended.
    """
    tasks = _PROC / str(process_id) / "task"
    try:
        text = (tasks / str(thread_id) / "stat").read_text(encoding="latin-1")
    except OSError as error:
        if tasks.exists():
            raise ThreadGone from error
        return None
    # proc(5): the name, in brackets, may contain anything; the twelfth and thirteenth field after it are ticks.
    ticks = text.rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
