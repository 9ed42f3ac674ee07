"""A crawl for a user's own code: the task queue, the results, and the named objects of the fleet.

    fleet = connect("cf2:...")
    queue, results = fleet.Queue(), fleet.dict()
    url = queue.get()                 # leased; the lease is renewed automatically
    queue.put("/next")                # an outlink of it
    results[url] = {"title": ...}     # staged
    queue.task_done()                 # value, outlinks and state settled in one report

The coordinator handles robots.txt, delays and retries: `get` returns a URL when its host may be requested.

A program may also ask for pages that crawlfleet's workers fetch:

    with fleet.Pool() as pool:
        for rows in pool.imap(urls): ...
"""

from __future__ import annotations

import multiprocessing
import secrets
import socket
import threading
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from multiprocessing import util
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import structlog

from crawlfleet.fleet.arrival import await_coordinator
from crawlfleet.fleet.pool import pool as pools
from crawlfleet.fleet.pool.asker import Asker, dial_pools
from crawlfleet.fleet.pool.futures import PageFuture
from crawlfleet.fleet.pool.options import check_chunksize
from crawlfleet.fleet.results import Results
from crawlfleet.fleet.session import FleetSession
from crawlfleet.fleet.work_queue import Queue
from crawlfleet.shared import log
from crawlfleet.shared.messages import Hello
from crawlfleet.shared.status import Status
from crawlfleet.shared.wire.binding import Address
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.shared.wire.manager import FleetManager, joined, require_spawning
from crawlfleet.worker.talk.finished import JobFinished, closed
from crawlfleet.worker.talk.objects.client import ObjectClient
from crawlfleet.worker.talk.objects.dicts import Dict
from crawlfleet.worker.talk.objects.queues import Queue as SharedQueue
from crawlfleet.worker.talk.objects.shared_objects import SharedObjects, dial_objects

__all__ = ["Fleet", "JobFinished", "connect"]

PATIENCE_S = 60.0


def connect(token: str | Path, patience_s: float = PATIENCE_S) -> Fleet:
    """Connect to a coordinator, by its join token or a file that contains it.

    Wait for a coordinator that does not answer yet, or a file that is not there yet. If that takes longer than
    `patience_s`, raise `Unreachable`; so do later calls that wait for the coordinator for longer than that. Raise
    `JoinError` at once if the token is malformed or refused.
    """
    _configure_log()
    return Fleet(await_coordinator(token, patience_s), patience_s)


def _configure_log() -> None:
    if not structlog.is_configured():
        log.configure(level="warning")  # to standard error: standard output is the program's


class Fleet(SharedObjects):
    """A connection to one crawl. Any thread may use it. It is a context manager, which closes it at the end.

    Named objects may be used in child processes, too: in a forked one, or as arguments of one that starts. There, they
    have a session of their own.
    """

    def __init__(self, manager: FleetManager, patience_s: float) -> None:
        super().__init__(self._join)
        self._manager = manager
        self._patience_s = patience_s
        self._opening = threading.Lock()
        self._session: FleetSession | None = None
        self._asking = threading.RLock()
        self._asker: Asker | None = None
        self._own_pool: pools.Pool | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        require_spawning()
        return _fleet_of_child, (*self._manager.as_arguments(), self._patience_s)

    @overload
    def Queue(self) -> Queue: ...
    @overload
    def Queue(self, name: str, maxsize: int = 0) -> SharedQueue: ...

    def Queue(self, name: str | None = None, maxsize: int = 0) -> Queue | SharedQueue:
        """Return the job's task queue, or with a name, a queue that the fleet shares.

        The first call opens a session, which holds the URLs that `get` of the task queue returns.
        """
        if name is not None:
            return super().Queue(name, maxsize)
        return Queue(self._manager.Queue(), self._open_session())

    @overload
    def dict(self) -> Results: ...
    @overload
    def dict(self, name: str, /, *initial: Any, **more: Any) -> Dict: ...
    def dict(self, *args: Any, **more: Any) -> Results | Dict:
        """Return the job's results, a mapping from URL to value; with a name, the dict of that name."""
        if args or more:
            return super().dict(*args, **more)
        return Results(self._manager.dict(), lambda: self._session)

    def Pool(self, *, follow: bool = False, return_exceptions: bool = False) -> pools.Pool:
        """Open a pool that asks for pages; raise `JobFinished` if the crawl is over, `Unreachable` if nobody answers.

        With `follow`, its pages lead on as seeds do. With `return_exceptions`, its verbs for many URLs return errors in
        place of rows. The crawl does not end while the pool is open.
        """
        return pools.Pool(self._open_asker(), follow=follow, return_exceptions=return_exceptions)

    def submit(self, url: str, *, priority: int | None = None, follow: bool = False) -> PageFuture:
        """Ask for a page, and return its future: see `concurrent.futures`. Its result is the page's rows."""
        return self._pool_of_futures().submit(url, priority, follow)

    def map(self, urls: Iterable[str], timeout: float | None = None, chunksize: int = 1) -> Iterator[Any]:
        """Ask for pages, and yield their rows in order, as `Executor.map` does; raise the error of one that has none.

        Raise `TimeoutError` if that takes more than `timeout` seconds in all. `urls` is consumed a window ahead.
        """
        check_chunksize(chunksize)
        return self._pool_of_futures().map_within(urls, timeout)

    def status(self) -> Status:
        """Return the progress of the crawl."""
        return self._manager.Control().status()

    def close(self) -> None:
        """Return the URLs that are held, and end the session."""
        self._close_objects()
        if self._asker is not None:
            self._asker.close()
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
                if self._are_closed:
                    raise closed()
                hello = Hello(session=secrets.token_hex(8), worker=socket.gethostname(), fetches=False)
                self._session = FleetSession(self._manager, hello, self._patience_s)
                if multiprocessing.parent_process() is not None:
                    util.Finalize(self, self.close, exitpriority=0)  # a child process runs no other exit handlers
            return self._session

    def _open_asker(self) -> Asker:
        with self._asking:
            if self._are_closed:
                raise closed()
            if self._asker is None:
                session = self._open_session()
                self._asker = Asker(partial(dial_pools, self._manager), session.id, patience_s=self._patience_s)
            return self._asker

    def _pool_of_futures(self) -> pools.Pool:
        with self._asking:
            if self._own_pool is None:
                self._own_pool = pools.Pool(self._open_asker())
            return self._own_pool

    def _forked(self) -> None:
        super()._forked()
        self._opening = threading.Lock()
        self._session = None
        self._asking = threading.RLock()
        self._asker = self._own_pool = None

    def _join(self) -> ObjectClient:
        """Open the session of this process: its end tells the coordinator that locks pass on."""
        session = self._open_session()
        return ObjectClient(partial(dial_objects, self._manager), session.id, patience_s=self._patience_s)


@lru_cache(maxsize=8)
def _fleet_of_child(token: JoinToken, addresses: tuple[Address, ...], timeout_s: float, patience_s: float) -> Fleet:
    """Return one connection, with one session, for all named objects that a child process received."""
    _configure_log()
    return Fleet(joined(token, addresses, timeout_s), patience_s)
