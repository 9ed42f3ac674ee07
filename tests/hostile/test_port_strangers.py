"""Crowds of strangers at a real coordinator's port: who knows the secret joins, and nothing is left of the others."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from benchmarks.distance import distant
from benchmarks.object_servers import coordinator
from benchmarks.stranger_kinds import KINDS, flood
from benchmarks.strangers import CROWD, ELSEWHERE, Insider, grown_since, holdings, join_once
from crawlfleet import connect
from crawlfleet.coordinator.conduct.strangers import TOLD_EVERY_S
from crawlfleet.coordinator.crawl_folder import LOG
from crawlfleet.shared.wire.frames import GREETING_S
from crawlfleet.shared.wire.join_token import JoinToken, read_token
from crawlfleet.shared.wire.manager import FleetManager
from tests.site.served_crawl import served

ROUND_TRIP_S = 0.08
TRIES = 5
LONG = pytest.mark.long
# They do all that can be done without the secret, from the address of those who try to join.
BEFORE_HELLO = ("silent", "slow_hello", "garbage", "reset", "half_closed")


@pytest.fixture(scope="module")
def port() -> Iterator[tuple[int, Path]]:
    """A coordinator: its process, and the file of its token."""
    with coordinator("process") as found:
        yield found


def joined(token: JoinToken, source: str) -> list[float]:
    """Let some programs a round trip away join at the same time; return how long each took."""
    here = token.addresses[0]
    with distant(here, ROUND_TRIP_S, source) as way, ThreadPoolExecutor(TRIES) as pool:
        there = replace(token, addresses=(("127.0.0.1", way),))
        return list(pool.map(lambda number: join_once(there, f"{source}-{number}"), range(TRIES)))


def test_silent_strangers_keep_nobody_out_who_is_80_ms_away(port: tuple[int, Path]) -> None:
    _, join = port
    token = read_token(join)
    with flood("silent", join) as end:
        assert len(joined(token, CROWD)) == TRIES
        assert len(joined(token, ELSEWHERE)) == TRIES
        assert end() > 1_000


@LONG
@pytest.mark.parametrize("kind", KINDS)
def test_no_crowd_keeps_others_out_or_leaves_anything(port: tuple[int, Path], kind: str) -> None:
    pid, join = port
    token = read_token(join)
    connect(join.read_text().strip()).close()
    before = holdings(pid)
    insider = Insider(join)
    with ExitStack() as stack:
        stack.callback(insider.stop)
        end = stack.enter_context(flood(kind, join))
        until = time.monotonic() + 1.2 * GREETING_S
        while time.monotonic() < until:
            assert len(joined(token, ELSEWHERE)) == TRIES
            if kind in BEFORE_HELLO:
                assert len(joined(token, CROWD)) == TRIES
        assert end() > 20
    grown = grown_since(pid, before)
    assert grown.descriptors <= 0
    assert grown.threads <= 0
    assert grown.memory_mb < 10
    assert insider.longest_s < GREETING_S


def test_a_thousand_strangers_at_once_take_a_descriptor_each_and_no_thread(port: tuple[int, Path]) -> None:
    pid, join = port
    token = read_token(join)
    before = holdings(pid)
    crowd: list[socket.socket] = []
    try:
        for _ in range(1_000):
            crowd.append(socket.create_connection(token.addresses[0], GREETING_S))
        with closing(connect(join.read_text().strip())) as fleet:
            assert fleet.status().sessions >= 0
            grown = holdings(pid)
        assert grown.descriptors - before.descriptors > 900
        assert grown.threads - before.threads < 10
        assert grown.memory_mb - before.memory_mb < 10
    finally:
        for each in crowd:
            each.close()
    assert grown_since(pid, before).descriptors <= 0


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a log about strangers."""
    lines = map(json.loads, (folder / LOG).read_text().splitlines())
    return [line for line in lines if "secret were refused" in line["event"]]


def test_the_log_has_one_line_a_minute_for_all_of_them(port: tuple[int, Path]) -> None:
    _, join = port
    with flood("garbage", join) as end:
        time.sleep(2.0)
        assert end() > 100
    said_at = [datetime.fromisoformat(line["at"]) for line in lines_of(join.parent / "crawls" / "objects")]
    assert said_at  # by one of the tests before, maybe
    assert all(later - earlier >= timedelta(seconds=TOLD_EVERY_S - 1) for earlier, later in pairwise(said_at))


def test_strangers_are_counted_in_the_status_and_told_once_more_at_the_end(tmp_path: Path) -> None:
    with capture_logs() as lines:
        with served(tmp_path, "http://127.0.0.1:9/", wait=True) as crawl:
            fleet = FleetManager.joining(JoinToken.parse(crawl.token))
            fleet.connect()
            control = fleet.Control()
            assert control.status().strangers_refused == 0
            _knock(crawl.crawl.address)
            _await(lambda: control.status().strangers_refused == 1)
            _await(lambda: _told(lines) == [1])
            for _ in range(3):
                _knock(crawl.crawl.address)
            _await(lambda: control.status().strangers_refused == 4)
            fleet.disconnect()
        assert _told(lines) == [1, 3]


def _knock(address: tuple[str, int]) -> None:
    with socket.create_connection(address, GREETING_S) as stranger, suppress(ConnectionError):
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        stranger.recv(1)


def _told(lines: list[Any]) -> list[int]:
    return [line["number"] for line in lines if "secret were refused" in line["event"]]


def _await(holds: Any) -> None:
    until = time.monotonic() + GREETING_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)
