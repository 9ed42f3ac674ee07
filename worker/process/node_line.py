"""What the threads of a worker process tell its node."""

from __future__ import annotations

from multiprocessing.connection import Connection
from threading import Lock

from crawlfleet.shared.pipe import PipeMessage, send


class NodeLine:
    """The worker's end of the pipe, for any thread."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = Lock()

    def tell(self, message: PipeMessage) -> None:
        """Send a message; a node that has ended needs none."""
        with self._lock:
            send(self._pipe, message)
