"""What a coordinator holds after many frames that no honest program sends, and that the crawl ends right.

    python -m benchmarks.mutated_frames [--frames 1000000] [--seed 1]

They come from a program with the token. A third of them are messages whose fields have whatever their types allow, or
more, in any order (`benchmarks.wild_messages`). The others are those of all calls that workers and programs make,
changed at random (bytes flipped, cut, doubled; names replaced by longer ones). A frame in a hundred is changed as a
whole, the others within one of their arguments, so that they come further. They are sent over authenticated
connections; one that the coordinator ends is opened again. Memory, descriptors and threads are counted before, after
each tenth, and at the end; then an honest worker ends the crawl, and `crawlfleet verify` must find it sound.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.coordinator_process import LOOK_S, connect
from benchmarks.object_servers import coordinator
from benchmarks.strangers import Grown, holdings
from benchmarks.wild_messages import CALLS, Known, call
from crawlfleet.shared.errors import CrawlfleetError, Unreachable
from crawlfleet.shared.messages import (
    ExchangeRequest,
    Hello,
    Kind,
    Lease,
    Outcome,
    Report,
    Row,
    Task,
    encode,
)
from crawlfleet.shared.objects import OPEN, ObjectCall
from crawlfleet.shared.pools import Ask, AskRequest
from crawlfleet.shared.wire.join_token import read_token
from crawlfleet.shared.wire.manager import FleetManager

SESSION = "mutant"
KEEPER = "keeper"
RENEWED_EVERY = 500
WHOLE_IN = 100
WILD_IN = 3
SEEDS = ("http://a.test/", "http://b.test/", "http://a.test/1")
LEASE = "lease: 60s\npoliteness: {delay: 0s, per_host: 4}\n"
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

    def __init__(self, join: Path, seed: int, wild_in: int = WILD_IN) -> None:
        """One frame of `wild_in` is a wild message; none is if that is 0."""
        self._random = Random(seed)
        self._wild_in = wild_in
        self._manager = FleetManager.joining(read_token(join))
        self._manager.connect()
        self._number = 0
        # No lease: a report of an open task may say that its host is to be held for an hour.
        self._known = Known()
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
        """Send one frame, and count what became of it."""
        try:
            if self._wild_in and not self._random.randrange(self._wild_in):
                self._send_wild()
            else:
                self._send_changed()
            self.outcomes["answered"] += 1
        except Unreachable:
            self.outcomes["connection ended"] += 1
        except (CrawlfleetError, KeyError, TypeError, ValueError) as error:
            self.outcomes[f"refused ({type(error).__name__})"] += 1

    def send_unchanged(self) -> None:
        """Make each call as it is: a coordinator loads some things when it first needs them."""
        for make in self._made:
            with suppress(CrawlfleetError, ValueError):
                self._manager.call(*make())

    def close(self) -> None:
        """Close the connection."""
        self._manager.disconnect()

    def _send_changed(self) -> None:
        typeid, method, args = self._random.choice(self._made)()
        if not self._random.randrange(WHOLE_IN):
            self._send_raw(typeid, method, args)
            return
        first = args[0]
        args = (changed(self._random, first), *args[1:]) if isinstance(first, bytes) else args
        self._manager.call(typeid, method, args)

    def _send_wild(self) -> None:
        typeid, method, args = call(self._random, self._random.choice(CALLS), self._known)
        self._manager.call(typeid, method, tuple(args))

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
            name=self._object(), method=OPEN, args=args, timeout_s=0.0,
        )  # fmt: skip

    def _object(self) -> str:
        """Return the name of one of a few objects, which may be many, or one that is too long."""
        return self._random.choice("abcd") if self._random.randrange(50) else name(self._random) + LONGEST_NAME * "x"

    def _ask(self) -> AskRequest:
        self._number += 1
        ask = Ask(ticket=self._number % 50, url=f"http://{name(self._random)[:60]}.test/")
        return AskRequest(session=SESSION, pool=1, asks=(ask,))


class Keeper:
    """An honest program that holds the crawl open, which is over when others have let all pages die."""

    def __init__(self, join: Path) -> None:
        self._fleet = connect(join)
        self._queue, self._pools = self._fleet.Queue(), self._fleet.Pools()
        self._queue.hello(Hello(session=KEEPER, fetches=False))
        self._pools.ask(AskRequest(session=KEEPER, pool=1))

    def renew(self) -> None:
        """Stay a member of the crawl."""
        answer = self._queue.exchange(ExchangeRequest(session=KEEPER))
        assert answer.known

    def close(self) -> None:
        """Let the crawl end, and all other sessions with it."""
        for session in (KEEPER, SESSION, *Known().sessions):
            self._queue.goodbye(session)
        self._fleet.disconnect()


def told(lease: Lease, task: Task) -> Report:
    """Return what an honest worker says of a task."""
    found = (Outcome.HTTP_ERROR, 404) if task.kind is Kind.ROBOTS else (Outcome.FETCHED, 200)
    return Report(lease=lease.id, ref=task.ref, outcome=found[0], status=found[1], age_s=0.0)


def finish(join: Path) -> int:
    """Do what is left of the crawl as an honest worker does; return how many pages it fetched."""
    queue, done, reports = connect(join).Queue(), 0, tuple[Report, ...]()
    queue.hello(Hello(session="honest"))
    while True:
        answer = queue.exchange(ExchangeRequest(session="honest", reports=reports, want=8))
        if answer.finished:
            queue.goodbye("honest")
            return done
        reports = tuple(told(lease, task) for lease in answer.leases for task in lease.tasks)
        done += sum(report.outcome is Outcome.FETCHED for report in reports)
        time.sleep(answer.idle_s)


def await_end(pid: int) -> None:
    """Wait until the coordinator, a child of this process, has ended."""
    while Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z":
        time.sleep(LOOK_S)


def print_holdings(frames: int, pid: int) -> Grown:
    """Print what the coordinator holds after so many frames, and return it."""
    now = holdings(pid)
    print(f"{frames:>10,} {now.memory_mb:>10.1f} {now.descriptors:>12} {now.threads:>8}", flush=True)
    return now


def main() -> None:
    """Send the frames, print what the coordinator holds on the way, and end the crawl."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mutated_frames", description="A coordinator after mutated frames."
    )
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with coordinator("process", LEASE, SEEDS) as (pid, join):
        sender, keeper, began = Sender(join, args.seed), Keeper(join), time.perf_counter()
        sender.send_unchanged()
        print("    frames memory, MB  descriptors  threads")
        held = [print_holdings(0, pid)]
        for number in range(1, args.frames + 1):
            sender.send()
            if number % RENEWED_EVERY == 0:
                keeper.renew()
            if number % max(1, args.frames // 10) == 0:
                held.append(print_holdings(number, pid))
        first, after_a_tenth, last = (held[index].memory_mb for index in (0, 1, -1))
        print(f"it grew by {last - first:.1f} MB, by {last - after_a_tenth:.1f} MB of them after the first tenth")
        sender.close()
        keeper.close()
        print(f"{time.perf_counter() - began:,.0f} s; " + ", ".join(f"{w}: {n:,}" for w, n in sender.outcomes.items()))
        print(f"an honest worker has fetched {finish(join)} pages, and the crawl is over")
        await_end(pid)
        verify = [sys.executable, "-m", "crawlfleet", "verify", str(join.parent / "crawls" / "objects")]
        subprocess.run(verify, check=True)


if __name__ == "__main__":
    main()
