"""Sites that go on for ever, crawled for real: each part ends at its limit, and the summary and the log name it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.shared.engines import FETCH_ENGINES
from tests.acceptance.crawls import CRAWLFLEET, lines
from tests.site.trap_site import TrapSite, trapping

LIMITS = "traps: {calendar: 24, sessions: 30, query_variants: 20, repetition: 3, url_length: 1000, subdomains: 10}\n"
# Stands in for a wildcard in the DNS, which a test has no way to set up.
WILDCARD = """
import socket
ask = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: ask("127.0.0.1" if "localhost" in host else host, *rest, **more)
"""


def crawled(folder: Path, *seeds: str, more: str = "", engine: str = "auto") -> dict[str, Any]:
    """Crawl to the end; return the summary."""
    (folder / "sitecustomize.py").write_text(WILDCARD)
    job = folder / "trapped.yaml"
    listed = "".join(f"  - {seed}\n" for seed in seeds)
    opened = f'fetch: {{engine: {engine}, allow_private: ["*.localhost"]}}\n'
    job.write_text(f"name: trapped\nseeds:\n{listed}politeness: {{delay: 0s, per_host: 8}}\n{opened}{more}")
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [*CRAWLFLEET, "run", str(job)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads((folder / "crawls/trapped/summary.json").read_text())
    assert summary["ended"] == "finished"
    logged = {line.get("reason") for line in lines(folder / "crawls/trapped/log.jsonl")}
    assert {reason for reason in summary["reasons"] if reason.startswith(("trap_", "budget_"))} <= logged
    return summary


def address(site: TrapSite, path: str, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{site.server_port}{path}"


@pytest.mark.parametrize(
    ("path", "reason", "most"),
    [
        ("/calendar/2024/1", "trap_calendar", 25),
        ("/session/0", "trap_session", 31),
        ("/list?n=0", "trap_query", 21),
        ("/grow/", "trap_repetition", 4),
        ("/deep/", "trap_length", 20),
    ],
)
def test_each_trap_ends_at_its_limit(path: str, reason: str, most: int, tmp_path: Path) -> None:
    with trapping() as site:
        summary = crawled(tmp_path, address(site, path), more=LIMITS)
        assert summary["reasons"].keys() == {"fetched", reason} or summary["reasons"].keys() == {reason}
        assert summary["dropped"] == summary["reasons"][reason] > 0
        assert most - 3 <= summary["fetched"] <= most


def test_endless_subdomains_end_at_their_limit(tmp_path: Path) -> None:
    with trapping() as site:
        seed = address(site, "/subdomain/", "shop.localhost")
        summary = crawled(tmp_path, seed, more=LIMITS + "scope: {hosts: subdomains}\n")
        assert summary["reasons"]["trap_subdomain"] == summary["dropped"] > 0
        assert len(site.hosts) == summary["fetched"] == 11


@pytest.mark.parametrize("engine", sorted(FETCH_ENGINES))
def test_traps_within_one_site_end_all_of_them(engine: str, tmp_path: Path) -> None:
    with trapping() as site:
        summary = crawled(tmp_path, address(site, "/"), more=LIMITS, engine=engine)
        reasons = {"trap_calendar", "trap_session", "trap_query", "trap_repetition", "trap_length"}
        assert summary["reasons"].keys() - {"fetched", "redirected"} == reasons


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        ("{pages: 40}", "budget_pages"),
        ("{bytes: 2KiB}", "budget_bytes"),
        ("{time: 8s}", "budget_time"),
        ("{per_host: {pages: 40}}", "budget_host_pages"),
        ("{per_host: {bytes: 2KiB}}", "budget_host_bytes"),
        ("{per_host: {time: 2s}}", "budget_host_time"),
    ],
)
def test_budgets_end_what_no_other_limit_does(budget: str, reason: str, tmp_path: Path) -> None:
    with trapping() as site:
        # A fast machine meets the usual limit of 100,000 within the time.
        more = f"scope: {budget}\ntraps: {{query_variants: 1000000000}}\n"
        summary = crawled(tmp_path, address(site, "/list?n=0"), more=more)
        assert summary["reasons"].keys() == {reason}
        assert summary["fetched"] == site.hits["list"] > 1
        assert summary["fetched"] == 40 or "pages" not in reason


def test_stripping_session_ids_takes_their_trap_away(tmp_path: Path) -> None:
    with trapping() as site:
        summary = crawled(tmp_path, address(site, "/session/0"), more=LIMITS + "urls: {strip_session_ids: true}\n")
        assert summary["dropped"] == 0
        assert summary["fetched"] == site.hits["session"] <= 50
