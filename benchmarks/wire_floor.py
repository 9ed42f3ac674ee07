"""What a call over loopback costs at the least, and what the fleet and a manager of `multiprocessing` add to it.

    python -m benchmarks.wire_floor [--rounds 5] [--seconds 0.3]

All ways take turns in each round. The first three send a request of 150 bytes and wait for an answer of 40, about as
much as the fleet sends for `Value.get()`: over a socket, over TLS 1.3, and as frames of the wire (TLS, lengths, a
deadline). The last two are that call itself: to a coordinator that keeps all in memory, and by a manager's pickled
proxy. Figures are medians, with the least and the most; CPU time is that of the caller and of the server.
"""

from __future__ import annotations

import argparse
import os
import socket
import ssl
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.object_calls import cpu_clock_s
from benchmarks.object_servers import IN_MEMORY, Contestant, contestants
from benchmarks.report import machine
from crawlfleet.commands.arguments import count
from crawlfleet.shared.wire import frames
from crawlfleet.shared.wire.contexts import server_context
from crawlfleet.shared.wire.identity import Identity, load_or_create

REQUEST, ANSWER = bytes(150), bytes(40)
BASE = "multiprocessing"
OPERATION = "Value: get"
BATCH = 100


class Echo(NamedTuple):
    """A server in a process of its own, and one trip to it."""

    pid: int
    trip: Callable[[], object]


class Turn(NamedTuple):
    """What a trip took in one turn, in microseconds."""

    wall_us: float
    caller_us: float
    server_us: float


@contextmanager
def _served(serve: Callable[[socket.socket], None], listener: socket.socket) -> Iterator[int]:
    pid = os.fork()
    if pid == 0:
        try:
            serve(listener)
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        os.waitpid(pid, 0)


def _answer_all(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while connection.recv(len(REQUEST)):
        connection.sendall(ANSWER)


def _trip(client: socket.socket) -> None:
    client.sendall(REQUEST)
    client.recv(len(ANSWER))


@contextmanager
def plain() -> Iterator[Echo]:
    """Bytes over a socket."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        _served(lambda each: _answer_all(each.accept()[0]), listener) as pid,
        socket.create_connection(listener.getsockname()) as client,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Echo(pid, partial(_trip, client))


@contextmanager
def encrypted(identity: Identity, folder: Path) -> Iterator[Echo]:
    """The same over TLS 1.3."""
    (folder / "pair.pem").write_bytes(identity.key + b"\n" + identity.certificate)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "pair.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def serve(listener: socket.socket) -> None:
        _answer_all(server.wrap_socket(listener.accept()[0], server_side=True))

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        _served(serve, listener) as pid,
        context.wrap_socket(socket.create_connection(listener.getsockname())) as client,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Echo(pid, partial(_trip, client))


@contextmanager
def framed(identity: Identity) -> Iterator[Echo]:
    """Frames of the wire."""
    frames.register_server(identity)
    listener = frames.WireListener(server_context(identity), ("127.0.0.1", 0))

    def serve(_listener: object) -> None:
        connection = listener.accept()
        frames.greet_client(connection, identity.secret)
        while connection.recv_bytes():
            connection.send_bytes(ANSWER)

    with _served(serve, listener._socket) as pid:
        client = frames.connect(identity.fingerprint, listener.address, identity.secret)

        def trip() -> None:
            client.within(30.0)
            client.send_bytes(REQUEST)
            client.recv_bytes()

        yield Echo(pid, trip)
        client.close()
        listener.close()


def trips(echo: Echo, seconds: float) -> Turn:
    """Make trips for some time."""
    server_s, caller_s, began = cpu_clock_s(echo.pid), time.process_time(), time.perf_counter()
    done = 0
    while time.perf_counter() < began + seconds:
        for _ in range(BATCH):
            echo.trip()
        done += BATCH
    wall_s, caller_s = time.perf_counter() - began, time.process_time() - caller_s
    return Turn(*(1e6 * each / done for each in (wall_s, caller_s, cpu_clock_s(echo.pid) - server_s)))


def calls(contestant: Contestant, seconds: float) -> Turn:
    """Make calls for some time."""
    server_s = contestant.cpu_s()
    [(done, wall_s, caller_s)] = contestant.ask(1, "run", OPERATION, seconds)
    return Turn(*(1e6 * each / done for each in (wall_s, caller_s, contestant.cpu_s() - server_s)))


def measure(rounds: int, seconds: float) -> dict[str, list[Turn]]:
    """Let all ways take turns."""
    turns: dict[str, list[Turn]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as name:
        identity = load_or_create(Path(name))
        with plain() as one, encrypted(identity, Path(name)) as two, framed(identity) as three:
            echoes = {"bytes over a socket": one, "the same over TLS": two, "frames of the wire": three}
            with contestants([IN_MEMORY, BASE], 1) as running:
                for each in running:
                    each.ask(1, "prepare", OPERATION)
                for _ in range(rounds):
                    for way, echo in echoes.items():
                        turns[way].append(trips(echo, seconds))
                    for each in running:
                        turns[f"{OPERATION}, {each.name}"].append(calls(each, seconds))
    return turns


def report(turns: dict[str, list[Turn]]) -> str:
    """Return a table."""
    lines = ["| one caller | µs | CPU µs, caller + server |", "| --- | ---: | ---: |"]
    for way, found in turns.items():
        wall = [turn.wall_us for turn in found]
        caller, server = (statistics.median(turn[index] for turn in found) for index in (1, 2))
        lines.append(
            f"| {way} | {statistics.median(wall):.0f} ({min(wall):.0f}-{max(wall):.0f}) | {caller:.0f} + {server:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wire_floor", description="What a call costs at least.")
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="how long a turn takes")
    options = parser.parse_args()
    print(f"{machine()}; {options.rounds} rounds of {options.seconds:g} s.\n")
    print(report(measure(options.rounds, options.seconds)))


if __name__ == "__main__":
    main()
