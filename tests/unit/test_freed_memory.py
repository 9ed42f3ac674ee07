"""When a worker gives back to the system what large pages have left free."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from itertools import pairwise

from crawlfleet.worker.process.freed_memory import EVERY_S, LARGE_S, SELDOM_S, FreedMemory
from crawlfleet.worker.process.memory import KEPT_BYTES

MEGABYTE = 2**20
AT_FIRST = 50 * MEGABYTE


@dataclass
class Process:
    """A process that holds memory, of which some is in use; `given_back_at` is when it gave back the rest."""

    holds: int = AT_FIRST
    uses: int = AT_FIRST
    now: float = 0.0
    looked_at: list[float] = field(default_factory=list)
    given_back_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.freed = FreedMemory(lambda: self.holds, self._give_back)

    def _give_back(self) -> None:
        self.holds = self.uses
        self.given_back_at.append(self.now)

    def run(self, seconds: int, page_s: float = 0.0) -> list[float]:
        """Look four times a second; return when something was given back."""
        self.given_back_at.clear()
        for _ in range(4 * seconds):
            self.freed.look(self.now, page_s)
            self.now += 0.25
        return self.given_back_at


def test_what_ordinary_pages_take_is_kept_for_the_next_ones() -> None:
    process = Process()
    process.holds += KEPT_BYTES
    assert process.run(100) == []


def test_what_a_large_page_has_left_is_given_back_once_within_a_second() -> None:
    process = Process()
    process.run(10)
    process.holds += 500 * MEGABYTE
    (given_back_at,) = process.run(100)
    assert given_back_at <= 10 + EVERY_S
    assert process.holds == AT_FIRST


def test_nothing_is_given_back_while_a_page_takes_long() -> None:
    process = Process()
    process.holds += 500 * MEGABYTE
    assert process.run(100, page_s=LARGE_S + 0.1) == []
    assert process.run(1) == [100.0]


def test_memory_that_is_in_use_is_looked_at_less_and_less_often_until_some_is_free() -> None:
    process = Process()
    process.uses = process.holds = AT_FIRST + 2 * KEPT_BYTES
    found = process.run(100)
    gaps = [after - before for before, after in pairwise(found)]
    assert gaps == [2.0, 4.0, 8.0] + [SELDOM_S] * (len(gaps) - 3)
    process.holds += 500 * MEGABYTE
    process.run(int(SELDOM_S))
    process.holds += 500 * MEGABYTE
    assert len(process.run(2)) == 1


_FRAGMENTED = """
from crawlfleet.worker.process import memory

memory.keep_freed_memory()
before = memory.resident_bytes()
large = [bytearray(1_000_000) for _ in range(200)]
held = memory.resident_bytes() - before
few = large[9::10]
del large
kept = memory.resident_bytes() - before
memory.give_back()
print(held // 2**20, kept // 2**20, (memory.resident_bytes() - before) // 2**20)
"""


def test_memory_between_blocks_in_use_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", _FRAGMENTED], capture_output=True, text=True, check=True)
    held, kept, left = map(int, done.stdout.split())
    assert (held > 150, kept > 150, left < 40) == (True, True, True), done.stdout
