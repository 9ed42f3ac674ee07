"""Servers of tests, each served by a thread of its own while a block runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from socketserver import BaseServer
from typing import TypeVar

Server = TypeVar("Server", bound=BaseServer)

_POLL_S = 0.02


@contextmanager
def served(server: Server, before_end: Callable[[], object] = lambda: None) -> Iterator[Server]:
    """Serve while the block runs, and close the server. What its requests wait for is let go by `before_end`."""
    with ExitStack() as ends:
        ends.enter_context(server)
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True)
        thread.start()
        ends.callback(thread.join)
        ends.callback(server.shutdown)
        ends.callback(before_end)
        yield server
