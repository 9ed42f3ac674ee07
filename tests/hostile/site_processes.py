"""What the processes of a crawl hold, as /proc tells it."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.acceptance.processes import descendants

_CLOSED_THERE = "08"  # CLOSE_WAIT


class Count(NamedTuple):
    """What a process holds: threads, connections to a port, those that the other side has closed, other descriptors,
    memory; and the most memory that it held."""

    threads: int
    connections: int
    closed: int
    others: int
    resident_kb: int
    peak_kb: int


def counts(pid: int, port: int) -> dict[int, Count]:
    """Count for a process, and for all that it has started, by their ids."""
    sockets = _sockets_to(port)
    return {each: _count(each, sockets) for each in (pid, *descendants(pid))}


def _count(pid: int, sockets: dict[str, str]) -> Count:
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            links.append(str(link.readlink()))
    states = Counter(sockets.get(link.removeprefix("socket:[").removesuffix("]"), "") for link in links)
    closed = states[_CLOSED_THERE]
    threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    resident_kb, peak_kb = (int(status[field].split()[0]) for field in ("VmRSS", "VmHWM"))
    return Count(threads, states.total() - closed - states[""], closed, states[""], resident_kb, peak_kb)


def _sockets_to(port: int) -> dict[str, str]:
    """Return the states of the sockets of this machine with a port at their other end, by their inodes."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9]: row[3] for row in rows if row[2].endswith(f":{port:04X}")}
