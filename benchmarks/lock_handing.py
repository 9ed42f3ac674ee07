"""How long a lock takes from one waiter to the next, compared with a manager of `multiprocessing` and dask.distributed.

    python -m benchmarks.lock_handing [--rounds 5] [--seconds 1] [--waiters 8] [--programs 1 4] [--without WORD ...]
                                      [--write-docs]

So many waiters, threads of one program or of several, acquire one lock and release it at once, again and again. A
handing is the time from the call of `release` to the return of the `acquire` of another waiter, by the machine's
monotonic clock. The standard library's locks often go to the one that has just released them: how many of all
acquisitions went to another waiter is shown, too. All servers run at the same time and take turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from benchmarks.object_servers import Contestant, choose, contestants
from benchmarks.report import machine, replace_figures
from crawlfleet.commands.arguments import count


class Turn(NamedTuple):
    """What came of one turn."""

    median_us: float
    worst_us: float  # 95 of 100 took less
    handings: int
    acquisitions: int
    seconds: float


class Held(NamedTuple):
    """One time that the lock was held."""

    acquired: float
    released: float
    thread: int
    program: int


def take_turn(each: Contestant, programs: int, threads: int, seconds: float) -> Turn:
    """Let the waiters compete once."""
    answers = each.ask(programs, "hand", f"handed to {programs}", threads, seconds)
    turn = judge(
        Held(acquired, released, thread, program)
        for program, answer in enumerate(answers)
        for acquired, released, thread in answer
    )
    if turn is None:
        raise SystemExit(f"{each.name}: the lock was hardly handed on: give it more --seconds")
    return turn


def judge(times: Iterable[Held]) -> Turn | None:
    """Return what came of a turn; None if the lock was handed on less than twice."""
    held = sorted(times)
    between = [
        1e6 * (after.acquired - before.released)
        for before, after in pairwise(held)
        if (before.program, before.thread) != (after.program, after.thread)
    ]
    if len(between) < 2:
        return None
    worst_us = statistics.quantiles(between, n=20)[-1]
    lasted_s = held[-1].released - held[0].acquired
    return Turn(statistics.median(between), worst_us, len(between), len(held), lasted_s)


def table(turns: dict[tuple[int, str], list[Turn]], waiters: int) -> str:
    """Return medians of the rounds as a Markdown table, with the least and the most."""
    lines = [
        f"| {waiters} waiters | handing, µs | 95 % below, µs | acquisitions/s | of them handed on |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for (programs, name), found in turns.items():
        medians = [turn.median_us for turn in found]
        rate = statistics.median(turn.acquisitions / turn.seconds for turn in found)
        share = sum(turn.handings for turn in found) / sum(turn.acquisitions for turn in found)
        where = "1 program" if programs == 1 else f"{programs} programs"
        lines.append(
            f"| {name}, {where} | {statistics.median(medians):,.0f} ({min(medians):,.0f}-{max(medians):,.0f}) "
            f"| {statistics.median(turn.worst_us for turn in found):,.0f} | {rate:,.0f} | {share:.0%} |"
        )
    return "\n".join(lines)


def measure(running: Sequence[Contestant], options: argparse.Namespace) -> dict[tuple[int, str], list[Turn]]:
    """Let all take turns; whoever begins changes with the rounds."""
    turns: dict[tuple[int, str], list[Turn]] = defaultdict(list)
    for number in range(options.rounds):
        for programs in options.programs:
            first = number % len(running)
            for each in (*running[first:], *running[:first]):
                turn = take_turn(each, programs, options.waiters // programs, options.seconds)
                turns[programs, each.name].append(turn)
    order = [(programs, each.name) for programs in options.programs for each in running]
    return {key: turns[key] for key in order}


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = _parser()
    options = parser.parse_args()
    if any(options.waiters % programs for programs in options.programs):
        parser.error("--waiters: expected a multiple of each of --programs")
    began = time.perf_counter()
    with contestants(choose(options.without), max(options.programs)) as running:
        found = table(measure(running, options), options.waiters)
    print(found)
    print(f"took {time.perf_counter() - began:.0f} s", file=sys.stderr)
    if options.write_docs:
        replace_figures("lock handing", f"{machine()}; {options.rounds} rounds of {options.seconds:g} s.\n\n{found}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lock_handing", description="From waiter to waiter.")
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a turn takes")
    parser.add_argument("--waiters", type=count, default=8)
    parser.add_argument("--programs", type=count, nargs="+", default=[1, 4], help="in so many programs")
    parser.add_argument("--without", nargs="+", metavar="WORD", default=[], help="no servers with such a name")
    parser.add_argument("--write-docs", action="store_true", help="write the figures into docs/benchmarks.md")
    return parser


if __name__ == "__main__":
    main()
