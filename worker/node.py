"""The node: starts a machine's worker processes and supervises them.

    start ──► running ──► ended well ──► done
                 │  ▲
           died  ▼  │ after a pause, naming the dead session
               to be restarted            a fatal error, three deaths before hello, or ten
                                          short runs in a row ──► the node ends with it

A worker has ended well if it has said so; an exit code 0 alone, which any code may cause, is a death. A worker that
ends because a page has reached a limit is replaced at once, and that counts among no deaths; one that a page keeps from
ending itself is killed (`worker.process.overdue`).

A page that kills its reader costs up to five processes before the coordinator quarantines it, and there may be many
such pages. So a run that ended while a page was parsed, or by a SIGKILL from outside, does not count among the ten. The
node has no threads, so that forking is safe: one loop waits for pipes, sentinels and signals together. The first
SIGTERM or SIGINT drains every worker, the second kills them. The node itself does not talk to the coordinator. A node
that is a child process ends when its parent does.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

import structlog

from crawlfleet.shared.messages import TaskKey
from crawlfleet.shared.pipe import receive, send
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.worker.app import ORPHANED, WorkerArguments, WorkerOptions, serve
from crawlfleet.worker.process.current_pages import CurrentPages, PageRecord
from crawlfleet.worker.process.memory import share_of
from crawlfleet.worker.process.messages import (
    FROM_WORKER,
    Drain,
    Failed,
    Finished,
    FromWorker,
    Joined,
    Named,
    Said,
    Worked,
)
from crawlfleet.worker.process.narrator import Narrator
from crawlfleet.worker.process.overdue import Overdue, PageWatch
from crawlfleet.worker.process.printing import print_sentence
from crawlfleet.worker.process.wakeup import Signals, signals_blocked

FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 10.0
LONG_RUN_S = 60.0
EARLY_DEATHS = 3
SHORT_RUNS = 10
LOOK_EVERY_S = 0.5
SIGNALS = (signal.SIGTERM, signal.SIGINT)

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """How many worker processes, how they start, and the options of each.

    `say` is given lines of progress for the user, `complain` sentences that say what went wrong.
    """

    token: JoinToken
    processes: int
    start_method: str = "fork"
    worker: WorkerOptions = field(default_factory=WorkerOptions)
    say: Callable[[str], None] = lambda _: None
    complain: Callable[[str], None] = print_sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    """One worker process."""

    process: BaseProcess
    pipe: Connection
    session: str
    started_at: float
    pages: PageWatch


@dataclass(slots=True)
class _Slot:
    """The slot of one worker in the node: its process, and the record of earlier processes."""

    index: int
    child: _Child | None = None
    restart_at: float = 0.0
    done: bool = False
    joined: bool = False
    last_joined: str = ""
    began: tuple[TaskKey, ...] = ()
    ended: tuple[PageRecord, ...] = ()
    death: str = ""
    failure: Failed | None = None
    finished: Finished | None = None
    overdue: Overdue | None = None
    deaths: int = 0
    early_deaths: int = 0
    short_runs: int = 0


def run_node(options: NodeOptions) -> int:
    """Run a node in the main thread until all its workers are done; return the exit code."""
    with Signals(SIGNALS) as signals:
        # The parent may have blocked them until now, so that none is lost.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return Node(options, signals).run()


class Node:
    """The supervisor of some worker processes."""

    def __init__(self, options: NodeOptions, signals: Signals) -> None:
        self._options = options
        self._signals = signals
        self._context: BaseContext = multiprocessing.get_context(options.start_method)
        self._current_pages = CurrentPages(self._context, options.processes, options.worker.parse_threads)
        self._slots = [_Slot(index) for index in range(options.processes)]
        self._draining = False
        parent = multiprocessing.parent_process()
        self._parent_sentinel = () if parent is None else (parent.sentinel,)
        self._exit_code: int | None = None
        self._looked_at = 0.0
        self._token = options.token
        self._narrator = Narrator(options.say, options.processes)

    def run(self) -> int:
        """Start the workers and supervise them to the end."""
        try:
            while self._exit_code is None and not all(slot.done for slot in self._slots):
                self._start_due()
                self._wait()
                self._narrator.look()
            if self._exit_code is None:
                self._narrator.ended(drained=self._draining)
        finally:
            self._kill_all()
        return self._exit_code or 0

    def _start_due(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if slot.child is None and not slot.done and slot.restart_at <= now:
                self._start(slot)

    def _start(self, slot: _Slot) -> None:
        ours, theirs = self._context.Pipe()
        arguments = self._arguments(slot)
        process = self._context.Process(  # type: ignore[attr-defined]  # every concrete context has it
            target=serve,
            args=(arguments, theirs, self._current_pages, self._inherited(ours)),
            name=f"worker-{slot.index}",
        )
        # A signal that comes in between waits: for us until here, for the child until its handlers are set.
        with signals_blocked(SIGNALS):
            process.start()
        theirs.close()
        slot.joined = False
        slot.failure = slot.finished = slot.overdue = None
        assert process.pid is not None
        slot.child = _Child(
            process=process,
            pipe=ours,
            session=arguments.session,
            started_at=time.monotonic(),
            pages=PageWatch(self._current_pages.of(slot.index), process.pid),
        )

    def _arguments(self, slot: _Slot) -> WorkerArguments:
        return WorkerArguments(
            token=self._token,
            options=self._options.worker,
            index=slot.index,
            session=secrets.token_hex(8),
            worker=f"{socket.gethostname()}/{os.getpid()}/{slot.index}",
            memory_bytes=share_of(self._options.processes),
            replaces=slot.last_joined,
            began=slot.began,
            ended=tuple(page.report(time.monotonic()) for page in slot.ended),
            death=slot.death,
        )

    def _inherited(self, ours: Connection) -> tuple[Connection, ...]:
        """Return the pipe ends of which a forked child gets a copy; the other start methods copy none."""
        if self._context.get_start_method() != "fork":
            return ()
        return (ours, *(slot.child.pipe for slot in self._slots if slot.child is not None))

    def _wait(self) -> None:
        """Sleep until something happens, and handle it."""
        children = [(slot, slot.child) for slot in self._slots if slot.child is not None]
        sources: list[Connection | int] = [self._signals.fileno(), *self._parent_sentinel]
        for _, child in children:
            sources += (child.pipe, child.process.sentinel)
        ready = set(connection.wait(sources, self._pause_s()))
        for number in self._signals.take():
            self._handle_signal(number)
        if ready.intersection(self._parent_sentinel):
            self._exit_code = ORPHANED
        for slot, child in children:
            if child.pipe in ready or child.process.sentinel in ready:
                is_open = self._receive_all(slot, child)
                if child.process.sentinel in ready or not is_open:
                    self._reap(slot, child)
        self._end_overdue(time.monotonic())

    def _pause_s(self) -> float:
        waiting = [slot.restart_at for slot in self._slots if slot.child is None and not slot.done]
        return min([LOOK_EVERY_S, *(max(0.0, at - time.monotonic()) for at in waiting)])

    def _end_overdue(self, now: float) -> None:
        """Kill the workers that a page keeps from ending it themselves."""
        if now < self._looked_at + LOOK_EVERY_S:
            return
        self._looked_at = now
        for slot in self._slots:
            overdue = slot.child.pages.look(now) if slot.child is not None and slot.overdue is None else None
            if slot.child is not None and overdue is not None:
                slot.overdue = overdue
                _logger.warning(
                    "a page was ended, and its worker is replaced",
                    url=overdue.page.url,
                    session=slot.child.session,
                    worker=slot.index,
                    reason=overdue.reason,
                    detail=overdue.detail,
                )
                slot.child.process.kill()

    def _handle_signal(self, number: signal.Signals) -> None:
        if self._draining:
            _logger.warning("a second signal, stopping at once", reason=number.name)
            self._exit_code = 128 + number
            return
        _logger.info("draining: work in flight is finished, nothing new is taken", reason=number.name)
        self._draining = True
        for slot in self._slots:
            if slot.child is None:
                slot.done = True
            else:
                send(slot.child.pipe, Drain())

    def _receive_all(self, slot: _Slot, child: _Child) -> bool:
        """Read all messages of a worker; False if its end of the pipe is closed: it has died."""
        while child.pipe.poll():
            message = receive(child.pipe, FROM_WORKER)
            if message is None:
                return False
            self._take(slot, child, message)
        return True

    def _take(self, slot: _Slot, child: _Child, message: FromWorker) -> None:
        match message:
            case Worked(reports=reports):
                self._narrator.worked(reports)
            case Joined(job=job):
                self._narrator.joined(job)
                slot.joined, slot.last_joined, slot.early_deaths = True, child.session, 0
                slot.began, slot.ended = (), ()
            case Named(addresses=addresses):
                known = dict.fromkeys((*addresses, *self._options.token.addresses))
                self._token = replace(self._options.token, addresses=tuple(known))
            case Said(text=text):
                # Where the log is on the screen, it says the same.
                if not self._options.worker.log_to_console:
                    self._options.complain(text)
            case Finished():
                slot.finished = message
            case Failed():
                slot.failure = message

    def _reap(self, slot: _Slot, child: _Child) -> None:
        """Collect a process that has ended: its worker is done, is restarted, or ends the node."""
        child.process.join()
        code = child.process.exitcode
        child.process.close()
        child.pipe.close()
        slot.child = None
        pages = self._current_pages.take_all(slot.index)
        unfinished = tuple(page.key for page in pages if not page.reason)
        slot.ended += tuple(page for page in pages if page.reason)
        if self._draining or (slot.finished is not None and not slot.finished.again):
            slot.done = True
        elif slot.failure is not None and slot.failure.fatal:
            self._give_up(slot.failure)
        elif slot.finished is not None:
            slot.restart_at = time.monotonic()
        elif slot.overdue is not None:
            slot.ended += (slot.overdue.as_ended(),)
            slot.restart_at = time.monotonic()
        else:
            slot.began += unfinished
            is_blameless = slot.failure is None and (bool(pages) or code == -signal.SIGKILL)
            self._count_death(slot, child, is_blameless=is_blameless)
            slot.death = f"exit code {code}" if code is None or code >= 0 else f"killed by {signal.Signals(-code).name}"
            self._plan_restart(slot, child, slot.death)

    def _count_death(self, slot: _Slot, child: _Child, *, is_blameless: bool) -> None:
        """Count a death in its series; a long run ends a series."""
        ran_long = time.monotonic() - child.started_at >= LONG_RUN_S
        slot.early_deaths += not slot.joined
        slot.deaths = 1 if ran_long else slot.deaths + 1
        if ran_long:
            slot.short_runs = 0
        elif slot.joined and not is_blameless:
            slot.short_runs += 1

    def _plan_restart(self, slot: _Slot, child: _Child, cause: str) -> None:
        """Plan the restart of a worker that died, unless it keeps dying."""
        why = _why_give_up(slot)
        if why:
            text = f"worker {slot.index} {why} ({cause})"
            self._give_up(slot.failure or Failed(text=text, exit_code=1, fatal=True))
            return
        now = time.monotonic()
        pause_s = min(FIRST_PAUSE_S * 2 ** (slot.deaths - 1), LAST_PAUSE_S)
        slot.restart_at = now + pause_s
        _logger.warning(
            "a worker died, starting another", session=child.session, worker=slot.index, reason=cause, pause_s=pause_s
        )

    def _give_up(self, failure: Failed) -> None:
        """End the node with the failure of the first worker for which a restart is pointless."""
        if self._exit_code is None:
            self._options.complain(failure.text)
            self._exit_code = failure.exit_code

    def _kill_all(self) -> None:
        for slot in self._slots:
            if slot.child is not None:
                slot.child.process.kill()
                slot.child.process.join()
                slot.child.pipe.close()
                slot.child = None


def _why_give_up(slot: _Slot) -> str:
    """Return how the workers of a slot keep dying; empty if they do not."""
    if slot.early_deaths >= EARLY_DEATHS:
        return f"died {EARLY_DEATHS} times before it reached the coordinator"
    if slot.short_runs >= SHORT_RUNS:
        return f"died {SHORT_RUNS} times in a row within {LONG_RUN_S:.0f} s"
    return ""
