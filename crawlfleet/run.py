"""`crawlfleet run`: a coordinator and a node on this machine, as processes of their own, and what a user sees of them.

Ctrl-C: the node drains (what is in flight is reported), then the coordinator stops. A second one ends both at once.
The two processes have process groups of their own, so that the order is kept; each ends when this process dies.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

import msgspec

from coordinator import summary
from coordinator.app import Crawl, serve
from coordinator.app import Options as CoordinatorOptions
from coordinator.crawl_folder import LOG
from coordinator.summary import Console
from crawlfleet.progress import Progress, open_progress
from shared import log
from shared.errors import CrawlfleetError, JobError, Unreachable, UsageError
from shared.join_token import JoinToken
from shared.manager import FleetManager
from worker.app import WorkerOptions
from worker.node import NodeOptions, run_node

POLL_S = 0.25
FAREWELL_S = 5.0
INTERRUPTED = 130


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The coordinator serves: its token and its folder, and where an earlier run was moved to."""

    token: str
    folder: str
    moved_to: str = ""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The coordinator cannot do what was asked; `problems` are those of the job, if it is that."""

    text: str
    exit_code: int
    problems: tuple[str, ...] = ()


class Ended(msgspec.Struct, frozen=True, tag=True):
    """The coordinator is done."""

    summary: summary.Summary


_words = msgspec.msgpack.Decoder(Ready | Refused | Ended)


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `crawlfleet run` was asked for."""

    job: Path
    crawls: Path
    fresh: bool
    accept_changes: bool
    workers: int
    threads: int


def run(options: RunOptions, console: Console) -> int:
    """Run a job to its end; return the exit code. Raises `UsageError` for what the user has to change."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    served = CoordinatorOptions(
        job=options.job,
        crawls=options.crawls,
        fresh=options.fresh,
        accept_changes=options.accept_changes,
        log_to_console=False,
    )
    with Interrupts(console) as interrupts:
        coordinator = context.Process(target=coordinator_process, args=(served, theirs), name="coordinator")
        coordinator.start()
        theirs.close()
        ready = _await_ready(ours, coordinator)
        if ready.moved_to:
            console.print(f"the earlier run is now in {ready.moved_to}", highlight=False, soft_wrap=True)
        node = context.Process(target=node_process, args=(_node_options(options, ready),), name="node")
        node.start()
        interrupts.guard(node, coordinator)
        with open_progress(console) as progress:
            _watch(JoinToken.parse(ready.token), node, coordinator, progress)
        if node.exitcode == 0 and not interrupts.count:
            coordinator.join(FAREWELL_S)
        return _end(ours, Path(ready.folder), node, coordinator, console)


def coordinator_process(options: CoordinatorOptions, pipe: Connection) -> None:
    """Be the coordinator of a run; end with its exit code."""
    os.setpgid(0, 0)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()

    def tell(crawl: Crawl) -> None:
        moved_to = str(crawl.folder.moved_to or "")
        pipe.send_bytes(msgspec.msgpack.encode(Ready(crawl.token.encode(), str(crawl.folder.path), moved_to)))

    try:
        end = serve(options, tell)
        with suppress(BrokenPipeError):  # whoever started this has gone; the summary lies in the folder
            pipe.send_bytes(msgspec.msgpack.encode(Ended(end)))
        code = end.exit_code
    except CrawlfleetError as error:
        problems = error.problems if isinstance(error, JobError) else ()
        pipe.send_bytes(msgspec.msgpack.encode(Refused(str(error), error.exit_code, problems)))
        code = error.exit_code
    raise SystemExit(code)


def node_process(options: NodeOptions) -> None:
    """Be the node of a run; end with its exit code."""
    os.setpgid(0, 0)
    log.configure(options.worker.log_file, console=False)
    raise SystemExit(run_node(options))


class Interrupts:
    """What Ctrl-C and SIGTERM do to a run: the first one drains the node, the second ends both processes."""

    def __init__(self, console: Console) -> None:
        self._console = console
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

    def guard(self, node: BaseProcess, coordinator: BaseProcess) -> None:
        """Name the processes that are told."""
        self._node, self._all = node, (node, coordinator)
        if self.count:
            node.terminate()

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._node is None:
            return
        if self.count == 1:
            self._console.print("Finishing what is in flight; once more to stop at once.", highlight=False)
            self._node.terminate()
        else:
            for process in self._all:
                process.terminate()


def _end_with_parent() -> None:
    """End this process as SIGTERM would when the one that started it is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _await_ready(pipe: Connection, coordinator: BaseProcess) -> Ready:
    """Wait until the coordinator serves; raise what keeps it from it."""
    word = _hear(pipe)
    if isinstance(word, Ready):
        return word
    coordinator.join()
    raise CrawlfleetError(f"the coordinator ended before it served (exit code {coordinator.exitcode})")


def _hear(pipe: Connection) -> Ready | Ended | None:
    """Wait for the coordinator's next word, None if it died without one; raise what it refuses."""
    word: Ready | Refused | Ended
    try:
        word = _words.decode(pipe.recv_bytes())
    except EOFError:
        return None
    if not isinstance(word, Refused):
        return word
    if word.problems:
        raise JobError(word.problems)
    raise UsageError(word.text) if word.exit_code == UsageError.exit_code else CrawlfleetError(word.text)


def _node_options(options: RunOptions, ready: Ready) -> NodeOptions:
    worker = WorkerOptions(fetch_threads=options.threads, log_file=Path(ready.folder) / LOG, log_to_console=False)
    return NodeOptions(token=JoinToken.parse(ready.token), processes=options.workers, worker=worker)


def _watch(token: JoinToken, node: BaseProcess, coordinator: BaseProcess, progress: Progress) -> None:
    """Show how the crawl goes on, until one of its processes ends."""
    manager = FleetManager.joining(token)
    control = None
    while not connection.wait([node.sentinel, coordinator.sentinel], timeout=POLL_S):
        try:
            if control is None:
                manager.connect()
                control = manager.Control()
            progress.show(control.status())
        except Unreachable:
            pass
    manager.disconnect()


def _end(pipe: Connection, folder: Path, node: BaseProcess, coordinator: BaseProcess, console: Console) -> int:
    """See both processes off in order; show what the crawl came to; return the exit code."""
    if coordinator.exitcode is not None and coordinator.exitcode < 0:
        node.kill()  # its workers have nobody to report to, and end with it
    elif coordinator.exitcode is not None:
        node.join(FAREWELL_S)
    for process in (coordinator, node):
        _see_off(process)
    word = _hear(pipe)
    if not isinstance(word, Ended):
        raise CrawlfleetError(
            f"the coordinator ended unexpectedly (exit code {coordinator.exitcode}): see {folder / LOG}"
        )
    end = word.summary
    summary.show(end, console)
    return end.exit_code if end.exit_code != INTERRUPTED or not node.exitcode else max(node.exitcode, 1)


def _see_off(process: BaseProcess) -> None:
    """End a process: by SIGTERM, by another one, by SIGKILL."""
    for end in (process.terminate, process.terminate, process.kill):
        if process.is_alive():
            end()
            process.join(FAREWELL_S)
