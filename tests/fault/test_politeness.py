"""Many hosts, several workers, a kill and a restart in the middle: no host is asked too soon, and the log shows it."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from crawlfleet.coordinator.offline.audit import audit
from tests.fault.fleet_processes import FleetProcesses, await_that, free_port, kill, python, signal_one
from tests.fault.torture import see_off
from tests.site.many_hosts import PAGES, LoopbackHost, serving_hosts

DELAY_S = 0.3
CRAWL_DELAY_S = 0.6
BUSY_S = 2
TOLERANCE_S = 0.05  # beside what the hosts, threads of this process, were late on a busy machine

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]


def write_job(folder: Path, addresses: list[str], port: int, politeness: str = "") -> Path:
    path = folder / "polite.yaml"
    seeds = "".join(f"  - http://{address}:{port}/\n" for address in addresses)
    path.write_text(
        f"name: polite\nseeds:\n{seeds}politeness: {{delay: {DELAY_S}s{politeness}}}\nlease: 1s\nsinks: [items.jsonl]\n"
    )
    return path


def end_well(fleet: FleetProcesses) -> None:
    """See a crawl off; it must have lost nothing."""
    assert see_off(fleet) == [], fleet.output("node") + fleet.output("coordinator")
    command = (*python("crawlfleet"), "verify", str(fleet.crawl))
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


@pytest.mark.usefixtures("each_store")
def test_no_host_is_asked_too_soon_whoever_dies_and_the_log_shows_it(tmp_path: Path) -> None:
    hosts = [LoopbackHost(address=f"127.0.0.{number}") for number in range(2, 12)]
    slow, busy = hosts[0], hosts[1]
    slow.crawl_delay_s = CRAWL_DELAY_S
    busy.busy_at, busy.busy_s = 6, BUSY_S
    port = free_port()
    with serving_hosts(hosts, port) as lateness:
        job = write_job(tmp_path, [host.address for host in hosts], port)
        with FleetProcesses(tmp_path, job, workers=3, start_method="fork") as fleet:
            fleet.start_coordinator()
            fleet.start_node()
            _await_requests(hosts, 40)
            signal_one(fleet.joined_workers()[0], signal.SIGKILL)
            _await_requests(hosts, 80)
            assert fleet.coordinator is not None
            kill(fleet.coordinator)
            fleet.start_coordinator()
            end_well(fleet)

    tolerance_s = TOLERANCE_S + lateness.worst_s
    for host in hosts:
        assert len(host.requests) >= PAGES + 2
        allowed_s = CRAWL_DELAY_S if host is slow else DELAY_S
        assert min(host.gaps()) >= allowed_s - tolerance_s, (host.address, sorted(host.gaps())[:3], tolerance_s)
    assert busy.gap_after(429) >= BUSY_S - tolerance_s
    _check_audit(fleet.crawl, hosts)


def test_names_of_one_address_are_asked_as_one_host_once_that_is_known(tmp_path: Path) -> None:
    host = LoopbackHost(address="127.0.0.1")
    port = free_port()
    with serving_hosts([host], port) as lateness:
        job = write_job(tmp_path, ["localhost", "127.0.0.1"], port, ", unit: address")
        with FleetProcesses(tmp_path, job, workers=2, start_method="fork") as fleet:
            fleet.start_coordinator()
            fleet.start_node()
            end_well(fleet)

    paths = [path for _, path, _ in sorted(host.requests)]
    assert sorted(paths[:2]) == ["/robots.txt"] * 2
    assert len(paths) == 2 * (PAGES + 2)
    assert min(host.gaps()[1:]) >= DELAY_S - TOLERANCE_S - lateness.worst_s, sorted(host.gaps()[1:])[:3]
    assert audit(fleet.crawl).holds


def _await_requests(hosts: list[LoopbackHost], number: int) -> None:
    await_that(lambda: sum(len(host.requests) for host in hosts) >= number, 60, f"{number} requests")


def _check_audit(crawl: Path, hosts: list[LoopbackHost]) -> None:
    found = audit(crawl)
    assert found.holds, found
    assert {host.host for host in found.hosts} == {host.address for host in hosts}
    for host in found.hosts:
        (served,) = (each for each in hosts if each.address == host.host)
        assert host.gap_s is not None
        assert host.allowed_s >= DELAY_S
        # What a killed worker had begun is not in its log.
        assert len(served.requests) - 3 <= host.starts <= len(served.requests)
    said = subprocess.run(
        (*python("crawlfleet"), "audit-politeness", str(crawl)), capture_output=True, text=True, timeout=60, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert len(re.findall(r"127\.0\.0\.\d", said.stdout)) == len(hosts)
