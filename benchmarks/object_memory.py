"""How much memory of the coordinator named objects take, and calls that wait.

    python -m benchmarks.object_memory [--count 10000] [--only WORD ...] [--write-docs]

For each line of the table a coordinator of its own is started. A session makes a few of what is measured, so that all
code is loaded; then its messages make `--count` more of them over one connection: objects of a kind, or calls that wait
for a lock which is held, each in a slot of its own. The resident size is read before and after.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count as counting
from pathlib import Path
from typing import Any

from benchmarks.coordinator_process import resident_mb
from benchmarks.object_servers import FLEETS, coordinator
from benchmarks.report import machine, replace_figures
from crawlfleet.shared.messages import Hello
from crawlfleet.shared.objects import OPEN, ObjectCall, ObjectReply
from crawlfleet.shared.wire import values
from crawlfleet.shared.wire.join_token import read_token
from crawlfleet.shared.wire.manager import FleetManager

FIRST = 200
KINDS = ("Lock", "Value", "Queue")
OPTIONS: dict[str, tuple[Any, ...]] = {"Value": ("", 0), "Queue": (0,)}
SESSION = "memory"
# The session sends nothing but its calls.
LEASE = "lease: 10m\n"


class Calls:
    """A session that makes calls without waiting for those that wait."""

    def __init__(self, join: Path) -> None:
        self._manager = FleetManager.joining(read_token(join))
        self._manager.connect()
        self._manager.Queue().hello(Hello(session=SESSION))
        self._objects = self._manager.Objects()
        self._numbers = counting(1)

    def open(self, kind: str, name: str) -> None:
        """Open an object; it has the contents of a new one, a queue has one item."""
        self.call(kind, name, OPEN, *OPTIONS.get(kind, ()))
        if kind == "Queue":
            self.call(kind, name, "put", values.encode("an item"))

    def wait(self, slot: int, name: str) -> None:
        """Wait for a lock, in a thread and a slot of its own (from 1 on)."""
        reply = self._call(slot, 1, "Lock", name, "acquire", timeout_s=None)
        if not reply.waits:
            raise SystemExit(f"a call does not wait: {reply}")

    def call(self, kind: str, name: str, method: str, *args: Any) -> None:
        """Make a call that does not wait, in the first slot."""
        reply = self._call(0, next(self._numbers), kind, name, method, *args)
        if reply.error or reply.waits:
            raise SystemExit(f"{kind}.{method}: {reply}")

    def close(self) -> None:
        """Close the connection; the session lasts as long as the coordinator."""
        self._manager.disconnect()

    def _call(
        self, slot: int, number: int, kind: str, name: str, method: str, *args: Any, timeout_s: float | None = 0.0
    ) -> ObjectReply:
        return self._objects.call(
            ObjectCall(
                session=SESSION,
                thread=slot,
                slot=slot,
                number=number,
                kind=kind,
                name=name,
                method=method,
                args=args,
                timeout_s=timeout_s,
            )
        )


@contextmanager
def calls_to(join: Path) -> Iterator[Calls]:
    """Open a session, and close its connection."""
    calls = Calls(join)
    try:
        yield calls
    finally:
        calls.close()


def objects_of(kind: str) -> Callable[[Calls, range], None]:
    """Make so many objects."""

    def make(calls: Calls, numbers: range) -> None:
        for number in numbers:
            calls.open(kind, f"an object of the benchmark {number}")

    return make


def waiters(calls: Calls, numbers: range) -> None:
    """Make so many calls that wait; one more holds the lock."""
    if numbers.start == 0:
        calls.open("Lock", "held")
        calls.call("Lock", "held", "acquire")
    for number in numbers:
        calls.wait(number + 1, "held")


MADE: dict[str, Callable[[Calls, range], None]] = {
    **{f"{kind}{' with an item' if kind == 'Queue' else ''}": objects_of(kind) for kind in KINDS},
    "waiting call": waiters,
}


def measure(durability: str, make: Callable[[Calls, range], None], how_many: int) -> tuple[float, float, float]:
    """Return the resident megabytes before and after, and how many seconds it took."""
    with coordinator(durability, LEASE) as (pid, join), calls_to(join) as calls:
        make(calls, range(FIRST))
        before_mb, began = resident_mb(pid), time.perf_counter()
        make(calls, range(FIRST, FIRST + how_many))
        return before_mb, resident_mb(pid), time.perf_counter() - began


def table(asked: argparse.Namespace) -> str:
    """Measure everything; return a Markdown table."""
    lines = [
        f"| {asked.count:,} of each | before, MB | after, MB | bytes each | µs each |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, make in MADE.items():
        if asked.only and not any(word in name for word in asked.only):
            continue
        for contestant, durability in FLEETS.items():
            before_mb, after_mb, took_s = measure(durability, make, asked.count)
            each = (after_mb - before_mb) * 2**20 / asked.count
            lines.append(
                f"| {name}, {contestant.removeprefix('fleet, ')} | {before_mb:.1f} | {after_mb:.1f} | {each:,.0f} "
                f"| {1e6 * took_s / asked.count:,.0f} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.object_memory", description="Memory of named objects.")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only lines whose name has one of these")
    parser.add_argument("--write-docs", action="store_true", help="write the figures into docs/benchmarks.md")
    asked = parser.parse_args()
    began = time.perf_counter()
    found = table(asked)
    print(found)
    print(f"took {time.perf_counter() - began:.0f} s", file=sys.stderr)
    if asked.write_docs:
        replace_figures("object memory", f"{machine()}.\n\n{found}")


if __name__ == "__main__":
    main()
