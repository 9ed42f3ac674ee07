"""The connection that writes. Its thread reads the answers, so that nobody waits who need not.

A request is a number of calls and a synchronisation: a transaction, sent as a whole. Whoever sends it does so without
waiting; what the system does not take at once is sent by the thread. Results come in the order of requests. The thread
wakes once for a request, when all of its results are here: they are small, and the server keeps them back until then.

A request has succeeded only when the server has answered its synchronisation: before that, its transaction is not
committed. If the connection ends sooner, nobody knows whether it was.

If an answer does not come for some seconds, the thread says so: a commit waits for a synchronous standby without end.

When nothing was sent for a while the thread sends the heartbeat. It succeeds, as each request does, only while the
owner has the crawl: so each success is an assurance of that.
"""

from __future__ import annotations

import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import psycopg
from psycopg.pq import ExecStatus

from crawlfleet.coordinator.frontier.postgresql.assurance import Assurance
from crawlfleet.coordinator.frontier.postgresql.connection import Connection, Place, line
from crawlfleet.coordinator.frontier.postgresql.patience import CLOSE_S, SLOW_S, Patience, say_slow
from crawlfleet.coordinator.frontier.postgresql.statements import SILENT, Call, Prepared, is_lost, state_of, text_of


class Reply(NamedTuple):
    """How a request has ended: well, unless it has a `state`, the SQLSTATE of its error, or `is_lost`."""

    state: str = ""
    text: str = ""
    is_lost: bool = False


Ended = Callable[[Reply], None]


class _Request:
    def __init__(self, ended: Ended, sent_at: float, asked_at: float) -> None:
        self.ended = ended
        # By the clocks of assurance and of patience.
        self.sent_at, self.asked_at = sent_at, asked_at
        self.reply = Reply()


class Pipeline:
    """The writing connection, in libpq's pipeline mode. Any thread may call it."""

    def __init__(
        self,
        db: Connection,
        place: Place,
        heartbeat: Call,
        heartbeat_s: float,
        assurance: Assurance,
        patience: Patience,
    ) -> None:
        self._db = db
        self._place = place
        self._pgconn = db.pgconn
        self._pgconn.enter_pipeline_mode()
        self._heartbeat = heartbeat
        self._heartbeat_s = heartbeat_s
        self._assurance = assurance
        self._patience = patience
        self._lock = threading.Lock()
        self._prepared = Prepared(self._pgconn)
        self._pending: deque[_Request] = deque()
        self._unsent = False
        self._lost = ""
        self._sent_at = time.monotonic()
        self._said_at = -math.inf
        self._closed_at: float | None = None
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._wakes, False)
        self._thread = threading.Thread(target=self._run, name="postgresql", daemon=True)
        self._thread.start()

    def send(self, calls: Sequence[Call], ended: Ended) -> None:
        """Begin a transaction of some calls; `ended` is called once when it is over, by the thread or at once."""
        with self._lock:
            is_sent = not self._lost
            if is_sent:
                self._send(calls, ended)
        if not is_sent:
            ended(Reply(text=self._lost, is_lost=True))

    def is_assured(self) -> bool:
        """Say whether no other owner can have the crawl yet, as far as this connection knows."""
        return not self._lost and self._closed_at is None and self._assurance.holds()

    def close(self, last: Call) -> None:
        """Make a last call and close the connection; what is under way ends first, or is lost after some time."""
        if self._closed_at is not None:
            return
        self.send((last,), _ignore)
        with self._lock:
            self._closed_at = time.monotonic()
        self._wake()
        self._thread.join()
        os.close(self._woken)
        os.close(self._wakes)
        self._db.close()

    def _send(self, calls: Sequence[Call], ended: Ended) -> None:
        """Send a request. If that fails, the connection is given up: of the calls that were sent, none is to count."""
        self._pending.append(_Request(ended, self._assurance.clock(), self._patience.clock()))
        try:
            self._prepared.send(calls)
            self._sent_at = time.monotonic()
            self._unsent = bool(self._pgconn.flush())
        except BaseException as error:
            self._lost = line(error) or "it was interrupted"
            self._wake()
            if not isinstance(error, psycopg.Error):
                raise
        if self._unsent:
            self._wake()

    def _run(self) -> None:
        waits = select.poll()
        waits.register(self._woken, select.POLLIN)
        is_over = False
        while not is_over:
            with self._lock:
                pause_s = self._pause_s()
                waits.register(self._pgconn.socket, select.POLLIN | (select.POLLOUT if self._unsent else 0))
            ready = {file for file, _ in waits.poll(pause_s * 1_000)}
            with self._lock:
                if self._woken in ready:
                    os.read(self._woken, 1_000)
                ended = self._look()
                is_over = self._is_over()
                if is_over:
                    self._lost = self._lost or "it was closed"
                    ended += self._fail()
                waited_s = self._slow_for()
            for request in ended:
                request.ended(request.reply)
            if waited_s:
                say_slow(self._place, waited_s)

    def _look(self) -> list[_Request]:
        """Send and receive what can be without waiting; return the requests that are over."""
        ended: list[_Request] = []
        if self._lost:
            return ended
        try:
            self._pgconn.consume_input()
            self._unsent = bool(self._pgconn.flush())
            self._receive(ended)
            if is_lost(self._pgconn):
                raise psycopg.OperationalError(self._pgconn.get_error_message())
            if self._pending and self._patience.is_over(self._pending[0].asked_at):
                raise psycopg.OperationalError(SILENT)
        except psycopg.Error as error:
            self._lost = line(error) or "the server has closed it"
        else:
            if self._closed_at is None and not self._pending and self._pause_s() == 0:
                self._send((self._heartbeat,), _ignore)
        return ended

    def _receive(self, ended: list[_Request]) -> None:
        """Take the results that are here."""
        was_none = False
        while self._pending and not self._pgconn.is_busy() and not is_lost(self._pgconn):
            result = self._pgconn.get_result()
            if result is None:
                if was_none:
                    return
                was_none = True
                continue
            was_none = False
            if result.status == ExecStatus.PIPELINE_SYNC:
                request = self._pending.popleft()
                if not request.reply.state:
                    self._assurance.confirm(request.sent_at)
                ended.append(request)
            elif result.status == ExecStatus.FATAL_ERROR and not self._pending[0].reply.state:
                self._pending[0].reply = Reply(state_of(result), text_of(result))
                self._prepared.note_failure()

    def _fail(self) -> list[_Request]:
        """Return the requests that are lost with the connection. The server's last words say more than its silence."""
        failed = list(self._pending)
        self._pending.clear()
        for request in failed:
            request.reply = Reply(text=request.reply.text or self._lost, is_lost=True)
        return failed

    def _is_over(self) -> bool:
        """Say whether the thread ends, because the connection is lost or closed."""
        if self._lost or self._closed_at is None:
            return bool(self._lost)
        return not self._pending or time.monotonic() > self._closed_at + CLOSE_S

    def _slow_for(self) -> float:
        """Return for how many seconds an answer has not come, if that is to be said; 0 otherwise."""
        now = self._patience.clock()
        if not self._pending or now < max(self._pending[0].asked_at, self._said_at) + SLOW_S:
            return 0.0
        self._said_at = now
        return now - self._pending[0].asked_at

    def _pause_s(self) -> float:
        """Return how long the thread waits at most."""
        if self._closed_at is not None:
            return 0.1
        if self._pending:
            return self._heartbeat_s
        return max(0.0, self._sent_at + self._heartbeat_s - time.monotonic())

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # then it has been told often enough
            os.write(self._wakes, b"w")


def _ignore(_reply: Reply) -> None:
    pass
