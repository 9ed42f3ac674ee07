"""The process that fetches and reads one page. It ends when the one that started it does.

It is started before its job is known, and imports meanwhile what it needs: that takes as long as all else.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NoReturn

from crawlfleet.shared import descriptors
from crawlfleet.shared.errors import CrawlfleetError
from crawlfleet.shared.lean import load_structlog
from crawlfleet.shared.pipe import receive
from crawlfleet.trial.messages import TO_TRIAL, Place, Refused, Try
from crawlfleet.worker.process.current_pages import CurrentPages
from crawlfleet.worker.process.node_line import NodeLine

ORPHANED = 1


def be_trial(pipe: Connection, inherited: Connection, pages: CurrentPages) -> NoReturn:
    """Wait for a page to try, try it, and end this process, which was forked with SIGINT and SIGTERM blocked."""
    inherited.close()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGTERM])
    load_structlog()
    from crawlfleet.shared import log
    from crawlfleet.trial.trial import try_page
    from crawlfleet.worker.process import memory
    from crawlfleet.worker.process.printing import print_to_stderr
    from crawlfleet.worker.watch import line_in_hook

    print_to_stderr(over_progress=False)
    log.configure(console=False)
    memory.limit_memory(memory.share_of(1))
    descriptors.raise_limit()
    line = NodeLine(pipe)
    order = receive(pipe, TO_TRIAL)
    if not isinstance(order, Try):
        os._exit(ORPHANED)
    hook, main_thread = order.errand.brief.hook, threading.get_ident()
    _answer_questions(pipe, line, lambda: line_in_hook(hook.path, main_thread) if hook is not None else 0)
    try:
        try_page(order, pages.of(0), line.tell)
    except CrawlfleetError as error:
        line.tell(Refused(text=str(error), exit_code=error.exit_code))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _answer_questions(pipe: Connection, line: NodeLine, hook_line: Callable[[], int]) -> None:
    """Let a thread say where this process is, whenever it is asked, and end it if nobody is left to ask."""

    def answer() -> None:
        while receive(pipe, TO_TRIAL) is not None:
            line.tell(Place(line=hook_line()))
        os._exit(ORPHANED)

    threading.Thread(target=answer, name="questions", daemon=True).start()
