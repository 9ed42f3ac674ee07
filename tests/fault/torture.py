"""Kills at random: one seed makes a site, a plan of one to five kills -9, and a run of real processes over TCP.

    python -m tests.fault.torture --runs 300 --out torture.jsonl

runs the seeds that the file does not hold yet, adds a line for each, and prints what all lines come to. A kill comes
when the site has seen a given number of requests, a moment later.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from crawlfleet.coordinator.sinks.registry import SINKS
from tests.fault import seeded_runs
from tests.fault.crawl_checks import LINKS, check
from tests.fault.fleet_processes import FleetProcesses, await_that, end_group, signal_one
from tests.fault.seeded_runs import Torture
from tests.site.generated_site import GeneratedSite, make_graph, serving_graph

PAUSE_S = 0.06
END_S = 60.0
NODE_FAREWELL_S = 2.0
NODE_END_S = 15.0
# A node gives up after three deaths in a row before hello, so not all kills may hit workers that are still starting.
MOST_EARLY_KILLS = 2
START_METHODS = ("spawn", "fork")
# Each seed also writes one of the other kinds of files, which `verify` compares with the log.
ENDINGS = tuple(name for name in SINKS if name.startswith(".") and name != ".jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Whom to kill, `after_s` after the site's `at_hit`-th request: the coordinator, one worker, or all that runs on
    the workers' machine. The coordinator is started again `away_s` later; so is a node, on another machine as it were.
    """

    victim: str
    at_hit: int
    after_s: float
    away_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of one seed. `tail_s` is the time from the last kill to the crawl's end."""

    seed: int
    worker_kills: int
    coordinator_kills: int
    machine_kills: int
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    quarantined: tuple[str, ...]
    refetched: int
    worst_recovery_s: float
    tail_s: float
    elapsed_s: float
    problems: tuple[str, ...]

    @property
    def kills(self) -> int:
        """How many times something was killed."""
        return self.worker_kills + self.coordinator_kills + self.machine_kills

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.quarantined or self.problems)


def plan(seed: int, pages: int) -> list[Kill]:
    """Draw one to five kills: six in ten of a worker, three of the coordinator, one of a machine."""
    rng = Random(f"kills {seed}")
    kills = [
        Kill(
            victim=rng.choices(("worker", "coordinator", "machine"), (6, 3, 1))[0],
            at_hit=rng.randint(0, pages),
            after_s=rng.uniform(0, 0.25),
            away_s=rng.choice((0.0, rng.uniform(0, 0.6))),
        )
        for _ in range(rng.randint(1, 5))
    ]
    return sorted(kills, key=lambda kill: kill.at_hit)


class Torturer:
    """Carries a plan out on running processes, and notes when it killed what."""

    def __init__(self, fleet: FleetProcesses, site: GeneratedSite, rng: Random, stopped_s: float = 0.0) -> None:
        """A coordinator that is killed is stopped for `stopped_s` before."""
        self._stopped_s = stopped_s
        self._fleet = fleet
        self._site = site
        self._rng = rng
        self._early = 0
        self.worker_kills: list[float] = []
        self.coordinator_kills: list[float] = []
        self.machine_kills: list[float] = []

    @property
    def kills_at(self) -> list[float]:
        """When something was killed, in order."""
        return sorted(self.worker_kills + self.coordinator_kills + self.machine_kills)

    def carry_out(self, kills: Iterable[Kill]) -> None:
        """Kill as planned, for as long as there is a crawl."""
        for each in kills:
            self._site.await_hits(each.at_hit, END_S / 2)
            time.sleep(each.after_s)
            if self._is_over():
                return
            if each.victim == "coordinator":
                self._kill_coordinator(each.away_s)
            elif each.victim == "machine":
                self._kill_machine(each.away_s)
            else:
                self._kill_worker()

    def _is_over(self) -> bool:
        coordinator = self._fleet.coordinator
        return coordinator is None or coordinator.poll() is not None

    def _kill_coordinator(self, away_s: float) -> None:
        self.coordinator_kills.append(time.monotonic())
        self._fleet.replace_coordinator(away_s, stopped_s=self._stopped_s)

    def _kill_machine(self, away_s: float) -> None:
        assert self._fleet.node is not None
        self.machine_kills.append(time.monotonic())
        end_group(self._fleet.node)
        time.sleep(away_s)
        self._fleet.start_node()

    def _kill_worker(self) -> None:
        joined = self._fleet.joined_workers()
        early = [pid for pid in self._fleet.workers() if pid not in joined]
        able = joined + early if self._early < MOST_EARLY_KILLS else joined
        if not able:
            return
        victim = self._rng.choice(able)
        at = time.monotonic()
        if signal_one(victim, signal.SIGKILL):
            self.worker_kills.append(at)
            self._early += victim in early


