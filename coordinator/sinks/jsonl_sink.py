"""JSON Lines: one row a line, UTF-8, fields in the order of their rule (https://jsonlines.org)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.results.rows import flat_rows
from crawlfleet.coordinator.sinks.line_file import LineFile
from crawlfleet.coordinator.sinks.marks import Mark

_encode = msgspec.json.Encoder().encode


def lines_of(result: Result) -> bytes:
    """Return the lines of one result."""
    return b"".join(_encode(row) + b"\n" for row in flat_rows(result))


class JsonlSink:
    """A file of rows."""

    def __init__(self, path: Path, mark: Mark | None, *, power: bool) -> None:
        self._file = LineFile(path, mark, power=power)

    @property
    def mark(self) -> Mark:
        return self._file.mark

    def restore(self, log: Iterator[Result], length: int) -> Mark:
        if self._file.is_to_restore or self.mark.results > length:
            return self._file.restore(map(lines_of, log))
        return self.mark

    def write(self, results: Sequence[Result]) -> Mark:
        return self._file.append(b"".join(map(lines_of, results)), len(results))

    def close(self) -> None:
        self._file.close()
