"""A web of many hosts on loopback: one server behind every address of 127.0.0.0/8, and its log of arrivals.

    python -m benchmarks.many_hosts --log FILE [--port N] [--pages N] [--answer-ms N] [--slow N] [--slow-answer-ms N]

Host `n` is 127.1.x.y; a socket bound to 0.0.0.0 answers for all of them. The home page of each host links to all of its
pages. The last `--slow` of `--hosts` hosts take longer to answer. Each line of the log is an arrival: seconds of the
monotonic clock, host, path. Ends at SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from io import TextIOBase
from pathlib import Path
from typing import NamedTuple, cast

HOSTS_A_BLOCK = 250
SLOW_ANSWER_S = 8.0
HOME = "/"
ROBOTS = "/robots.txt"
_PAGE = b"<!DOCTYPE html><html><head><title>A page</title></head><body><h1>A page</h1>%s</body></html>"


class Arrival(NamedTuple):
    """One request as the server saw it; `at` is in seconds of the machine's monotonic clock."""

    at: float
    host: str
    path: str

    @property
    def is_page(self) -> bool:
        return self.path != ROBOTS


class Web(NamedTuple):
    """What the server tells about its hosts."""

    hosts: int
    pages: int
    answer_s: float
    slow: int = 0
    slow_answer_s: float = 0.0

    def answer_after_s(self, host: str) -> float:
        """Return how long a host takes to answer."""
        return self.slow_answer_s if self.slow and number_of(host) >= self.hosts - self.slow else self.answer_s


def host_name(number: int) -> str:
    """Return the address of a host by its number."""
    block, place = divmod(number, HOSTS_A_BLOCK)
    return f"127.1.{block}.{place + 1}"


def number_of(host: str) -> int:
    """Return the number of a host by its address."""
    _, _, block, place = host.split(".")
    return int(block) * HOSTS_A_BLOCK + int(place) - 1


def read_arrivals(log: Path) -> list[Arrival]:
    """Read a server's log as far as it is whole."""
    lines = (line.split() for line in log.read_text().splitlines(keepends=True) if line.endswith("\n"))
    return [Arrival(float(at), host, path) for at, host, path in lines]


class _Connection(asyncio.Protocol):
    def __init__(self, web: Web, log: TextIOBase) -> None:
        self._web = web
        self._log = log
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._host = str(transport.get_extra_info("sockname")[0])
        self._after_s = self._web.answer_after_s(self._host)

    def data_received(self, data: bytes) -> None:
        self._head += data
        if not self._head.endswith(b"\r\n\r\n"):
            return
        loop = asyncio.get_running_loop()
        path = self._head.split(b" ", 2)[1].decode("latin-1")
        self._head = b""
        self._log.write(f"{loop.time():.6f} {self._host} {path}\n")
        loop.call_later(self._after_s, self._answer, path)

    def _answer(self, path: str) -> None:
        if self._transport.is_closing():
            return
        if path == ROBOTS:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        links = b"".join(b'<a href="/p/%d">p</a>' % number for number in range(1, self._web.pages))
        body = _PAGE % (links if path == HOME else b'<a href="/">home</a>')
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)


async def serve(web: Web, port: int, log: Path) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    with log.open("w", buffering=1) as out:
        server = await loop.create_server(lambda: _Connection(web, out), "0.0.0.0", port, backlog=4096)
        print(server.sockets[0].getsockname()[1], flush=True)
        await stop.wait()
        server.close()


def main() -> None:
    """Serve; the first line printed is the port."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_hosts", description="Serve many hosts.")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--pages", type=int, default=80, help="of each host, the home page among them")
    parser.add_argument("--answer-ms", type=float, default=100)
    parser.add_argument("--slow", type=int, default=0, help="how many of the hosts are slow")
    parser.add_argument("--slow-answer-ms", type=float, default=SLOW_ANSWER_S * 1e3)
    args = parser.parse_args()
    web = Web(args.hosts, args.pages, args.answer_ms / 1e3, args.slow, args.slow_answer_ms / 1e3)
    asyncio.run(serve(web, args.port, args.log))


if __name__ == "__main__":
    main()
