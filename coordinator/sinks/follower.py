"""Follows the committed log into the sinks, in a thread of its own, so that a slow disk never holds the frontier up."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import structlog

from coordinator.frontier.port import Store
from coordinator.results.rows import flat_rows
from coordinator.sinks.port import Sink
from shared.errors import CrawlFailed

BATCH = 500


class Follower:
    """One cursor over all sinks of a job. `failure` is the error that ended it early, if one did."""

    def __init__(self, store: Store, sinks: Sequence[Sink]) -> None:
        self._store = store
        self._sinks = sinks
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="sinks", daemon=True)
        self.cursor = 0
        self.failure: CrawlFailed | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def nudge(self) -> None:
        """Say that something may have been committed. Cheap; may be called from any thread."""
        self._wake.set()

    def is_at_end(self) -> bool:
        """Say whether everything that is committed was handed to every sink."""
        return self.cursor == self._store.result_count()

    def stop(self) -> None:
        """Write what is committed by now, close the sinks, end the thread."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._wake.wait()
                self._wake.clear()
                self._catch_up()
            self._catch_up()
            for sink in self._sinks:
                sink.close()
        except CrawlFailed as error:
            self.failure = error
            structlog.get_logger().error("sink failed", detail=str(error))

    def _catch_up(self) -> None:
        while results := self._store.results(self.cursor, BATCH):
            rows = [row for result in results for row in flat_rows(result)]
            for sink in self._sinks:
                sink.write(rows)
                sink.flush()
            self.cursor += len(results)
