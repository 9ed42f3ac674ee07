"""A whole crawl of large pages by one worker, by `crawlfleet run`: what it came to, and how much memory that took."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.reader import SqliteReader
from crawlfleet.coordinator.frontier.story import EVENT_NUMBERS
from tests.acceptance import crawls
from tests.site.large_pages import LargePages

MIB = 2**20
JOB = """\
name: large
seeds: [{base}/]
politeness: {{delay: 0s, per_host: {pages}, adaptive: false}}
fetch: {{engine: {engine}, max_size: {size}MiB, types: [text/html], timeout: 2m}}
limits: {{bodies: {bodies}MiB}}
hooks: hook.py
"""
# Tells the largest memory that its process has had.
HOOK = """\
from pathlib import Path


def parse(page):
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    yield {"page": page.url, "peak_kib": int(peak)}
"""


class Crawled(NamedTuple):
    """What a crawl came to: its rows, its summary, how many tasks went back."""

    rows: list[dict[str, Any]]
    summary: dict[str, Any]
    returned: int

    @property
    def first_mib(self) -> float:
        """The largest memory of its worker before the first large page was read."""
        return float(min(row["peak_kib"] for row in self.rows)) / 1024

    @property
    def peak_mib(self) -> float:
        """The largest memory of its worker."""
        return float(max(row["peak_kib"] for row in self.rows)) / 1024


def crawl(folder: Path, site: LargePages, engine: str, bodies_mib: int, timeout_s: float = 60) -> Crawled:
    """Crawl a site in a new folder, all of its pages at once; verify the crawl."""
    folder.mkdir()
    (folder / "hook.py").write_text(HOOK)
    size = site.size_bytes // MIB
    job = JOB.format(base=site.base, pages=site.pages, engine=engine, size=size, bodies=bodies_mib)
    (folder / "job.yaml").write_text(job)
    threads = str(site.pages)
    done = crawls.run(folder, "run", "job.yaml", "--workers", "1", "--threads", threads, timeout_s=timeout_s)
    assert done.returncode == 0, done.stdout + done.stderr
    left = folder / "crawls" / "large"
    proof = crawls.run(folder, "verify", "crawls/large")
    assert proof.returncode == 0, proof.stdout + proof.stderr
    with closing(SqliteReader(left / FRONTIER)) as stored:
        returned = sum(line.event == EVENT_NUMBERS[TaskEvent.RELEASED] for line in stored.story())
    return Crawled(crawls.lines(left / "items.jsonl"), json.loads((left / "summary.json").read_text()), returned)
