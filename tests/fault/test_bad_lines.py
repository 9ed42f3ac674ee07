"""A bad line between workers and coordinator: slow, narrow, cut, reset, sliced, mute, parted. The crawl ends right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fault.fleet_processes import await_that
from tests.fault.hindered_crawl import behind_proxy, prepared
from tests.fault.toxic_proxy import (
    Bandwidth,
    Clean,
    Latency,
    LimitData,
    Partition,
    Pump,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
    hindering,
)


class Mute(Timeout):
    """A black hole that nobody leaves: not even the end of the other side gets through."""

    def close(self, pump: Pump) -> None:
        pump.wait(120.0)


pytestmark = [pytest.mark.long, pytest.mark.timeout(150)]


@pytest.mark.parametrize(
    "toxic",
    [
        Latency(0.15, jitter_s=0.1),
        Bandwidth(20_000),
        SlowClose(1.0),
        ResetPeer(0.7),
        Slicer(7),
        LimitData(12_000),
    ],
    ids=lambda toxic: type(toxic).__name__,
)
def test_a_crawl_ends_right_over_a_bad_line(tmp_path: Path, toxic: Toxic) -> None:
    with behind_proxy(tmp_path) as (crawl, proxy):
        proxy.toxic = toxic
        crawl.end()


def test_a_crawl_goes_on_after_connections_that_were_mute_until_they_broke(tmp_path: Path) -> None:
    with behind_proxy(tmp_path) as (crawl, proxy):
        so_far = proxy.connections
        proxy.toxic = Timeout(1.0)
        await_that(lambda: proxy.connections >= so_far + 2, 60, "worker that tries again")
        proxy.toxic = Clean()

        crawl.end()


def test_a_worker_leaves_a_connection_that_is_a_black_hole_before_it_loses_a_lease(tmp_path: Path) -> None:
    with behind_proxy(tmp_path, "lease: 5s") as (crawl, proxy):
        so_far = proxy.connections
        for pump in proxy.open_pumps()[:2]:
            pump.own = Timeout()

        assert crawl.end().refetched == 0
        assert proxy.connections > so_far


def test_a_partition_shorter_than_the_lease_costs_nothing(tmp_path: Path) -> None:
    with behind_proxy(tmp_path, "lease: 5s") as (crawl, proxy):
        partition = Partition()
        proxy.toxic = partition
        partition.healed.wait(0.7)
        partition.healed.set()

        assert crawl.end().refetched == 0


def test_workers_leave_a_coordinator_that_says_nothing_before_they_lose_a_lease(tmp_path: Path) -> None:
    with prepared(tmp_path, "lease: 5s", places=2) as crawl:
        crawl.fleet.start_coordinator()
        token = crawl.fleet.token()
        with hindering(crawl.fleet.port) as proxy:
            others = tuple(each for each in token.addresses if each[1] != crawl.fleet.port)
            crawl.fleet.start_node(replace(token, addresses=(("127.0.0.1", proxy.port), *others)))
            crawl.await_hits(8)
            proxy.toxic = Mute()
            crawl.fleet.replace_coordinator(0.0)

            assert crawl.end().refetched == 0
        assert crawl.losses() == 0


def test_after_a_partition_longer_than_the_lease_work_is_done_again_and_counts_once(tmp_path: Path) -> None:
    with behind_proxy(tmp_path, pause_s=0.3) as (crawl, proxy):
        partition = Partition()
        proxy.toxic = partition
        await_that(lambda: crawl.losses() >= 2, 20, "lost lease")
        partition.healed.set()

        assert crawl.end().refetched >= 1
    assert "a worker died" not in crawl.fleet.output("node")
