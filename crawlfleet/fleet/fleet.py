"""A crawl for a user's own code: the task queue, the results, and the fleet's locks and numbers.

    fleet = connect("cf1:...")
    queue, results = fleet.Queue(), fleet.dict()
    url = queue.get()                 # leased; the lease is renewed automatically
    queue.put("/next")                # an outlink of it
    results[url] = {"title": ...}     # staged
    queue.task_done()                 # value, outlinks and state settled in one report

The coordinator handles robots.txt, delays and retries: `get` returns a URL when its host may be requested.
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

from crawlfleet.fleet.arrival import await_coordinator
from crawlfleet.fleet.results import Results
from crawlfleet.fleet.session import FleetSession
from crawlfleet.fleet.work_queue import JobFinished, Queue
from crawlfleet.shared import log
from crawlfleet.shared.messages import Hello
from crawlfleet.shared.status import Status
from crawlfleet.shared.wire.manager import FleetManager
from crawlfleet.worker.talk.primitives import FleetPrimitives, FleetValue

__all__ = ["Fleet", "JobFinished", "connect"]

PATIENCE_S = 60.0


def connect(token: str | Path, patience_s: float = PATIENCE_S) -> Fleet:
    """Connect to a coordinator, by its join token or a file that contains it.

    Wait for a coordinator that does not answer yet, or a file that is not there yet. If that takes longer than
    `patience_s`, raise `Unreachable`; so do later calls that wait for the coordinator for longer than that. Raise
    `JoinError` at once if the token is malformed or refused.
    """
    if not structlog.is_configured():
        log.configure(level="warning")  # to standard error: standard output is the program's
    return Fleet(await_coordinator(token, patience_s), patience_s)


class Fleet:
    """A connection to one crawl. Any thread may use it. It is a context manager, which closes it at the end."""

    def __init__(self, manager: FleetManager, patience_s: float) -> None:
        self._manager = manager
        self._patience_s = patience_s
        self._opening = threading.Lock()
        self._id = secrets.token_hex(8)
        self._session: FleetSession | None = None
        self._primitives: FleetPrimitives | None = None

    def Queue(self) -> Queue:
        """Return the job's task queue. The first call opens a session, which holds the URLs that `get` returns."""
        return Queue(self._manager.Queue(), self._open_session())

    def dict(self) -> Results:
        """Return the job's results: a mapping from URL to value."""
        return Results(self._manager.dict(), lambda: self._session)

    def lock(self, name: str) -> AbstractContextManager[int]:
        """Return a lock of the whole fleet, for a `with` statement; its value is a fencing number that only grows."""
        return self._open_primitives().lock(name)

    def value(self, name: str) -> FleetValue:
        """Return a number of the whole fleet: `get`, `set`, `add`."""
        return self._open_primitives().value(name)

    def status(self) -> Status:
        """Return the progress of the crawl."""
        return self._manager.Control().status()

    def close(self) -> None:
        """Return the URLs that are held, and end the session."""
        with self._opening:
            if self._session is not None:
                self._session.close()
        self._manager.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close. If an error ends the block, the URL that this thread holds has failed: it may be the cause."""
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
        """Return the primitives. A lock belongs to a session, so that it is released if this process dies."""
        self._open_session()
        if self._primitives is None:
            self._primitives = FleetPrimitives(self._manager, self._id)
        return self._primitives
