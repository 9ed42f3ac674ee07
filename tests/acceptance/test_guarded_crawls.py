"""Crawls that somebody leads into the network in which they run, and how a job opens what it is meant to reach."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from crawlfleet import connect
from crawlfleet.errors import PageRefused
from crawlfleet.worker.fetch.names import SERVERS_VARIABLE
from tests.acceptance.crawls import lines, run
from tests.site import name_server
from tests.site.inner_listener import listening
from tests.site.linked_hosts import LinkedHost, linked_hosts
from tests.site.name_server import NameServer
from tests.site.served_crawl import served
from tests.site.small_site import serving

FAST = "politeness: {delay: 0s, adaptive: false, robots_wait: 0s}\n"
TABLE = "tables: {urls: urls.jsonl}\n"


@pytest.fixture
def hosts() -> Iterator[list[LinkedHost]]:
    with linked_hosts(2) as found:
        yield found


def crawl(folder: Path, *options: str, code: int = 0) -> dict[str, Any]:
    """Run the job in a folder; return the summary, with what was printed."""
    done = run(folder, "run", "job.yaml", *options)
    assert done.returncode == code, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads((folder / "crawls/guarded/summary.json").read_text())
    assert run(folder, "verify", "crawls/guarded").returncode == 0
    return {**summary, "printed": done.stdout + done.stderr}


def ends(folder: Path) -> dict[str, tuple[str, str, str]]:
    """Return how each page ended: its state, why, and what was said about that."""
    rows = [row for row in lines(folder / "crawls/guarded/urls.jsonl") if row["kind"] == "page"]
    return {row["url"]: (row["state"], row["reason"] or "", row["detail"] or "") for row in rows}


@pytest.mark.parametrize("engine", ["curl", "requests"])
def test_the_line_that_a_crawl_prints_opens_the_host_to_which_its_seed_leads(
    tmp_path: Path, hosts: list[LinkedHost], engine: str
) -> None:
    seed, inner = hosts
    seed.moves("/", f"{inner.base}/")
    inner.has("/", f"{seed.base}/")
    job = tmp_path / "job.yaml"
    job.write_text(f"name: guarded\nseeds: [{seed.base}/]\n{FAST}{TABLE}")
    closed = crawl(tmp_path, "--set", f"fetch.engine={engine}", code=1)
    host = inner.base.split("/")[2].partition(":")[0]
    said = f"{host} is no public address; redirect from {seed.base}/"
    assert ends(tmp_path)[f"{inner.base}/"] == ("dropped", "private_address", said)
    assert inner.asked == []
    (line,) = {match[1] for match in re.finditer(r"add to the job: (.*\})", closed["printed"])}
    assert line == f"fetch: {{allow_private: [{host}]}}"
    job.write_text(f"{job.read_text()}{line}\n")
    opened = crawl(tmp_path, "--set", f"fetch.engine={engine}")
    assert ends(tmp_path)[f"{inner.base}/"][0] == "done"
    assert "add to the job" not in opened["printed"]


def test_a_job_that_names_a_private_host_beside_its_seeds_is_told_what_opens_it(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    text = 'name: guarded\nseeds: [http://127.0.0.1/]\nscope: {hosts: [127.0.0.1, 10.0.0.5, "[::1]", example.org]}\n'
    job.write_text(text)
    line = 'fetch: {allow_private: [10.0.0.5, "[::1]"]}'
    assert line in run(tmp_path, "check", job).stdout
    job.write_text(f"{text}{line}\n")
    assert "allow_private" not in run(tmp_path, "check", job).stdout


def test_a_name_that_was_at_one_address_leads_to_no_other_one_in_a_later_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = {1: "127.0.0.1"}
    monkeypatch.setattr(name_server, "host_name", addresses.__getitem__)
    with ExitStack() as stack:
        site = stack.enter_context(serving({"/": "<a href=/2>2</a>", "/2": "two"}))
        inner = stack.enter_context(listening("127.0.0.9", port=site.server_port))
        monkeypatch.setenv(SERVERS_VARIABLE, stack.enter_context(NameServer()).address)
        seed = f"http://1.quick.test:{site.server_port}/"
        (tmp_path / "job.yaml").write_text(f"name: guarded\nseeds: [{seed}]\n{FAST}{TABLE}")
        assert crawl(tmp_path, "--set", "scope.depth=0")["fetched"] == 1
        addresses[1] = "127.0.0.9"
        ended = crawl(tmp_path, "--set", "scope.depth=1", "--accept-changes")
        said = "1.quick.test is at 127.0.0.9, a private address; link from "
        assert ends(tmp_path)[f"{seed}2"] == ("dropped", "private_address", f"{said}{seed}")
        assert ended["reasons"] == {"private_address": 1}
        assert (inner.visitors(), inner.is_reachable()) == ([], True)
        addresses[1] = "127.0.0.1"


def test_lines_of_a_seeds_file_open_nothing(tmp_path: Path, hosts: list[LinkedHost]) -> None:
    for host in hosts:
        host.has("/")
    (tmp_path / "urls.txt").write_text("".join(f"{host.base}/\n" for host in hosts))
    listed = f"name: guarded\nseeds: [{{file: urls.txt}}, {hosts[0].base}/]\n"
    (tmp_path / "job.yaml").write_text(f"{listed}{FAST}{TABLE}")
    crawl(tmp_path)
    assert {url: end[:2] for url, end in ends(tmp_path).items()} == {
        f"{hosts[0].base}/": ("done", ""),
        f"{hosts[1].base}/": ("dropped", "private_address"),
    }
    assert hosts[1].asked == []


def test_what_programs_ask_for_opens_nothing(tmp_path: Path, hosts: list[LinkedHost]) -> None:
    host = hosts[0].base.split("/")[2].partition(":")[0]
    more = f"scope: {{hosts: [{host}]}}\nfetch: {{retries: 0}}\n"
    with (
        served(tmp_path, wait=True, more=more) as coordinator,
        connect(coordinator.token) as fleet,
        fleet.Pool() as pool,
        pytest.raises(PageRefused, match="private_address"),
    ):
        pool.apply(f"{hosts[0].base}/")
    assert hosts[0].asked == []


def test_the_seeds_of_a_job_and_what_is_typed_may_be_private_when_a_page_is_tried(
    tmp_path: Path, hosts: list[LinkedHost]
) -> None:
    listed, typed = hosts
    listed.has("/")
    typed.moves("/", f"{listed.base}/")
    (tmp_path / "urls.txt").write_text(f"{listed.base}/\n")
    job = tmp_path / "job.yaml"
    job.write_text(f"name: guarded\nseeds: [{{file: urls.txt}}]\nscope: {{hosts: any, pages: 9}}\n{FAST}")
    assert "private_address" in run(tmp_path, "try", job).stdout
    assert "private_address" in run(tmp_path, "try", job, f"{typed.base}/").stdout
    assert listed.asked == []
    done = run(tmp_path, "try", job, f"{listed.base}/")
    assert done.returncode == 0, done.stdout + done.stderr
