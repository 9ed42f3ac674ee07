"""What the tables of a crawl in PostgreSQL come to while pages are settled for a long time: whether any of them bloats.

    python -m benchmarks.turnover [--minutes 60] [--every 10] [--per-s 400] [--waiting 20000]

The service is driven in one process (see `simulated_crawl`) at a rate that a busy machine keeps up, over a server of
its own with its usual settings of autovacuum. As each page names one new one, as many pages wait at the end as at the
begin. Some tables hold a row for each page for good; these may grow, but have no dead rows. The others hold what is
open or waits, and must not grow. Prints a table: of each relation its size with its indexes, in MB, at each look, and
what was dead, updated in place (HOT) and vacuumed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from benchmarks.awaited_postgresql import SCHEMA, CountedStore
from benchmarks.database_server import ServerMeter, servers
from benchmarks.simulated_crawl import SimulatedCrawl

_RELATIONS = f"""
SELECT relname, pg_total_relation_size(relid), n_live_tup, n_dead_tup, n_tup_upd, n_tup_hot_upd, autovacuum_count
FROM pg_stat_user_tables WHERE schemaname = '{SCHEMA}' ORDER BY relname
"""
_EMPTY_BYTES = 32 * 1024


class Relation(NamedTuple):
    """A table with its indexes at one moment, as PostgreSQL's statistics have it."""

    name: str
    size_bytes: int
    live: int
    dead: int
    updated: int
    hot: int
    vacuums: int


class Look(NamedTuple):
    """All tables when so many pages were settled."""

    settled: int
    relations: dict[str, Relation]


class Pace:
    """A rate that is kept on average, as far as the machine keeps up."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._began = time.monotonic()
        self.taken = 0

    @property
    def elapsed_s(self) -> float:
        """For how long it is kept."""
        return time.monotonic() - self._began

    def take(self, number: int) -> None:
        """Note so many pages, and wait if they came too soon."""
        self.taken += number
        time.sleep(max(0.0, self.taken / self._per_s - self.elapsed_s))


def turn_over(crawl: SimulatedCrawl, meter: ServerMeter, asked: argparse.Namespace) -> Iterator[Look]:
    """Settle pages until the time is over; yield a look at the begin and after each so many minutes."""
    yield Look(0, _relations(meter))
    pace = Pace(asked.per_s)
    for number in range(1, int(asked.minutes / asked.every) + 1):
        while pace.elapsed_s < number * asked.every * 60:
            pace.take(crawl.crawl(1).number)
        yield Look(pace.taken, _relations(meter))


def table(looks: Sequence[Look]) -> str:
    """Return the looks as a Markdown table, a row for each relation that is not as good as empty."""
    last = looks[-1].relations
    head = ["MB after so many pages", *(f"{look.settled:,}" for look in looks)]
    head += ["rows", "dead, at most", "updated", "of them HOT", "vacuums"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, relation in last.items():
        seen = [look.relations[name] for look in looks]
        if relation.updated or max(each.size_bytes for each in seen) > _EMPTY_BYTES:
            hot = f"{relation.hot / relation.updated:.1%}" if relation.updated else ""
            cells = [f"{each.size_bytes / 1e6:.1f}" for each in seen]
            cells += [f"{relation.live:,}", f"{max(each.dead for each in seen):,}", f"{relation.updated:,}", hot]
            lines.append([name, *cells, f"{relation.vacuums:,}"])
    sizes = [sum(each.size_bytes for each in look.relations.values()) for look in looks]
    lines.append(["all", *(f"{size / 1e6:.1f}" for size in sizes), "", "", "", "", ""])
    pages = looks[-1].settled - looks[0].settled
    each = f"{(sizes[-1] - sizes[0]) / pages:,.0f} bytes more for each settled page"
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + ["", each])


def _relations(meter: ServerMeter) -> dict[str, Relation]:
    rows: Sequence[tuple[Any, ...]] = meter.rows(_RELATIONS)
    return {row[0]: Relation(*row) for row in rows}


def main() -> None:
    """Settle pages for as long as was asked for, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turnover", description="Whether tables bloat.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=10.0, help="minutes between two looks")
    parser.add_argument("--per-s", type=float, default=400.0, help="pages settled in a second")
    parser.add_argument("--waiting", type=int, default=20_000, help="how many pages wait at any time")
    asked = parser.parse_args()
    with servers() as running, running.database() as address, closing(ServerMeter(address)) as meter:
        store = CountedStore(address)
        with closing(store):
            crawl = SimulatedCrawl(store, now=store.opened_at)
            crawl.fill(asked.waiting)
            crawl.open()
            looks = []
            for look in turn_over(crawl, meter, asked):
                looks.append(look)
                print(f"{look.settled:,} pages settled", file=sys.stderr, flush=True)
                if len(looks) > 1:
                    print(table(looks), flush=True)


if __name__ == "__main__":
    main()
