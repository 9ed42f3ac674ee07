"""What the C library and the interpreter are told about memory."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

# Of malloc.h, for mallopt(3).
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8
# What a few large pages take, trees and all, stays at hand: what is given back to the system has to be asked for again,
# page by page, in every page.
KEPT_BYTES = 32 * 1024 * 1024
LARGE_BLOCK_BYTES = 4 * 1024 * 1024
# A page makes a thousand objects that form no cycles. A tree of BeautifulSoup, which does, has some thousands.
GC_THRESHOLDS = (10_000, 20, 50)


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
