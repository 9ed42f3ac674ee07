"""Seeds of the simulation, in a process of their own, so that a seed is the same execution here as by hand.

`CRAWLFLEET_SEEDS=600` runs as many; then every transition and every fault must have been often enough.
`CRAWLFLEET_POSTGRESQL_SEEDS` says how many run over a PostgreSQL server.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.keepers import POSTGRESQL
from tests.simulation.mutants import MUTANTS, ROOT, mutated
from tests.site.postgresql_server import programs

FEW = 300
MANY = 600
# One in so many seeds.
OFTEN = 30
FEW_STORED = 20


def run(seeds: int, *options: str) -> None:
    """Run seeds, which must hold."""
    command = [sys.executable, "-m", "tests.simulation", "--seeds", f"0:{seeds}", *options]
    command += ["--processes", str(os.cpu_count() or 1)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr


@pytest.mark.timeout(900)
def test_seeds_hold() -> None:
    seeds = int(os.environ.get("CRAWLFLEET_SEEDS", FEW))
    run(seeds, "--least", str(seeds // OFTEN if seeds >= MANY else 1))


@pytest.mark.server
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(programs() is None, reason="not installed: postgresql")
def test_seeds_hold_over_postgresql() -> None:
    run(int(os.environ.get("CRAWLFLEET_POSTGRESQL_SEEDS", FEW_STORED)), "--store", POSTGRESQL)


def test_every_mutant_is_of_a_line_that_is_there() -> None:
    for mutant in MUTANTS:
        mutated(mutant, (ROOT / mutant.file).read_text(encoding="utf-8"))
