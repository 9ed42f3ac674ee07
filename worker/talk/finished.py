"""The error that says that the crawl is over."""

from __future__ import annotations

import queue


class JobFinished(queue.Empty):
    """Every task of the job is settled: a call that waits will get nothing any more."""
