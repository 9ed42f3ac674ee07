"""A sink that is created when there is something to write: what has no row leaves no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.sinks.port import Sink


class LateSink:
    """A sink that may not be there yet. `is_wanted` says whether results have rows for it."""

    def __init__(
        self,
        path: Path,
        mark: Mark | None,
        create: Callable[[Mark | None], Sink],
        is_wanted: Callable[[Sequence[Result]], bool],
    ) -> None:
        self._mark = mark or Mark()
        self._create = create
        self._is_wanted = is_wanted
        self.sink: Sink | None = create(mark) if path.exists() or self._mark.size_bytes else None

    @property
    def mark(self) -> Mark:
        """How far it is."""
        return self._mark if self.sink is None else self.sink.mark

    def restore(self, log: Iterator[Result], length: int) -> Mark:
        """See the port."""
        if self.sink is not None:
            return self.sink.restore(log, length)
        self._mark = self._mark if self._mark.results <= length else Mark()
        return self._mark

    def write(self, results: Sequence[Result]) -> Mark:
        """See the port."""
        if self.sink is None and self._is_wanted(results):
            self.sink = self._create(self._mark)
        return self.skip(results) if self.sink is None else self.sink.write(results)

    def skip(self, results: Sequence[Result]) -> Mark:
        """Pass over results that have no row for a sink that is not there."""
        self._mark = msgspec.structs.replace(self._mark, results=self._mark.results + len(results))
        return self._mark

    def finish(self) -> None:
        """See the port."""
        if self.sink is not None:
            self.sink.finish()

    def close(self) -> None:
        """See the port."""
        if self.sink is not None:
            self.sink.close()
