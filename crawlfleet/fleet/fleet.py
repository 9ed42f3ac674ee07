"""A person's own code on a crawl: the task queue, the results, and the fleet's locks and numbers.

    fleet = connect("cf1:...")
    queue, results = fleet.Queue(), fleet.dict()
    url = queue.get()                 # a lease on it, renewed behind the scenes
    queue.put("/next")                # an outlink of it
    results[url] = {"title": ...}     # staged
    queue.task_done()                 # value, outlinks and state settled in one report

Robots, rates and retries are the coordinator's: `get` returns a URL when its host may be asked.
"""

from __future__ import annotations

import secrets
import socket
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from crawlfleet.fleet.results import Results
from crawlfleet.fleet.session import FleetSession
from crawlfleet.fleet.work_queue import JobFinished, Queue
from crawlfleet.shared import log
from crawlfleet.shared.messages import Hello
from crawlfleet.shared.status import Status
from crawlfleet.shared.wire.join_token import JoinToken, read_token
from crawlfleet.shared.wire.manager import FleetManager
from crawlfleet.worker.talk.primitives import FleetPrimitives, FleetValue

__all__ = ["Fleet", "JobFinished", "connect"]

PATIENCE_S = 60.0


def connect(token: str | Path, patience_s: float = PATIENCE_S) -> Fleet:
    """Connect to a coordinator, by its join token or a file that holds it.

    A coordinator that is away for longer than `patience_s` later on is given up: whatever waits then raises
    `Unreachable`. Raise `JoinError` if the token is malformed or refused, `Unreachable` if no coordinator answers now.
    """
    if not structlog.is_configured():
        log.configure(level="warning")  # to standard error: standard output is the program's
    parsed = read_token(token) if isinstance(token, Path) else JoinToken.parse(token)
    manager = FleetManager.joining(parsed)
    manager.connect()
    return Fleet(manager, patience_s)


class Fleet:
    """A connection to one crawl. Any thread may use it; it is a context manager that closes itself."""

    def __init__(self, manager: FleetManager, patience_s: float) -> None:
        self._manager = manager
        self._patience_s = patience_s
        self._opening = threading.Lock()
        self._id = secrets.token_hex(8)
        self._session: FleetSession | None = None
        self._primitives: FleetPrimitives | None = None

    def Queue(self) -> Queue:
        """Return the job's task queue. The first call opens a session, which holds what `get` returns."""
        return Queue(self._manager.Queue(), self._open_session())

    def dict(self) -> Results:
        """Return the job's results: a mapping from URL to value."""
        return Results(self._manager.dict(), lambda: self._session)

    def lock(self, name: str) -> AbstractContextManager[int]:
        """Return a lock of the whole fleet, to be held by `with`; its value is a fencing number that only grows."""
        return self._open_primitives().lock(name)

    def value(self, name: str) -> FleetValue:
        """Return a number of the whole fleet: `get`, `set`, `add`."""
        return self._open_primitives().value(name)

    def status(self) -> Status:
        """Return how far the crawl is."""
        return self._manager.Control().status()

    def close(self) -> None:
        """Give back what is held and end the session."""
        with self._opening:
            if self._session is not None:
                self._session.close()
        self._manager.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close. What this thread holds when an error ends it has failed: it may be the cause."""
        if isinstance(error, Exception) and self._session is not None:
            self._session.abandon()
        self.close()

    def _open_session(self) -> FleetSession:
        with self._opening:
            if self._session is None:
                hello = Hello(session=self._id, worker=socket.gethostname())
                self._session = FleetSession(self._manager, hello, self._patience_s)
            return self._session

    def _open_primitives(self) -> FleetPrimitives:
        """Return the primitives; a lock belongs to a session, so that it passes on if this process dies."""
        self._open_session()
        if self._primitives is None:
            self._primitives = FleetPrimitives(self._manager, self._id)
        return self._primitives
