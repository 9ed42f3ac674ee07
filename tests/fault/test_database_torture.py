"""Crawls in PostgreSQL whose database and owners die, hang and are cut off at random instants, one or two at once.

Twenty seeds by default; the variable CRAWLFLEET_DATABASE_TORTURE asks for another number, `make torture-database` for
many. Only root can mount a small disk, so nobody else fills one.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

import pytest

from tests.fault.database_faults import BOTH, ONCE, Fault, Witness, plan, possible_faults
from tests.fault.database_torture import Run, run_seed, totals
from tests.fault.seeded_runs import run_many
from tests.fault.two_coordinators import Progress
from tests.site.postgresql_server import programs

SEEDS = int(os.environ.get("CRAWLFLEET_DATABASE_TORTURE", "20"))
AT_ONCE = 2
RUN_S = 240

CLEAN = Run(
    seed=0,
    faults={"owner killed": 1, "commit cut": 2},
    take_overs={"owner killed": [1.5], "commit cut": [0.5, 1.0]},
    refetched=3,
    elapsed_s=2.0,
)


@pytest.mark.server
@pytest.mark.long
@pytest.mark.timeout(240 + SEEDS * RUN_S // AT_ONCE)
@pytest.mark.skipif(programs() is None, reason="not installed: postgresql")
def test_nothing_is_lost_or_doubled_whatever_happens_to_the_database_and_to_owners(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    runs = list(run_many(run_seed, range(SEEDS), tmp_path_factory.mktemp("torture"), AT_ONCE))
    print(totals(runs))
    assert [run for run in runs if not run.is_clean] == []
    happened = sum((Counter(run.faults) for run in runs), Counter[str]())
    due = {BOTH if len(faults) > 1 else faults[0] for faults in possible_faults()[:SEEDS]}
    assert {name for name in due if not happened[name]} == set()


def test_plans_have_all_mishaps_in_turn_and_are_the_same_for_the_same_seed() -> None:
    kinds = len(possible_faults())
    plans = [plan(seed, 50) for seed in range(20 * kinds)]

    assert {len(mishaps) for mishaps in plans} == {1, 2, 3}
    assert plans[7] == plan(7, 50) != plan(7 + kinds, 50)
    for place, faults in enumerate(possible_faults()):
        in_turn = plans[place::kinds]
        assert all(any(len(each.faults) == len(faults) for each in mishaps) for mishaps in in_turn)
        assert len(faults) > 1 or all(any(each.faults == faults for each in mishaps) for mishaps in in_turn)


def test_a_plan_has_one_standby_or_one_small_disk_at_most() -> None:
    for seed in range(300):
        faults = [fault for mishap in plan(seed, 50) for fault in mishap.faults]
        assert sum(fault in ONCE for fault in faults) <= 1
        assert len(faults) <= 4


def test_a_take_over_ends_with_the_first_commit_of_the_next_owner() -> None:
    witness = Witness(Progress)
    for at, progress in enumerate((Progress(1, 5), Progress(1, 6), Progress(2, 6), Progress(2, 7), Progress(2, 8)), 1):
        witness.note(float(at), progress)

    assert witness.took_over_s(2.5) == 1.5
    assert witness.took_over_s(4.0) is None


def test_a_run_is_clean_only_if_no_promise_was_broken() -> None:
    one = ("/page/1",)
    unclean = (
        replace(CLEAN, lost=one),
        replace(CLEAN, doubled=one),
        replace(CLEAN, quarantined=one),
        replace(CLEAN, problems=one),
    )

    assert CLEAN.is_clean
    assert not any(run.is_clean for run in unclean)


def test_the_total_tells_what_all_runs_come_to() -> None:
    assert totals([CLEAN, replace(CLEAN, lost=("/a",), faults={Fault.DISK_FULL: 1}, take_overs={})]).splitlines() == [
        "runs 2, faults commit cut 2, disk full 1, owner killed 1, lost 1, doubled 0, quarantined 0, refetched 6, "
        "not clean 1",
        "take-over after commit cut: 2, median 0.75 s, worst 1.00 s",
        "take-over after owner killed: 1, median 1.50 s, worst 1.50 s",
    ]
