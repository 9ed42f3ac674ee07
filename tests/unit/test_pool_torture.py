"""Programs that ask in all ways at once, of a coordinator that restarts, is away, has enough, and loses answers."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import TypeVar

import pytest

from crawlfleet.errors import PageFailed, PageRefused, Unreachable
from crawlfleet.fleet.pool.pool import Pool
from crawlfleet.fleet.pool.stream import Stream
from crawlfleet.shared.pools import AskReply, AskRequest, CancelReply, CancelRequest, SettledPage
from tests.unit.pool_coordinator import FakeCoordinator, asker_of, fetch, until

LASTS_S = 1.5

T = TypeVar("T")


class Unsteady(FakeCoordinator):
    """Loses one answer of twenty, after it has done what it was asked to do, and settles pages when it likes to."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.is_steady = False

    def dial(self) -> Unsteady:
        super().dial()
        return self

    def ask(self, request: AskRequest) -> AskReply:
        return self._maybe_lost(super().ask(request))

    def cancel(self, request: CancelRequest) -> CancelReply:
        return self._maybe_lost(super().cancel(request))

    def collect(self, session: str, after: int, timeout_s: float) -> SettledPage:
        return self._maybe_lost(super().collect(session, after, timeout_s))

    def _maybe_lost(self, answer: T) -> T:
        if not self.is_steady and self.random.random() < 0.05:
            raise Unreachable("the answer was lost")
        return answer

    def trouble(self) -> None:
        """Make trouble for a while, then none."""
        give_up_at = time.monotonic() + LASTS_S
        while time.monotonic() < give_up_at:
            kind = self.random.choice(["restart", "away", "full", "hold", "go", "go", "some"])
            if kind == "restart":
                self.restart()
            elif kind == "away":
                self.change(is_away=True)
                time.sleep(0.05)
                self.change(is_away=False)
            elif kind == "full":
                self.change(capacity=self.random.choice([0, 5, 20_000]))
            elif kind == "hold":
                self.change(is_holding=True)
            elif kind == "some":
                with self.changed:
                    some = [ask.url for ask in self.asks.values() if self.random.random() < 0.5]
                    if some:
                        self.let_go(*some)
            else:
                self.let_go()
            time.sleep(self.random.random() * 0.05)
        self.change(capacity=20_000, is_steady=True)
        self.let_go()


def _is_right(url: str, outcome: object) -> bool:
    if "fails" in url or "refused" in url:
        kind = PageRefused if "refused" in url else PageFailed
        return type(outcome) is kind and getattr(outcome, "url", None) == url
    return outcome == fetch(url) and getattr(outcome, "url", None) == url


class _Program:
    """A thread that asks in one way after another and checks what it gets."""

    def __init__(self, pool: Pool, seed: int, is_over: Callable[[], bool]) -> None:
        self._pool = pool
        self._random = random.Random(seed)
        self._is_over = is_over
        self.wrong: list[object] = []
        self.checked = 0
        self._numbers = itertools.count(1_000_000 * seed)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        verbs = [self._apply, self._map, self._imap, self._unordered, self._drop, self._cancel]
        try:
            while not self._is_over():
                self._random.choice(verbs)([self._url() for _ in range(self._random.randrange(1, 200))])
        except BaseException as error:  # noqa: BLE001  # the top of a thread: the test must see it
            self.wrong.append(error)

    def _url(self) -> str:
        """Return a URL that was never asked for."""
        kind = self._random.choice(["page", "page", "page", "fails", "refused"])
        return f"{kind}/{next(self._numbers)}"

    def _check(self, url: str, outcome: object) -> None:
        self.checked += 1
        if not _is_right(url, outcome):
            self.wrong.append((url, outcome))

    def _apply(self, urls: list[str]) -> None:
        try:
            outcome: object = self._pool.apply(urls[0])
        except PageFailed as failure:
            outcome = failure
        self._check(urls[0], outcome)

    def _map(self, urls: list[str]) -> None:
        for url, outcome in zip(urls, self._pool.map(urls), strict=True):
            self._check(url, outcome)

    def _imap(self, urls: list[str]) -> None:
        for url, outcome in zip(urls, self._pool.imap(iter(urls)), strict=True):
            self._check(url, outcome)

    def _unordered(self, urls: list[str]) -> None:
        outcomes = {outcome.url: outcome for outcome in self._pool.imap_unordered(iter(urls))}
        for url in urls:
            self._check(url, outcomes.pop(url, None))
        self.wrong += outcomes

    def _drop(self, urls: list[str]) -> None:
        pages = self._pool.imap(iter(urls))
        self._check(urls[0], next(pages))

    def _cancel(self, urls: list[str]) -> None:
        futures = [self._pool.submit(url, None, False) for url in urls[:20]]
        for future, url in zip(futures, urls[:20], strict=True):
            if self._random.random() < 0.3 and future.cancel():
                with pytest.raises(CancelledError):
                    future.result()
                continue
            error = future.exception()
            self._check(url, future.result() if error is None else error)


@contextlib.contextmanager
def _small_buffers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as context:
        context.setattr(Stream.__init__, "__kwdefaults__", {"window": 40, "max_bytes": 5_000})
        yield


@pytest.mark.parametrize("seed", range(4))
def test_every_ask_gets_its_answer_whatever_happens(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    coordinator = Unsteady(seed)
    with _small_buffers(monkeypatch):
        asker = asker_of(coordinator, patience_s=60.0)
        pools = [Pool(asker, return_exceptions=True) for _ in range(2)]
        is_over = threading.Event()
        programs = [_Program(pools[number % 2], 100 * seed + number, is_over.is_set) for number in range(6)]
        coordinator.trouble()
        is_over.set()
        for program in programs:
            program.thread.join(30)
            assert not program.thread.is_alive(), "it waits for ever"
            assert program.wrong == []
        assert sum(program.checked for program in programs) > 100
        for pool in pools:
            pool.close()
            pool.join()
        until(lambda: not coordinator.pools and not asker._asks._entries)
        assert all(pool._open.spilled == 0 and not pool._open.asked for pool in pools)
        asker.close()
