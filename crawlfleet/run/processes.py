"""The coordinator and the node of a crawl on this machine, as two processes below this one.

They have process groups of their own, so that Ctrl-C reaches neither before this process has decided what becomes of
it; each ends when this process dies. Nothing here prints: what the user is to know is returned, or handed on.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable
from itertools import chain, repeat
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from crawlfleet.coordinator.crawl_folder import LOG
from crawlfleet.run.messages import FROM_COORDINATOR, Ended, Leaving, Refused, RunOptions, Serving
from crawlfleet.shared.errors import CrawlfleetError, JobError, Unreachable, UsageError
from crawlfleet.shared.exits import INTERRUPTED
from crawlfleet.shared.pipe import receive, send
from crawlfleet.worker.process.wakeup import signals_blocked

if TYPE_CHECKING:
    from crawlfleet.coordinator.summary import Summary
    from crawlfleet.shared.status import Status

POLL_S = 0.25
FAREWELL_S = 5.0


class CrawlProcesses:
    """The two processes of one crawl. They are forked, so this process must have no other thread."""

    def __init__(self, options: RunOptions) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        nodes, self.node_pipe = context.Pipe()  # the node takes one message, and may say sentences
        # Each process closes the pipe ends that are not its own: they would hide the death of this process.
        self.coordinator: BaseProcess = context.Process(
            target=coordinator_process, args=(options, theirs, (self._pipe, nodes, self.node_pipe)), name="coordinator"
        )
        self.node: BaseProcess = context.Process(
            target=node_process, args=(options, nodes, (self._pipe, theirs, self.node_pipe)), name="node"
        )
        # A Ctrl-C for this process would kill them during their imports.
        with signals_blocked([signal.SIGINT, signal.SIGTERM]):
            self.coordinator.start()
            self.node.start()
        theirs.close()
        nodes.close()

    @property
    def coordinator_pipe(self) -> Connection:
        """What becomes readable when `await_serving` need not wait."""
        return self._pipe

    def await_serving(self) -> Serving:
        """Wait until the coordinator serves, and tell the node; raise the error that prevents it."""
        message = None
        try:
            message = self._receive()
        finally:
            if not isinstance(message, Serving):
                self.node_pipe.close()  # the node ends
        if isinstance(message, Serving):
            send(self.node_pipe, message)  # if the node is dead, its sentinel says so
            return message
        self.coordinator.join()
        raise CrawlfleetError(f"the coordinator ended before it served (exit code {self.coordinator.exitcode})")

    def watch(self, token: str, show: Callable[[Status], None]) -> None:
        """Show the progress of the crawl until one of its processes ends."""
        from crawlfleet.shared.wire.join_token import JoinToken
        from crawlfleet.shared.wire.manager import FleetManager

        manager = FleetManager.joining(JoinToken.parse(token))
        control = None
        while not any_ended(self.node, self.coordinator):
            try:
                if control is None:
                    manager.connect()
                    control = manager.Control()
                show(control.status())
            except Unreachable:
                pass
        manager.disconnect()

    def end(self, folder: Path, on_wait: Callable[[], object] = lambda: None) -> tuple[Summary, int]:
        """End both processes in order; return the summary and the exit code.

        Outputs are written to their ends, however long that takes; `on_wait` is called if it takes long.
        """
        if self.coordinator.exitcode is not None and self.coordinator.exitcode < 0:
            self.node.kill()  # its workers cannot report to anyone, and end with it
        elif self.coordinator.exitcode is not None:
            self.node.join(FAREWELL_S)
        message = self._last_message(on_wait)
        for process in (self.coordinator, self.node):
            _see_off(process)
        if not isinstance(message, Ended):
            raise CrawlfleetError(
                f"the coordinator ended unexpectedly (exit code {self.coordinator.exitcode}): see {folder / LOG}"
            )
        from crawlfleet.coordinator.summary import Summary

        end = msgspec.msgpack.decode(message.summary, type=Summary)
        code = end.exit_code
        return end, code if code != INTERRUPTED or not self.node.exitcode else max(self.node.exitcode, 1)

    def end_node_at_once(self) -> None:
        """End the node and its workers without waiting for what is in flight."""
        self.node.terminate()
        if self.node.pid is not None and self.node.is_alive():
            os.kill(self.node.pid, signal.SIGINT)  # a second signal, which cannot be taken for the first one
        self.node.join(FAREWELL_S)
        self.node.kill()
        self.node.join()

    def _last_message(self, on_wait: Callable[[], object]) -> Ended | None:
        """End the coordinator, unless it is leaving; wait for its last message, None if it dies without one."""
        ends = chain((self.coordinator.terminate, self.coordinator.terminate), repeat(self.coordinator.kill))
        patience_s = 0.0
        while True:
            while not self._pipe.poll(patience_s):
                next(ends)()
                patience_s = FAREWELL_S
            message = self._receive()
            if not isinstance(message, Leaving):
                break
            if not self._pipe.poll(FAREWELL_S):
                on_wait()
                self._pipe.poll(None)
        self.coordinator.join(FAREWELL_S)
        return message if isinstance(message, Ended) else None

    def _receive(self) -> Serving | Leaving | Ended | None:
        """Wait for the coordinator's next message, None if it died without one; raise what it refuses."""
        message = receive(self._pipe, FROM_COORDINATOR)
        if not isinstance(message, Refused):
            return message
        if message.problems:
            raise JobError(message.problems)
        raise UsageError(message.text) if message.exit_code == UsageError.exit_code else CrawlfleetError(message.text)


def import_shared() -> None:
    """Import the modules that both processes need, before they are started.

    Imports take most of the start-up time. What is imported here is not imported twice; the processes import the rest
    in parallel.
    """
    from crawlfleet.shared.lean import load_structlog

    load_structlog()
    import crawlfleet.shared.log
    import crawlfleet.shared.wire.manager  # noqa: F401  # as said above


def coordinator_process(options: RunOptions, pipe: Connection, inherited: Iterable[Connection]) -> None:
    """Run the coordinator in this process; end with its exit code."""
    _become_a_child(inherited)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    from crawlfleet.run.coordinator_process import be_coordinator

    code = be_coordinator(options, pipe)
    # Everything is closed, and freeing a crawl's memory would take longer than anything else at its end.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def node_process(options: RunOptions, pipe: Connection, inherited: Iterable[Connection]) -> None:
    """Run the node in this process; end with its exit code. SIGTERM is blocked until the node can drain."""
    _become_a_child(inherited)
    from crawlfleet.run.node_process import be_node

    raise SystemExit(be_node(options, pipe))


def any_ended(*processes: BaseProcess) -> bool:
    """Wait a moment; say whether one of these processes has ended. It then has an exit code."""
    ready = connection.wait([process.sentinel for process in processes], timeout=POLL_S)
    for process in processes:
        if process.sentinel in ready:
            process.join()  # its sentinel is ready a moment before it can be asked for its exit code
    return bool(ready)


def _become_a_child(inherited: Iterable[Connection]) -> None:
    """Close the pipe ends of other processes, and restore the signals; ignore Ctrl-C, even one that came already."""
    for pipe_end in inherited:
        pipe_end.close()
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _see_off(process: BaseProcess) -> None:
    """End a process: by SIGTERM, by another one, by SIGKILL."""
    for end in (process.terminate, process.terminate, process.kill):
        if process.is_alive():
            end()
            process.join(FAREWELL_S)
