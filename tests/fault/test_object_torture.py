"""Programs that use named objects, and their coordinator, killed by -9 at random instants.

Six seeds by default; the variable CRAWLFLEET_OBJECT_TORTURE asks for another number, `make torture-objects` for many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog

from tests.fault.object_torture import Run, check_logs, plan, run_seed, totals
from tests.fault.seeded_runs import run_many

SEEDS = int(os.environ.get("CRAWLFLEET_OBJECT_TORTURE", "6"))
AT_ONCE = 2
RUN_S = 120

pytestmark = [pytest.mark.long, pytest.mark.timeout(120 + SEEDS * RUN_S // AT_ONCE)]

CLEAN = Run(
    seed=0, program_kills=2, holder_kills=1, coordinator_kills=1, answered=50, unanswered=3, met=1, lost=0,
    elapsed_s=2.0, problems=(),
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Run]]:
    found = list(run_many(run_seed, range(SEEDS), tmp_path_factory.mktemp("torture"), AT_ONCE))
    print(totals(found))
    yield found
    structlog.reset_defaults()


def test_what_programs_were_answered_is_true_whoever_dies_and_all_end(runs: list[Run]) -> None:
    assert [run for run in runs if not run.is_clean] == []


def test_the_runs_killed_programs_and_coordinators(runs: list[Run]) -> None:
    assert sum(run.program_kills + run.holder_kills for run in runs) >= SEEDS // 2
    assert sum(run.coordinator_kills for run in runs) >= SEEDS // 6
    assert sum(run.answered for run in runs) >= SEEDS * 20


def test_a_plan_has_one_to_five_kills_and_is_the_same_for_the_same_seed() -> None:
    plans = [plan(seed) for seed in range(200)]

    assert {len(kills) for kills in plans} == {1, 2, 3, 4, 5}
    assert plans[7] == plan(7) != plan(8)


def test_two_in_the_section_and_a_number_that_is_given_twice_are_found() -> None:
    fine = {"p1": [["entered", "1"], ["left", "1"]], "p2": [["entered", "2"], ["met", "1", "2"], ["left", "2"]]}
    killed = {"p1": [["entered", "1"]], "p2": fine["p2"]}
    twice = {"p1": [["entered", "1"]], "p2": [["entered", "1"]]}
    failed = {"p1": [["error", "no"]]}

    assert check_logs(killed) == []
    assert [len(check_logs(logs)) for logs in (fine, twice, failed)] == [1, 1, 1]


def test_the_total_tells_what_all_runs_come_to() -> None:
    unclean = replace(CLEAN, problems=("no",))

    assert CLEAN.is_clean
    assert not unclean.is_clean
    assert totals([CLEAN, unclean]) == (
        "runs 2, kills of programs 4, of holders 2, of coordinators 2, calls answered 100, not answered 6, "
        "sections left open 2, locks lost 0, not clean 1"
    )
