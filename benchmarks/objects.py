"""What a call of a named object costs, compared with a manager of `multiprocessing` and with dask.distributed.

    python -m benchmarks.objects [--rounds 5] [--seconds 0.15] [--callers 3] [--only WORD ...] [--without WORD ...]
                                 [--write-docs]

All servers run at the same time on loopback, each a process of its own, and take turns: in each round, each operation
is done by one process for `--seconds`, then by `--callers` processes at once. The fleet has two servers: one commits
each change to its store before it answers (`durability: process`), the other keeps all in memory (`durability: none`).
The manager's clients use its own pickled proxies. Where a peer has no such object, the operation is made of those that
it has (`Pipe`: two queues; `Value: add`: a lock around get and set). Each figure is the median of the rounds, with the
least and the most. CPU time is user and system time: of the calling process (with the one that answers through a pipe),
and of the server.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benchmarks.object_calls import OPERATIONS
from benchmarks.object_servers import DURABLE, Contestant, choose, contestants
from benchmarks.report import machine, replace_figures
from crawlfleet.commands.arguments import count

BASE = "multiprocessing"
NOTHING = "-"


class Turn(NamedTuple):
    """What an operation took in one turn, in microseconds; and how often all callers did it in a second."""

    wall_us: float
    caller_us: float
    server_us: float
    per_s: float


# By operation and contestant.
Turns = dict[tuple[str, str], list[Turn]]


def measure(running: Sequence[Contestant], operations: Iterable[str], options: argparse.Namespace) -> Turns:
    """Do all operations in turns; whoever begins changes with the rounds."""
    turns: Turns = defaultdict(list)
    for number in range(options.rounds):
        began = time.perf_counter()
        for operation in operations:
            first = number % len(running)
            for each in (*running[first:], *running[:first]):
                if all(each.ask(options.callers, "prepare", operation)):
                    turns[operation, each.name].append(_turn(each, operation, options))
        print(f"round {number + 1} took {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return turns


def _turn(each: Contestant, operation: str, options: argparse.Namespace) -> Turn:
    server_s = each.cpu_s()
    [(done, wall_s, caller_s)] = each.ask(1, "run", operation, options.seconds)
    server_s = each.cpu_s() - server_s
    together = each.ask(options.callers, "run", operation, options.seconds)
    each.ask(options.callers, "clean", operation)
    per_s = sum(count / elapsed_s for count, elapsed_s, _ in together)
    return Turn(1e6 * wall_s / done, 1e6 * caller_s / done, 1e6 * server_s / done, per_s)


def report(turns: Turns, names: Sequence[str], callers: int) -> str:
    """Return three tables: time, calls a second, CPU time."""
    return "\n\n".join([_times(turns, names), _rates(turns, names, callers), _cpu(turns, names)])


def _times(turns: Turns, names: Sequence[str]) -> str:
    """Return the table of times. The ratio is the median of those of the rounds."""
    with_ratio = BASE in names and DURABLE in names
    rows = []
    for operation in _operations(turns):
        cells = [_cell([turn.wall_us for turn in turns.get((operation, name), [])]) for name in names]
        if with_ratio:
            pairs = zip(turns.get((operation, DURABLE), []), turns.get((operation, BASE), []), strict=False)
            ratios = [ours.wall_us / theirs.wall_us for ours, theirs in pairs]
            cells.append(f"{statistics.median(ratios):.2f}" if ratios else NOTHING)
        rows.append([operation, *cells])
    return _table(["one caller, µs", *names, *([f"durable / {BASE}"] if with_ratio else [])], rows)


def _rates(turns: Turns, names: Sequence[str], callers: int) -> str:
    rows = [
        [operation, *(_cell([turn.per_s for turn in turns.get((operation, name), [])]) for name in names)]
        for operation in _operations(turns)
    ]
    return _table([f"{callers} callers, operations/s", *names], rows)


def _cpu(turns: Turns, names: Sequence[str]) -> str:
    rows = []
    for operation in _operations(turns):
        cells = []
        for name in names:
            found = turns.get((operation, name))
            cells.append(
                f"{statistics.median(turn.caller_us for turn in found):,.0f} + "
                f"{statistics.median(turn.server_us for turn in found):,.0f}"
                if found
                else NOTHING
            )
        rows.append([operation, *cells])
    return _table(["CPU µs, caller + server", *names], rows)


def _operations(turns: Turns) -> list[str]:
    return [operation for operation in OPERATIONS if any(operation == done for done, _ in turns)]


def _cell(figures: Sequence[float]) -> str:
    if not figures:
        return NOTHING
    return f"{statistics.median(figures):,.0f} ({min(figures):,.0f}-{max(figures):,.0f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = _parser().parse_args()
    began = time.perf_counter()
    operations = [name for name in OPERATIONS if not options.only or any(word in name for word in options.only)]
    names = choose(options.without)
    with contestants(names, options.callers) as running:
        turns = measure(running, operations, options)
    found = report(turns, names, options.callers)
    print(found)
    print(f"took {time.perf_counter() - began:.0f} s", file=sys.stderr)
    if options.write_docs:
        replace_figures("objects", f"{machine()}; {options.rounds} rounds of {options.seconds:g} s.\n\n{found}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.objects", description="What a call costs.")
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--seconds", type=float, default=0.15, help="how long a turn takes")
    parser.add_argument("--callers", type=count, default=3, help="how many processes call at once")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only operations whose name has one of these")
    parser.add_argument("--without", nargs="+", metavar="WORD", default=[], help="no servers with such a name")
    parser.add_argument("--write-docs", action="store_true", help="write the figures into docs/benchmarks.md")
    return parser


if __name__ == "__main__":
    main()
