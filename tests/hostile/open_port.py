"""Tests that need networks of their own: `test_open_port.py` runs them, in a namespace that has them.

All addresses of the strangers' networks are this machine's; coordinator and honest clients have others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.object_servers import coordinator
from benchmarks.stranger_kinds import flood
from benchmarks.strangers import Insider, grown_since, holdings, join_once
from crawlfleet import connect
from crawlfleet.shared.wire.frames import GREETING_S
from crawlfleet.shared.wire.join_token import JoinToken, read_token, write_token
from tests.hostile.long_way import FAR, NEAR, open_end

#: Addresses of the coordinator.
V4, V6 = "127.0.0.1", "2001:db8:1::1"
#: Networks of strangers, and where they find the coordinator.
CROWDS = {"one /64": ("2001:db8:8:1::/64", V6), "many /64": ("2001:db8:8::/48", V6), "one /24": ("10.8.7.0/24", V4)}
KINDS = ("silent", "slow_hello", "half_way", "no_proof", "garbage")
TRIES = 5
ROUND_TRIP_MS = 80
# More than are silent, or wait to be greeted, at once.
HELD = 1_500
PATIENCE_S = 60


class Port(NamedTuple):
    """A coordinator: its process, and its token for whoever comes by IPv4 or IPv6."""

    pid: int
    folder: Path
    token: JoinToken

    def join_file(self, address: str) -> Path:
        """Return a file of a token that leads to one of the coordinator's addresses."""
        path = self.folder / f"join-{address.replace(':', '-')}"
        write_token(replace(self.token, addresses=((address, self.token.addresses[0][1]),)), path)
        return path


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with coordinator("process", options=("--bind", "[::]:0")) as (pid, join):
        yield Port(pid, tmp_path_factory.mktemp("port"), read_token(join))


def strangers_refused(join: Path) -> int:
    with closing(connect(join.read_text().strip())) as fleet:
        return fleet.status().strangers_refused


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("crowd", CROWDS)
def test_a_network_of_strangers_keeps_nobody_out_of_an_other_network(port: Port, crowd: str, kind: str) -> None:
    network, address = CROWDS[crowd]
    join = port.join_file(address)
    refused, before = strangers_refused(join), holdings(port.pid)
    insider = Insider(join)
    took_s: list[float] = []
    try:
        with flood(kind, join, network, HELD) as end:
            until = time.monotonic() + 1.2 * GREETING_S
            while time.monotonic() < until or len(took_s) < TRIES:
                took_s.append(join_once(read_token(join), f"{kind}-{len(took_s)}"))
            end()
    finally:
        insider.stop()
    refused = strangers_refused(join) - refused
    joined = f"{len(took_s)} joined, in {max(took_s):.2f} s at most"
    print(f"{crowd}, {kind}: {joined}; inside {insider.longest_s:.2f} s; {refused:,} refused")
    assert refused > 100
    assert insider.longest_s < GREETING_S
    grown = grown_since(port.pid, before)
    assert max(grown.descriptors, grown.threads) <= 0
    assert grown.memory_mb < 10


@pytest.mark.parametrize("kind", ["silent", "half_way"])
def test_whoever_is_far_away_gets_in_amid_silent_strangers(port: Port, kind: str) -> None:
    refused = strangers_refused(port.join_file(V4))
    with ExitStack() as stack:
        near = open_end("near", NEAR, FAR)
        stack.callback(os.close, near)
        command = [
            "unshare",
            "--net",
            sys.executable,
            "-m",
            "tests.hostile.long_way",
            str(port.join_file(V4)),
            str(near),
        ]
        end = stack.enter_context(flood(kind, port.join_file(V6), CROWDS["many /64"][0], HELD))
        done = subprocess.run(
            [*command, str(ROUND_TRIP_MS), str(TRIES)],
            pass_fds=[near],
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        end()
    assert strangers_refused(port.join_file(V4)) - refused > 1_000
    took_s = json.loads(done.stdout)
    print(f"{kind}, {ROUND_TRIP_MS} ms away: {took_s}")
    assert len(took_s) == TRIES
    # There and back for TCP, TLS, the challenges and the calls.
    assert min(took_s) > 4 * ROUND_TRIP_MS / 1_000
