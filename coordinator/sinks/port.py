"""The port to a sink, and to a kind of sinks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Mark


class Sink(Protocol):
    """Takes results in the order of their commit, exactly once: it knows how far it is, and says so by its mark.

    One thread opens, restores and closes it, another writes, never both at once. It raises `CrawlFailed`, naming the
    place, when it cannot write.
    """

    @property
    def mark(self) -> Mark:
        """How far the sink is."""
        ...

    def restore(self, log: Iterator[Result], length: int) -> Mark:
        """Go back to what is there of the whole log, which has `length` results; return the mark to commit.

        After a power cut the log may be shorter than the sink, as well as the sink shorter than its mark.
        """
        ...

    def write(self, results: Sequence[Result]) -> Mark:
        """Take results; return the mark to commit, once they are handed to the operating system."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class SinkKind(Protocol):
    """How results are written to sinks of one kind, and read back. It is made with the columns of a job's rows."""

    def open(self, path: Path, mark: Mark | None, *, power: bool) -> Sink:
        """Open a sink at its mark (None: it never wrote); with `power` what it takes survives a power cut.

        Raise `UsageError` if the place holds what is not this crawl's, `CrawlFailed` if it cannot be written.
        """
        ...

    def rows_of(self, result: Result) -> list[bytes]:
        """Return the rows of a result as `read` gives them."""
        ...

    def read(self, path: Path, *, whole: bool) -> Iterator[bytes]:
        """Yield the rows of a sink that nobody writes; unless it is to be `whole`, without what a crash has torn."""
        ...


class LineKind(SinkKind, Protocol):
    """A kind of files: each has the head, then the lines of each result in the order of the log.

    A file without results is empty. `line_sink.Lines` makes a sink of a head and lines.
    """

    @property
    def head(self) -> bytes:
        """What precedes the lines of the first result."""
        ...

    def lines_of(self, result: Result) -> bytes:
        """Return the lines of one result, each with its end."""
        ...
