"""The port to a sink, and to a kind of sinks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.results.columns import Layout
from crawlfleet.shared.errors import CrawlFailed

ESCAPE, KEEP = "escape", "keep"


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a sink is to hold: a job's tables, or the `table` of this name; and the options that the job gives it.

    `formulas` says what becomes of texts that a spreadsheet would take for a formula: `escape` or `keep`. With
    `rotate` the output is a folder of files of at least so many rows each (0: one file).
    A kind that
    writes to a service gets its `address` and the name of the `crawl`; `schema_name` and `prefix` say where in a
    database its tables are, `headers` are pairs of name and value. `writer` is how the owners of a crawl in a database
    name themselves to a service, each like the one before: it may end what that one has left open.
    """

    layout: Layout
    table: str = ""
    formulas: str = ESCAPE
    rotate: int = 0
    crawl: str = ""
    address: str = ""
    schema_name: str = "public"
    prefix: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    writer: str = ""


class RowRejected(Exception):
    """A kind of sinks cannot write this row, and never will. The text says why, in a sentence."""


class SinkUnreachable(CrawlFailed):
    """The service that a sink writes to does not answer. The text is a sentence, which names its address."""


class Rejected(NamedTuple):
    """A row that a kind of sinks rejects: its place in its result, the row as sinks get it, and why."""

    place: int
    row: dict[str, Any]
    reason: str


class Sink(Protocol):
    """Takes results in the order of commit, exactly once. Its mark says how many it has.

    One thread opens, restores and closes it, another writes, never both at once. It raises `CrawlFailed`, which names
    the place, when it cannot write.
    """

    @property
    def mark(self) -> Mark:
        """How far the sink is."""

    def restore(self, log: Iterator[Result], length: int) -> Mark:
        """Restore the sink from the log, which has `length` results; return the mark to commit.

        After a power cut the log may be shorter than the sink, and the sink may be shorter than its mark.
        """

    def write(self, results: Sequence[Result]) -> Mark:
        """Write results; return the mark to commit once the operating system has them."""

    def finish(self) -> None:
        """Make whole what has been written so far. It is called by the thread that writes, before an orderly end."""

    def close(self) -> None:
        """Close the sink."""


class SinkKind(Protocol):
    """Writes results to sinks of one kind, and reads them back. It is created with a `Shape`."""

    def open(self, path: Path, mark: Mark | None, *, power: bool) -> Sink:
        """Open a sink at its mark (None: it never wrote). With `power` written results survive a power cut.

        Raises `UsageError` if the place holds anything that is not this crawl's, `CrawlFailed` if it cannot be written.
        """

    def rows_of(self, result: Result) -> list[bytes]:
        """Return the rows of a result as `read` yields them, without those that are rejected."""

    def rejects_of(self, result: Result) -> list[Rejected]:
        """Return the rows of a result that sinks of this kind leave out. The same result gives the same rows."""

    def remove(self, path: Path) -> None:
        """Remove what a sink of this kind has written, as its columns have changed: the log has all of it."""

    def read(self, path: Path, *, whole: bool) -> Iterator[bytes]:
        """Yield the rows of a sink that nobody is writing. Unless it must be `whole`, skip a row torn by a crash."""


class ServiceKind(SinkKind, Protocol):
    """A kind that writes to a service, at the `address` of its `Shape`: paths say nothing to it."""

    def open_for_export(self, *, overwrite: bool) -> Sink:
        """Open a sink for all rows of a crawl, whole once `finish` has returned. Unless it may `overwrite` what is
        there, raise `UsageError`."""


class LineKind(SinkKind, Protocol):
    """A kind of files. Each holds the head, then the lines of each result in the order of the log.

    A file without results is empty. `line_sink.Lines` implements a kind from a head and lines.
    """

    @property
    def head(self) -> bytes:
        """What precedes the lines of the first result."""

    def lines_of(self, result: Result) -> bytes:
        """Return the lines of one result, each with its end."""

    def remember(self) -> None:
        """Called before a write: `rejects_of` is asked about the same results next."""
