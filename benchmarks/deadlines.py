"""By how much fetches of slow answers overshoot `fetch.timeout`, with each engine.

    python -m benchmarks.deadlines [--fetches 64] [--timeout 1.0] [--engines curl requests]

So many fetches are under way at once: in one thread with an engine for many at once, else in a thread each. Beside the
last kind of slow body others are unpacked all the time.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.fetch.port import WHOLE, Fetched
from crawlfleet.worker.fetch.registry import engine_for
from tests.local import local_spec
from tests.site.hostile_site import HostileSite

KINDS = {
    "no head": ("/silent", ""),
    "a byte of the head in 20 ms": ("/drip-head", ""),
    "a byte of the body in 20 ms": ("/drip-body", ""),
    "the same, while others are unpacked": ("/drip-body", "/bomb"),
}
LATE = frozenset({Reason.TIMEOUT_TOTAL, Reason.TIMEOUT_FIRST_BYTE})


def many(fetcher: Any, slow: str, other: str, fetches: int) -> list[float]:
    """Return how long each of so many slow fetches took, in one thread, beside others."""
    began_at: dict[int, float] = {}
    for number in range(fetches):
        began_at[number] = time.monotonic()
        fetcher.start(slow, WHOLE, number)
    if other:
        fetcher.start(other, WHOLE, -1)
    took_s: list[float] = []
    while len(took_s) < fetches:
        for mark, fetched in fetcher.wait(None):
            if mark < 0:
                fetcher.start(other, WHOLE, -1)
            else:
                took_s.append(_took_s(fetched, began_at[mark]))
    return took_s


def one_each(open_fetcher: Any, slow: str, other: str, fetches: int) -> list[float]:
    """Return how long each of so many slow fetches took, in a thread each, beside others in one more thread."""
    took_s: list[float] = []

    def fetch() -> None:
        with closing(open_fetcher()) as fetcher:
            began_at = time.monotonic()
            took_s.append(_took_s(fetcher.fetch(slow), began_at))

    with _unpacking(open_fetcher, other):
        threads = [threading.Thread(target=fetch) for _ in range(fetches)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return took_s


@contextmanager
def _unpacking(open_fetcher: Any, url: str) -> Iterator[None]:
    is_over = threading.Event()

    def fetch() -> None:
        with closing(open_fetcher()) as fetcher:
            while url and not is_over.is_set():
                fetcher.fetch(url)

    thread = threading.Thread(target=fetch)
    thread.start()
    yield
    is_over.set()
    thread.join()


def _took_s(fetched: Fetched, began_at: float) -> float:
    if fetched.reason not in LATE:
        raise SystemExit(f"no timeout: {fetched.reason} {fetched.detail}")
    return time.monotonic() - began_at


def main() -> None:
    """Measure each engine with each kind of slow answer, and print a row of a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fetches", type=int, default=64)
    parser.add_argument("--timeout", type=float, default=1.0, help="fetch.timeout, in seconds")
    parser.add_argument("--engines", nargs="+", default=["curl", "requests"])
    options = parser.parse_args()
    print("| answer | engine | too late, median | worst |\n|---|---|---|---|")
    for name, (slow, other) in KINDS.items():
        for engine in options.engines:
            spec = local_spec(engine=engine, timeout_s=options.timeout, first_byte_timeout_s=options.timeout)
            made = engine_for(spec)
            with HostileSite() as site:
                urls = site.origin + slow, site.origin + other if other else ""
                if made.many_at_once:
                    with closing(made.open()) as fetcher:
                        took_s = many(fetcher, *urls, options.fetches)
                else:
                    took_s = one_each(made.open, *urls, options.fetches)
            late_ms = [1_000 * (each - options.timeout) for each in took_s]
            print(f"| {name} | {engine} | {statistics.median(late_ms):.0f} ms | {max(late_ms):.0f} ms |", flush=True)


if __name__ == "__main__":
    main()
