"""How much memory a coordinator takes after many mutated frames and many long names, from a program with the token.

    python -m benchmarks.mutated_frames [--frames 1000000] [--seed 1]

Frames of all calls that workers and programs make are changed at random (bytes flipped, cut, doubled; names replaced by
longer ones) and sent over authenticated connections; one that the coordinator ends is opened again. A frame in a
hundred is changed as a whole, the others within one of their arguments, so that they come further. The resident size is
read before, after each tenth, and at the end; then an honest session must still be served.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.coordinator_process import connect, resident_mb
from benchmarks.object_memory import LEASE
from benchmarks.object_servers import coordinator
from crawlfleet.shared.errors import CrawlfleetError, Unreachable
from crawlfleet.shared.messages import ExchangeRequest, Hello, Outcome, Report, Row, encode
from crawlfleet.shared.objects import OPEN, ObjectCall
from crawlfleet.shared.pools import Ask, AskRequest
from crawlfleet.shared.wire.join_token import read_token
from crawlfleet.shared.wire.manager import FleetManager

SESSION = "mutant"
WHOLE_IN = 100
LONGEST_NAME = 300_000


def changed(random: Random, body: bytes) -> bytes:
    """Return bytes that differ a little from these."""
    at = random.randrange(len(body) + 1)
    kind = random.randrange(4)
    if kind == 0 and body:
        at = min(at, len(body) - 1)
        return body[:at] + bytes([body[at] ^ (1 << random.randrange(8))]) + body[at + 1 :]
    if kind == 1:
        return body[:at]
    if kind == 2:
        return body[:at] + body[max(0, at - random.randrange(1, 40)) :]
    return body[:at] + random.randbytes(random.randrange(1, 9)) + body[at:]


def name(random: Random) -> str:
    """Return a name that is mostly short, and now and then longer than any may be."""
    length = random.choice((8, 8, 8, 8, 100, 1_000)) if random.randrange(500) else LONGEST_NAME
    return random.randbytes((length + 1) // 2).hex()


class Sender:
    """One connection of a program, opened again whenever the coordinator has ended it."""

    def __init__(self, join: Path, seed: int) -> None:
        self._random = Random(seed)
        self._manager = FleetManager.joining(read_token(join))
        self._manager.connect()
        self._number = 0
        self._made: tuple[Callable[[], tuple[str, str, tuple[Any, ...]]], ...] = (
            lambda: ("Queue", "hello", (encode(Hello(session=SESSION)),)),
            lambda: ("Queue", "exchange", (encode(self._exchange()),)),
            lambda: ("Objects", "call", (encode(self._call()),)),
            lambda: ("Pools", "ask", (encode(self._ask()),)),
            lambda: ("Queue", "put", (f"http://{name(self._random)}.test/",)),
            lambda: ("dict", "get", (name(self._random),)),
            lambda: ("Queue", "goodbye", (name(self._random),)),
        )
        self.outcomes: Counter[str] = Counter()

    def send(self) -> None:
        """Send one changed frame, and count what became of it."""
        typeid, method, args = self._random.choice(self._made)()
        try:
            if self._random.randrange(WHOLE_IN):
                first = args[0]
                args = (changed(self._random, first), *args[1:]) if isinstance(first, bytes) else args
                self._manager.call(typeid, method, args)
            else:
                self._send_raw(typeid, method, args)
            self.outcomes["answered"] += 1
        except Unreachable:
            self.outcomes["connection ended"] += 1
        except (CrawlfleetError, TypeError, ValueError) as error:
            self.outcomes[f"refused ({type(error).__name__})"] += 1

    def close(self) -> None:
        """Close the connection."""
        self._manager.disconnect()

    def _send_raw(self, typeid: str, method: str, args: tuple[Any, ...]) -> None:
        connection = self._manager._connection()
        connection.within(self._manager.timeout_s)
        frame = connection.pack((f"{typeid}:{self._manager._local.incarnation}", method, args, {}))
        body = changed(self._random, frame[4:])
        self._manager._trip(connection, len(body).to_bytes(4) + body)

    def _exchange(self) -> ExchangeRequest:
        row = Row(item="page", index=0, fields={"title": name(self._random)[:50]})
        report = Report(lease=1, ref=self._random.randbytes(16), outcome=Outcome.FETCHED, status=200, rows=(row,))
        return ExchangeRequest(session=SESSION, reports=(report,), want=self._random.randrange(3))

    def _call(self) -> ObjectCall:
        self._number += 1
        args: tuple[Any, ...] = ()
        return ObjectCall(
            session=SESSION, thread=0, slot=self._number % 50, number=self._number, kind="Lock",
            name=name(self._random), method=OPEN, args=args, timeout_s=0.0,
        )  # fmt: skip

    def _ask(self) -> AskRequest:
        self._number += 1
        ask = Ask(ticket=self._number, url=f"http://{name(self._random)[:60]}.test/")
        return AskRequest(session=SESSION, pool=1, asks=(ask,))


def main() -> None:
    """Send the frames, and print the memory of the coordinator on the way."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutated_frames", description="A coordinator's memory after mutated frames."
    )
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with coordinator("process", LEASE) as (pid, join):
        sender, began = Sender(join, args.seed), time.perf_counter()
        print(f"{'frames':>10}  resident, MB\n{0:>10,}  {resident_mb(pid):.0f}", flush=True)
        for number in range(1, args.frames + 1):
            sender.send()
            if number % max(1, args.frames // 10) == 0:
                print(f"{number:>10,}  {resident_mb(pid):.0f}", flush=True)
        sender.close()
        print(f"{time.perf_counter() - began:,.0f} s; " + ", ".join(f"{w}: {n:,}" for w, n in sender.outcomes.items()))
        connect(join).Queue().hello(Hello(session="honest"))
        print("an honest session is served")


if __name__ == "__main__":
    main()
