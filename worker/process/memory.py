"""What the C library and the interpreter are told about memory."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
from contextlib import suppress
from pathlib import Path

# Of malloc.h, for mallopt(3).
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
# What a few large pages take, trees and all, stays at hand: what is given back to the system has to be asked for again,
# page by page, in every page.
KEPT_BYTES = 32 * 1024 * 1024
LARGE_BLOCK_BYTES = 4 * 1024 * 1024
# What all workers of a machine may take of its memory, and what each may in any case.
SHARE = 0.5
LEAST_BYTES = 512 * 1024 * 1024
_GROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
# A page makes a thousand objects that form no cycles. A tree of BeautifulSoup, which does, has some thousands. A large
# one grows old while it is made, and is garbage of the oldest generation, which has to be looked at in time.
GC_THRESHOLDS = (5_000, 5, 3)


def look_for_cycles_less() -> None:
    """Let the garbage collector look at more objects at a time; call it once in a process."""
    gc.set_threshold(*GC_THRESHOLDS)
    # What was imported stays.
    gc.freeze()


def keep_what_pages_take() -> None:
    """Let all threads allocate from one arena that does not shrink after each page (glibc); call it before there are
    threads.

    With one arena for each thread, what the largest pages took is kept several times: measured, a fifth of a worker's
    memory. Where the arena shrinks at each page, parsing takes up to twice as long. C libraries without `mallopt` have
    nothing to be told.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def share_of(processes: int) -> int:
    """Return how many bytes each of so many workers may take: of the machine's memory, or of what its container has."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(LEAST_BYTES, int(min(machine, *_group_limits(machine)) * SHARE / processes))


def take_no_more_than(size_bytes: int) -> None:
    """Let an allocation beyond so much fail (setrlimit(2), RLIMIT_DATA), unless whoever started this has set a limit.

    Some kilobytes of markup can make a parser build a tree of gigabytes: that is to cost its page, not the machine.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY:
        limit = size_bytes if hard == resource.RLIM_INFINITY else min(size_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _group_limits(machine: int) -> tuple[int, ...]:
    """Read what control groups (v2, v1) allow; `machine` where one allows anything."""
    texts = []
    for path in _GROUP_LIMITS:
        with suppress(OSError):
            texts.append(path.read_text(encoding="ascii").strip())
    return tuple(int(text) if text.isdecimal() else machine for text in (*texts, ""))
