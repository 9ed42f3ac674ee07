"""The session of a user's queue: the tasks that are held, and the thread that communicates with the coordinator.

It uses the worker's conversation, with these differences: it asks for a task only while a `get` waits for one, it
returns the ack of each report to `task_done`, it gives up a coordinator that stays unreachable, and it remains a
member after the end of the crawl, so that the coordinator knows that somebody may still read.
"""

from __future__ import annotations

import os
import threading
import time
from functools import partial

from msgspec.structs import replace

from crawlfleet.fleet.held import Held
from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.errors import Unreachable
from crawlfleet.shared.messages import Ack, AckState, Hello, Kind, Outcome, TaskKey
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.scope import Scope
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.wire.manager import FleetManager
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.fetch.registry import open_fetcher
from crawlfleet.worker.fitting import internal_error
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.pipeline import Pipeline, wanted_of
from crawlfleet.worker.talk.client import Client
from crawlfleet.worker.talk.finished import closed
from crawlfleet.worker.talk.line import dial
from crawlfleet.worker.talk.outbox import Delivery
from crawlfleet.worker.talk.session import Session, SessionOptions

HEARTBEAT_S = 1.0
KEEP_UNASKED_S = 1.0
CLOSING_S = 5.0


class FleetSession:
    """One session with the coordinator. Any thread may use it.

    It is the demand of its own conversation: `want` and `low_mark`.
    """

    low_mark = 1

    def __init__(self, manager: FleetManager, hello: Hello, patience_s: float) -> None:
        """Say hello; raise `Unreachable` if nobody answers for `patience_s`."""
        self.id = hello.session
        self._pid = os.getpid()
        self._manager = manager
        self._patience_s = patience_s
        options = SessionOptions(heartbeat_s=HEARTBEAT_S, patience_s=patience_s, batch=1, sent_links=0)
        self._session = Session(partial(dial, manager), hello, options)
        self._agenda = self._session.agenda
        # Guards what follows, and tells of it.
        self._news = threading.Condition()
        self._getters = 0
        self._asked_at = time.monotonic()
        self._held: dict[threading.Thread, Held] = {}
        self._given_back: list[TaskKey] = []
        self._acks: dict[TaskKey, AckState | None] = {}
        self._over = False
        self._error: BaseException | None = None
        self._closing = threading.Event()
        self._client = self._join()
        self._thread = threading.Thread(target=self._serve, name="crawlfleet-session", daemon=True)
        self._thread.start()

    @property
    def held(self) -> Held | None:
        """The task that the calling thread holds."""
        return self._held.get(threading.current_thread())

    def held_by_url(self, url: str) -> Held | None:
        """Return the held task of a canonical URL, of any thread."""
        with self._news:
            return next((held for held in self._held.values() if held.url == url), None)

    def get(self, timeout_s: float | None) -> Held | None:
        """Wait for a page and hold it; None if the time or the crawl is over (see `is_over`)."""
        self._check_process()
        self._ask(1)
        try:
            attempt = self._take_page(timeout_s)
            if attempt is None:
                return None
            with self._news:
                held = self._held[threading.current_thread()] = Held(attempt)
            return held
        finally:
            self._ask(-1)

    @property
    def is_over(self) -> bool:
        """Whether the conversation has ended; raise the error that ended it, if any."""
        if self._error is not None:
            raise self._error
        return self._over

    def settle(self, outcome: Outcome, reason: str = "") -> bool:
        """Report the task that the calling thread holds and wait for the ack; say whether the report counts.

        Raise `ValueError` if nothing is held, or if the report is too large to be sent: the task has failed then.
        """
        self._check_process()
        with self._news:
            held = self._held.pop(threading.current_thread(), None)
            if held is None:
                raise ValueError("this thread holds no URL: task_done() and task_failed() follow a get()")
            self._acks[held.key] = None
        delivery = held.delivery(outcome, reason, self.brief.limits.report_bytes)
        self._deliver(delivery)
        state = self._await_ack(held.key)
        if delivery.report.outcome is not outcome:
            raise ValueError(f"{held.url}: {delivery.report.detail}")
        return state is AckState.OK

    def abandon(self) -> None:
        """Report the task that the calling thread holds as failed, without waiting for the ack."""
        with self._news:
            held = self._held.pop(threading.current_thread(), None)
        if held is not None:
            self._deliver_abandoned(held)

    def close(self) -> None:
        """Return the tasks that are held, and end the session."""
        with self._news:
            held, self._held = self._held, {}
            self._given_back += [each.key for each in held.values()]
            if not self._over and self._error is None:
                self._error = closed()
        for each in held.values():
            self._agenda.done(each.attempt)
        self._closing.set()
        self._session.orders.drain()
        if self._pid == os.getpid():
            self._thread.join()

    def want(self, _held: int, _deferred: int, _behind_s: float) -> int:
        """Ask for as many tasks as there are calls of `get` that wait for one."""
        return max(0, self._getters - self._agenda.waiting)

    def _join(self) -> Client:
        welcome = self._session.join()
        if welcome is None:
            raise self._given_up()
        self.brief: Brief = welcome.brief
        self.urls = policy_of(welcome.brief.urls)
        self._set_scope(welcome.brief.scope)
        return Client(self._session, welcome, self, on_scope=self._set_scope, on_ack=self._note_ack)

    def _serve(self) -> None:
        """Run the control thread: converse to the end, notify waiting threads, and end when the session is closed."""
        try:
            self._converse()
        except BaseException as error:  # noqa: BLE001  # the top of a thread: waiting threads must get it
            self._error = error
        with self._news:
            self._over = True
            self._news.notify_all()
        self._agenda.close()
        self._closing.wait()
        self._session.line.goodbye()
        self._manager.disconnect()

    def _converse(self) -> None:
        give_up_at: float | None = None
        while self._client.step():
            self._return_unwanted()
            if self._closing.is_set():
                give_up_at = give_up_at or time.monotonic() + CLOSING_S
                if time.monotonic() > give_up_at:
                    return
        if not self._client.finished and not self._closing.is_set():
            raise self._given_up()

    def _return_unwanted(self) -> None:
        """Return tasks that were held at `close`, tasks that no `get` wants, and tasks of threads that ended."""
        with self._news:
            keys, self._given_back = self._given_back, []
            is_unasked = not self._getters and time.monotonic() > self._asked_at + KEEP_UNASKED_S
            dead = [thread for thread in self._held if not thread.is_alive()]
            abandoned = [self._held.pop(thread) for thread in dead]
        self._session.outstanding.drop(keys)
        if is_unasked:
            self._session.outstanding.drop(self._agenda.drop_all())
        for held in abandoned:
            self._deliver_abandoned(held)

    def _ask(self, more: int) -> None:
        with self._news:
            self._getters += more
            self._asked_at = time.monotonic()
        self._session.outbox.ring()

    def _take_page(self, timeout_s: float | None) -> Attempt | None:
        """Wait for a page; meanwhile fetch tasks that are not pages in threads of their own."""
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            attempt = self._agenda.take(None if give_up_at is None else give_up_at - time.monotonic())
            if attempt is None or attempt.task.kind is Kind.PAGE:
                return attempt
            threading.Thread(target=self._fetch, args=(attempt,), name="crawlfleet-robots", daemon=True).start()
            self._session.outbox.ring()

    def _fetch(self, attempt: Attempt) -> None:
        """Carry out a task that is not a page: a robots.txt or a sitemap."""
        try:
            fetcher = open_fetcher(self.brief.fetch)
            fetched = fetcher.fetch(attempt.task.url, wanted_of(attempt.task))
            fetcher.close()
            # Its scope may have grown since hello.
            extractor = Extractor(replace(self.brief, scope=self.scope.spec))
            delivery = Pipeline.of(self.brief, extractor).settle(attempt, fetched)
        except Exception as error:  # noqa: BLE001  # the top of a thread: a bug costs one attempt
            delivery = internal_error(attempt, error)
        self._deliver(delivery)

    def _deliver(self, delivery: Delivery) -> None:
        self._session.outbox.put(delivery)
        self._agenda.done(delivery.attempt)

    def _deliver_abandoned(self, held: Held) -> None:
        self._deliver(held.delivery(Outcome.NETWORK_ERROR, Reason.ABANDONED, self.brief.limits.report_bytes))

    def _await_ack(self, key: TaskKey) -> AckState | None:
        with self._news:
            self._news.wait_for(lambda: self._acks[key] is not None or self._over)
            state = self._acks.pop(key)
        if state is None and self._error is not None:
            raise self._error
        return state

    def _note_ack(self, ack: Ack) -> None:
        with self._news:
            if ack.key in self._acks:
                self._acks[ack.key] = ack.state
                self._news.notify_all()

    def _set_scope(self, spec: ScopeSpec) -> None:
        self.scope = Scope(spec)

    def _given_up(self) -> Unreachable:
        return Unreachable(
            f"no coordinator has answered for {self._patience_s:g} s: see whether it still runs, then connect() again"
        )

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError("this connection to the crawl was made before a fork: connect() in each process")
