"""The job's task queue with the methods of `queue.Queue`. `get` leases a URL instead of removing an element."""

from __future__ import annotations

import queue
import time

from crawlfleet.fleet.session import FleetSession
from crawlfleet.shared.errors import Unreachable
from crawlfleet.shared.messages import Outcome
from crawlfleet.shared.reasons import Reason, meaning_of
from crawlfleet.shared.wire.proxies import QueueProxy
from crawlfleet.worker.talk.finished import JobFinished

NO_WAIT_S = 0.5
JOIN_POLL_S = 0.2


class Queue:
    """`get` a URL, `put` its outlinks, call `task_done`. Each thread holds one URL at a time."""

    def __init__(self, proxy: QueueProxy, session: FleetSession) -> None:
        self._proxy = proxy
        self._session = session

    def get(self, block: bool = True, timeout: float | None = None) -> str:
        """Return a URL that may be fetched now, and hold it until `task_done` or `task_failed`.

        Raise `JobFinished` at the end of the crawl, `queue.Empty` if the time is over (without `block`: if the
        coordinator has nothing at once), `ValueError` if this thread still holds a URL or the connection is closed,
        `Unreachable` if the coordinator is given up.
        """
        if self._session.held is not None:
            raise ValueError(f"this thread still holds {self._session.held.url}: call task_done() or task_failed()")
        if timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        held = self._session.get(timeout if block else NO_WAIT_S)
        if held is not None:
            return held.url
        if self._session.is_over:
            raise JobFinished("every task of the job is settled")
        raise queue.Empty

    def get_nowait(self) -> str:
        """Return a URL if one is available at once: see `get`."""
        return self.get(block=False)

    def put(self, url: str, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002  # queue.Queue's
        """Admit a URL: as an outlink of the URL that this thread holds (and relative to it), else as a seed.

        A known URL is not an error. Raise a `ValueError` that names the rule if the URL is out of scope.
        """
        held = self._session.held
        address = self._session.urls.canonicalize(url, held.url if held is not None else None)
        if address is None:
            raise ValueError(f"{url!r} is not an http(s) URL")
        refusal = self._session.scope.refuses(address) if held is not None else self._proxy.put(address)
        if refusal:
            raise ValueError(f"{address} is out of the crawl's scope: {refusal}. {meaning_of(refusal)}")
        if held is not None:
            held.outlinks[address] = None

    def put_nowait(self, url: str) -> None:
        """Admit a URL: see `put`, which never waits."""
        self.put(url)

    def task_done(self) -> bool:
        """Settle the URL that this thread holds as fetched: its value, its outlinks and its state, in one report.

        Wait for the coordinator's word. Return whether the report counts: False means that the lease had been lost
        meanwhile and another worker has the URL, so nothing was recorded. Raise `ValueError` if nothing is held, or if
        value and outlinks are larger than `limits.report_bytes` allows: the URL has failed then. Raise `Unreachable` if
        the coordinator is given up.
        """
        return self._session.settle(Outcome.FETCHED)

    def task_failed(self, reason: str = Reason.FAILED, again: bool = True) -> bool:
        """Give up on the URL that this thread holds; it is tried again, as often as the job says, unless not `again`.

        `reason` is a word for the summary, such as `http_404`: up to 64 letters (A-Z, a-z), digits and `_`. Any other
        text is counted as `odd_reason`, and kept as the detail of the failure.
        """
        return self._session.settle(Outcome.NETWORK_ERROR if again else Outcome.HTTP_ERROR, reason)

    def qsize(self) -> int:
        """Return how many tasks are not settled yet, by anyone."""
        return self._proxy.size()

    def empty(self) -> bool:
        """Say whether every task is settled."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Say that there is always room."""
        return False

    def join(self) -> None:
        """Wait until every task is settled; raise `Unreachable` if the coordinator is given up."""
        while not self._session.is_over and not self._is_known_empty():
            time.sleep(JOIN_POLL_S)

    def _is_known_empty(self) -> bool:
        """Say whether the coordinator answers that every task is settled. Only the session gives a coordinator up."""
        try:
            return self.empty()
        except Unreachable:
            return False
