"""Machines on a network of a test's own, each a network namespace. A test cuts what connects two of them, and heals it.

A bridge connects them. It belongs to the namespace that the test runs in (see `tests.hostile.own_network`), which is a
machine, too. A cut loses each packet between two machines, and nobody is told: for each of them the address of the
other one leads to a network card that nobody has. So connections stay open, and new ones are not refused.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tests.fault.fleet_processes import await_that, end_group

BRIDGE = "bridge0"
PREFIX_BITS = 24
_NETWORK = "10.83.20"
ROOM, HERE = f"{_NETWORK}.0/{PREFIX_BITS}", f"{_NETWORK}.1"
#: What makes the network in a namespace: arguments of `ip`.
MADE_BY = (
    f"link add {BRIDGE} type bridge",
    f"address add {HERE}/{PREFIX_BITS} dev {BRIDGE}",
    f"link set {BRIDGE} up",
)
#: An address of a network card that nobody has.
_NOBODY = "02:00:00:00:00:00"


class Machine(NamedTuple):
    """A machine: its address, its network card, and the words in front of a command that runs there."""

    address: str
    card: str
    enter: tuple[str, ...] = ()

    def start(self, out: Path, *command: str) -> subprocess.Popen[bytes]:
        """Start a program there, as a process group of its own, whose output is added to a file."""
        with out.open("ab") as file:
            return subprocess.Popen(
                (*self.enter, *command),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ip(self, *words: str) -> None:
        """Change its network."""
        subprocess.run((*self.enter, "ip", *words), check=True)


class Network:
    """The machines of a test; leaving the block ends all but that which the test runs on."""

    def __init__(self) -> None:
        self.here = Machine(HERE, BRIDGE)
        self._numbers = count(2)
        self._ends = ExitStack()

    def __enter__(self) -> Network:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def add(self) -> Machine:
        """Connect one more machine."""
        number = next(self._numbers)
        # A namespace is there for as long as a process is in it.
        keeper = subprocess.Popen(("unshare", "--net", "sleep", "infinity"), start_new_session=True)
        self._ends.callback(end_group, keeper)
        await_that(lambda: _is_elsewhere(keeper.pid), 30, "namespace")
        machine = Machine(f"{_NETWORK}.{number}", f"card{number}", ("nsenter", f"--net=/proc/{keeper.pid}/ns/net"))
        plug = f"plug{number}"
        self.here.ip("link", "add", plug, "type", "veth", "peer", "name", machine.card, "netns", str(keeper.pid))
        # The namespace's own end takes its time.
        self._ends.callback(self.here.ip, "link", "delete", plug)
        self.here.ip("link", "set", plug, "master", BRIDGE, "up")
        machine.ip("address", "add", f"{machine.address}/{PREFIX_BITS}", "dev", machine.card)
        machine.ip("link", "set", machine.card, "up")
        machine.ip("link", "set", "lo", "up")
        return machine

    @contextmanager
    def cut_between(self, one: Machine, other: Machine) -> Iterator[None]:
        """Cut what connects two machines while the block runs."""
        pairs = ((one, other), (other, one))
        for machine, far in pairs:
            nowhere = ("lladdr", _NOBODY, "dev", machine.card, "nud", "permanent")
            machine.ip("neighbour", "replace", far.address, *nowhere)
        try:
            yield
        finally:
            for machine, far in pairs:
                machine.ip("neighbour", "delete", far.address, "dev", machine.card)


def _is_elsewhere(pid: int) -> bool:
    return Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
