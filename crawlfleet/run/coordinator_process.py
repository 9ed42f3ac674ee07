"""The coordinator of `crawlfleet run`, as a process of its own."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

from crawlfleet.coordinator.app import Options, serve
from crawlfleet.coordinator.crawl import Crawl
from crawlfleet.run.messages import Ended, Ready, Refused, RunOptions, encode
from crawlfleet.shared.errors import CrawlfleetError, JobError


def be_coordinator(options: RunOptions, pipe: Connection) -> int:
    """Be the coordinator of a run; return its exit code."""
    threading.Thread(target=_end_with_parent, args=(pipe,), name="parent", daemon=True).start()
    served = Options(
        job=options.job,
        crawls=options.crawls,
        fresh=options.fresh,
        accept_changes=options.accept_changes,
        log_to_console=False,
    )

    def tell(crawl: Crawl) -> None:
        moved_to = str(crawl.folder.moved_to or "")
        pipe.send_bytes(encode(Ready(crawl.token.encode(), str(crawl.folder.path), moved_to, crawl.notices)))

    try:
        end = serve(served, tell)
        with suppress(BrokenPipeError):  # whoever started this has gone; the summary lies in the folder
            pipe.send_bytes(encode(Ended(encode(end))))
        return end.exit_code
    except CrawlfleetError as error:
        problems = error.problems if isinstance(error, JobError) else ()
        pipe.send_bytes(encode(Refused(str(error), error.exit_code, problems)))
        return error.exit_code


def _end_with_parent(pipe: Connection) -> None:
    """End this process as SIGTERM would when the one that started it is gone: it never says a word."""
    with suppress(EOFError, OSError):
        pipe.recv_bytes()
    os.kill(os.getpid(), signal.SIGTERM)
