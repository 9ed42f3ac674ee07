"""Writes the committed log to the sinks, in a thread of its own, so that a slow disk never delays the frontier."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence

import structlog

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Marks, ResultLog
from crawlfleet.coordinator.sinks.port import Sink
from crawlfleet.coordinator.sinks.rejected_sink import REJECTED, RejectedSink
from crawlfleet.shared.errors import CrawlFailed, CrawlLost

BATCH = 500
GATHER_S = 0.05


class Follower:
    """Writes to each sink, by its name in the job, from its own mark on. `failure` is the error that ended it early.

    What the sinks reject is written to `rejected`.
    """

    def __init__(
        self, log: ResultLog, sinks: Mapping[str, Sink], marks: Marks, rejected: RejectedSink | None = None
    ) -> None:
        self._results = log
        self._sinks = sinks
        self._rejected = rejected
        self._marks = marks
        # Sinks that are equally far read the log once: the place of the last batch, and the batch.
        self._batch: tuple[int, Sequence[Result]] = (-1, ())
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sinks", daemon=True)
        self.failure: CrawlFailed | None = None

    def restore(self) -> None:
        """Restore what sinks have lost. Call this before `start`."""
        for name, sink in self._all():
            self._marks.set(name, sink.restore(self._log(), self._results.result_count()))

    def start(self) -> None:
        """Start to follow the log."""
        self._wake.set()
        self._thread.start()

    def nudge(self) -> None:
        """Signal that something may have been committed. This is cheap; any thread may call it."""
        self._wake.set()

    def is_at_end(self) -> bool:
        """Say whether every sink has all committed results."""
        return all(sink.mark.results == self._results.result_count() for _, sink in self._all())

    @property
    def rows_rejected(self) -> int:
        """How many rows were rejected so far, by all sinks together."""
        return self._rejected.rows if self._rejected is not None else 0

    def stop(self) -> None:
        """Write what is committed so far, end the thread, close the sinks."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._end_rejected()
        for _, sink in self._all():
            try:
                sink.close()  # some write what they have gathered
            except CrawlFailed as error:
                self._fail(error)
        self._marks.close()

    def _end_rejected(self) -> None:
        if self._rejected is None or self.failure is not None:
            return
        try:
            self._marks.set(REJECTED, self._rejected.mark)
        except CrawlFailed as error:
            self._fail(error)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._wake.wait()
                self._wake.clear()
                self.catch_up()
                self._stopping.wait(GATHER_S)
            self.catch_up()
            for name, sink in self._all():
                sink.finish()
                if name != REJECTED:
                    self._marks.set(name, sink.mark)
        except CrawlFailed as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001  # the top of a thread: its end must not go unnoticed
            self.failure = CrawlFailed(f"writing the items ended by a bug in crawlfleet: {error!r}")
            structlog.get_logger().error("sink failed", detail=str(self.failure), exc_info=error)

    def _fail(self, error: CrawlFailed) -> None:
        """Keep the first failure: those after it mostly follow from it."""
        if not isinstance(error, CrawlLost):  # that is no fault of a sink
            structlog.get_logger().error("sink failed", detail=str(error))
        self.failure = self.failure or error

    def catch_up(self) -> None:
        """Write new committed results to each sink, and then its mark."""
        is_behind = True
        while is_behind:
            is_behind = False
            for name, sink in self._all():
                results = self._results_from(sink.mark.results)
                if results:
                    is_behind = True
                    before = sink.mark.size_bytes
                    mark = sink.write(results)
                    if name != REJECTED or mark.size_bytes != before:  # what it rejected is known from the log
                        self._marks.set(name, mark)
        self._batch = (-1, ())

    def _all(self) -> Iterator[tuple[str, Sink]]:
        yield from self._sinks.items()
        if self._rejected is not None:
            yield REJECTED, self._rejected

    def _results_from(self, cursor: int) -> Sequence[Result]:
        if self._batch[0] != cursor:
            self._batch = (cursor, self._results.results(cursor, BATCH))
        return self._batch[1]

    def _log(self) -> Iterator[Result]:
        cursor = 0
        while results := self._results.results(cursor, BATCH):
            yield from results
            cursor += len(results)
