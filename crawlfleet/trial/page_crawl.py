"""The crawl of one page: the coordinator's service decides, over a store in memory; a worker's code fetches and reads.

Nobody waits for a delay: a page takes a few requests. So crawl time jumps to when the next one is due. What a crawl
would try again later is not: the page waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.rows import OriginRow, Result, TaskRow, TaskState
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.shared.messages import ExchangeRequest, Hello, Kind, Lease, Outcome, Report, Task
from crawlfleet.shared.web.urls import origin, page_fingerprint
from crawlfleet.trial.answers import Answers
from crawlfleet.trial.messages import Errand
from crawlfleet.worker.extract.extractor import Extracted, Extractor
from crawlfleet.worker.extract.sitemap import Sitemap
from crawlfleet.worker.fetch.port import Fetched
from crawlfleet.worker.lanes import Attempt

SESSION = "try"


class Settle(Protocol):
    """Makes the report of an attempt, in parts if it is large."""

    def settle(self, attempt: Attempt, fetched: Fetched) -> tuple[Report, ...]: ...


class Visit(NamedTuple):
    """One request for the page, or for what redirects to it: its address, the answer, the report."""

    url: str
    fetched: Fetched
    report: Report | None = None


class WatchedExtractor:
    """An extractor that remembers what it found last. The list of links is for the user, not for the coordinator."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self.found = Extracted()

    def extract(self, fetched: Fetched, depth: int) -> Extracted:
        self.found = self._extractor.extract(fetched, depth)
        return replace(self.found, links=b"")

    def read_sitemap(self, fetched: Fetched) -> Sitemap:
        return self._extractor.read_sitemap(fetched)


class PageCrawl:
    """Crawls one page. `visits` are its requests so far, without those for robots.txt."""

    def __init__(self, errand: Errand, extractor: Extractor) -> None:
        self._errand = errand
        self._extractor = extractor
        self._store = MemoryStore()
        self._service = Service(self._store, errand.policy, errand.brief, self._store.epoch, lambda _: None)
        self._now = 0.0
        self.visits: list[Visit] = []

    def run(
        self, answers: Answers, reader: Settle, on_page: Callable[[], object], on_read: Callable[[], object]
    ) -> None:
        """Ask for the page, and what goes before, and read it; `on_page` is called before, `on_read` after that."""
        self._service.hello(Hello(session=SESSION), self._now)
        self._admit()
        while (granted := self._granted()) is not None:
            lease, task = granted
            fetched = answers.of(task)
            if task.kind is Kind.PAGE:
                self.visits.append(Visit(task.url, fetched))
                on_page()
            attempt = Attempt(lease_id=lease.id, host=lease.host, task=task, started_at=0.0)
            reports = reader.settle(attempt, fetched)
            if task.kind is Kind.PAGE:
                self.visits[-1] = Visit(task.url, fetched, reports[-1])
                on_read()
            for report in reports:
                self._exchange(report)
            if self._is_over(task):
                break
        while self._service.is_behind:
            self._service.flush(self._now)

    def _admit(self) -> None:
        """Admit the page as the seed that it is, or as if something led to it at depth 0."""
        url, line = self._errand.url, self._errand.line
        self._service.admit((), self._now, [Link(url=each, depth=0) for each in self._errand.named])
        if line is None and not self._errand.is_seed:
            self._service.admit([Link(url=url, depth=0, always=True)], self._now)
            return
        self._service.expect_seeds([url] if line is None else [], lines=[(url, line)] if line is not None else None)
        while self._service.add_some_seeds(self._now):
            pass

    def task(self) -> TaskRow:
        """Return what the coordinator knows of the page, or of where it redirects to."""
        (row,) = self._tasks([page_fingerprint(self._errand.url)]).values()
        while row.outcome is Outcome.REDIRECTED and row.outlinks:
            (row,) = self._tasks(row.outlinks).values()
        return row

    def result(self) -> Result | None:
        """Return what is recorded of the page; None if it was not fetched."""
        return next(iter(self._store.results(0, 1)), None)

    def targets(self, urls: list[str]) -> dict[str, TaskRow]:
        """Return the tasks of addresses, as far as they became tasks."""
        refs = {page_fingerprint(url): url for url in urls}
        return {refs[ref]: row for ref, row in self._tasks(list(refs)).items()}

    def origins(self, urls: list[str]) -> dict[str, OriginRow]:
        """Return the origins of addresses, as far as they are known."""
        return self._store.rows(OriginRow, list(dict.fromkeys(map(origin, urls))))

    def _tasks(self, refs: list[bytes] | tuple[bytes, ...]) -> dict[bytes, TaskRow]:
        return self._store.rows(TaskRow, refs)

    def _granted(self) -> tuple[Lease, Task] | None:
        """Return the next request that the coordinator grants; None if none is left, or all have to wait for others."""
        while True:
            leases = self._exchange(want=1)
            if leases:
                return leases[0], leases[0].tasks[0]
            due_at = self._store.next_due_at()
            if due_at is None or due_at <= self._now:
                return None
            self._now = due_at

    def _exchange(self, *reports: Report, want: int = 0) -> tuple[Lease, ...]:
        holding = tuple(lease.id for lease in self._store.leases_of(SESSION))
        request = ExchangeRequest(session=SESSION, reports=reports, holding=holding, want=want)
        answer = self._service.exchange(request, self._now)
        self._service.flush(self._now)
        if answer.scope is not None:
            self._extractor.set_scope(answer.scope)
        return answer.leases

    def _is_over(self, task: Task) -> bool:
        """Say whether a task that was reported is the last one: a crawl would wait, or the page is settled."""
        row = self._tasks([task.ref])[task.ref]
        if row.state is TaskState.PENDING:
            return True
        return task.kind is Kind.PAGE and row.outcome is not Outcome.REDIRECTED
