"""Programs with the token that send what no honest one does: the coordinator goes on, and the crawl ends."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.wild_messages import CALLS
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.offline.verify import verify
from tests.hostile.port_member import POLICIES, HostilePort
from tests.unit.durable_crawl import DurableCrawl

ATTACKS = 300
# What an exchange brings is what the crawl's rules are applied to.
LIKELY = (*CALLS, *("Queue.hello", "Queue.exchange", "Objects.call", "Pools.ask") * 4, *("Queue.exchange",) * 6)
CALL = st.tuples(st.sampled_from(LIKELY), st.integers(0, 2**32 - 1))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(POLICIES)), st.lists(CALL, min_size=20, max_size=60))
def test_no_sequence_of_calls_ends_the_coordinator(policy: str, calls: list[tuple[str, int]]) -> None:
    port = HostilePort(MemoryStore(), POLICIES[policy])
    for name, seed in calls:
        port.attack(Random(seed), name)
    port.end_honestly()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_long_attack_leaves_a_crawl_that_can_be_proved(tmp_path: Path, policy: str) -> None:
    crawl = DurableCrawl(tmp_path, POLICIES[policy])
    port, random = HostilePort(crawl.store, POLICIES[policy]), Random(7)
    for _ in range(ATTACKS):
        port.attack(random, random.choice(LIKELY))
    port.end_honestly()
    assert ATTACKS // 20 < port.refused < ATTACKS
    crawl.write_sinks()
    crawl.close()
    proof = verify(tmp_path)
    assert proof.holds, proof.invariants
    assert not proof.unfinished
