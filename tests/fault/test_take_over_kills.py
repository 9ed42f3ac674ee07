"""Coordinators that are killed, or stopped and then killed, and go on at another address: nobody is left behind.

Three seeds of each kind by default; the variable CRAWLFLEET_TAKE_OVERS asks for another number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fault import object_torture, torture
from tests.fault.object_torture import LEASE_S

SEEDS = int(os.environ.get("CRAWLFLEET_TAKE_OVERS", "3"))
PLACES = 2
# The lease time of the tortured crawls; and longer than a coordinator may be silent, shorter than a lease.
CRAWL_LEASE_S = 1.0
STOPPED = 0.7
PAGES = 80

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]
KINDS = pytest.mark.parametrize("stopped", [0.0, STOPPED], ids=["killed", "stopped"])


def seeds_with_a_coordinator(plan_of: Callable[[int], Sequence[Any]]) -> list[int]:
    """Return the first seeds whose plan kills a coordinator."""
    plans = ((seed, plan_of(seed)) for seed in range(20 * SEEDS))
    return [seed for seed, kills in plans if any(kill.victim == "coordinator" for kill in kills)][:SEEDS]


@KINDS
@pytest.mark.parametrize("seed", seeds_with_a_coordinator(lambda seed: torture.plan(seed, PAGES)))
def test_workers_go_on_with_a_coordinator_at_another_address(seed: int, stopped: float, tmp_path: Path) -> None:
    run = torture.run_seed(seed, tmp_path, places=PLACES, stopped_s=stopped * CRAWL_LEASE_S)
    assert run.is_clean, run


@KINDS
@pytest.mark.parametrize("seed", seeds_with_a_coordinator(object_torture.plan))
def test_programs_go_on_with_a_coordinator_at_another_address(seed: int, stopped: float, tmp_path: Path) -> None:
    run = object_torture.run_seed(seed, tmp_path, places=PLACES, stopped_s=stopped * LEASE_S)
    assert (run.is_clean, run.coordinator_kills > 0) == (True, True), run