def run_seed(
    seed: int, folder: Path, more_sinks: str = "", frontier: str = "sqlite", places: int = 1, stopped_s: float = 0.0
) -> Run:
    """Crawl the seed's site under the seed's kills, with a kind of files or `more_sinks`; say what came of it.

    `frontier` is where the crawl is stored. A coordinator that is killed is replaced by one at the next of several
    `places`. Before, it is stopped for `stopped_s`.
    """
    graph = make_graph(seed)
    rng = Random(f"victims {seed}")
    began_at = time.monotonic()
    with serving_graph(graph, PAUSE_S) as site:
        sinks = f"sinks: [items.jsonl, {more_sinks or f'more{ENDINGS[seed % len(ENDINGS)]}'}]"
        stored = f'frontier: "{frontier}"'
        job = write_job(folder, site.base, f"tables: {{links: {LINKS}}}", sinks, stored)
        with FleetProcesses(folder, job, start_method=rng.choice(START_METHODS), places=places) as fleet:
            fleet.start_coordinator()
            fleet.start_node()
            torturer = Torturer(fleet, site, rng, stopped_s)
            torturer.carry_out(plan(seed, len(graph.pages)))
            problems = see_off(fleet)
            ended_at = time.monotonic()
        if any("did not end" in problem for problem in problems):
            return _broken(seed, torturer, problems, ended_at - began_at)
        findings = check(fleet.crawl, site, torturer.kills_at)
        if not (fleet.crawl / LINKS).exists():
            problems.append("the table of links is missing")
    kills_at = torturer.kills_at
    return Run(
        seed=seed,
        worker_kills=len(torturer.worker_kills),
        coordinator_kills=len(torturer.coordinator_kills),
        machine_kills=len(torturer.machine_kills),
        lost=findings.lost,
        doubled=findings.doubled,
        quarantined=findings.quarantined,
        refetched=findings.refetched,
        worst_recovery_s=round(findings.worst_recovery_s, 3),
        tail_s=round(ended_at - kills_at[-1], 3) if kills_at else 0.0,
        elapsed_s=round(ended_at - began_at, 3),
        problems=(*problems, *findings.pressed, *filter(None, [findings.unproved]), *findings.problems),
    )


def _broken(seed: int, torturer: Torturer, problems: list[str], elapsed_s: float) -> Run:
    """A run without an end: what it left says nothing yet."""
    return Run(
        seed=seed,
        worker_kills=len(torturer.worker_kills),
        coordinator_kills=len(torturer.coordinator_kills),
        machine_kills=len(torturer.machine_kills),
        lost=(),
        doubled=(),
        quarantined=(),
        refetched=0,
        worst_recovery_s=0.0,
        tail_s=0.0,
        elapsed_s=round(elapsed_s, 3),
        problems=tuple(problems),
    )


def write_job(folder: Path, base: str, *lines: str, name: str = "torture") -> Path:
    """Write a job over a whole site: a lease time of one second, a row with its title for each page."""
    path = folder / f"{name}.yaml"
    own = "".join(f"{line}\n" for line in lines)
    delay = "" if "politeness" in own else "politeness: {delay: 0s, per_host: 4, adaptive: false}\n"
    lease = "" if "lease" in own else "lease: 1s\n"
    sinks = "" if "sinks" in own else "sinks: [items.jsonl]\n"
    path.write_text(
        f"name: {name}\n"
        f"seeds:\n  - {base}/\n"
        f"{delay}"
        'items:\n  - name: page\n    fields: {title: "title::text"}\n'
        f"{sinks}"
        f"{lease}"
        "durability: process\n"
        f"{own}"
    )
    return path


def see_off(fleet: FleetProcesses, timeout_s: float = END_S) -> list[str]:
    """Wait for the end of the crawl, and of its node; return what was wrong about it."""
    coordinator, node = fleet.coordinator, fleet.node
    assert coordinator is not None
    assert node is not None
    problems = []
    try:
        await_that(lambda: coordinator.poll() is not None, timeout_s, "end of the crawl")
    except AssertionError:
        state = "lives" if node.poll() is None else f"ended with {node.returncode}: {fleet.output('node')[-300:]}"
        return [f"the crawl did not end within {timeout_s} s (the node {state})"]
    if coordinator.returncode != 0:
        problems.append(f"the coordinator ended with exit code {coordinator.returncode}")
    with suppress(subprocess.TimeoutExpired):
        node.wait(NODE_FAREWELL_S)
    if node.poll() is None:
        # A worker that was being started when the crawl ended looks for its coordinator for ever.
        node.terminate()
    node.wait(NODE_END_S)
    if node.returncode != 0:
        problems.append(f"the node ended with exit code {node.returncode}")
    return problems


def totals(runs: Sequence[Run]) -> str:
    """Say what runs come to, in one line."""
    return (
        f"runs {len(runs)}, kills {sum(run.kills for run in runs)} "
        f"(workers {sum(run.worker_kills for run in runs)}, coordinator {sum(run.coordinator_kills for run in runs)}, "
        f"machines {sum(run.machine_kills for run in runs)}), "
        f"lost {sum(len(run.lost) for run in runs)}, doubled {sum(len(run.doubled) for run in runs)}, "
        f"quarantined {sum(len(run.quarantined) for run in runs)}, refetched {sum(run.refetched for run in runs)}, "
        f"worst recovery {max((run.worst_recovery_s for run in runs), default=0.0):.2f} s, "
        f"not clean {sum(not run.is_clean for run in runs)}"
    )


def _read(line: dict[str, Any]) -> Run:
    return Run(**line)


def main() -> int:
    """Run the seeds that are missing: see `seeded_runs.main`."""
    return seeded_runs.main(
        Torture("torture", "Kill coordinator and workers at random, and check what is left.", run_seed, _read, totals)
    )


if __name__ == "__main__":
    sys.exit(main())
