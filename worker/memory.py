"""What the C library is told about memory."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_ARENA_MAX = -8  # malloc.h


def share_one_arena() -> None:
    """Let all threads allocate from one arena (glibc, mallopt(3)); call it before there are threads.

    With one arena for each thread, what the largest pages took is kept several times: measured, a fifth of a worker's
    memory. C libraries without arenas have nothing to be told.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
