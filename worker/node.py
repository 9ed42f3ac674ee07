"""The node: starts a machine's worker processes and looks after them.

    start ──► running ──► ended well ──► done
                 │  ▲
           died  ▼  │ after a pause, naming the dead session
               to be restarted            a fatal error, three deaths before hello, or ten
                                          short lives in a row ──► the node ends with it

A page that kills whoever reads it costs up to five lives before the coordinator sets it aside, and there may be many
such pages: a life that ended with a page in hand, or by a SIGKILL from outside, is not counted among the ten.
It runs no thread, so that forking is safe: one loop waits for pipes, sentinels and signals together. The first SIGTERM
or SIGINT asks every worker to drain, the second kills them. It talks to no coordinator itself.
A node that is itself a child process ends when its parent does.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

import structlog

from crawlfleet.shared.messages import TaskKey
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.worker.app import Board, Post, WorkerOptions, serve
from crawlfleet.worker.process.counters import Counters
from crawlfleet.worker.process.in_hand import InHand
from crawlfleet.worker.process.memory import share_of
from crawlfleet.worker.process.notes import Drain, Failed, Joined, receive, send
from crawlfleet.worker.process.wakeup import Signals

FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 10.0
GOOD_LIFE_S = 60.0
EARLY_DEATHS = 3
SHORT_LIVES = 10
ORPHANED = 1
SIGNALS = (signal.SIGTERM, signal.SIGINT)

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """How many worker processes, how they start, and what each is told."""

    token: JoinToken
    processes: int
    start_method: str = "fork"
    worker: WorkerOptions = field(default_factory=WorkerOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    """One worker process."""

    process: BaseProcess
    pipe: Connection
    session: str
    started_at: float


@dataclass(slots=True)
class _Seat:
    """A worker's place in the node: who sits there now, and what became of those before."""

    index: int
    life: _Life | None = None
    restart_at: float = 0.0
    done: bool = False
    joined: bool = False
    last_joined: str = ""
    began: tuple[TaskKey, ...] = ()
    last_words: Failed | None = None
    deaths: int = 0
    early_deaths: int = 0
    short_lives: int = 0


def run_node(options: NodeOptions) -> int:
    """Run a node in the main thread until all its workers are done; return the exit code."""
    with Signals(SIGNALS) as signals:
        # Whoever started this may have blocked them until now, so that none is lost.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return Node(options, signals).run()


