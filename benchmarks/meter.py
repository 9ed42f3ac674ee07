"""What commands cost: wall time, and CPU time and memory of each of their processes while they run.

The total of CPU time is exact: the kernel's, of all processes that were waited for. What single processes took, and
when, is sampled from /proc; a process's peak of resident memory counts the pages that it shares with others.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from tests.acceptance.processes import descendants

SAMPLE_EVERY_S = 0.1
PATIENCE_S = 900.0
ANSWERS_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Command(NamedTuple):
    """A command to be measured. A `service` is ended when all others are over; they wait until it `answers`."""

    arguments: Sequence[str]
    service: bool = False
    ok_codes: tuple[int, ...] = (0,)
    answers: Callable[[], bool] = lambda: True


@dataclass(slots=True)
class Seen:
    """A process as it was sampled: how far below its command it is, whether that is a service, its peak memory, its CPU
    time by epoch times."""

    depth: int
    words: str
    of_service: bool = False
    peak_kb: int = 0
    cpu_s: list[tuple[float, float]] = field(default_factory=list)

    def cpu_at_s(self, at: float) -> float:
        """Return the CPU time that the process had taken at a moment."""
        return value_at(self.cpu_s, at)


class Cost(NamedTuple):
    """What commands cost together. They `began` when all services answered; `began` and `ended` are epoch times."""

    began: float
    ended: float
    cpu_s: float
    processes: list[Seen]

    @property
    def peak_mb(self) -> float:
        """The sum of the peaks of all processes."""
        return sum(process.peak_kb for process in self.processes) / 1024


def value_at(curve: Sequence[tuple[float, float]], at: float) -> float:
    """Return a growing value at a moment between samples; before the first one it was 0."""
    earlier = (curve[0][0], 0.0) if curve else (at, 0.0)
    for later in curve:
        if later[0] >= at:
            span = later[0] - earlier[0]
            return later[1] if span <= 0 else earlier[1] + (later[1] - earlier[1]) * max(0.0, at - earlier[0]) / span
        earlier = later
    return earlier[1]


def measure(commands: Sequence[Command], folder: Path) -> Cost:
    """Run commands side by side, services first, to the end of all others; raise `RuntimeError` if one fails."""
    services, others = ([each for each in commands if each.service is service] for service in (True, False))
    cpu_s, sampler = 0.0, _Sampler()
    running: list[tuple[Command, subprocess.Popen[bytes]]] = []
    with (folder / "said.txt").open("wb") as said:
        try:
            for service in services:
                running.append((service, _start(service, folder, said)))
                _await(service)
            began = ended = time.time()
            running += [(command, _start(command, folder, said)) for command in others]
            sampler.start({process.pid: command.service for command, process in running})
            for command, process in sorted(running, key=lambda pair: pair[0].service):
                if command.service:
                    process.terminate()
                cpu_s += _cpu_at_end_s(process)
                if not command.service:
                    ended = time.time()
                    if process.returncode not in command.ok_codes:
                        raise RuntimeError(f"{' '.join(command.arguments)} ended with {process.returncode}")
        finally:
            sampler.stop()
            for _, process in running:
                if process.returncode is None:
                    process.kill()
                    process.wait()
    return Cost(began, ended, cpu_s, list(sampler.seen.values()))


def _start(command: Command, folder: Path, said: IO[bytes]) -> subprocess.Popen[bytes]:
    # Modules are compiled once and kept, whatever the shell says: nobody compiles a crawler at every start.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.Popen(
        command.arguments, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environment
    )


def _await(service: Command) -> None:
    until = time.monotonic() + ANSWERS_S
    while not service.answers():
        if time.monotonic() > until:
            raise RuntimeError(f"{' '.join(service.arguments)} does not answer")
        time.sleep(0.02)


def _cpu_at_end_s(process: subprocess.Popen[bytes]) -> float:
    """Wait for the end of a process; return the CPU time of its life, and of all that it started and waited for."""
    give_up = threading.Timer(PATIENCE_S, process.kill)
    give_up.start()
    _, status, usage = os.wait4(process.pid, 0)
    give_up.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


class _Sampler:
    """A thread that looks at processes below some roots every now and then."""

    def __init__(self) -> None:
        # Whether a command is a service, by the number of its process.
        self._roots: dict[int, bool] = {}
        self.seen: dict[int, Seen] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def start(self, roots: dict[int, bool]) -> None:
        self._roots = roots
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(SAMPLE_EVERY_S):
            for root in self._roots:
                for pid in (root, *descendants(root)):
                    self._look(pid, root)

    def _look(self, pid: int, root: int) -> None:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            status = Path(f"/proc/{pid}/status").read_text()
            if pid not in self.seen:
                words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
                parent = self.seen.get(int(fields[1]))
                depth = 0 if pid == root or parent is None else parent.depth + 1
                self.seen[pid] = Seen(depth, words, self._roots[root])
        except OSError:  # it is gone meanwhile
            return
        seen = self.seen[pid]
        seen.cpu_s.append((time.time(), (int(fields[11]) + int(fields[12])) / _TICKS_PER_S))
        peak = status.partition("VmHWM:")[2].split(maxsplit=1)
        seen.peak_kb = max(seen.peak_kb, int(peak[0])) if peak else seen.peak_kb
