"""The tables of the kinds of sinks, of files by their endings, of services by the schemes of their addresses.

A kind is loaded only when a job asks for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.registry import Entry, table

if TYPE_CHECKING:
    from crawlfleet.coordinator.sinks.port import Shape, SinkKind


class SinkEntry(Entry, frozen=True, kw_only=True):
    """A kind of sinks. Its name is the ending of their files, or the scheme of its addresses; its place is a function
    of a `Shape`.

    It is a `LineKind` unless it is `transactional`: then a sink takes results whole or not at all, and stores how many
    it has with them. `reads_back` says whether `verify` can read the rows back, `has_columns` whether its sinks depend
    on the columns of the job's tables, `per_table` whether each table gets a sink of its own, `options` which keys of
    `Shape` a job may set, `longest_name_bytes` how long a name of a table or column may be (0: any). A file of lines
    that `is_compressed` consists of members, one for each write. What a sink has beside its file has the file's name
    with one of the ends of `beside`.
    """

    kind = "sink"

    transactional: bool = False
    reads_back: bool = True
    has_columns: bool = False
    per_table: bool = False
    options: tuple[str, ...] = ()
    is_compressed: bool = False
    longest_name_bytes: int = 0
    beside: tuple[str, ...] = ()

    def made_for(self, shape: Shape) -> SinkKind:
        """Load the kind, for what its sinks are to hold."""
        made: SinkKind = self.load()(shape)
        return made


ROOM = "crawlfleet.coordinator.sinks."
# The kinds of files of lines, each also compressed: the ending of the name, and its module and attribute.
_JSON = SinkEntry(name=".jsonl", place=f"{ROOM}jsonl_sink:JsonLines", package="msgspec")
_OF_TABLES = SinkEntry(name="", place="", has_columns=True, per_table=True, options=("formulas",))
_COMMAS = replace(_OF_TABLES, name=".csv", place=f"{ROOM}csv_sink:CommaLines")
_TABS = replace(_OF_TABLES, name=".tsv", place=f"{ROOM}csv_sink:TabLines")
_LINES = {"json_lines": _JSON, "comma_lines": _COMMAS, "tab_lines": _TABS}
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

SINKS = table(
    *_LINES.values(),
    *(
        replace(entry, name=f"{entry.name}.gz", place=f"{ROOM}gzip_sink:{made}", package="", is_compressed=True)
        for made, entry in _LINES.items()
    ),
    *(
        replace(
            entry,
            name=f"{entry.name}.zst",
            place=f"{ROOM}zstd_sink:{made}",
            package="zstandard",
            extra="zstd",
            is_compressed=True,
        )
        for made, entry in _LINES.items()
    ),
    SinkEntry(
        name=".parquet",
        place=f"{ROOM}parquet_sink:ParquetFiles",
        package="pyarrow",
        extra="parquet",
        has_columns=True,
        per_table=True,
        transactional=True,
        options=("rotate",),
        beside=(".parts",),
    ),
    SinkEntry(
        name=".sqlite",
        place=f"{ROOM}sqlite_sink:SqliteFiles",
        has_columns=True,
        transactional=True,
        beside=("-journal", "-wal", "-shm"),
    ),
    SinkEntry(
        name=".duckdb",
        place=f"{ROOM}duckdb_sink:DuckdbFiles",
        package="duckdb",
        extra="duckdb",
        has_columns=True,
        transactional=True,
        beside=(".wal",),
    ),
)

SERVICES = table(
    SinkEntry(
        name="postgresql",
        place="crawlfleet.coordinator.sinks.postgresql_sink:PostgresqlTables",
        package="psycopg",
        extra="postgresql",
        has_columns=True,
        transactional=True,
        options=("schema_name", "prefix"),
        longest_name_bytes=63,
    ),
    SinkEntry(
        name="https",
        place="crawlfleet.coordinator.sinks.webhook_sink:Webhook",
        package="requests",
        transactional=True,
        reads_back=False,
        options=("headers",),
    ),
)
# What puts files of any kind at an address that is no service's.
OBJECTS = SinkEntry(name="of files", place=f"{ROOM}object_sink:ObjectSink", package="fsspec", extra="objects")
# Other names of schemes.
ALIASES = {"postgres": "postgresql", "http": "https"}


def service_for(address: str) -> SinkEntry | None:
    """Return the entry of the service at an address; None if its scheme is no service's."""
    scheme = scheme_of(address)
    return SERVICES.get(ALIASES.get(scheme, scheme))


def no_service(address: str) -> str:
    """Return the sentence about an address of no known scheme."""
    some = ", ".join((*SERVICES, *ALIASES))
    return f"no sink writes to {scheme_of(address)}://: there are {some}, and for files s3 and those of fsspec"


def scheme_of(name: str) -> str:
    """Return the scheme of an address, in lower case; empty if it is none, but the name of a file."""
    found = _ADDRESS.match(name)
    return found[1].lower() if found else ""


def entry_for(name: str) -> SinkEntry:
    """Return the entry that a file's ending asks for, the longest that fits; raise `UsageError` if there is none."""
    fitting = [entry for entry in SINKS.values() if name.endswith(entry.name)]
    if not fitting:
        raise UsageError(f"no sink writes {name}: the endings that exist are {', '.join(SINKS)}")
    return max(fitting, key=lambda entry: len(entry.name))
