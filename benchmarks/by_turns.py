"""Crawls that are stored in places of several kinds, by turns: what each costs, and how the kinds compare.

A place is a file of the crawl's folder (`sqlite`), a database (`postgresql`), or one whose commits a synchronous
standby has, too (`standby`). All servers run on this machine.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, TypeAlias

from benchmarks.database_server import Servers, Spent, servers
from crawlfleet.coordinator.frontier.registry import USUAL

KINDS = (USUAL, "postgresql", "standby")


class Crawled(NamedTuple):
    """What one crawl came to: CPU times of all of its pages together, those of servers with it."""

    pages: int
    elapsed_s: float
    coordinator_s: float
    workers_s: float = 0.0
    servers: Spent = Spent()

    @property
    def per_s(self) -> float:
        """Pages a second."""
        return self.pages / self.elapsed_s

    @property
    def coordinator_us(self) -> float:
        """Microseconds of the coordinator's CPU for each page."""
        return self.each_us(self.coordinator_s)

    def each_us(self, cpu_s: float) -> float:
        """Return a CPU time in microseconds for each page."""
        return 1e6 * cpu_s / self.pages


class Place:
    """A place where one crawl after another is stored."""

    def __init__(self, running: Servers | None) -> None:
        self._servers = running

    @contextmanager
    def frontier(self) -> Iterator[str]:
        """Make room for a new crawl; yields what its job says of where it is stored."""
        if self._servers is None:
            yield USUAL
            return
        with self._servers.database() as address:
            yield address

    def spent(self) -> Spent:
        """Return what the servers have spent so far."""
        return Spent() if self._servers is None else self._servers.spent()


Crawl: TypeAlias = Callable[[Place], Crawled]


def take_turns(
    kinds: Sequence[str], rounds: int, crawl: Crawl, settings: Sequence[str] = ()
) -> dict[str, list[Crawled]]:
    """Crawl once in a place of each kind in each round; which comes first changes with the rounds.

    `settings` are those of servers, besides `database_server.SETTINGS`.
    """
    turns: dict[str, list[Crawled]] = {kind: [] for kind in kinds}
    with ExitStack() as running:
        places = {kind: running.enter_context(_place(kind, settings)) for kind in kinds}
        for number in range(rounds):
            first = number % len(kinds)
            for kind in (*kinds[first:], *kinds[:first]):
                turn = crawl(places[kind])
                turns[kind].append(turn)
                said = f"{turn.pages:,} pages, {turn.per_s:,.0f}/s, coordinator {turn.coordinator_us:.0f}"
                told = f"{number + 1}/{rounds} {kind}: {said} us of CPU a page"
                print(told, file=sys.stderr, flush=True)
    return turns


def table(turns: Mapping[str, Sequence[Crawled]]) -> str:
    """Return the figures as a Markdown table: medians, the least and the most; ratios are medians of those of rounds.

    The ratios are those to the first kind.
    """
    first, base = next(iter(turns.items()))
    head = ["stored in", "pages/s", f"/ {first}", "coordinator", f"/ {first}", "workers", "server", "its standby"]
    lines = [[*head, "log, bytes"], ["---", *["---:"] * len(head)]]
    for kind, found in turns.items():
        pairs = list(zip(found, base, strict=True))
        lines.append(
            [
                kind,
                _cell([turn.per_s for turn in found]),
                _ratio([turn.per_s / other.per_s for turn, other in pairs]),
                _cell([turn.coordinator_us for turn in found]),
                _ratio([turn.coordinator_us / other.coordinator_us for turn, other in pairs]),
                _cell([turn.each_us(turn.workers_s) for turn in found]),
                _cell([turn.each_us(turn.servers.cpu_s) for turn in found]),
                _cell([turn.each_us(turn.servers.standby_cpu_s) for turn in found]),
                _cell([turn.servers.log_bytes / turn.pages for turn in found]),
            ]
        )
    notes = "coordinator, workers, server, its standby: microseconds of CPU for each page; log: bytes for each page"
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + ["", notes])


@contextmanager
def _place(kind: str, settings: Sequence[str]) -> Iterator[Place]:
    if kind == USUAL:
        yield Place(None)
        return
    with servers(*settings, with_standby=kind == "standby") as running:
        yield Place(running)


def _cell(figures: Sequence[float]) -> str:
    if not any(figures):
        return ""
    return f"{statistics.median(figures):,.0f} ({min(figures):,.0f}-{max(figures):,.0f})"


def _ratio(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
