"""Real processes over TCP, killed by -9 at random instants: nothing is lost, nothing is recorded twice.

Twelve seeds by default; the variable CRAWLFLEET_TORTURE asks for another number, `make torture` for many.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.fault.seeded_runs import run_many
from tests.fault.torture import Run, plan, run_seed, totals

SEEDS = int(os.environ.get("CRAWLFLEET_TORTURE", "12"))
AT_ONCE = 2
RUN_S = 90
# From a kill to the repetition: the lease time of 1 s, a coordinator's start, and a busy machine.
RECOVERY_S = 15.0

pytestmark = [pytest.mark.long, pytest.mark.timeout(120 + SEEDS * RUN_S // AT_ONCE)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    found = list(run_many(run_seed, range(SEEDS), tmp_path_factory.mktemp("torture"), AT_ONCE))
    print(totals(found))
    return found


def test_every_page_is_fetched_and_recorded_exactly_once_whoever_dies(runs: list[Run]) -> None:
    assert [run for run in runs if not run.is_clean] == []


def test_the_runs_killed_workers_coordinators_and_machines(runs: list[Run]) -> None:
    assert sum(run.worker_kills for run in runs) >= SEEDS // 2
    assert sum(run.coordinator_kills for run in runs) >= SEEDS // 6
    assert sum(run.machine_kills for run in runs) >= SEEDS // 12


def test_what_a_dead_worker_held_is_fetched_again_soon(runs: list[Run]) -> None:
    assert [run.seed for run in runs if run.worst_recovery_s > RECOVERY_S] == []


def test_a_plan_has_one_to_five_kills_and_is_the_same_for_the_same_seed() -> None:
    plans = [plan(seed, 80) for seed in range(200)]

    assert {len(kills) for kills in plans} == {1, 2, 3, 4, 5}
    assert plans[7] == plan(7, 80) != plan(8, 80)


def test_a_run_is_clean_only_if_no_promise_was_broken() -> None:
    clean = Run(
        seed=0, worker_kills=1, coordinator_kills=0, machine_kills=0, lost=(), doubled=(), quarantined=(), refetched=3,
        worst_recovery_s=1.0, tail_s=1.0, elapsed_s=2.0, problems=(),
    )  # fmt: skip

    assert clean.is_clean
    one = ("/page/1",)
    unclean = (
        replace(clean, lost=one),
        replace(clean, doubled=one),
        replace(clean, quarantined=one),
        replace(clean, problems=one),
    )
    assert not any(run.is_clean for run in unclean)


def test_the_total_tells_what_all_runs_come_to() -> None:
    run = Run(
        seed=0, worker_kills=2, coordinator_kills=1, machine_kills=1, lost=("/a",), doubled=(), quarantined=(),
        refetched=3, worst_recovery_s=1.25, tail_s=1.0, elapsed_s=2.0, problems=(),
    )  # fmt: skip

    assert totals([run, run]).startswith("runs 2, kills 8 (workers 4, coordinator 2, machines 2), lost 2, doubled 0")
