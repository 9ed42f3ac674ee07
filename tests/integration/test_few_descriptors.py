"""A crawl of many hosts by processes that may open few files: every page is fetched, and no host is blamed."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.crawl_folder import LOG
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.reader import SqliteReader
from crawlfleet.coordinator.frontier.story import EVENT_NUMBERS

pytestmark = pytest.mark.long

HOSTS = 400
LIMIT = 256


@pytest.fixture
def port(tmp_path: Path) -> Iterator[str]:
    """Serve a page on each of many loopback addresses, by a process with many descriptors."""
    command = [sys.executable, "-m", "benchmarks.many_hosts", "--log", str(tmp_path / "log"), "--pages", "1"]
    with subprocess.Popen([*command, "--answer-ms", "100"], stdout=subprocess.PIPE, text=True) as site:
        assert site.stdout is not None
        try:
            yield site.stdout.readline().strip()
        finally:
            site.send_signal(signal.SIGTERM)


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT // 2, LIMIT))


# Its files leave too few descriptors for the connections that the limit would allow.
HOOK = """
import os
from contextlib import suppress

held = []


def parse(page):
    with suppress(OSError):
        while len(held) < 130:
            held.append(os.open(os.devnull, os.O_RDONLY))
    yield {"url": page.url}
"""


@pytest.mark.parametrize("hook", ["", HOOK], ids=["", "hook takes many"])
@pytest.mark.parametrize(("engine", "threads"), [("curl", 256), ("requests", 64)])
def test_a_crawl_with_few_descriptors_fetches_every_page(
    tmp_path: Path, port: str, engine: str, threads: int, hook: str
) -> None:
    job = tmp_path / "job.yaml"
    seeds = f'"http://127.1.{{0..{HOSTS // 100 - 1}}}.{{1..100}}:{port}/"'
    (tmp_path / "hook.py").write_text(hook)
    named = "hooks: hook.py\n" if hook else ""
    job.write_text(f"name: few\nseeds: [{seeds}]\nscope: {{depth: 0}}\nfetch: {{engine: {engine}}}\n{named}")
    done = subprocess.run(
        [sys.executable, "-m", "crawlfleet", "run", str(job), "--workers", "2", "--threads", str(threads)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=few_descriptors,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "crawls" / "few"
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["fetched"], summary["failed"], summary["retried"]) == (HOSTS, 0, {})
    assert summary["robots_given_up"] == 0
    with closing(SqliteReader(folder / FRONTIER)) as stored:
        returned = sum(line.event == EVENT_NUMBERS[TaskEvent.RELEASED] for line in stored.story())
    assert hook or not returned
    lines = [line for line in (folder / LOG).read_text().splitlines() if "fetching fewer pages" in line]
    assert len(lines) == 1
    assert "41" in lines[0]
    assert f"only {LIMIT} file descriptors" in lines[0]
