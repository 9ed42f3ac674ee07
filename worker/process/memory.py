"""Memory settings of the C library, the interpreter and the system."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from crawlfleet.shared.arenas import use_one_arena

# From malloc.h, for mallopt(3).
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
# Memory for a few large pages and their trees stays allocated: memory returned to the system would have to be allocated
# again for every page.
KEPT_BYTES = 32 * 1024 * 1024
LARGE_BLOCK_BYTES = 4 * 1024 * 1024
# The share of a machine's memory that all its workers may use, and what each may use in any case.
SHARE = 0.5
LEAST_BYTES = 512 * 1024 * 1024
LAST_WORDS_BYTES = 64 * 1024 * 1024
_STATM = "/proc/self/statm"
_GROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
# A page creates a thousand objects without cycles. A tree of BeautifulSoup has cycles and some thousands of objects. A
# large one reaches the oldest generation while it is built, so this one must be collected often enough.
GC_THRESHOLDS = (5_000, 5, 3)


def collect_less_often() -> None:
    """Make the garbage collector run less often. Call this once in a process."""
    gc.set_threshold(*GC_THRESHOLDS)
    # Imported modules stay for ever.
    gc.freeze()


def keep_freed_memory() -> None:
    """Make all threads allocate from one arena that does not shrink after each page (glibc).

    Call this before there are threads. With one arena for each thread, the memory of the largest pages is kept several
    times: measured, a fifth of a worker's memory. If the arena shrinks after each page, parsing takes up to twice as
    long: what large pages leave is given back later (`process.freed_memory`). C libraries without `mallopt` are left
    alone.
    """
    use_one_arena()
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


def give_back() -> None:
    """Return what is free to the system (glibc): after the cycles of large trees are collected, also between blocks."""
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def share_of(processes: int) -> int:
    """Return how many bytes each of `processes` workers may use, of the memory of the machine or its container."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(LEAST_BYTES, int(min(machine, *_group_limits(machine)) * SHARE / processes))


def limit_memory(size_bytes: int) -> None:
    """Make allocations beyond `size_bytes` fail (setrlimit(2), RLIMIT_DATA), unless the parent has set a limit.

    Some kilobytes of markup can make a parser build a tree of gigabytes: the page must fail, not the machine.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY:
        limit = size_bytes if hard == resource.RLIM_INFINITY else min(size_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _group_limits(machine: int) -> tuple[int, ...]:
    """Return the limits of control groups (v2, v1); `machine` for one without a limit."""
    texts = []
    for path in _GROUP_LIMITS:
        with suppress(OSError):
            texts.append(path.read_text(encoding="ascii").strip())
    return tuple(int(text) if text.isdecimal() else machine for text in (*texts, ""))


@lru_cache(maxsize=1)
def _statm(_pid: int) -> int:
    """Return the descriptor of the file that tells the memory of this process: it is read after each page."""
    return os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)


def share_in_use() -> float:
    """Return which share of its limit this process uses; 0 without a limit, or if the system does not say."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit == resource.RLIM_INFINITY:
        return 0.0
    # proc(5): the sixth number is that of pages of data and stack.
    return _size_bytes(5) / limit


def resident_bytes() -> int:
    """Return how much memory this process holds; 0 if the system does not say."""
    return _size_bytes(1)


def _size_bytes(place: int) -> int:
    try:
        return int(os.pread(_statm(os.getpid()), 256, 0).split()[place]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def limit_text() -> str:
    """Return the limit of this process for people."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return "no limit" if limit == resource.RLIM_INFINITY else f"{limit / 2**20:,.0f} MiB"


def allow_last_words() -> None:
    """Raise the limit of a process that has reached it a little, so that it can say so before it ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft != resource.RLIM_INFINITY:
        more = soft + LAST_WORDS_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (more if hard == resource.RLIM_INFINITY else min(more, hard), hard))