class Node:
    """The supervisor of some worker processes."""

    def __init__(self, options: NodeOptions, signals: Signals, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._signals = signals
        self._clock = clock
        self._context: BaseContext = multiprocessing.get_context(options.start_method)
        self._board = Board(
            counters=Counters(self._context, options.processes),
            in_hand=InHand(self._context, options.processes, options.worker.parse_threads),
        )
        self._seats = [_Seat(index) for index in range(options.processes)]
        self._draining = False
        parent = multiprocessing.parent_process()
        self._lifeline = () if parent is None else (parent.sentinel,)
        self._exit_code: int | None = None

    @property
    def counters(self) -> Counters:
        """The workers' live figures."""
        return self._board.counters

    def run(self) -> int:
        """Start the workers and supervise them to the end."""
        try:
            while self._exit_code is None and not all(seat.done for seat in self._seats):
                self._start_due()
                self._wait()
        finally:
            self._kill_all()
        return self._exit_code or 0

    def _start_due(self) -> None:
        now = self._clock()
        for seat in self._seats:
            if seat.life is None and not seat.done and seat.restart_at <= now:
                self._start(seat)

    def _start(self, seat: _Seat) -> None:
        ours, theirs = self._context.Pipe()
        post = self._post(seat)
        process = self._context.Process(  # type: ignore[attr-defined]  # every concrete context has it
            target=serve, args=(post, theirs, self._board, self._inherited(ours)), name=f"worker-{seat.index}"
        )
        # A signal that comes meanwhile waits: for us until here, for the child until it knows what to do with it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        seat.joined = False
        seat.last_words = None
        seat.life = _Life(process=process, pipe=ours, session=post.session, started_at=self._clock())

    def _post(self, seat: _Seat) -> Post:
        return Post(
            token=self._options.token,
            options=self._options.worker,
            index=seat.index,
            session=secrets.token_hex(8),
            worker=f"{socket.gethostname()}/{os.getpid()}/{seat.index}",
            memory_bytes=share_of(self._options.processes),
            replaces=seat.last_joined,
            began=seat.began,
        )

    def _inherited(self, ours: Connection) -> tuple[Connection, ...]:
        """The pipe ends that a forked child gets a copy of; the other start methods copy none."""
        if self._context.get_start_method() != "fork":
            return ()
        return (ours, *(seat.life.pipe for seat in self._seats if seat.life is not None))

    def _wait(self) -> None:
        """Sleep until something happens, and see to it."""
        lives = [(seat, seat.life) for seat in self._seats if seat.life is not None]
        sources: list[Connection | int] = [self._signals.fileno(), *self._lifeline]
        for _, life in lives:
            sources += (life.pipe, life.process.sentinel)
        ready = set(connection.wait(sources, self._pause_s()))
        for number in self._signals.take():
            self._obey(number)
        if ready.intersection(self._lifeline):
            self._exit_code = ORPHANED
        for seat, life in lives:
            if life.pipe in ready or life.process.sentinel in ready:
                is_open = self._listen(seat, life)
                if life.process.sentinel in ready or not is_open:
                    self._bury(seat, life)

    def _pause_s(self) -> float | None:
        waiting = [seat.restart_at for seat in self._seats if seat.life is None and not seat.done]
        return max(0.0, min(waiting) - self._clock()) if waiting else None

    def _obey(self, number: signal.Signals) -> None:
        if self._draining:
            _logger.warning("a second signal, stopping at once", reason=number.name)
            self._exit_code = 128 + number
            return
        _logger.info("draining: work in flight is finished, nothing new is taken", reason=number.name)
        self._draining = True
        for seat in self._seats:
            if seat.life is None:
                seat.done = True
            else:
                send(seat.life.pipe, Drain())

    def _listen(self, seat: _Seat, life: _Life) -> bool:
        """Read all that a worker has said; False if its end of the pipe is closed, as only death does."""
        while life.pipe.poll():
            note = receive(life.pipe)
            if note is None:
                return False
            if isinstance(note, Joined):
                seat.joined, seat.last_joined, seat.early_deaths, seat.began = True, life.session, 0, ()
            elif isinstance(note, Failed):
                seat.last_words = note
        return True

    def _bury(self, seat: _Seat, life: _Life) -> None:
        """See a worker off: done, to be started again, or the end of the node."""
        life.process.join()
        code = life.process.exitcode
        life.process.close()
        life.pipe.close()
        seat.life = None
        in_hand = self._board.in_hand.left_behind(seat.index)
        seat.began += in_hand
        if code == 0 or self._draining:
            seat.done = True
        elif seat.last_words is not None and seat.last_words.fatal:
            self._give_up(seat.last_words)
        else:
            is_blameless = seat.last_words is None and (bool(in_hand) or code == -signal.SIGKILL)
            self._count(seat, life, is_blameless=is_blameless)
            self._mourn(seat, life, _cause(code))

    def _count(self, seat: _Seat, life: _Life, *, is_blameless: bool) -> None:
        """Count a death in the rows that it belongs to; a good life ends a row."""
        lived_well = self._clock() - life.started_at >= GOOD_LIFE_S
        seat.early_deaths += not seat.joined
        seat.deaths = 1 if lived_well else seat.deaths + 1
        if lived_well:
            seat.short_lives = 0
        elif seat.joined and not is_blameless:
            seat.short_lives += 1

    def _mourn(self, seat: _Seat, life: _Life, cause: str) -> None:
        """Plan the restart of a worker that died, unless it keeps dying."""
        why = _why_give_up(seat)
        if why:
            text = f"worker {seat.index} {why} ({cause})"
            self._give_up(seat.last_words or Failed(text=text, exit_code=1, fatal=True))
            return
        now = self._clock()
        pause_s = min(FIRST_PAUSE_S * 2 ** (seat.deaths - 1), LAST_PAUSE_S)
        seat.restart_at = now + pause_s
        _logger.warning(
            "a worker died, starting another", session=life.session, worker=seat.index, reason=cause, pause_s=pause_s
        )

    def _give_up(self, words: Failed) -> None:
        """End the node, with the words of the first worker for which there is no point in going on."""
        if self._exit_code is None:
            print(f"crawlfleet: {words.text}", file=sys.stderr, flush=True)
            self._exit_code = words.exit_code

    def _kill_all(self) -> None:
        for seat in self._seats:
            if seat.life is not None:
                seat.life.process.kill()
                seat.life.process.join()
                seat.life.pipe.close()
                seat.life = None


def _why_give_up(seat: _Seat) -> str:
    """Say in what way the workers of a seat keep dying; empty if they do not."""
    if seat.early_deaths >= EARLY_DEATHS:
        return f"died {EARLY_DEATHS} times before it reached the coordinator"
    if seat.short_lives >= SHORT_LIVES:
        return f"died {SHORT_LIVES} times in a row within {GOOD_LIFE_S:.0f} s"
    return ""


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
