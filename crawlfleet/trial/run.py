"""Runs the process that tries a page, and what ends it: a limit, a signal, a changed file."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from multiprocessing import connection

import msgspec

from crawlfleet.shared.errors import CrawlfleetError, UsageError
from crawlfleet.shared.pipe import receive, send
from crawlfleet.shared.reasons import Reason, meaning_of
from crawlfleet.trial.messages import (
    FROM_TRIAL,
    Answered,
    Asking,
    Ended,
    Errand,
    FromTrial,
    Gave,
    Judging,
    Place,
    Reading,
    Refused,
    Try,
    Where,
)
from crawlfleet.trial.process import be_trial
from crawlfleet.tried import FAILED, Tried
from crawlfleet.worker.fetch.port import Fetched
from crawlfleet.worker.process.current_pages import CurrentPages
from crawlfleet.worker.process.overdue import PageWatch
from crawlfleet.worker.process.wakeup import Signals, signals_blocked

TICK_S = 0.1
# Whoever waits for longer is told for what.
SAID_AFTER_S = 3.0
ANSWER_S = 0.5
_NO_ANSWER = "in code that lets no other run, as a regular expression may be"


class Stopped(CrawlfleetError):
    """A signal, or an edit, has ended the trial of a page. The text says where it was."""

    exit_code = 130


class Trials:
    """Tries a page again and again; what servers have answered is kept. `say` tells a sentence to the user.

    As long as it is entered, a process stands ready for the next page, or is at one.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self.say = say
        self._kept: dict[str, Answered] = {}
        self._ready: _TrialProcess | None = None

    def __enter__(self) -> Trials:
        self.prepare()
        return self

    def __exit__(self, *_: object) -> None:
        if self._ready is not None:
            self._ready.end()

    def prepare(self) -> None:
        """Let a process get ready for the next page. Nothing must have started a thread yet."""
        if self._ready is None:
            self._ready = _TrialProcess()

    def keep(self, answer: Answered) -> None:
        """Use an answer in the place of a request."""
        self._kept[answer.asked] = answer

    def answer(self, url: str) -> Fetched | None:
        """Return the answer to the request for an address; None if there was none."""
        answered = self._kept.get(url)
        return None if answered is None else answered.fetched()

    def run(
        self,
        errand: Errand,
        signals: Signals,
        is_stale: Callable[[], bool],
        meanwhile: Callable[[], object] = lambda: None,
    ) -> Tried:
        """Try a page; raise `Stopped` at a signal, or once it `is_stale`, `UsageError` if its job cannot be tried.

        `meanwhile` is called while the page is asked for.
        """
        self.prepare()
        process, self._ready = self._ready, None
        assert process is not None
        try:
            send(process.pipe, Try(errand=errand, kept=tuple(self._kept.values())))
            meanwhile()
            hook = errand.brief.hook.path if errand.brief.hook is not None else ""
            return _Running(self, process, hook, signals, is_stale).tried()
        finally:
            process.end()


class _TrialProcess:
    """A process that tries a page, its pipe, and the memory in which it records that it reads it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        pages = CurrentPages(context, 1, 1)
        self._process = context.Process(target=be_trial, args=(theirs, self.pipe, pages), name="trial")
        with signals_blocked([signal.SIGINT, signal.SIGTERM]):
            self._process.start()
        theirs.close()
        assert self._process.pid is not None
        self.watch = PageWatch(pages.of(0), self._process.pid)

    def end(self) -> int:
        """End it, if it has not ended; return its exit code."""
        self._process.kill()
        self._process.join()
        self.pipe.close()
        return self._process.exitcode or 0

    def exit_code(self) -> int:
        """Wait for its end; return its exit code."""
        self._process.join()
        return self._process.exitcode or 0


class _Running:
    """One process that tries a page. `hook` is the path of the job's hook, if it has one."""

    def __init__(
        self, trials: Trials, process: _TrialProcess, hook: str, signals: Signals, is_stale: Callable[[], bool]
    ) -> None:
        self._trials = trials
        self._process = process
        self._pipe = process.pipe
        self._signals = signals
        self._is_stale = is_stale
        self._hook = hook
        self._asked = ""
        self._so_far: Tried | None = None
        self._is_read = False
        self._say_at = time.monotonic() + SAID_AFTER_S

    def tried(self) -> Tried:
        """Wait for what the page gives."""
        while True:
            ready = connection.wait([self._pipe, self._signals.fileno()], TICK_S)
            if self._pipe in ready:
                tried = self._take(receive(self._pipe, FROM_TRIAL))
                if tried is not None:
                    return tried
                continue
            if self._signals.take():
                raise Stopped(f"stopped while {self._doing()}")
            if self._is_stale():
                raise Stopped(f"given up while {self._doing()}")
            overdue = self._process.watch.look(time.monotonic())
            if overdue is not None:
                return self._ended(overdue.reason, overdue.detail, overdue.cpu_s)
            if time.monotonic() > self._say_at:
                self._say_at = time.monotonic() + 10 * SAID_AFTER_S
                self._trials.say(f"still {self._doing()}; Ctrl-C stops it")

    def _take(self, message: FromTrial | None) -> Tried | None:
        if isinstance(message, Gave):
            return message.tried
        if isinstance(message, Ended):
            return self._ended(message.reason, message.detail, message.cpu_s)
        if isinstance(message, Refused):
            raise (UsageError if message.exit_code == UsageError.exit_code else CrawlfleetError)(message.text)
        if message is None:
            return self._died()
        if isinstance(message, Asking):
            self._asked = message.url
        elif isinstance(message, Reading):
            self._so_far, self._is_read = message.so_far, False
        elif isinstance(message, Judging):
            self._is_read = True
        elif isinstance(message, Answered):
            self._trials.keep(message)
        return None

    def _doing(self) -> str:
        """Say what the process is at."""
        if self._is_read and self._so_far is not None:
            return f"judging the links and the empty fields of {self._so_far.url}"
        if self._so_far is not None:
            return f"reading {self._so_far.url}: {self._place()}"
        return f"asking for {self._asked}" if self._asked else f"getting ready: {self._place()}"

    def _place(self) -> str:
        """Ask where the page is in the hook."""
        send(self._pipe, Where())
        until = time.monotonic() + ANSWER_S
        while (left_s := until - time.monotonic()) > 0 and self._pipe.poll(left_s):
            message = receive(self._pipe, FROM_TRIAL)
            if isinstance(message, Place):
                return f"the hook at {self._hook}:{message.line}" if message.line else "not in the hook"
            if message is None:
                break
            if isinstance(message, Answered):
                self._trials.keep(message)
        return _NO_ANSWER

    def _died(self) -> Tried:
        code = self._process.exit_code()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if self._so_far is None:
            raise CrawlfleetError(f"the process that fetches the page has ended unexpectedly ({how})")
        return self._ended(Reason.POISON, f"reading it has ended its process ({how})", 0.0)

    def _ended(self, reason: str, detail: str, cpu_s: float) -> Tried:
        assert self._so_far is not None
        return msgspec.structs.replace(
            self._so_far, state=FAILED, reason=reason, meaning=meaning_of(reason), detail=detail, cpu_s=cpu_s
        )
