"""The process below a caller of `crawl()`: it runs the coordinator and the node of the crawl.

It ends with its caller, whatever that dies of: the pipe to it ends, or if forked children of the caller hold that open,
the process has another parent. Then the crawl ends at once, and a temporary folder is removed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

import msgspec

from crawlfleet.embedded.messages import FROM_CALLER, AskStatus, Begin, Begun, Over, StatusIs, Stop
from crawlfleet.embedded.order import for_program, options_of
from crawlfleet.embedded.sentences import failure_of, sentences_of
from crawlfleet.embedded.watchman import Watchman
from crawlfleet.run.messages import FROM_NODE, Refused, Said, Serving
from crawlfleet.run.processes import FAREWELL_S, POLL_S, CrawlProcesses, import_shared
from crawlfleet.shared import core_files
from crawlfleet.shared.errors import CrawlfleetError, JobError, UsageError
from crawlfleet.shared.paths import shown
from crawlfleet.shared.pipe import PipeMessage, receive, send
from crawlfleet.worker.process.wakeup import Signals

#: How long pages in flight may take when a crawl is stopped. They are fetched again when it goes on.
DRAIN_S = 5.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PREFIX = "crawlfleet-"


class CallerGone(Exception):
    """The calling process has ended, or wants no more of the crawl."""


def main(descriptor: int) -> NoReturn:
    """Serve the caller at the other end of a pipe, and end this process."""
    # Signals wait until they can be obeyed. What is started here sets its own mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    core_files.forbid()
    caller = Connection(descriptor)
    import_shared()
    begin = receive(caller, FROM_CALLER)
    if isinstance(begin, Begin):
        sys.argv = list(begin.arguments)
        sys.path += [place for place in begin.python_path if place not in sys.path]
        _serve(caller, begin)
    os._exit(0)


def _serve(caller: Connection, begin: Begin) -> None:
    try:
        crawls = None if begin.folder else Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as error:
        text = f"no temporary folder can be made ({error.strerror}): name one by folder=, or make room"
        send(caller, Refused(text=text, exit_code=UsageError.exit_code))
        return
    try:
        with suppress(CallerGone):
            Supervisor(caller, begin, crawls).run()
    finally:
        if crawls is not None:
            shutil.rmtree(crawls, ignore_errors=True)


class Supervisor:
    """One crawl below a caller. `crawls` is the folder that is removed at the end, if there is one."""

    def __init__(self, caller: Connection, begin: Begin, crawls: Path | None) -> None:
        self._caller = caller
        self._begin = begin
        self._crawls = crawls
        self._said: list[str] = []
        self._is_stopped = False
        self._node_ends_at: float | None = None

    def run(self) -> None:
        """Crawl to the end; then, if there is a temporary folder, keep it until the caller lets go."""
        try:
            self._processes = CrawlProcesses(options_of(self._begin, self._crawls))
            with Signals(SIGNALS) as self._signals:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
                over = self._see_through()
        except CrawlfleetError as error:
            problems = tuple(map(shown, error.problems)) if isinstance(error, JobError) else ()
            text = for_program(shown(str(error)))
            self._send(Refused(text=text, exit_code=error.exit_code, problems=problems))
            return
        self._send(over)
        while self._crawls is not None:
            self._take_from_caller(connection.wait([self._caller], POLL_S))

    def _see_through(self) -> Over:
        serving = self._await_serving()
        notices = tuple(map(for_program, serving.notices))
        self._send(Begun(folder=serving.folder, moved=serving.moved, notices=notices))
        with self._ended_with_caller():
            self._watch(Watchman(serving.token))
        return self._over(Path(os.fsdecode(serving.folder)))

    def _await_serving(self) -> Serving:
        with self._ended_with_caller():
            while not connection.wait([self._processes.coordinator_pipe], POLL_S / 5):
                self._take_from_caller(connection.wait([self._caller], 0))
        return self._processes.await_serving()

    def _watch(self, watchman: Watchman) -> None:
        """Serve the caller until one of the crawl's processes ends."""
        node, coordinator, told = self._processes.node, self._processes.coordinator, self._processes.node_pipe
        ends = {node.sentinel, coordinator.sentinel}
        sources: list[Connection | int] = [self._caller, told, self._signals.fileno(), *ends]
        while not ends.intersection(ready := connection.wait(sources, POLL_S)):
            if told in ready and not self._take_from_node():
                sources.remove(told)
            for wanted in self._take_from_caller(ready):
                if isinstance(wanted, Stop):
                    self._stop(at_once=wanted.at_once)
                else:
                    self._send(StatusIs(status=watchman.status()))
            if self._signals.take():
                self._stop(at_once=False, by_caller=False)
            if self._node_ends_at is not None and time.monotonic() > self._node_ends_at:
                self._processes.end_node_at_once()
            for text in watchman.news():
                self._send(Said(text=text))
        for process in (node, coordinator):
            if process.sentinel in ready:
                process.join()  # its sentinel is ready a moment before it can be asked for its exit code
        watchman.close()

    def _stop(self, *, at_once: bool, by_caller: bool = True) -> None:
        self._is_stopped = self._is_stopped or by_caller
        if at_once:
            self._processes.end_node_at_once()
        elif self._node_ends_at is None:
            self._node_ends_at = time.monotonic() + DRAIN_S
            self._processes.node.terminate()

    def _over(self, folder: Path) -> Over:
        """End the processes; return how the crawl ended."""
        node, coordinator = self._processes.node, self._processes.coordinator
        if node.exitcode == 0 and not self._is_stopped:
            coordinator.join(FAREWELL_S)
        try:
            summary, _ = self._processes.end(folder)
        except CrawlfleetError as error:
            return Over(failure=shown(str(error)))
        while self._processes.node_pipe.poll() and self._take_from_node():
            pass
        encoded = msgspec.msgpack.encode(summary)
        if summary.ended == "interrupted" and self._is_stopped:
            return Over(summary=encoded)
        failure = failure_of(summary, self._said[-1] if node.exitcode and self._said else "")
        return Over(summary=encoded, failure=failure, notices=tuple(map(for_program, sentences_of(summary))))

    @contextmanager
    def _ended_with_caller(self) -> Iterator[None]:
        """End both processes at once if the caller is gone. What is to be kept is complete then, too."""
        try:
            yield
        except CallerGone:
            self._processes.end_node_at_once()
            coordinator = self._processes.coordinator
            for end in (coordinator.kill,) if self._crawls is not None else (coordinator.terminate, coordinator.kill):
                end()
                coordinator.join(FAREWELL_S)
            raise

    def _take_from_caller(self, ready: Sequence[object]) -> list[AskStatus | Stop]:
        """Return what the caller asks; raise `CallerGone` if it has ended."""
        if os.getppid() != self._begin.caller:
            raise CallerGone
        asked: list[AskStatus | Stop] = []
        while self._caller in ready and (not asked or self._caller.poll()):
            message = receive(self._caller, FROM_CALLER)
            if message is None:
                raise CallerGone
            if not isinstance(message, Begin):
                asked.append(message)
        return asked

    def _take_from_node(self) -> bool:
        """Hand on what the node says; return False if it has ended."""
        message = receive(self._processes.node_pipe, FROM_NODE)
        if message is not None:
            self._said.append(message.text)
            self._send(message)
        return message is not None

    def _send(self, message: PipeMessage) -> None:
        send(self._caller, message)  # that the caller is gone is found out where it is waited for
