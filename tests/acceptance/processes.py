"""Finding processes by what they do, through /proc, and ending them with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def process_with_connection_to(port: int, below: int) -> int | None:
    """Name a descendant of process `below` that holds an open TCP connection to a port of this machine."""
    inodes = _sockets_to(port)
    for pid in descendants(below):
        if inodes & _sockets_of(pid):
            return pid
    return None


def end_with_descendants(process: subprocess.Popen[str]) -> None:
    """Kill a process, if it still runs, and all that it started: a hung one must not outlive its test."""
    for pid in (process.pid, *descendants(process.pid)) if process.poll() is None else ():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def descendants(pid: int) -> Iterator[int]:
    """Name the processes that a process has started, and that these have started, as far as they live."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return
    for child in text.split():
        yield int(child)
        yield from descendants(int(child))


def _sockets_to(port: int) -> set[str]:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01"}


def _sockets_of(pid: int) -> set[str]:
    try:
        links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:  # it, or one of its files, is gone meanwhile
        return set()
    return {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}
