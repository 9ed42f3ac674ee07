"""The line to the coordinator: connect, say hello, and repeat both after a failure.

It owns the connection, whose proxies never leave the control thread, and the retries: exponential backoff with jitter,
one log line when the coordinator is lost and one when it is back, but not too often. `worker.talk.client` decides what
is sent.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, Protocol

import structlog
from msgspec.structs import replace

from crawlfleet.shared.errors import CrawlfleetError, Unreachable, WireError
from crawlfleet.shared.messages import ExchangeAnswer, ExchangeRequest, Hello, Welcome
from crawlfleet.shared.wire.manager import FleetManager

FIRST_RETRY_S = 0.1
LAST_RETRY_S = 2.0
STILL_TRYING_EVERY_S = 60.0
# A coordinator that is lost again and again is told of so often at most.
LOST_EVERY_S = 10.0
# A request that is refused so many times in a row, each time over a new connection, will not get better.
MOST_REFUSALS = 5

_logger = structlog.get_logger(__name__)


class Coordinator(Protocol):
    """The job's queue at the coordinator, as the control thread calls it; raises `Unreachable` if it is gone."""

    def hello(self, hello: Hello) -> Welcome: ...
    def exchange(self, request: ExchangeRequest) -> ExchangeAnswer: ...
    def goodbye(self, session: str) -> None: ...


def dial(manager: FleetManager) -> Coordinator:
    """Connect to the coordinator and return the job's queue there."""
    manager.connect()
    return manager.Queue()


def pauses(first_s: float, chance: Callable[[], float] = random.random) -> Iterator[float]:
    """Yield the pauses between tries: they double from `FIRST_RETRY_S` to `LAST_RETRY_S`; jitter takes off up to half.

    The first is `first_s`.
    """
    pause_s = first_s
    while True:
        yield pause_s * (0.5 + chance() / 2)
        pause_s = min(max(2 * pause_s, FIRST_RETRY_S), LAST_RETRY_S)


class Line:
    """The connection. `dial` returns a connected coordinator; `Unreachable` is retried, any other error is final."""

    def __init__(
        self,
        dial: Callable[[], Coordinator],
        hello: Hello,
        *,
        wait: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        quiet_s: float = 0.0,
    ) -> None:
        """For `quiet_s` a coordinator that does not answer is not logged."""
        self._dial = dial
        self._hello = hello
        self._wait = wait
        self._clock = clock
        self._chance = chance
        self._coordinator: Coordinator | None = None
        self._was_open = False
        self._refusals = 0
        self._lost_at = -math.inf
        self._is_told = False
        self._logged_at = clock() + quiet_s - STILL_TRYING_EVERY_S

    def open(self, keep_trying: Callable[[], bool]) -> Welcome | None:
        """Connect and say hello until it succeeds; None once `keep_trying` returns False."""
        # After a failure even the first try waits, so as not to flood a coordinator that breaks after each hello.
        waits = pauses(FIRST_RETRY_S if self._was_open else 0.0, self._chance)
        while self._rest(next(waits), keep_trying):
            try:
                return self._greet()
            except (Unreachable, WireError) as error:
                self._log_absence(error)
        return None

    def exchange(self, request: ExchangeRequest) -> ExchangeAnswer:
        """Send a request and return the answer; raise `Unreachable` if the connection is lost.

        Raise `WireError` if the coordinator goes on refusing what is sent: a bug of ours, which another process may not
        have.
        """
        if self._coordinator is None:
            raise Unreachable("the connection to the coordinator is not open")
        try:
            answer = self._coordinator.exchange(request)
        except (Unreachable, WireError) as error:
            self._refusals = self._refusals + 1 if isinstance(error, WireError) else 0
            if self._refusals >= MOST_REFUSALS:
                raise
            self._lose(error)
        self._refusals = 0
        return answer

    def goodbye(self) -> None:
        """End the session, if the coordinator is reachable."""
        if self._coordinator is None:
            return
        try:
            self._coordinator.goodbye(self._hello.session)
        except CrawlfleetError as error:
            _logger.info("the coordinator did not hear the goodbye", reason=str(error))
        self._coordinator = None

    def _greet(self) -> Welcome:
        coordinator = self._dial()
        welcome = coordinator.hello(self._hello)
        self._coordinator = coordinator
        if self._is_told:
            _logger.info("the coordinator is back", session=self._hello.session)
        self._was_open, self._is_told = True, False
        # The dead session has been taken back once it was named.
        self._hello = replace(self._hello, replaces="")
        return welcome

    def _lose(self, error: CrawlfleetError) -> NoReturn:
        self._coordinator = None
        self._logged_at = now = self._clock()
        if now >= self._lost_at + LOST_EVERY_S:
            self._lost_at, self._is_told = now, True
            _logger.warning("the connection to the coordinator is lost", session=self._hello.session, reason=str(error))
        raise Unreachable(str(error)) from error

    def _log_absence(self, error: CrawlfleetError) -> None:
        """Log that nobody answers, once a minute."""
        now = self._clock()
        if now - self._logged_at >= STILL_TRYING_EVERY_S:
            self._logged_at = now
            _logger.warning("no coordinator answers, trying on", reason=str(error))

    def _rest(self, delay_s: float, keep_trying: Callable[[], bool]) -> bool:
        """Wait between two tries. The wait may be woken early, so check the clock."""
        until = self._clock() + delay_s
        while keep_trying():
            left_s = until - self._clock()
            if left_s <= 0:
                return True
            self._wait(left_s)
        return False
