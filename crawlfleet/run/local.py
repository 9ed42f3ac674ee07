"""`crawlfleet run`: a coordinator and a node on this machine, as separate processes, and their output for the user.

Ctrl-C: the node drains (what is in flight is reported), then the coordinator stops. A second one ends both at once.
The two processes have process groups of their own, so that the order is kept; each ends when this process dies.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import msgspec

from crawlfleet.coordinator.crawl_folder import LOG
from crawlfleet.run.messages import FROM_COORDINATOR, Ended, Refused, RunOptions, Serving
from crawlfleet.shared.errors import CrawlfleetError, JobError, Unreachable, UsageError
from crawlfleet.shared.exits import INTERRUPTED
from crawlfleet.shared.pipe import receive, send
from crawlfleet.worker.process.wakeup import signals_blocked

if TYPE_CHECKING:
    from crawlfleet.coordinator.summary import Summary
    from crawlfleet.screen.console import Console
    from crawlfleet.shared.status import Status

POLL_S = 0.25
NO_WORKERS = "The workers ended with an error: mend what is said of it above, or in the log."
FAREWELL_S = 5.0


def run(options: RunOptions) -> int:
    """Run a job to its end; return the exit code. Raise `UsageError` if the user has to change something."""
    # Imports take most of the start-up time. Modules that both processes need are imported here; then the processes are
    # forked, while there is no thread, and import the rest in parallel.
    from crawlfleet.shared.lean import load_structlog

    load_structlog()
    import crawlfleet.shared.log
    import crawlfleet.shared.wire.manager  # noqa: F401  # as said above

    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    nodes, to_node = context.Pipe(duplex=False)
    with Interrupts() as interrupts:
        # Each process closes the pipe ends that are not its own: they would hide the death of this process.
        coordinator = context.Process(
            target=coordinator_process, args=(options, theirs, (ours, nodes, to_node)), name="coordinator"
        )
        node = context.Process(target=node_process, args=(options, nodes, (ours, theirs, to_node)), name="node")
        # A Ctrl-C for this process would kill them during their imports.
        with signals_blocked([signal.SIGINT, signal.SIGTERM]):
            coordinator.start()
            node.start()
        theirs.close()
        nodes.close()
        try:
            serving = _await_serving(ours, coordinator)
            send(to_node, serving)  # if the node is dead, that is detected below
        finally:
            to_node.close()
        # While the two processes start.
        from crawlfleet.screen.console import Console
        from crawlfleet.screen.tables import show_end

        console = Console(quiet=options.quiet or options.json)
        end, code = _see_through(serving, ours, node, coordinator, interrupts, console)
        show_end(end, console, as_json=options.json)
        return code


def _see_through(
    serving: Serving,
    pipe: Connection,
    node: BaseProcess,
    coordinator: BaseProcess,
    interrupts: Interrupts,
    console: Console,
) -> tuple[Summary, int]:
    """Show the progress of a run; return how it ended, and the exit code."""
    from crawlfleet.screen.progress import open_progress

    if serving.moved_to:
        console.say(f"the earlier run is now in {serving.moved_to}")
    for notice in serving.notices:
        console.say(notice)
    interrupts.guard(console, node, coordinator)
    with open_progress(console) as show:
        _watch(serving.token, node, coordinator, show)
    if node.exitcode == 0 and not interrupts.count:
        coordinator.join(FAREWELL_S)
    end, code = _end(pipe, Path(os.fsdecode(serving.folder)), node, coordinator)
    if end.ended == "interrupted" and node.exitcode and not interrupts.count:
        end = msgspec.structs.replace(end, detail=NO_WORKERS)
    # A node that is stopped at once ends by the signal.
    return end, INTERRUPTED if code and interrupts.count else code


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


def _become_a_child(inherited: Iterable[Connection]) -> None:
    """Close the pipe ends of other processes, and restore the signals; ignore Ctrl-C, even one that came already."""
    for pipe_end in inherited:
        pipe_end.close()
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


class Interrupts:
    """Handles Ctrl-C and SIGTERM in a run: the first one drains the node, the second ends both processes."""

    def __init__(self) -> None:
        self._console: Console | None = None
        self._node: BaseProcess | None = None
        self._all: tuple[BaseProcess, ...] = ()
        self._before: dict[int, signal.Handlers | None] = {}
        self.count = 0

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}  # type: ignore[misc]  # typeshed's type of a handler is wider
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def guard(self, console: Console, node: BaseProcess, coordinator: BaseProcess) -> None:
        """Set the processes to signal, and the console for the user."""
        self._console = console
        self._node, self._all = node, (node, coordinator)
        if self.count:
            node.terminate()

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._node is None or self._console is None:
            return
        if self.count == 1:
            self._console.say("Finishing what is in flight; once more to stop at once.")
            self._node.terminate()
        else:
            for process in self._all:
                process.terminate()


def _await_serving(pipe: Connection, coordinator: BaseProcess) -> Serving:
    """Wait until the coordinator serves; raise the error that prevents it."""
    message = _receive(pipe)
    if isinstance(message, Serving):
        return message
    coordinator.join()
    raise CrawlfleetError(f"the coordinator ended before it served (exit code {coordinator.exitcode})")


def _receive(pipe: Connection) -> Serving | Ended | None:
    """Wait for the coordinator's next message, None if it died without one; raise what it refuses."""
    message = receive(pipe, FROM_COORDINATOR)
    if not isinstance(message, Refused):
        return message
    if message.problems:
        raise JobError(message.problems)
    raise UsageError(message.text) if message.exit_code == UsageError.exit_code else CrawlfleetError(message.text)


