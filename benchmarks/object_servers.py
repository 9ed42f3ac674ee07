"""Servers of shared objects, each with some processes that call them.

Owns the processes: a coordinator by durability, a manager of `multiprocessing`, a scheduler of dask.distributed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.object_calls import cpu_clock_s
from benchmarks.object_sources import DASK, MANAGER

# Names of contestants, as the tables have them.
DURABLE, IN_MEMORY = "fleet, durable", "fleet, in memory"
FLEETS = {DURABLE: "process", IN_MEMORY: "none"}
PEERS = {"multiprocessing": MANAGER, "dask": DASK}
CONTESTANTS = (*FLEETS, *PEERS)
PATIENCE_S = 30.0

JOB = "name: objects\nseeds: {seeds}\ndurability: {durability}\n"


class Caller:
    """A process that calls the objects of a server: see `benchmarks.object_calls.Commands`."""

    def __init__(self, source: str, address: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.object_calls", source, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, command: str, *arguments: Any) -> None:
        """Send a command, and do not wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, *arguments]) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer of the oldest command that was sent."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a caller ended with {self._process.wait()}: {self._process.args!r}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Contestant:
    """A server and the processes that call it."""

    def __init__(self, name: str, pid: int, callers: Sequence[Caller]) -> None:
        self.name = name
        self.callers = callers
        self._pid = pid

    def cpu_s(self) -> float:
        """Return the CPU time of the server so far."""
        return cpu_clock_s(self._pid)

    def ask(self, callers: int, command: str, *arguments: Any) -> list[Any]:
        """Send a command to some callers at once; return their answers."""
        asked = self.callers[:callers]
        for caller in asked:
            caller.send(command, *arguments)
        return [caller.answer() for caller in asked]


@contextmanager
def contestant(name: str, callers: int) -> Iterator[Contestant]:
    """Run a server and its callers."""
    with ExitStack() as stack:
        if name in FLEETS:
            source = "fleet"
            pid, join = stack.enter_context(coordinator(FLEETS[name]))
            address = str(join)
        else:
            source = PEERS[name]
            pid, address = stack.enter_context(_peer(source))
        processes = []
        for _ in range(callers):
            caller = Caller(source, address)
            stack.callback(caller.close)
            processes.append(caller)
        yield Contestant(name, pid, processes)


@contextmanager
def contestants(names: Sequence[str], callers: int) -> Iterator[list[Contestant]]:
    """Run several at the same time; all callers have started then."""
    with ExitStack() as stack:
        running = [stack.enter_context(contestant(name, callers)) for name in names]
        for each in running:
            each.ask(callers, "start")
        yield running


def choose(without: Sequence[str]) -> list[str]:
    """Return the contestants that are installed and whose names have none of these words."""
    wanted = [name for name in CONTESTANTS if not any(word in name for word in without)]
    if "dask" in wanted and find_spec("distributed") is None:
        print("without dask.distributed: install the extra `bench`", file=sys.stderr)
        wanted.remove("dask")
    return wanted


@contextmanager
def coordinator(
    durability: str, more: str = "", seeds: Sequence[str] = (), options: Sequence[str] = ()
) -> Iterator[tuple[int, Path]]:
    """Run a coordinator that serves programs; yield its pid and its join file. `more` are lines of its job."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crawlfleet-")))
        job = JOB.format(durability=durability, seeds=json.dumps(list(seeds))) + more
        (folder / "job.yaml").write_text(job, encoding="ascii")
        command = [
            sys.executable,
            "-m",
            "crawlfleet",
            "coordinator",
            "job.yaml",
            "--wait",
            "--join-file",
            "join",
            *options,
        ]
        out = stack.enter_context((folder / "said.txt").open("w"))
        process = stack.enter_context(_running(command, cwd=folder, stdout=out, stderr=out))
        until = time.monotonic() + PATIENCE_S
        while not (folder / "join").exists():
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the coordinator did not start: {(folder / 'said.txt').read_text()}")
            time.sleep(0.02)
        yield process.pid, folder / "join"


@contextmanager
def _peer(what: str) -> Iterator[tuple[int, str]]:
    command = [sys.executable, "-m", "benchmarks.object_sources", what]
    with _running(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if not address:
            raise SystemExit(f"the server ended with {process.wait()}: {command}")
        yield process.pid, address


@contextmanager
def _running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, **options) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
