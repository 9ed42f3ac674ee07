"""What the C library and the interpreter are told about memory."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

M_ARENA_MAX = -8  # malloc.h
# A page makes a thousand objects that form no cycles. A tree of BeautifulSoup, which does, has some thousands.
GC_THRESHOLDS = (10_000, 20, 50)


def look_for_cycles_less() -> None:
    """Let the garbage collector look at more objects at a time; call it once in a process."""
    gc.set_threshold(*GC_THRESHOLDS)
    # What was imported stays.
    gc.freeze()


def share_one_arena() -> None:
    """Let all threads allocate from one arena (glibc, mallopt(3)); call it before there are threads.

    With one arena for each thread, what the largest pages took is kept several times: measured, a fifth of a worker's
    memory. C libraries without arenas have nothing to be told.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
