"""Crawls over networks that are cut, on machines of their own: nothing is lost, nothing doubled, gaps hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault.cut_networks import NUMBER, PATIENCE_S
from tests.fault.machines import MADE_BY
from tests.hostile.own_network import assert_passes_inside, what_is_missing
from tests.site.postgresql_server import programs

#: Of the seeds, and of the crawl whose database is silent.
ALL_S = PATIENCE_S * (NUMBER + 1)


@pytest.mark.server
@pytest.mark.long
@pytest.mark.timeout(ALL_S + 10)
@pytest.mark.skipif(programs() is None, reason="not installed: postgresql")
def test_crawls_go_on_whatever_is_cut(tmp_path: Path) -> None:
    if missing := what_is_missing():
        pytest.skip(missing)
    assert_passes_inside("tests/fault/cut_networks.py", "", tmp_path, MADE_BY, ALL_S)
