"""How long a crawl was not running: by the clock since boot if the machine was not rebooted, else by the wall clock.

The clock since boot cannot be set, and runs while the machine sleeps. The wall clock may be set at any time, so a gap
over a reboot counts as 0 at least and a day at most.
"""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

LONGEST_GAP_S = 86_400.0

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ClockReading(NamedTuple):
    """One reading of a machine's clocks: Unix time, the boot's id (empty: unknown), seconds since boot."""

    wall_s: float
    boot: str = ""
    since_boot_s: float = 0.0


def read_clocks() -> ClockReading:
    """Read this machine's clocks."""
    boot = _boot()
    return ClockReading(time.time(), boot, time.clock_gettime(time.CLOCK_BOOTTIME) if boot else 0.0)


def elapsed_s(before: ClockReading, now: ClockReading) -> float:
    """Return the best estimate of the seconds between two readings."""
    if before.boot and before.boot == now.boot:
        return max(0.0, now.since_boot_s - before.since_boot_s)
    return min(max(0.0, now.wall_s - before.wall_s), LONGEST_GAP_S)


@lru_cache(maxsize=1)
def _boot() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() if hasattr(time, "CLOCK_BOOTTIME") else ""
    except OSError:
        return ""
