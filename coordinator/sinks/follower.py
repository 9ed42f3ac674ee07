"""Follows the committed log into the sinks, in a thread of its own, so that a slow disk never holds the frontier up."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

import structlog

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Marks, ResultLog
from crawlfleet.coordinator.sinks.port import Sink
from crawlfleet.shared.errors import CrawlFailed

BATCH = 500
GATHER_S = 0.05


class Follower:
    """Each sink, by its name in the job, at its own cursor. `failure` is the error that ended it early, if one did."""

    def __init__(self, log: ResultLog, sinks: Mapping[str, Sink], marks: Marks) -> None:
        self._results = log
        self._sinks = sinks
        self._marks = marks
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sinks", daemon=True)
        self.failure: CrawlFailed | None = None

    def restore(self) -> None:
        """Bring back what sinks have lost; before `start`."""
        for name, sink in self._sinks.items():
            self._marks.set(name, sink.restore(self._log(), self._results.result_count()))

    def start(self) -> None:
        """Begin to follow."""
        self._wake.set()
        self._thread.start()

    def nudge(self) -> None:
        """Say that something may have been committed. Cheap; may be called from any thread."""
        self._wake.set()

    def is_at_end(self) -> bool:
        """Say whether everything that is committed is in every sink for good."""
        return all(sink.mark.results == self._results.result_count() for sink in self._sinks.values())

    def stop(self) -> None:
        """Write what is committed by now, close the sinks, end the thread."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        for sink in self._sinks.values():
            sink.close()
        self._marks.close()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._wake.wait()
                self._wake.clear()
                self.catch_up()
                self._stopping.wait(GATHER_S)
            self.catch_up()
        except CrawlFailed as error:
            self.failure = error
            structlog.get_logger().error("sink failed", detail=str(error))
        except Exception as error:  # noqa: BLE001  # the top of a thread: nobody may take its silence for the end
            self.failure = CrawlFailed(f"writing the items ended by a bug in crawlfleet: {error!r}")
            structlog.get_logger().error("sink failed", detail=str(self.failure), exc_info=error)

    def catch_up(self) -> None:
        """Write what has been committed to each sink, and its mark after it."""
        for name, sink in self._sinks.items():
            while results := self._results.results(sink.mark.results, BATCH):
                self._marks.set(name, sink.write(results))

    def _log(self) -> Iterator[Result]:
        cursor = 0
        while results := self._results.results(cursor, BATCH):
            yield from results
            cursor += len(results)
