"""The table of the kinds of sinks, by the endings of their files. A kind is loaded only when a job asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.registry import Entry, table

if TYPE_CHECKING:
    from crawlfleet.coordinator.sinks.port import Shape, SinkKind


class SinkEntry(Entry, frozen=True, kw_only=True):
    """A kind of sinks. Its name is the ending of their files; its place is a function of a `Shape`.

    It is a `LineKind` unless it is `transactional`: then a sink takes results whole or not at all, and stores how many
    it has with them. `reads_back` says whether `verify` can read the rows back, `has_columns` whether its sinks depend
    on the columns of the job's tables, `per_table` whether each table gets a sink of its own, `options` which keys of
    `Shape` a job may set.
    """

    kind = "sink"

    transactional: bool = False
    reads_back: bool = True
    has_columns: bool = False
    per_table: bool = False
    options: tuple[str, ...] = ()

    def made_for(self, shape: Shape) -> SinkKind:
        """Load the kind, for what its sinks are to hold."""
        made: SinkKind = self.load()(shape)
        return made


SINKS = table(
    SinkEntry(name=".jsonl", place="crawlfleet.coordinator.sinks.jsonl_sink:JsonLines", package="msgspec"),
    SinkEntry(
        name=".csv",
        place="crawlfleet.coordinator.sinks.csv_sink:CommaLines",
        has_columns=True,
        per_table=True,
        options=("formulas",),
    ),
    SinkEntry(
        name=".tsv",
        place="crawlfleet.coordinator.sinks.csv_sink:TabLines",
        has_columns=True,
        per_table=True,
        options=("formulas",),
    ),
    SinkEntry(
        name=".parquet",
        place="crawlfleet.coordinator.sinks.parquet_sink:ParquetFiles",
        package="pyarrow",
        extra="parquet",
        has_columns=True,
        per_table=True,
        transactional=True,
        options=("rotate",),
    ),
    SinkEntry(
        name=".sqlite",
        place="crawlfleet.coordinator.sinks.sqlite_sink:SqliteFiles",
        has_columns=True,
        transactional=True,
    ),
    SinkEntry(
        name=".duckdb",
        place="crawlfleet.coordinator.sinks.duckdb_sink:DuckdbFiles",
        package="duckdb",
        extra="duckdb",
        has_columns=True,
        transactional=True,
    ),
)


def entry_for(name: str) -> SinkEntry:
    """Return the entry that a file's ending asks for, the longest that fits; raise `UsageError` if there is none."""
    fitting = [entry for entry in SINKS.values() if name.endswith(entry.name)]
    if not fitting:
        raise UsageError(f"no sink writes {name}: the endings that exist are {', '.join(SINKS)}")
    return max(fitting, key=lambda entry: len(entry.name))
