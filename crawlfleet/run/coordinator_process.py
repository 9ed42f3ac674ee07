"""The coordinator of `crawlfleet run`, as a separate process."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

import msgspec
from msgspec.structs import replace

from crawlfleet.coordinator.app import Options, serve
from crawlfleet.coordinator.crawl import Crawl
from crawlfleet.run.messages import Ended, Leaving, Refused, RunOptions, Serving
from crawlfleet.shared.errors import CrawlfleetError, JobError
from crawlfleet.shared.paths import shown
from crawlfleet.shared.pipe import send


def be_coordinator(options: RunOptions, pipe: Connection) -> int:
    """Run the coordinator of `crawlfleet run`; return its exit code."""
    threading.Thread(target=_end_with_parent, args=(pipe,), name="parent", daemon=True).start()
    served = replace(msgspec.convert(options, Options, from_attributes=True), log_to_console=False)

    def tell(crawl: Crawl) -> None:
        crawl.on_over = lambda: send(pipe, Leaving())
        token, folder = crawl.token.encode(), os.fsencode(crawl.folder.path)
        send(pipe, Serving(token=token, folder=folder, moved=crawl.folder.told, notices=crawl.notices))

    try:
        end = serve(served, tell)
        send(pipe, Ended(summary=msgspec.msgpack.encode(end)))  # also written to the folder, if nobody receives it
        return end.exit_code
    except CrawlfleetError as error:
        problems = tuple(map(shown, error.problems)) if isinstance(error, JobError) else ()
        send(pipe, Refused(text=shown(str(error)), exit_code=error.exit_code, problems=problems))
        return error.exit_code


def _end_with_parent(pipe: Connection) -> None:
    """End this process as by SIGTERM when the process that started it has ended. That process sends nothing."""
    with suppress(EOFError, OSError):
        pipe.recv_bytes()
    os.kill(os.getpid(), signal.SIGTERM)
