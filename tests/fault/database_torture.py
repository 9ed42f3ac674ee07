"""Faults of a crawl's database and of the coordinator that owns it: one seed makes a site, a plan of one to three
mishaps, and a run of real processes: a PostgreSQL server, two coordinators of which one stands by, and workers.

    python -m tests.fault.database_torture --runs 200 --out database_torture.jsonl

runs the seeds that the file does not hold yet, adds a line for each, and prints what all lines come to.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import psycopg

from tests.fault import seeded_runs
from tests.fault.crawl_checks import LINKS, check, read_items
from tests.fault.database_faults import ONCE, Fault, Mishap, Torturer, Witness, plan
from tests.fault.faulty_database import FaultyDatabase
from tests.fault.seeded_runs import Torture
from tests.fault.torture import see_off, write_job
from tests.fault.two_coordinators import TwoCoordinators, audited, last_of
from tests.site.generated_site import GeneratedSite, make_graph, serving_graph

PAUSE_S = 0.03
PAGES = (40, 60)
DELAY = "politeness: {delay: 50ms, per_host: 4, adaptive: false}"
DELAYED_EACH = 3
ROWS_EACH, ROWS = 2, "rows"
END_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of one seed: how often each fault happened, and after which of them another owner had its first
    commit, how many seconds later."""

    seed: int
    faults: Mapping[str, int]
    take_overs: Mapping[str, Sequence[float]]
    lost: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    refetched: int = 0
    elapsed_s: float = 0.0
    problems: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.quarantined or self.problems)


def run_seed(seed: int, folder: Path) -> Run:
    """Crawl the seed's site under the seed's mishaps; say what came of it."""
    graph = make_graph(seed, Random(f"size {seed}").randint(*PAGES))
    mishaps = plan(seed, len(graph.pages) + len(graph.redirects) + len(graph.missing) + len(graph.refusals))
    faults = {fault for mishap in mishaps for fault in mishap.faults}
    began_at = time.monotonic()
    with (
        serving_graph(graph, PAUSE_S) as site,
        FaultyDatabase(
            has_standby=Fault.STANDBY_PROMOTED in faults, has_small_disk=Fault.DISK_FULL in faults
        ) as database,
    ):
        delay = (DELAY,) if seed % DELAYED_EACH == 0 else ()
        # Rows that go into a database wait for it for a minute, and go nowhere else then.
        rows = database.own_address if faults.isdisjoint(ONCE) and seed % ROWS_EACH == 0 else ""
        sinks = (f"sinks: [items.jsonl, {{to: '{rows}', schema: {ROWS}}}]",) if rows else ()
        job = write_job(folder, site.base, f"tables: {{links: {LINKS}}}", *delay, *sinks)
        with TwoCoordinators(folder, job, database.addresses) as two, Witness(two.progress) as witness:
            run = _tortured(seed, Torturer(two, database, site, witness), mishaps, two)
        if not run.problems:
            run = _checked(run, last_of((two.one, two.other)), site, rows)
        return replace(run, elapsed_s=round(time.monotonic() - began_at, 3))


def _tortured(seed: int, torturer: Torturer, mishaps: Sequence[Mishap], two: TwoCoordinators) -> Run:
    """Carry a plan out, and wait for the end of all; its problems say what was wrong about that."""
    try:
        torturer.carry_out(mishaps)
        problems = [problem for fleet in (two.one, two.other) for problem in see_off(fleet, END_S)]
    except AssertionError as error:
        problems = [str(error)]
    happened, take_overs = dict(torturer.happened), dict(torturer.take_overs)
    return Run(seed=seed, faults=happened, take_overs=take_overs, problems=tuple(problems))


def _checked(run: Run, crawl: Path, site: GeneratedSite, rows: str) -> Run:
    """Hold what a crawl has left behind against its site, in its folder and in a database of rows if there is one."""
    findings = check(crawl, site)
    unkept = [] if (crawl / LINKS).exists() else ["the table of links is missing"]
    return replace(
        run,
        lost=findings.lost,
        doubled=findings.doubled,
        quarantined=findings.quarantined,
        refetched=findings.refetched,
        problems=(
            *unkept,
            *findings.pressed,
            *filter(None, [findings.unproved]),
            *findings.problems,
            *audited(crawl),
            *(_wrong_rows(crawl, rows) if rows else ()),
        ),
    )


def _wrong_rows(crawl: Path, address: str) -> list[str]:
    """Compare the rows in a database with those of the file."""
    with psycopg.connect(address, options=f"-c search_path={ROWS}") as db:
        found = Counter(url for (url,) in db.execute("SELECT url FROM page"))
    wanted = Counter(row["url"] for row in read_items(crawl / "items.jsonl"))
    return [f"{url} is {found[url]} times in the database" for url in found | wanted if found[url] != wanted[url]]


def totals(runs: Sequence[Run]) -> str:
    """Say what runs come to: in one line, and one for each kind of fault with a take-over."""
    happened = sum((Counter(run.faults) for run in runs), Counter[str]())
    took_s = {name: sorted(s for run in runs for s in run.take_overs.get(name, ())) for name in happened}
    return "\n".join(
        (
            f"runs {len(runs)}, faults {', '.join(f'{name} {happened[name]}' for name in sorted(happened))}, "
            f"lost {sum(len(run.lost) for run in runs)}, doubled {sum(len(run.doubled) for run in runs)}, "
            f"quarantined {sum(len(run.quarantined) for run in runs)}, refetched {sum(run.refetched for run in runs)}, "
            f"not clean {sum(not run.is_clean for run in runs)}",
            *(
                f"take-over after {name}: {len(some)}, median {median(some):.2f} s, worst {some[-1]:.2f} s"
                for name, some in sorted(took_s.items())
                if some
            ),
        )
    )


def _read(line: dict[str, Any]) -> Run:
    names = ("lost", "doubled", "quarantined", "problems")
    return Run(**{**line, **{name: tuple(line[name]) for name in names}})


def main() -> int:
    """Run the seeds that are missing: see `seeded_runs.main`."""
    what = "Let the database and the owners of crawls die, and check what is left."
    return seeded_runs.main(Torture("database_torture", what, run_seed, _read, totals))


if __name__ == "__main__":
    sys.exit(main())
