"""The errors that say that nothing will come any more: the crawl is over, or the connection to it is closed."""

from __future__ import annotations

import queue


class JobFinished(queue.Empty):
    """Every task of the job is settled: a call that waits will get nothing any more."""


def closed() -> ValueError:
    """Return the error of whatever is used after its connection was closed."""
    return ValueError("this connection to the crawl is closed: connect() again")
