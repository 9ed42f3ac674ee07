"""A coordinator of pools in memory: real threads and real messages, no socket, no crawl.

`fetch(url)` stands for the job: it returns the rows of a page, or raises a `PageFailed`. A page that is held is not
started until it is let go.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

from crawlfleet.fleet.pool.asker import Asker
from crawlfleet.fleet.pool.pool import Pool
from crawlfleet.shared.errors import PageFailed, PageRefused, Unreachable
from crawlfleet.shared.messages import decode, encode
from crawlfleet.shared.pools import (
    MAX_ASKS,
    MAX_OPEN_ASKS,
    Ask,
    AskReply,
    AskRequest,
    CancelReply,
    CancelRequest,
    Settled,
    SettledPage,
)

SOON_S = 10.0


def fetch(url: str) -> list[Any]:
    """Return one row, or fail if the URL says so."""
    if "fails" in url:
        raise PageFailed(url, "http_404", 404)
    if "refused" in url:
        raise PageRefused(url, "robots")
    return [{"title": url.upper()}]


class FakeCoordinator:
    """Answers at once what is not held. Any thread may change it."""

    def __init__(self, work: Callable[[str], list[Any]] = fetch) -> None:
        self.work = work
        self.changed = threading.Condition()
        self.books = (f"book-{number}" for number in itertools.count(1))
        self.book = next(self.books)
        self.pools: set[int] = set()
        self.closed: list[int] = []
        self.asks: dict[int, Ask] = {}
        self.started: set[int] = set()
        self.box: dict[int, Settled] = {}
        self.cursor = 0
        # What happened: for the tests.
        self.requests: list[AskRequest] = []
        self.cancels: list[CancelRequest] = []
        self.dials = 0
        # How it behaves.
        self.is_holding = False
        self.is_away = False
        self.is_finished = False
        self.takes_no_more = False
        self.capacity = MAX_OPEN_ASKS
        self.refusal: Callable[[AskRequest], Exception | None] = lambda _request: None
        self.collect_error: Exception | None = None

    def dial(self) -> FakeCoordinator:
        self.dials += 1
        self._check()
        return self

    def ask(self, request: AskRequest) -> AskReply:
        request = decode(encode(request), AskRequest)
        assert len(request.asks) <= MAX_ASKS
        with self.changed:
            self._check()
            if (error := self.refusal(request)) is not None:
                raise error
            self.requests.append(request)
            if self.is_finished or self.takes_no_more:
                return AskReply(book="", finished=True)
            self.pools.add(request.pool)
            taken = request.asks[: max(0, self.capacity - len(self.asks))]
            for ask in taken:
                self.asks[ask.ticket] = ask
            if not self.is_holding:
                self._settle([ask.ticket for ask in taken])
            self.changed.notify_all()
            return AskReply(book=self.book, taken=len(taken))

    def cancel(self, request: CancelRequest) -> CancelReply:
        request = decode(encode(request), CancelRequest)
        with self.changed:
            self._check()
            self.cancels.append(request)
            unknown = set(request.tickets) - self.asks.keys()
            staying = [t for t in request.tickets if (t in self.started or t in unknown) and not request.started_too]
            for ticket in set(request.tickets) - set(staying):
                self.asks.pop(ticket, None)
            self.changed.notify_all()
            return CancelReply(staying=tuple(staying))

    def close(self, session: str, pool: int) -> None:
        assert session
        with self.changed:
            self._check()
            self.pools.discard(pool)
            self.closed.append(pool)
            self.changed.notify_all()

    def collect(self, session: str, after: int, timeout_s: float) -> SettledPage:
        assert session
        until = time.monotonic() + min(timeout_s, 0.2)
        with self.changed:
            self._check()
            for number in [number for number in self.box if number <= after]:
                del self.box[number]
            while not self.box and not self.is_finished and (left_s := until - time.monotonic()) > 0:
                self.changed.wait(left_s)
                self._check()
            if self.collect_error is not None:
                error, self.collect_error = self.collect_error, None
                raise error
            settled = tuple(self.box.values())
            page = SettledPage(
                book=self.book, cursor=max(self.box, default=after), settled=settled, finished=self.is_finished
            )
        return decode(encode(page), SettledPage)

    def let_go(self, *urls: str) -> None:
        """Settle pages that are held; without any, all of them, and hold no more."""
        with self.changed:
            self.is_holding = self.is_holding and bool(urls)
            self._settle([ticket for ticket, ask in self.asks.items() if not urls or ask.url in urls])
            self.changed.notify_all()

    def restart(self) -> None:
        """Forget who asked for what."""
        with self.changed:
            self.pools.clear()
            self.asks.clear()
            self.box.clear()
            self.cursor = 0
            self.book = next(self.books)
            self.changed.notify_all()

    def change(self, **values: Any) -> None:
        with self.changed:
            for name, value in values.items():
                assert hasattr(self, name), name
                setattr(self, name, value)
            self.changed.notify_all()

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        until = time.monotonic() + SOON_S
        with self.changed:
            while not is_so():
                assert time.monotonic() < until, "waited in vain"
                self.changed.wait(0.01)

    def asked_urls(self) -> list[str]:
        """Name every URL that was asked for, as often as it was."""
        with self.changed:
            return [ask.url for request in self.requests for ask in request.asks]

    def _settle(self, tickets: list[int]) -> None:
        for ticket in tickets:
            url = self.asks.pop(ticket).url
            self.cursor += 1
            try:
                settled = Settled(ticket=ticket, url=url + "/", status=200, rows=tuple(self.work(url)))
            except PageFailed as failure:
                is_refused = isinstance(failure, PageRefused)
                settled = Settled(
                    ticket=ticket,
                    url=url,
                    status=failure.status,
                    failed=True,
                    refused=is_refused,
                    reason=failure.reason,
                    detail=failure.detail,
                )
            self.box[self.cursor] = settled

    def _check(self) -> None:
        if self.is_away:
            raise Unreachable("lost the coordinator at nowhere:0")


def asker_of(coordinator: FakeCoordinator, patience_s: float = SOON_S) -> Asker:
    """Return the asks of a session with that coordinator."""
    return Asker(coordinator.dial, "session", patience_s=patience_s)


def pool_of(coordinator: FakeCoordinator, **options: bool) -> Pool:
    """Return a pool with asks of its own."""
    return Pool(asker_of(coordinator), **options)


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    give_up_at = time.monotonic() + SOON_S
    while not is_so():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.005)
