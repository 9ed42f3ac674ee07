"""A real coordinator in a thread of the test, for a job over a site of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crawlfleet.coordinator.app import Options, open_crawl
from crawlfleet.coordinator.crawl import Crawl
from crawlfleet.coordinator.crawl_folder import CrawlFolder
from crawlfleet.coordinator.job.job import load
from crawlfleet.coordinator.job.source import JobSource
from crawlfleet.coordinator.summary import Summary


class ServedCrawl:
    """A crawl that runs: its join token, and its end."""

    def __init__(self, crawl: Crawl) -> None:
        self.crawl = crawl
        self.token = crawl.token.encode()
        self._summary: Summary | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take the coordinator away, whether the crawl is over or not."""
        self.crawl.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def summary(self) -> Summary:
        """Wait for the end of the crawl; return what it came to."""
        self._thread.join(30)
        assert self._summary is not None, "the crawl did not end"
        return self._summary

    def _run(self) -> None:
        self._summary = self.crawl.run()


def write_job(folder: Path, *seeds: str, more: str = "") -> Path:
    """Write a job without delay over some seeds, or over what programs put; `more` are further lines of YAML."""
    delay = "" if "politeness" in more else "politeness: {delay: 0s, per_host: 8}\n"
    lines = "".join(f"  - {seed}\n" for seed in seeds)
    opened = "" if seeds or "fetch:" in more else "fetch: {allow_private: [127.0.0.0/8]}\n"
    path = folder / "own.yaml"
    path.write_text(f"name: own\nseeds: {'' if seeds else '[]'}\n{lines}{delay}{opened}sinks: [items.jsonl]\n{more}")
    return path


@contextmanager
def served(folder: Path, *seeds: str, more: str = "", **options: Any) -> Iterator[ServedCrawl]:
    """Serve a job while the block runs; `options` are further ones of the coordinator."""
    job = load(write_job(folder, *seeds, more=more), needs_seeds=not options.get("wait"))
    place = CrawlFolder(folder / "crawls", job.name, fresh=False)
    crawl = ServedCrawl(open_crawl(job, place, Options(job=JobSource(path=folder), **options)))
    try:
        yield crawl
    finally:
        crawl.stop()
