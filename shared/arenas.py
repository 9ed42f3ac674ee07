"""From how many arenas of the C library the threads of this process allocate."""

from __future__ import annotations

import ctypes
from contextlib import suppress

# From malloc.h, for mallopt(3).
M_ARENA_MAX = -8


def use_one_arena() -> None:
    """Make all threads allocate from one arena (glibc). Call this before there are threads.

    With one for each thread, each keeps the most that its threads have ever had. C libraries without `mallopt` are left
    alone.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
