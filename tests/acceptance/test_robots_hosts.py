"""robots.txt of every kind, from hosts of loopback, in real crawls: which pages are fetched, and what a user sees."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.crawls import CRAWLFLEET, lines
from tests.site.robots_hosts import ALL, HOSTS, NOTHING, RULED, RobotsHost, robots_hosts, serving, until

PATIENCE_S = 100


def job(folder: Path, *seeds: str, politeness: str = "robots_wait: 4s", engine: str = "curl", more: str = "") -> Path:
    path = folder / "many.yaml"
    listed = "".join(f"  - {seed}\n" for seed in seeds)
    path.write_text(
        f"name: many\nseeds:\n{listed}politeness: {{delay: 0s, adaptive: false, {politeness}}}\n"
        f"fetch: {{engine: {engine}, retries: 1, timeout: 1s, max_size: 16KiB}}\n{more}"
    )
    return path


def crawl(folder: Path, path: Path) -> str:
    """Run a job to its end; return what was printed."""
    done = subprocess.run(
        [*CRAWLFLEET, "run", path.name, "--workers", "2"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def fetched(folder: Path, base: str) -> set[str]:
    """Return the paths of a host that have a row."""
    rows = lines(folder / "crawls" / "many" / "items.jsonl")
    return {row["url"].removeprefix(base) for row in rows if row["url"].startswith(f"{base}/")}


def end(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "crawls" / "many" / "summary.json").read_text())
    return summary


@pytest.fixture(scope="module")
def dead() -> Iterator[str]:
    """A host on which nobody listens."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server may come
        probe.bind(("127.0.9.250", 0))
        yield f"http://127.0.9.250:{probe.getsockname()[1]}"


@pytest.mark.parametrize("engine", ["curl", "requests"])
def test_every_kind_of_robots_txt_means_what_the_rfc_says(tmp_path: Path, dead: str, engine: str) -> None:
    with robots_hosts(*HOSTS) as hosts:
        seeds = [f"{base}/" for base in (*(host.base for host in hosts.values()), dead)]
        output = crawl(tmp_path, job(tmp_path, *seeds, engine=engine))
        got = {name: fetched(tmp_path, host.base) for name, host in hosts.items()}
        asked = {name: set(host.asked) & ALL for name, host in hosts.items()}
    assert got == {name: set(pages) for name, (_, pages) in HOSTS.items()}
    assert asked == got
    shut = [name for name, (_, pages) in HOSTS.items() if pages == NOTHING and name != "closed"]
    summary = end(tmp_path)
    assert (summary["robots_given_up"], summary["robots_waiting"]) == (len(shut) + 1, 0)
    robots = summary["reasons"]["robots"]
    assert summary["reasons"] == {"robots": robots, "connect": 1, "robots_unreachable": len(shut)}
    assert f"robots.txt could not be had, so nothing was fetched from {len(shut) + 1} hosts" in output


def test_a_host_at_which_nobody_listens_is_not_waited_for_and_taken_up_by_the_next_run(
    tmp_path: Path, dead: str
) -> None:
    path = job(tmp_path, f"{dead}/", politeness="robots_wait: 1h")
    output = crawl(tmp_path, path)
    assert f"so nothing was fetched from 1 host: {dead} (connect: The server refuses" in output
    assert "No seed gave a page" in output
    assert "connect: The server refuses connections" in output
    assert end(tmp_path)["elapsed_s"] < PATIENCE_S
    host, _, port = dead.removeprefix("http://").partition(":")
    with serving(RobotsHost(host, HOSTS["rules"][0], int(port))):
        crawl(tmp_path, path)
    log = lines(tmp_path / "crawls" / "many" / "log.jsonl")
    assert "1 page dropped for want of a robots.txt, which is requested again" in [line["event"] for line in log]
    assert fetched(tmp_path, dead) == RULED
    assert (end(tmp_path)["ended"], end(tmp_path)["robots_given_up"]) == ("finished", 0)


def test_without_a_wait_the_end_comes_after_the_retries(tmp_path: Path) -> None:
    with robots_hosts("503", first=90) as hosts:
        crawl(tmp_path, job(tmp_path, f"{hosts['503'].base}/", politeness="robots_wait: 0s"))
        assert _looks(hosts["503"]) == 2
    assert end(tmp_path)["robots_given_up"] == 1


def test_an_ignored_robots_txt_is_named_with_its_reason_and_never_asked_for(tmp_path: Path) -> None:
    with robots_hosts("closed", "rules", first=100) as hosts:
        ignored, other = hosts["closed"], hosts["rules"]
        listed = "ignore_robots: [{host: 127.0.9.100, reason: we own it}]"
        output = crawl(tmp_path, job(tmp_path, f"{ignored.base}/", f"{other.base}/", politeness=listed))
        assert fetched(tmp_path, ignored.base) == ALL
        assert "/robots.txt" not in ignored.asked
        assert other.asked.count("/robots.txt") == 1
    first, *_, last = [line for line in output.splitlines() if "is ignored" in line]
    assert first == last == "robots.txt of 127.0.9.100 is ignored: we own it"
    assert end(tmp_path)["notices"] == [first]


def test_an_interrupted_wait_goes_on_with_the_next_run(tmp_path: Path) -> None:
    with robots_hosts("503 at first", first=110) as hosts:
        host = hosts["503 at first"]
        path = job(tmp_path, f"{host.base}/", politeness="robots_wait: 8s")
        process = subprocess.Popen(
            [*CRAWLFLEET, "run", path.name], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        until(lambda: _looks(host) == 2)
        process.terminate()
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert "still waited for robots.txt" in output
        assert end(tmp_path)["robots_waiting"] == 1
        crawl(tmp_path, path)
        assert fetched(tmp_path, host.base) == RULED
        assert _looks(host) == 3


def _looks(host: RobotsHost) -> int:
    return host.asked.count("/robots.txt")
