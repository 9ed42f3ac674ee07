"""Seeds of the simulation, in a process of their own, so that a seed is the same execution here as by hand.

`CRAWLFLEET_SEEDS=3000` runs as many; then every transition and every fault must have been often enough.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FEW = 300
MANY = 3_000
OFTEN = 50


@pytest.mark.timeout(900)
def test_seeds_hold() -> None:
    seeds = int(os.environ.get("CRAWLFLEET_SEEDS", FEW))
    least = OFTEN if seeds >= MANY else 1
    command = [sys.executable, "-m", "tests.simulation", "--seeds", f"0:{seeds}", "--least", str(least)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
