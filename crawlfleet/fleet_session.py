"""The session behind a person's queue: what is held, and the thread that converses with the coordinator.

It is the worker's own conversation, with two differences: it asks for a task only while a `get` waits for one, and it
tells each `task_done` what became of its report.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

from msgspec.structs import replace

from shared.errors import CrawlfleetError
from shared.manager import FleetManager
from shared.messages import VALUE_ITEM, Ack, AckState, Brief, Hello, Kind, Outcome, Report, Row, ScopeSpec
from shared.scope import Scope
from worker.agenda import Agenda, Attempt, TaskKey
from worker.app import dial
from worker.client import Client, Orders
from worker.extract import Extractor
from worker.fetch import open_fetcher
from worker.ledger import Ledger, SentLinks
from worker.line import Line
from worker.outbox import Delivery, Outbox
from worker.pipeline import Pipeline, fit

GIVEN_BACK = "given_back"


class Held:
    """A task that a thread got and has not settled: its outlinks and its value so far."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.url = attempt.task.url
        self.key = TaskKey(attempt.lease_id, attempt.task.ref)
        self.outlinks: dict[str, None] = {}
        self.rows: tuple[Row, ...] = ()

    def stage(self, value: Any) -> None:
        """Keep a value until the task is settled."""
        self.rows = (Row(item=VALUE_ITEM, index=0, fields={VALUE_ITEM: value}),)

    def report(self, outcome: Outcome, reason: str = "") -> Report:
        """Return the report that settles the task."""
        report = Report(lease=self.key.lease_id, ref=self.key.ref, outcome=outcome, reason=reason)
        if outcome is Outcome.FETCHED:
            report = replace(report, status=200, rows=self.rows, outlinks=tuple(self.outlinks))
        return report


class FleetSession:
    """One session with the coordinator. `get` and `settle` may be called by any thread."""

    def __init__(self, manager: FleetManager, hello: Hello) -> None:
        self._outbox = Outbox(batch=1)
        self._orders = Orders(self._outbox.ring)
        self._agenda = Agenda()
        self._getters = 0
        self._held: dict[int, Held] = {}
        self._acks: dict[TaskKey, AckState | None] = {}
        self._news = threading.Condition()
        self._error: CrawlfleetError | None = None
        self._over = False
        line = Line(partial(dial, manager), hello, wait=time.sleep)
        welcome = line.open(lambda: True)
        assert welcome is not None, "nothing makes it give up"
        self.brief: Brief = welcome.brief
        self.scope = Scope(welcome.brief.scope)
        self._client = Client(
            line=line,
            welcome=welcome,
            ledger=Ledger(hello.session, SentLinks(limit=0)),
            agenda=self._agenda,
            outbox=self._outbox,
            orders=self._orders,
            appetite=self,
            tally=self,
            on_scope=self._set_scope,
            on_ack=self._note_ack,
        )
        self._thread = threading.Thread(target=self._converse, name="crawlfleet-session", daemon=True)
        self._thread.start()

    low_mark = 1

    def want(self, _held: int, _deferred: int) -> int:
        """Ask for as many tasks as there are calls of `get` that wait for one."""
        return max(0, self._getters - self._agenda.waiting)

    def count(self, report: Report) -> None:
        """Keep no counters."""

    def show(self, *, running: int, waiting: int) -> None:
        """Keep no counters."""

    @property
    def held(self) -> Held | None:
        """The task that the calling thread holds."""
        return self._held.get(threading.get_ident())

    def held_by_url(self, url: str) -> Held | None:
        """Return the held task of a canonical URL, whichever thread has it."""
        return next((held for held in list(self._held.values()) if held.url == url), None)

    def get(self, timeout_s: float | None) -> Held | None:
        """Wait for a page and hold it; None if the time is over or the crawl is."""
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        self._getters += 1
        self._outbox.ring()
        try:
            while True:
                attempt = self._agenda.take(None if give_up_at is None else give_up_at - time.monotonic())
                if attempt is None or attempt.task.kind is Kind.PAGE:
                    break
                self._fetch(attempt)
        finally:
            self._getters -= 1
        if attempt is None:
            return None
        held = self._held[threading.get_ident()] = Held(attempt)
        return held

    @property
    def is_over(self) -> bool:
        """Whether the conversation has ended; raise what ended it, if it was not the crawl's own end."""
        if self._error is not None:
            raise self._error
        return self._over

    def settle(self, held: Held, outcome: Outcome, reason: str = "") -> bool:
        """Report a held task and wait for the ack; say whether the report counts."""
        del self._held[threading.get_ident()]
        settled = fit(held.report(outcome, reason), self.brief.max_report_bytes)
        self._acks[held.key] = None
        self._deliver(held.attempt, settled.report, settled.wire_bytes)
        with self._news:
            self._news.wait_for(lambda: self._acks[held.key] is not None or self._over)
            return self._acks.pop(held.key) is AckState.OK

    def close(self) -> None:
        """Give back what is held, and end the conversation."""
        for held in list(self._held.values()):
            settled = fit(held.report(Outcome.NETWORK_ERROR, GIVEN_BACK), self.brief.max_report_bytes)
            self._deliver(held.attempt, settled.report, settled.wire_bytes)
        self._held.clear()
        self._orders.drain()
        self._thread.join()

    def _fetch(self, attempt: Attempt) -> None:
        """Do a task that is no page: the robots.txt of a host."""
        fetcher = open_fetcher(self.brief.fetch)
        try:
            fetched = fetcher.fetch(attempt.task.url)
        finally:
            fetcher.close()
        pipeline = Pipeline(extractor=Extractor(self.brief), max_report_bytes=self.brief.max_report_bytes)
        settled = pipeline.settle(attempt.task, attempt.lease_id, fetched)
        self._deliver(attempt, settled.report, settled.wire_bytes)

    def _deliver(self, attempt: Attempt, report: Report, wire_bytes: int) -> None:
        self._outbox.put(
            Delivery(report=report, wire_bytes=wire_bytes, depth=attempt.task.depth, started_at=attempt.started_at)
        )
        self._agenda.done(attempt)

    def _note_ack(self, ack: Ack) -> None:
        with self._news:
            key = TaskKey(ack.lease, ack.ref)
            if key in self._acks:
                self._acks[key] = ack.state
                self._news.notify_all()

    def _set_scope(self, spec: ScopeSpec) -> None:
        self.scope = Scope(spec)

    def _converse(self) -> None:
        try:
            self._client.run()
        except CrawlfleetError as error:
            self._error = error
        finally:
            with self._news:
                self._over = True
                self._news.notify_all()
            self._agenda.close()
