"""Crawls in a network namespace in which every address is this machine's, by a resolv.conf of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.own_network import assert_passes_inside, what_is_missing

PATIENCE_S = 230
EVERYWHERE = ("route add local default dev lo", "-6 route add local default dev lo")
#: Which of the tests run together.
CHOSEN = {"curl": "curl", "requests": "requests", "itself": "without_a_guard", "again": "next_answer"}


@pytest.mark.server
@pytest.mark.long
@pytest.mark.timeout(PATIENCE_S + 10)
@pytest.mark.parametrize("chosen", CHOSEN.values(), ids=CHOSEN.keys())
def test_every_address_is_open_and_no_crawl_connects_to_an_inner_one(tmp_path: Path, chosen: str) -> None:
    if missing := what_is_missing():
        pytest.skip(missing)
    assert_passes_inside("tests/hostile/open_network.py", chosen, tmp_path, EVERYWHERE, PATIENCE_S)
