"""Crawls of hosts whose names are slow, dead or missing: other hosts' pages go on, and each name gets its reason."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.many_hosts import read_arrivals
from crawlfleet.worker.fetch.names import SERVERS_VARIABLE
from tests.site.name_server import NameServer

SLOW_S = 3.0
PATIENCE_S = 90.0
PAGES = 5
ROOT = Path(__file__).resolve().parents[2]


class Web(NamedTuple):
    """A site of many hosts, and a log of what they were asked for."""

    port: str
    log: Path


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    log = tmp_path / "log"
    command = [sys.executable, "-m", "benchmarks.many_hosts", "--log", str(log), "--pages", str(PAGES)]
    with subprocess.Popen([*command, "--answer-ms", "5"], stdout=subprocess.PIPE, text=True) as site:
        assert site.stdout is not None
        try:
            yield Web(site.stdout.readline().strip(), log)
        finally:
            site.send_signal(signal.SIGTERM)


def write_job(folder: Path, engine: str, hosts: list[str], port: str, dns_timeout: str) -> Path:
    """Write a job that crawls some hosts, none of them asked for its robots.txt, each page once."""
    job = {
        "name": "names",
        "seeds": [f"http://{host}:{port}/" for host in hosts],
        "politeness": {
            "delay": "0s",
            "ignore_robots": [{"host": host, "reason": "a host of the test"} for host in hosts],
        },
        "fetch": {"engine": engine, "dns_timeout": dns_timeout, "retries": 0},
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(job))
    return path


def start(job: Path, server: str) -> subprocess.Popen[str]:
    """Start a crawl by one worker with four fetches at once."""
    return subprocess.Popen(
        [sys.executable, "-m", "crawlfleet", "run", str(job), "--workers", "1", "--threads", "4"],
        cwd=job.parent,
        env=os.environ | {SERVERS_VARIABLE: server},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def hosts_of(kind: str, number: int) -> list[str]:
    return [f"{index}.{kind}.test" for index in range(number)]


@pytest.mark.parametrize("engine", ["curl", "requests"])
def test_names_that_are_never_answered_hold_up_no_other_host(tmp_path: Path, web: Web, engine: str) -> None:
    hosts = hosts_of("dead", 400) + hosts_of("quick", 20)
    with NameServer() as server:
        # No name is given up before the test ends.
        crawl = start(write_job(tmp_path, engine, hosts, web.port, "10m"), server.address)
        try:
            give_up_at = time.monotonic() + PATIENCE_S
            while len(pages := {(one.host, one.path) for one in read_arrivals(web.log)}) < 20 * PAGES:
                assert crawl.poll() is None
                assert time.monotonic() < give_up_at, pages
                time.sleep(0.05)
        finally:
            crawl.send_signal(signal.SIGINT)
            crawl.send_signal(signal.SIGINT)
            crawl.communicate(timeout=PATIENCE_S)


@pytest.mark.long
@pytest.mark.parametrize("engine", ["curl", "requests"])
def test_every_name_gets_what_it_deserves(tmp_path: Path, web: Web, engine: str) -> None:
    numbers = {"quick": 10, "slow": 300, "dead": 30, "missing": 20, "broken": 20, "empty": 20}
    hosts = [host for kind, number in numbers.items() for host in hosts_of(kind, number)]
    with NameServer(slow_s=SLOW_S) as server:
        crawl = start(write_job(tmp_path, engine, hosts, web.port, "12s"), server.address)
        out, _ = crawl.communicate(timeout=PATIENCE_S)
    assert crawl.returncode == 0, out
    summary = json.loads((tmp_path / "crawls/names/summary.json").read_text())
    assert summary["reasons"] == {"dns_failed": 40, "dns_timeout": 30, "dns_unavailable": 20}
    assert summary["fetched"] == 310 * PAGES
    counted = Counter(name.split(".")[1] for name in server.questions)
    assert counted == numbers


NAMESPACE = """
set -e
mount --bind {folder}/resolv.conf /etc/resolv.conf
mount --bind {folder}/hosts /etc/hosts
exec {python} -c '{program}'
"""
# Within the namespace, whose loopback has to be switched on: names from resolv.conf and its search domain, and from
# /etc/hosts.
PROGRAM = """
import fcntl, socket, struct
SET_FLAGS, UP = 0x8914, 1
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
    fcntl.ioctl(handle, SET_FLAGS, struct.pack("16sh", b"lo", UP))
from crawlfleet.worker.fetch.names import Names
from tests.site.name_server import NameServer
with NameServer(address="127.0.0.53", port=53) as server:
    names = Names(10.0)
    for host in ("a.quick.test", "b.quick", "listed.example", "localhost", "a.missing.test"):
        print(host, *sorted(names.resolve(host).addresses))
    names.close()
    print(*sorted(server.questions))
"""


def namespaces_are_missing() -> str:
    """Say why there are no namespaces here; nothing if there are."""
    if not shutil.which("unshare"):
        return "unshare is not installed"
    done = subprocess.run(["unshare", "-n", "-m", "true"], capture_output=True, text=True, check=False)
    return f"namespaces cannot be made: {done.stderr.strip()}" if done.returncode else ""


def test_the_files_of_the_system_are_read(tmp_path: Path) -> None:
    if missing := namespaces_are_missing():
        pytest.skip(missing)
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\nsearch test\noptions ndots:2\n")
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n127.9.9.9 listed.example\n")
    script = NAMESPACE.format(folder=tmp_path, python=sys.executable, program=PROGRAM)
    command = ["unshare", "-n", "-m", "sh", "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == ["a.quick.test 127.0.0.1", "b.quick 127.0.0.1", "listed.example 127.9.9.9"]
    assert "127.0.0.1" in lines[3]
    assert lines[4] == "a.missing.test"
    assert "b.quick.test" in lines[5]
    assert "listed.example" not in lines[5]
