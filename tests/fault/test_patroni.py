"""A crawl in two servers that Patroni keeps: its primary dies, and comes back as a standby."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.fault.crawl_checks import check
from tests.fault.fleet_processes import FleetProcesses
from tests.fault.patroni_cluster import PatroniCluster, what_is_missing
from tests.fault.torture import see_off, write_job
from tests.site.generated_site import make_graph, serving_graph

SEED = 3
DELAY = "politeness: {delay: 50ms, per_host: 4, adaptive: false}"

pytestmark = [
    pytest.mark.server,
    pytest.mark.long,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(what_is_missing()), reason=f"not installed: {what_is_missing()}"),
]


def test_a_crawl_goes_on_with_the_server_that_patroni_promotes(tmp_path: Path) -> None:
    with PatroniCluster() as cluster, serving_graph(make_graph(SEED)) as site:
        job = write_job(tmp_path, site.base, DELAY, f"frontier: '{cluster.address}'")
        with FleetProcesses(tmp_path, job) as fleet:
            fleet.start_coordinator()
            fleet.start_node()
            assert site.await_hits(20, 60)
            former = cluster.primary
            killed_at = time.monotonic()
            former.kill()
            assert see_off(fleet) == []
            promoted = cluster.primary
            assert promoted is not former
        former.start()
        cluster.await_standby()
        assert cluster.primary is promoted
        findings = check(fleet.crawl, site, [killed_at])
    pauses = [after - before for before, after in pairwise(site.starts())]
    print(f"the longest pause of the crawl took {max(pauses):.1f} s")
    assert findings.is_clean, findings
