"""The thread that tells the coordinator what is asked for, over one connection, as much as there is in each message."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import structlog

from crawlfleet.fleet.pool.commands import Command, Coordinator, TakingBack
from crawlfleet.fleet.pool.entries import Entry, OpenPool
from crawlfleet.fleet.pool.open_asks import OpenAsks
from crawlfleet.fleet.pool.patience import Patience
from crawlfleet.shared.errors import Unreachable
from crawlfleet.shared.pools import AskReply, AskRequest
from crawlfleet.worker.talk.finished import JobFinished, closed
from crawlfleet.worker.talk.objects.threads import Threads

FULL_PAUSE_S = 0.1
#: While asks come faster than messages are answered, a message waits so long for more of them.
LINGER_S = 0.005
#: A connection that is closed takes asks back for so long.
LAST_S = 2.0

_logger = structlog.get_logger(__name__)


class Sender:
    """Sends asks and commands. Only `put`, `defer` and `ring` may be called by other threads."""

    def __init__(
        self, dial: Callable[[], Coordinator], session: str, asks: OpenAsks, patience: Patience, threads: Threads
    ) -> None:
        self._dial = dial
        self._session = session
        self._asks = asks
        self._patience = patience
        self._clock = threads.clock
        self._coordinator: Coordinator | None = None
        # Each with the time since when it waits.
        self._commands: deque[tuple[Command, float]] = deque()
        self._deferred: deque[Callable[[], None]] = deque()
        self._bell = threads.inbox()
        self._ended = threads.inbox()
        self._is_resting = False
        self._not_before = 0.0

    def put(self, command: Command) -> None:
        """Let a command be carried out."""
        self._commands.append((command, self._clock()))
        if self._asks.is_closed:
            self._fail_commands(closed(), _may_be_dropped)
        self.ring()

    def defer(self, work: Callable[[], None]) -> None:
        """Let this thread do something. A finalizer may call this, whatever locks are held."""
        self._deferred.append(work)
        self._bell.put(None)

    def ring(self) -> None:
        """Say that there is something to be sent."""
        if self._is_resting:
            self._is_resting = False
            self._bell.put(None)

    def run(self) -> None:
        """Send until the connection is closed. The top of a thread: its errors reach whoever waits."""
        while not self._asks.is_closed:
            try:
                if not self._step():
                    self._rest()
            except Unreachable as error:
                self._lost(error)
            except BaseException as error:  # noqa: BLE001  # the top of a thread: whoever waits must hear of it
                _logger.warning("asking for pages failed", error=repr(error))
                self._fail_commands(error, _may_be_dropped)
                self._asks.fail_all(error)
                self._patience.pause()
        self._fail_commands(closed(), _may_be_dropped)
        self._say_last()
        self._coordinator = None
        self._ended.put(None)

    def await_last(self) -> None:
        """After the connection is closed, wait until asks are taken back, for `LAST_S` at most."""
        if any(isinstance(command, TakingBack) for command, _ in list(self._commands)):
            with suppress(queue.Empty):
                self._ended.get(timeout=LAST_S)

    def _say_last(self) -> None:
        """Do what is left to be done, as far as the coordinator answers: it soon forgets the session anyway."""
        with suppress(Exception):
            while self._deferred:
                self._deferred.popleft()()
            for command, _ in list(self._commands):
                if isinstance(command, TakingBack):
                    command.carry_out(self._connected(), self._session)

    def _step(self) -> bool:
        """Send one message; say whether there was one."""
        while self._deferred:
            self._deferred.popleft()()
        if self._commands:
            self._carry_out(*self._commands[0])
        elif not self._asks.has_queued or self._clock() < self._not_before:
            return False
        else:
            coordinator = self._connected()
            if (batch := self._asks.next_batch()) is None:
                return False
            self._send(coordinator, *batch)
            if self._asks.has_queued:
                self._not_before = max(self._not_before, self._clock() + LINGER_S)
        self._patience.found()
        return True

    def _carry_out(self, command: Command, since: float) -> None:
        try:
            command.carry_out(self._connected(), self._session)
        except Unreachable:
            raise
        except Exception as error:  # noqa: BLE001  # whatever the coordinator refuses
            command.fail(error)
        with suppress(ValueError):
            self._commands.remove((command, since))

    def _send(self, coordinator: Coordinator, pool: OpenPool, batch: list[Entry]) -> None:
        """Send asks; of those that cannot be sent together, find the ones that cannot be sent at all."""
        try:
            reply = coordinator.ask(
                AskRequest(session=self._session, pool=pool.number, asks=tuple([entry.ask() for entry in batch]))
            )
        except Unreachable:
            self._asks.put_back(batch)
            raise
        except Exception as error:  # noqa: BLE001  # whatever the coordinator refuses, or cannot be sent
            self._part(coordinator, pool, batch, error)
        else:
            self._note(pool, batch, reply)

    def _part(self, coordinator: Coordinator, pool: OpenPool, batch: list[Entry], error: Exception) -> None:
        if len(batch) <= 1:
            pool.must_open = False
            self._asks.hand_over([(entry, error) for entry in self._asks.take_out(entry.ticket for entry in batch)])
            return
        half = len(batch) // 2
        try:
            self._send(coordinator, pool, batch[:half])
        except Unreachable:
            self._asks.put_back(batch[half:])
            raise
        self._send(coordinator, pool, batch[half:])

    def _note(self, pool: OpenPool, batch: list[Entry], reply: AskReply) -> None:
        if reply.finished:
            # Earlier asks may have been answered: the collector sees to them.
            pool.must_open = False
            refused = {entry.ticket for entry in batch}
            self._asks.fail_some(JobFinished("the crawl is over"), lambda entry: entry.ticket in refused)
            return
        self._asks.opened(pool, batch[: reply.taken], reply.book)
        if reply.taken < len(batch):
            self._not_before = self._clock() + FULL_PAUSE_S
            self._asks.put_back(batch[reply.taken :], were_refused=True)

    def _connected(self) -> Coordinator:
        if self._coordinator is None:
            self._coordinator = self._dial()
        return self._coordinator

    def _rest(self) -> None:
        """Wait for something to send."""
        self._is_resting = True
        timeout_s = None
        if self._asks.has_queued:
            timeout_s = max(0.0, self._not_before - self._clock())
        if not (self._commands or self._deferred or self._asks.is_closed):
            with suppress(queue.Empty):
                self._bell.get(timeout=timeout_s)
        self._is_resting = False

    def _lost(self, error: Unreachable) -> None:
        self._coordinator = None
        given_up = self._patience.given_up()

        def has_waited(command: Command, since: float) -> bool:
            return given_up is not None and since <= given_up and not command.is_kept

        self._fail_commands(error, lambda command, since: command.is_hasty or has_waited(command, since))
        if given_up is not None:
            self._asks.fail_some(error, lambda entry: entry.asked_at <= given_up)
        self._patience.pause()

    def _fail_commands(self, error: BaseException, which: Callable[[Command, float], bool]) -> None:
        kept = []
        with suppress(IndexError):
            while True:
                command, since = self._commands.popleft()
                if which(command, since):
                    command.fail(error)
                else:
                    kept.append((command, since))
        self._commands.extendleft(reversed(kept))


def _may_be_dropped(command: Command, _since: float) -> bool:
    return not command.is_kept
