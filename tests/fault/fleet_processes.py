"""A coordinator and a node as real processes over TCP, to be killed, stopped and started again.

Each has a process group of its own, and leaving the block kills both groups. A coordinator always comes back on the
same folder, and on the same port or, in a crawl with several places, on another one. Ports lie below the range that the
system gives to clients: a client that calls a free port of that range may reach itself.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from types import TracebackType

from crawlfleet.coordinator.crawl_folder import JOIN
from crawlfleet.shared.wire.join_token import JoinToken, read_token

PORTS = range(20_000, 32_000)
LOOK_EVERY_S = 0.01
# The main thread, and the one that listens to the node: the others begin after the coordinator's welcome.
THREADS_UNTIL_HELLO = 2


class FleetProcesses:
    """One crawl's processes. `preface` goes in front of the coordinator's command, `environment` into all.

    With several `places` the token names so many addresses, and `replace_coordinator` goes from one to the next.
    """

    def __init__(
        self,
        folder: Path,
        job: Path,
        *,
        workers: int = 2,
        start_method: str = "spawn",
        environment: Mapping[str, str] | None = None,
        preface: tuple[str, ...] = (),
        places: int = 1,
    ) -> None:
        self.folder = folder
        self.job = job
        self._ports = [free_port() for _ in range(places)]
        self._silent: dict[int, socket.socket] = {}
        self.crawl = folder / "crawls" / job.stem
        self._workers = workers
        self._start_method = start_method
        self._environment = {**os.environ, **(environment or {})}
        self._preface = preface
        self._started: list[subprocess.Popen[bytes]] = []
        self.coordinator: subprocess.Popen[bytes] | None = None
        self.node: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> FleetProcesses:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for process in self._started:
            end_group(process)
        for listener in self._silent.values():
            listener.close()

    @property
    def port(self) -> int:
        """Where the coordinator listens."""
        return self._ports[0]

    def start_coordinator(self, *more: str) -> subprocess.Popen[bytes]:
        """Start the coordinator, or start it again where it was, with `more` options."""
        known = [f"--advertise=127.0.0.1:{port}" for port in sorted(self._ports)] if len(self._ports) > 1 else []
        place = ("--bind", f"127.0.0.1:{self.port}", *known)
        arguments = (str(self.job), *place, "--crawls", str(self.crawl.parent), *more)
        self.coordinator = self._start("coordinator.txt", *self._preface, *python("crawlfleet.coordinator"), *arguments)
        return self.coordinator

    def replace_coordinator(self, away_s: float, *more: str, stopped_s: float = 0.0) -> None:
        """Kill the coordinator, and start it again after a while, at the next place.

        With `stopped_s` it is stopped for so long before, and its address stays silent, as where a machine hangs.
        """
        assert self.coordinator is not None
        if stopped_s:
            self.coordinator.send_signal(signal.SIGSTOP)
            time.sleep(stopped_s)
        kill(self.coordinator)
        if stopped_s and len(self._ports) > 1:
            self._silent[self.port] = socket.create_server(("127.0.0.1", self.port))
        self._ports.append(self._ports.pop(0))
        time.sleep(away_s)
        if self.port in self._silent:
            self._silent.pop(self.port).close()
        self.start_coordinator(*more)

    def start_node(self, token: JoinToken | None = None) -> subprocess.Popen[bytes]:
        """Start a node, with the coordinator's own token unless another is given."""
        join = ("--join-file", str(self.crawl / JOIN)) if token is None else ("--join", token.encode())
        count = ("--processes", str(self._workers), "--threads", "4", "--start-method", self._start_method)
        self.node = self._start("node.txt", *python("crawlfleet.worker"), *join, *count)
        return self.node

    def token(self, port: int | None = None) -> JoinToken:
        """Return the coordinator's token once it is there, with another port if one is given."""
        path = self.crawl / JOIN
        await_that(lambda: path.is_file() and path.stat().st_size > 0, 30, "the join token")
        token = read_token(path)
        addresses = tuple((host, port or own) for host, own in token.addresses)
        return replace(token, addresses=addresses)

    def workers(self) -> list[int]:
        """Return the ids of the worker processes that live now."""
        if self.node is None:
            return []
        return [pid for pid in children_of(self.node.pid) if is_worker(pid)]

    def joined_workers(self) -> list[int]:
        """Return the ids of the workers that are connected to the coordinator, and that it has welcomed.

        A connection alone says little: the system takes it for a coordinator that is busy or still starting.
        """
        connected = sockets_to(self.port)
        return [pid for pid in self.workers() if connected & sockets_of(pid) and threads_of(pid) > THREADS_UNTIL_HELLO]

    def worker_at(self, client: int) -> int | None:
        """Return the id of the worker whose connection has this port at its own end."""
        inodes = {row[9] for row in connections() if row[1].endswith(f":{client:04X}")}
        return next((pid for pid in self.workers() if inodes & sockets_of(pid)), None)

    def output(self, name: str) -> str:
        """Return what the `coordinator` or the `node` has said so far, over all its lives; nothing if it had none."""
        with suppress(FileNotFoundError):
            return (self.folder / f"{name}.txt").read_text(errors="replace")
        return ""

    def _start(self, out: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / out).open("ab") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        self._started.append(process)
        return process


def python(module: str) -> tuple[str, ...]:
    """Return the command that runs one of our modules."""
    return (sys.executable, "-m", module)


def await_that(holds: Callable[[], object], timeout_s: float, what: str) -> None:
    """Look until something holds; fail if it does not in time."""
    until = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < until, f"no {what} within {timeout_s} s"
        time.sleep(LOOK_EVERY_S)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill one process, not its group, and wait for its end."""
    process.kill()
    process.wait(10)


def signal_one(pid: int, number: signal.Signals) -> bool:
    """Send a signal; False if the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all of its group: a hung or stopped one must not outlive its test."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def free_port(rng: Random | None = None) -> int:
    """Find a port that nobody listens at now."""
    rng = rng or Random(os.urandom(8))
    while True:
        port = rng.choice(PORTS)
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def children_of(pid: int) -> list[int]:
    """Return the ids of a process's children; none if it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_worker(pid: int) -> bool:
    """Say whether a node's child is a worker, and not the standard library's keeper of resources."""
    try:
        return b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def threads_of(pid: int) -> int:
    """Return how many threads a process has; none if it is gone."""
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return 0


def connections() -> list[list[str]]:
    """Return the system's table of TCP sockets: 1 is the own end, 2 the other, 3 the state, 4 what is
    unsent and unread, 9 the inode."""
    return [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]


def sockets_to(port: int) -> set[str]:
    """Return the inodes of open connections to a port of this machine, at the client's end."""
    return {row[9] for row in connections() if row[2].endswith(f":{port:04X}") and row[3] == "01"}


def unread_from(pid: int, port: int) -> int:
    """Return on how many connections from a process a port of this machine has something that it has not read yet."""
    own = sockets_of(pid)
    clients = {row[1] for row in connections() if row[9] in own and row[2].endswith(f":{port:04X}")}
    return sum(row[2] in clients and not row[4].endswith(":00000000") for row in connections())


def sockets_of(pid: int) -> set[str]:
    """Return the inodes of a process's sockets; none if it is gone."""
    links: list[str] = []
    with suppress(OSError):  # it, or below one of its files, is gone meanwhile
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                links.append(str(link.readlink()))
    return {link.removeprefix("socket:[").removesuffix("]") for link in links if link.startswith("socket:[")}
