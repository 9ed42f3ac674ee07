"""A sink that is a file: a head, then the lines of each result. Its kind defines both.

A row that the kind rejects is left out of the file; another sink sets it aside: see `rejected_sink`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.results.rows import flat_rows
from crawlfleet.coordinator.sinks.line_file import LineFile
from crawlfleet.coordinator.sinks.port import LineKind, Rejected, RowRejected, Shape, Sink
from crawlfleet.coordinator.sinks.sorter import Sorter


class Lines(Sorter[bytes]):
    """Base of the kinds of files. A kind defines `line_of`, and `head` if its files have one."""

    head = b""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def line_of(self, row: dict[str, Any]) -> bytes:
        """Return the lines of one row, each with its end; raise `RowRejected` if this kind cannot write the row."""
        raise NotImplementedError

    def lines_of(self, result: Result) -> bytes:
        """Return the lines of one result, without the rows that are rejected."""
        try:
            lines = b"".join(map(self.line_of, flat_rows(result)))
        except Exception:  # noqa: BLE001  `sorted` finds the row
            return b"".join(self.taken(result))
        self.note_whole(result)
        return lines

    def open(self, path: Path, mark: Mark | None, *, power: bool) -> Sink:
        """Open a file at its mark."""
        return LineSink(self, LineFile(path, mark, power=power))

    def rows_of(self, result: Result) -> list[bytes]:
        """Return the lines of one result, one by one."""
        return list(io.BytesIO(self.lines_of(result)))

    def sorted(self, result: Result) -> Iterator[bytes | Rejected]:
        """Yield the lines of each row, or why it is rejected. Any error of a kind rejects its row, not the crawl."""
        for place, row in enumerate(flat_rows(result)):
            try:
                yield self.line_of(row)
            except RowRejected as rejected:
                yield Rejected(place, row, str(rejected))
            except Exception as error:  # noqa: BLE001  one row must not end the crawl, and its reason is kept
                yield Rejected(place, row, f"{type(error).__name__}: {error}")

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink(missing_ok=True)

    def read(self, path: Path, *, whole: bool) -> Iterator[bytes]:
        """Yield the lines of a file below its head, none without a file. Unless `whole`, skip a torn last line."""
        try:
            with path.open("rb") as file:
                if file.read(len(self.head)) != self.head:
                    file.seek(0)
                yield from (line for line in file if whole or line.endswith(b"\n"))
        except FileNotFoundError:
            return


class LineSink:
    """A file of results. `mark` says how much of it is final."""

    def __init__(self, kind: LineKind, file: LineFile) -> None:
        self._kind = kind
        self._file = file

    @property
    def mark(self) -> Mark:
        return self._file.mark

    def restore(self, log: Iterator[Result], length: int) -> Mark:
        if self._file.is_to_restore or self.mark.results > length:
            return self._file.restore(self._blocks(log, self._kind.head))
        return self.mark

    def write(self, results: Sequence[Result]) -> Mark:
        self._kind.remember()
        head = b"" if self.mark.size_bytes else self._kind.head
        return self._file.append(b"".join(self._blocks(results, head)), len(results))

    def finish(self) -> None:
        """Write the head of a file that has got no row."""
        if not self.mark.size_bytes:
            self._file.append(self._kind.head, 0)

    def close(self) -> None:
        self._file.close()

    def _blocks(self, results: Iterable[Result], head: bytes) -> Iterator[bytes]:
        """Yield the bytes of each result in the file; the head belongs to the first."""
        for result in results:
            yield head + self._kind.lines_of(result)
            head = b""
