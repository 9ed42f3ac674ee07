"""`crawlfleet run`: a coordinator and a node on this machine, as separate processes, and their output for the user.

Ctrl-C: the node drains (what is in flight is reported), then the coordinator stops. A second one ends both at once,
but for outputs, which are written to their ends, and a third one kills them.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import msgspec

from crawlfleet.run.messages import RunOptions, Serving
from crawlfleet.run.processes import FAREWELL_S, CrawlProcesses, import_shared
from crawlfleet.shared.exits import INTERRUPTED

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from crawlfleet.coordinator.summary import Summary
    from crawlfleet.screen.console import Console

WRITING = "The crawl is over, and its outputs are being written to their ends."
NO_WORKERS = "The workers ended with an error: mend what is said of it above, or in the log."


def run(options: RunOptions) -> int:
    """Run a job to its end; return the exit code. Raise `UsageError` if the user has to change something."""
    import_shared()
    with Interrupts() as interrupts:
        processes = CrawlProcesses(options)
        serving = processes.await_serving()
        # While the two processes start.
        from crawlfleet.screen.console import Console
        from crawlfleet.screen.tables import show_end

        console = Console(quiet=options.quiet or options.json)
        for remark in options.remarks:
            console.say(remark)
        end, code = _see_through(serving, processes, interrupts, console)
        show_end(end, console, as_json=options.json)
        return code


def _see_through(
    serving: Serving, processes: CrawlProcesses, interrupts: Interrupts, console: Console
) -> tuple[Summary, int]:
    """Show the progress of a run; return how it ended, and the exit code."""
    from crawlfleet.screen.progress import open_progress

    for notice in filter(None, (serving.moved, *serving.notices)):
        console.say(notice)
    node, coordinator = processes.node, processes.coordinator
    interrupts.guard(console, node, coordinator)
    with open_progress(console) as show:
        processes.watch(serving.token, show)
    if node.exitcode == 0 and not interrupts.count:
        coordinator.join(FAREWELL_S)
    end, code = processes.end(Path(os.fsdecode(serving.folder)), lambda: console.say(WRITING))
    if end.ended == "interrupted" and node.exitcode and not interrupts.count:
        end = msgspec.structs.replace(end, detail=NO_WORKERS)
    # A node that is stopped at once ends by the signal.
    return end, INTERRUPTED if code and interrupts.count else code


class Interrupts:
    """Handles Ctrl-C and SIGTERM: the first drains the node, the second ends both processes, the third kills them."""

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
        for process in self._all if self.count > 1 else ():
            if self.count == 2:
                process.terminate()
            else:
                process.kill()
