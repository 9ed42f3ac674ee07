"""A site of listing pages that take their time: those of the demo bookshop, each answered after a while.

    python -m benchmarks.slow_site [--latency-ms 160]

The first line printed is the port; each further one is an epoch time and the path that was asked for then. robots.txt
alone is answered at once: only one of the ways that are compared asks for it. Ends at SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from functools import partial
from typing import cast

from crawlfleet.demo import shop as demo_shop

ROBOTS = "/robots.txt"


def page_path(number: int) -> str:
    """Return the path of a listing page; `number` starts at 1 and has no end."""
    return f"/list/{number}"


class _Connection(asyncio.Protocol):
    def __init__(self, pages: list[bytes], latency_s: float) -> None:
        self._pages = pages
        self._latency_s = latency_s
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._head += data
        if not self._head.endswith(b"\r\n\r\n"):
            return
        path = self._head.split(b" ", 2)[1].decode("latin-1")
        self._head = b""
        print(f"{time.time():.6f} {path}", flush=True)
        asyncio.get_running_loop().call_later(0 if path == ROBOTS else self._latency_s, self._answer, path)

    def _answer(self, path: str) -> None:
        if self._transport.is_closing():
            return
        number = path.removeprefix(page_path(0)[:-1])
        if not number.isdigit():
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        body = self._pages[int(number) % len(self._pages)]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)


async def serve(latency_s: float) -> None:
    """Serve until SIGTERM."""
    shop = demo_shop.pages()
    pages = [shop[demo_shop.list_path(number)].encode() for number in range(1, demo_shop.LISTS + 1)]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(partial(_Connection, pages, latency_s), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()
    server.close()


def main() -> None:
    """Serve; the first line printed is the port."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slow_site", description="Serve slow listing pages.")
    parser.add_argument("--latency-ms", type=float, default=160)
    asyncio.run(serve(parser.parse_args().latency_ms / 1e3))


if __name__ == "__main__":
    main()
