"""The node of `crawlfleet run`, as a separate process. It starts beside the coordinator and waits for its token."""

from __future__ import annotations

import os
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from crawlfleet.coordinator.crawl_folder import LOG
from crawlfleet.run.messages import FROM_COORDINATOR, RunOptions, Said, Serving
from crawlfleet.shared import log
from crawlfleet.shared.paths import shown
from crawlfleet.shared.pipe import receive, send
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.worker.app import WorkerOptions
from crawlfleet.worker.node import NodeOptions, run_node


def be_node(options: RunOptions, pipe: Connection) -> int:
    """Run the node of `crawlfleet run`; return its exit code, which is 0 if the coordinator never serves."""
    serving = receive(pipe, FROM_COORDINATOR)
    if serving is None:
        return 0
    assert isinstance(serving, Serving)
    log_file = Path(os.fsdecode(serving.folder)) / LOG
    log.configure(log_file, console=False)
    worker = WorkerOptions(fetches=options.threads, log_file=log_file, log_to_console=False)
    node = NodeOptions(token=JoinToken.parse(serving.token), processes=options.workers, worker=worker)
    if options.is_embedded:

        def complain(text: str) -> None:
            send(pipe, Said(text=shown(text)))

        return run_node(replace(node, complain=complain))
    pipe.close()
    return run_node(node)
