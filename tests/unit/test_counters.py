"""Counters add up over workers, and over the lives of one worker."""

from __future__ import annotations

import multiprocessing

from crawlfleet.shared.messages import Outcome, Report
from crawlfleet.worker.process.counters import Figures, NodeCounters


def report(outcome: Outcome, size_bytes: int = 0) -> Report:
    return Report(lease=1, ref=b"r", outcome=outcome, size_bytes=size_bytes)


def test_attempts_are_counted_by_how_they_ended_and_added_up() -> None:
    counters = NodeCounters(multiprocessing.get_context("spawn"), 2)
    first, second = counters.of(0), counters.of(1)
    first.count(report(Outcome.FETCHED, 10))
    first.count(report(Outcome.REDIRECTED))
    second.count(report(Outcome.NETWORK_ERROR))
    second.count(report(Outcome.HTTP_ERROR, 5))
    first.parsing = lambda: 3
    first.show(running=1, waiting=2)
    second.show(running=4, waiting=0)
    assert counters.read(0) == Figures(2, 0, 10, 1, 2, 3)
    assert counters.total() == Figures(2, 2, 15, 5, 2, 3)


def test_a_worker_that_is_started_again_counts_on() -> None:
    counters = NodeCounters(multiprocessing.get_context("spawn"), 1)
    counters.of(0).count(report(Outcome.FETCHED))
    counters.of(0).count(report(Outcome.FETCHED))
    assert counters.read(0).fetched == 2
