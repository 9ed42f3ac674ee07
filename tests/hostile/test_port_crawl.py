"""Whole crawls by real processes while strangers, or a program with the token, attack the port: they end right."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.mutated_frames import Sender
from benchmarks.stranger_kinds import flood
from crawlfleet.coordinator.crawl_folder import JOIN
from tests.fault.hindered_crawl import running

pytestmark = pytest.mark.long

CROWDS = ("silent", "garbage", "half_way", "no_proof")
FRAMES = 3_000


def test_a_crawl_amid_strangers_ends_right(tmp_path: Path) -> None:
    with running(tmp_path) as crawl, ExitStack() as crowds:
        crawl.await_hits(4)
        before = crawl.losses()
        ends = [crowds.enter_context(flood(kind, crawl.fleet.crawl / JOIN)) for kind in CROWDS]
        crawl.end()
        assert min(end() for end in ends) > 20
        assert crawl.losses() == before


def test_a_crawl_beside_mutated_frames_ends_right(tmp_path: Path) -> None:
    with running(tmp_path) as crawl:
        crawl.await_hits(4)
        sender = Sender(crawl.fleet.crawl / JOIN, seed=3, wild_in=0)
        for _ in range(FRAMES):
            sender.send()
        sender.close()
        assert len(sender.outcomes) >= 4
        crawl.end()
    assert "Traceback" not in crawl.said()