def _watch(token: str, node: BaseProcess, coordinator: BaseProcess, show: Callable[[Status], None]) -> None:
    """Show the progress of the crawl until one of its processes ends."""
    from crawlfleet.shared.wire.join_token import JoinToken
    from crawlfleet.shared.wire.manager import FleetManager

    manager = FleetManager.joining(JoinToken.parse(token))
    control = None
    while not _ended(node, coordinator):
        try:
            if control is None:
                manager.connect()
                control = manager.Control()
            show(control.status())
        except Unreachable:
            pass
    manager.disconnect()


def _ended(*processes: BaseProcess) -> bool:
    """Wait a moment; say whether one of these processes has ended. It then has an exit code."""
    ready = connection.wait([process.sentinel for process in processes], timeout=POLL_S)
    for process in processes:
        if process.sentinel in ready:
            process.join()  # its sentinel is ready a moment before it can be asked for its exit code
    return bool(ready)


def _end(pipe: Connection, folder: Path, node: BaseProcess, coordinator: BaseProcess) -> tuple[Summary, int]:
    """End both processes in order; return the summary and the exit code."""
    if coordinator.exitcode is not None and coordinator.exitcode < 0:
        node.kill()  # its workers cannot report to anyone, and end with it
    elif coordinator.exitcode is not None:
        node.join(FAREWELL_S)
    for process in (coordinator, node):
        _see_off(process)
    message = _receive(pipe)
    if not isinstance(message, Ended):
        raise CrawlfleetError(
            f"the coordinator ended unexpectedly (exit code {coordinator.exitcode}): see {folder / LOG}"
        )
    from crawlfleet.coordinator.summary import Summary

    end = msgspec.msgpack.decode(message.summary, type=Summary)
    return end, end.exit_code if end.exit_code != INTERRUPTED or not node.exitcode else max(node.exitcode, 1)


def _see_off(process: BaseProcess) -> None:
    """End a process: by SIGTERM, by another one, by SIGKILL."""
    for end in (process.terminate, process.terminate, process.kill):
        if process.is_alive():
            end()
            process.join(FAREWELL_S)
