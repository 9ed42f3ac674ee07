"""Strangers from whole networks, and a client that is far away, at a coordinator in a network namespace of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.own_network import assert_passes_inside, what_is_missing

PATIENCE_S = 200
#: The networks of strangers, all of whose addresses are this machine's, and the addresses of coordinator and client.
ADDRESSES = (
    "route add local 10.8.0.0/16 dev lo",
    "-6 route add local 2001:db8:8::/48 dev lo",
    "-6 addr add 2001:db8:1::1/128 dev lo",
)
#: Which of the tests run together.
CHOSEN = {"networks": "other_network", "far": "far_away"}


@pytest.mark.server
@pytest.mark.long
@pytest.mark.timeout(PATIENCE_S + 10)
@pytest.mark.parametrize("chosen", CHOSEN.values(), ids=CHOSEN.keys())
def test_whole_networks_of_strangers_keep_nobody_out(tmp_path: Path, chosen: str) -> None:
    if missing := what_is_missing():
        pytest.skip(missing)
    assert_passes_inside("tests/hostile/open_port.py", chosen, tmp_path, ADDRESSES, PATIENCE_S)
