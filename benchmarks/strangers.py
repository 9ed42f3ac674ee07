"""What strangers at a coordinator's port take from those who know its secret.

    python -m benchmarks.strangers [--seconds 6] [--round-trip-ms 80] [--only KIND ...]

For each kind of strangers (`benchmarks.stranger_kinds`) a crowd visits as fast as it can, from one address. Meanwhile
programs that are a round trip away join one after another: from the crowd's own address, and from another one. Each
opens its connections anew and says hello. A program that is inside asks for the status all the time. Printed are visits
a second, how many joined in one attempt, how long that took (median and longest), the longest answer to the one inside,
CPU time of the coordinator a second, and by how much its memory, descriptors and threads have grown when the crowd is
gone.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.coordinator_process import LOOK_S, connect, cpu_s, resident_mb
from benchmarks.distance import distant
from benchmarks.object_servers import coordinator
from benchmarks.stranger_kinds import KINDS, flood
from crawlfleet.shared.errors import CrawlfleetError
from crawlfleet.shared.messages import Hello
from crawlfleet.shared.wire.join_token import JoinToken, read_token
from crawlfleet.shared.wire.manager import FleetManager

CROWD, ELSEWHERE = "127.0.0.1", "127.0.0.2"
SETTLE_S = 20.0


class Joined(NamedTuple):
    """How many programs tried to join, and how long each took that did."""

    tries: int
    took_s: list[float]

    def __str__(self) -> str:
        if not self.took_s:
            return f"0 of {self.tries} | |"
        return f"{len(self.took_s)} of {self.tries} | {statistics.median(self.took_s):.2f} | {max(self.took_s):.2f}"


class Grown(NamedTuple):
    """What a process has."""

    memory_mb: float
    descriptors: int
    threads: int


def join_once(token: JoinToken, session: str) -> float:
    """Join as a program does that is started, and go; return the time that it took. Raise as `FleetManager` does."""
    began = time.perf_counter()
    fleet = FleetManager.joining(token)
    try:
        fleet.connect()
        queue = fleet.Queue()
        queue.hello(Hello(session=session, fetches=False))
        took_s = time.perf_counter() - began
        queue.goodbye(session)
    finally:
        fleet.disconnect()
    return took_s


def try_to_join(token: JoinToken, until: float, least: int, name: str) -> Joined:
    """Join again and again until a moment, and so many times at least."""
    tries, took_s = 0, []
    while tries < least or time.monotonic() < until:
        tries += 1
        try:
            took_s.append(join_once(token, f"{name}-{tries}"))
        except CrawlfleetError:
            continue
    return Joined(tries, took_s)


def holdings(pid: int) -> Grown:
    """Return what a process has now."""
    process = Path(f"/proc/{pid}")
    return Grown(resident_mb(pid), len(list((process / "fd").iterdir())), len(list((process / "task").iterdir())))


def grown_since(pid: int, before: Grown) -> Grown:
    """Return by how much a process has grown, once what is about to end has ended."""
    until = time.monotonic() + SETTLE_S
    while True:
        now = holdings(pid)
        if (now.descriptors <= before.descriptors and now.threads <= before.threads) or time.monotonic() > until:
            return Grown(
                now.memory_mb - before.memory_mb,
                now.descriptors - before.descriptors,
                now.threads - before.threads,
            )
        time.sleep(LOOK_S)


class Insider:
    """A program that is inside, and asks for the status all the time."""

    def __init__(self, join: Path) -> None:
        self.longest_s = 0.0
        self._inside, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(connect(join),))
        self._thread.start()
        self._inside.wait()

    def stop(self) -> None:
        """Let it ask no more."""
        self._over.set()
        self._thread.join()

    def _ask(self, fleet: FleetManager) -> None:
        control = fleet.Control()
        control.status()
        self._inside.set()
        while not self._over.wait(LOOK_S):
            began = time.perf_counter()
            control.status()
            self.longest_s = max(self.longest_s, time.perf_counter() - began)
        fleet.disconnect()


def measure(kind: str, pid: int, join: Path, seconds: float, round_trip_s: float) -> str:
    """Let a crowd of a kind come; return a line of the table."""
    token, before = read_token(join), holdings(pid)
    with ExitStack() as stack:
        away: list[tuple[str, JoinToken]] = []
        for source in (CROWD, ELSEWHERE):
            port = stack.enter_context(distant(token.addresses[0], round_trip_s, source))
            away.append((source, replace(token, addresses=(("127.0.0.1", port),))))
        insider = Insider(join)
        end: Callable[[], int] | None = stack.enter_context(flood(kind, join, CROWD)) if kind in KINDS else None
        used_s, began = cpu_s(pid), time.monotonic()
        joined = [
            try_to_join(there, began + seconds * (place + 1), 5, source) for place, (source, there) in enumerate(away)
        ]
        lasted_s = time.monotonic() - began
        used_s = cpu_s(pid) - used_s
        insider.stop()
        visits = end() if end is not None else 0
    grown = grown_since(pid, before)
    return (
        f"| {kind.replace('_', ' ')} | {visits / lasted_s:,.0f} | {joined[0]} | {joined[1]} | {insider.longest_s:.2f} "
        f"| {used_s / lasted_s:.2f} | {grown.memory_mb:+.1f} | {grown.descriptors:+d} | {grown.threads:+d} |"
    )


def main() -> None:
    """Measure each kind, and print a line of a table for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strangers", description="What strangers take.")
    parser.add_argument("--seconds", type=float, default=6.0, help="for each kind and address")
    parser.add_argument("--round-trip-ms", type=float, default=80.0)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    asked = parser.parse_args()
    print(
        "| strangers | visits/s | joined | s | longest | elsewhere | s | longest | inside | CPU | MB | fds | threads |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    with coordinator("process") as (pid, join):
        for kind in ("nobody", *asked.only):
            print(measure(kind, pid, join, asked.seconds, asked.round_trip_ms / 1_000), flush=True)
        refused = connect(join).Control().status().strangers_refused
        print(f"\n{refused:,} strangers were refused")


if __name__ == "__main__":
    main()
