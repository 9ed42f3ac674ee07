"""What the guard of private addresses costs a connection, by fetch engine.

    python -m benchmarks.guard [--connections 1000] [--rounds 7]

A server of this machine closes each connection after its answer, so that each page takes one. Fetchers with the guard
and without it take turns in one process; the medians of the rounds are printed, in microseconds a connection, and the
CPU time of the judgement alone.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from benchmarks.report import machine
from crawlfleet.commands.arguments import count
from crawlfleet.shared.brief import FetchSpec
from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.shared.web.addresses import Nets
from crawlfleet.worker.fetch.guard import Passage
from crawlfleet.worker.fetch.port import Fetcher, Wanted
from crawlfleet.worker.fetch.registry import open_fetcher

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
WANTED = Wanted(inside=("127.0.0.1",))


@contextmanager
def serving() -> Iterator[str]:
    """Answer one request on each connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            visitor, _ = listener.accept()
            with visitor:
                visitor.recv(65536)
                visitor.sendall(ANSWER)


@contextmanager
def unguarded_passages() -> Iterator[None]:
    """Let every connection lead anywhere."""
    guard = Passage.refusal
    setattr(Passage, "refusal", _refuse_nothing)  # noqa: B010  mypy refuses to assign to a method
    try:
        yield
    finally:
        setattr(Passage, "refusal", guard)  # noqa: B010  as above


def _refuse_nothing(_passage: Passage, _origin: str, _address: str) -> str:
    return ""


def connection_us(fetcher: Fetcher, url: str, connections: int) -> float:
    """Return how long a page takes that needs a connection."""
    began_at = time.perf_counter()
    for _ in range(connections):
        assert fetcher.fetch(url, WANTED).status == 200
    return (time.perf_counter() - began_at) / connections * 1e6


def judgement_us(url: str, judgements: int = 100_000) -> float:
    """Return the CPU time that it takes to judge the address of an exchange, and the one that its socket leads to."""
    nets = Nets()
    began_at = time.process_time()
    for _ in range(judgements):
        passage = Passage.of(nets, url, WANTED, ("127.0.0.1",))
        passage.open_ones(url[:-1], ("127.0.0.1",))
        passage.refusal(url[:-1], "127.0.0.1")
    return (time.process_time() - began_at) / judgements * 1e6


def main() -> None:
    """Measure, and print a line for each engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=count, default=1_000)
    parser.add_argument("--rounds", type=count, default=7)
    options = parser.parse_args()
    print(machine())
    with serving() as url:
        for entry in FETCH_ENGINES.values():
            with closing(open_fetcher(FetchSpec(engine=entry.name))) as fetcher:
                connection_us(fetcher, url, options.connections // 10)
                guarded, unguarded = [], []
                for _ in range(options.rounds):
                    guarded.append(connection_us(fetcher, url, options.connections))
                    with unguarded_passages():
                        unguarded.append(connection_us(fetcher, url, options.connections))
                with_it, without = statistics.median(guarded), statistics.median(unguarded)
                print(f"{entry.name}: {with_it:.1f} µs a connection with the guard, {without:.1f} µs without it")
        print(f"the judgement alone: {judgement_us(url):.2f} µs of CPU time")


if __name__ == "__main__":
    main()
