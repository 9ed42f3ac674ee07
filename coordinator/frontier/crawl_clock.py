"""How long a crawl was away: by the clock since boot if the machine is still up, else by the clock on the wall.

The clock since boot cannot be set, and goes on while the machine sleeps. The wall's may be set while nobody looks, so a
gap over a reboot counts for no less than 0 and no more than a day.
"""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

LONGEST_GAP_S = 86_400.0

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ClockReading(NamedTuple):
    """What a machine's clocks say: seconds of the epoch, which boot this is (empty: not known), seconds since it."""

    wall_s: float
    boot: str = ""
    since_boot_s: float = 0.0


def read_clocks() -> ClockReading:
    """Read this machine's clocks."""
    boot = _boot()
    return ClockReading(time.time(), boot, time.clock_gettime(time.CLOCK_BOOTTIME) if boot else 0.0)


def elapsed_s(before: ClockReading, now: ClockReading) -> float:
    """Return the seconds between two readings, as far as they can be known."""
    if before.boot and before.boot == now.boot:
        return max(0.0, now.since_boot_s - before.since_boot_s)
    return min(max(0.0, now.wall_s - before.wall_s), LONGEST_GAP_S)


@lru_cache(maxsize=1)
def _boot() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() if hasattr(time, "CLOCK_BOOTTIME") else ""
    except OSError:
        return ""
