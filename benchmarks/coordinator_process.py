"""A coordinator as a process that is measured: what it takes of the machine, and the way to reach it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from crawlfleet.shared.errors import Unreachable
from crawlfleet.shared.wire.join_token import read_token
from crawlfleet.shared.wire.manager import FleetManager

LOOK_S = 0.02
PATIENCE_S = 600.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def resident_mb(pid: int) -> float:
    """Return how much memory a process has now."""
    return _status_kb(pid, "VmRSS:") / 1024


def peak_mb(pid: int) -> float:
    """Return how much memory a process had at most."""
    return _status_kb(pid, "VmHWM:") / 1024


def connect(join: Path) -> FleetManager:
    """Return a manager that is connected to the coordinator of a join file, once it serves."""
    fleet = FleetManager.joining(read_token(join), timeout_s=PATIENCE_S)
    while True:
        try:
            fleet.connect()
        except Unreachable:
            time.sleep(LOOK_S)
        else:
            return fleet


def _status_kb(pid: int, key: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition(key)[2].split(maxsplit=1)[0])
