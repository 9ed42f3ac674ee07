"""A real coordinator whose only session is the test: it says what the pages of a small site came to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from crawlfleet.coordinator.app import Options, open_crawl
from crawlfleet.coordinator.crawl_folder import CrawlFolder
from crawlfleet.coordinator.job.job import load
from crawlfleet.coordinator.job.source import JobSource
from crawlfleet.shared.messages import ExchangeRequest, Hello, Kind, Lease, Task
from tests.unit.durable_crawl import SEED, report

PAGES = 4
_SESSION = "s"


class DrivenCrawl:
    """A crawl of the `PAGES` pages of `durable_crawl` that runs, in a thread."""

    def __init__(self, folder: Path, sinks: Sequence[str | dict[str, str]], more: str, options: dict[str, Any]) -> None:
        path = folder / "job.yaml"
        path.write_text(
            f"name: driven\nseeds: ['{SEED}']\nitems: [{{name: page, fields: {{path: title}}}}]\n"
            f"politeness: {{delay: 0s, per_host: 8}}\nsinks: {list(sinks)}\n{more}"
        )
        self.folder = CrawlFolder(folder / "crawls", "driven", fresh=False)
        try:
            self.crawl = open_crawl(load(path), self.folder, Options(job=JobSource(path=path), **options))
        except BaseException:
            os.close(self.folder._lock)  # as the end of its process would
            raise
        self._thread = Thread(target=self.crawl.run)
        self._thread.start()
        while self.crawl._loop._thread.ident is None:  # until then the store is the other thread's
            time.sleep(0.001)

    def fetch(self, pages: int = PAGES) -> None:
        """Report the site's next pages."""
        service, loop = self.crawl._service, self.crawl._loop
        loop.call(lambda now: service.hello(Hello(session=_SESSION, worker="w"), now))
        told: list[tuple[Lease, Task]] = []
        while pages > 0:
            reports = tuple(report(lease, task) for lease, task in told)
            # It names no lease as held: what an earlier coordinator has granted comes again.
            request = ExchangeRequest(session=_SESSION, reports=reports, want=1)
            answer = loop.call(lambda now, request=request: service.exchange(request, now))  # type: ignore[misc]  # bound
            pages -= sum(task.kind is Kind.PAGE for _, task in told)
            told = [(lease, task) for lease in answer.leases for task in lease.tasks]

    def end(self) -> None:
        """Stop the coordinator, and let go of its folder."""
        self.crawl.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()
        os.close(self.folder._lock)


@contextmanager
def driven(
    folder: Path,
    pages: int = 0,
    sinks: Sequence[str | dict[str, str]] = ("items.jsonl",),
    more: str = "",
    **options: Any,
) -> Iterator[DrivenCrawl]:
    """Open a crawl, fetch some pages of it, and end it after the block.

    `more` are further lines of its job, `options` further ones of its coordinator.
    """
    crawl = DrivenCrawl(folder, sinks, more, options)
    try:
        crawl.fetch(pages)
        yield crawl
    finally:
        crawl.end()
