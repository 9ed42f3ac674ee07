"""Copies of crawls from and to a schema of PostgreSQL.

A draft is a schema with a name that no crawl has, until it is renamed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import cache

import msgspec

from crawlfleet.coordinator.core.kinds import KINDS
from crawlfleet.coordinator.core.rows import NOT_REACHED, HostRow, StoreRow, TaskRow
from crawlfleet.coordinator.frontier.copying import MOVED, CopySource, Numbers, StoredBlock
from crawlfleet.coordinator.frontier.crawl_address import SCHEMA_PREFIX
from crawlfleet.coordinator.frontier.crawl_clock import LONGEST_GAP_S
from crawlfleet.coordinator.frontier.durable.batch import Batch, NewRows, kept_key
from crawlfleet.coordinator.frontier.durable.database import LOWEST_RANK
from crawlfleet.coordinator.frontier.postgresql.arrays import float8, float8_in, int4_in, int8, int8_in
from crawlfleet.coordinator.frontier.postgresql.connection import (
    Place,
    connect,
    facts_of,
    mapped_errors,
    refuse_pooled,
    refuse_unfit,
)
from crawlfleet.coordinator.frontier.postgresql.ownership import Claim, own
from crawlfleet.coordinator.frontier.postgresql.portions import READ_BYTES, ROWS_AT_ONCE, first_of, portion
from crawlfleet.coordinator.frontier.postgresql.reader import PostgresqlReader, known_time
from crawlfleet.coordinator.frontier.postgresql.reading import TASK_ROW, Reads
from crawlfleet.coordinator.frontier.postgresql.results import RESULTS
from crawlfleet.coordinator.frontier.postgresql.schema import (
    LARGEST_DEPTH,
    bring_up_to_date,
    drop_schema,
    format_of,
    is_among_residents,
    refuse_other_format,
)
from crawlfleet.coordinator.frontier.postgresql.schemas import PostgresqlSchemas
from crawlfleet.coordinator.frontier.postgresql.statements import Call, Rows, Session, Statement, statement
from crawlfleet.coordinator.frontier.postgresql.writing import call_of_block, calls_of

#: As long as that of crawls, so that no name gets too long.
DRAFT_PREFIX = "draft_"
_LAST = 2**63 - 1
_QUEUED = 500

_NUMBERS = statement(
    "numbers",
    f"""SELECT epoch, greatest(commits, (SELECT coalesce(max(seq), 0) FROM story)),
    crawl_s + least(greatest(extract(epoch FROM clock_timestamp() - committed_at)::float8, 0), {LONGEST_GAP_S})
    FROM ledger""",
)
_ROWS = statement(
    "rows",
    "SELECT "
    + " + ".join(
        f"coalesce((SELECT max({place}) FROM {table}), 0)"
        for table, place in (("tasks", "id"), ("results", "seq"), ("links", "seq"))
    )
    + " + (SELECT count(*) FROM story)",
)
_TASKS = statement(
    "copied_tasks",
    f"SELECT t.id, t.ref, t.depth, {TASK_ROW} FROM tasks t WHERE id > $1::int8 ORDER BY id LIMIT $2::int8",
)
_RESIDENTS = statement(
    "copied_residents",
    """SELECT kind, key, row FROM (
        SELECT kind, key, row, sum(octet_length(row)) OVER (ORDER BY kind, key) - octet_length(row) AS before
        FROM (SELECT * FROM residents WHERE kind = convert_from($1::bytea, 'UTF8') AND key >= $2::bytea
            ORDER BY kind, key LIMIT $3::int8) t
    ) u WHERE before < $4::int8 ORDER BY key""",
)
_META = statement("copied_meta", "SELECT convert_to(key, 'UTF8'), value FROM meta ORDER BY key")
_MARKS = statement("copied_marks", "SELECT convert_to(sink, 'UTF8'), mark FROM marks ORDER BY sink")
_STORY, _LINKS = portion("story", "seq", "at", row="lines"), portion("links", "seq", "task")
_KEEP_MARK = statement(
    "copy_mark", "INSERT INTO marks (sink, mark) VALUES (convert_from($1::bytea, 'UTF8'), $2::bytea)"
)
_FINISH = statement(
    "finish",
    """UPDATE ledger SET epoch = $1::int8, commits = $2::int8, crawl_s = $3::float8, owner = '',
    committed_at = clock_timestamp(), heartbeat_at = clock_timestamp()""",
)
_RETIRE = statement(
    "retire",
    """INSERT INTO meta (key, value) VALUES (convert_from($1::bytea, 'UTF8'), $2::bytea)
    ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value RETURNING true""",
)


@cache
def _keyed(table: str, *columns: str) -> Statement:
    """Return the statement that reads a portion of a table of rows by key: from a key on, so many rows and bytes."""
    names = ", ".join(("key", *columns, "row"))
    text = f"""
    SELECT {names} FROM (
        SELECT {names}, sum(octet_length(row)) OVER (ORDER BY key) - octet_length(row) AS before
        FROM (SELECT * FROM {table} WHERE key >= $1::bytea ORDER BY key LIMIT $2::int8) t
    ) u WHERE before < $3::int8 ORDER BY key"""
    return statement(f"copied_{table}", text)


def _queued(table: str, place: str, kind: str) -> Statement:
    text = f"""
    SELECT queue, {place}, id FROM {table} WHERE (queue, {place}, id) > ($1::bytea, $2::{kind}, $3::int8)
    ORDER BY queue, {place}, id LIMIT $4::int8"""
    return statement(f"copied_{table}", text)


_READY, _LATER = _queued("ready", "rank", "int8"), _queued("later", "not_before", "float8")


class PostgresqlSource:
    """The crawl in a schema, which this process owns."""

    def __init__(self, place: Place) -> None:
        self._place = place
        db = connect(place)
        try:
            with mapped_errors(place, db):
                refuse_other_format(format_of(db, place), place)
            own(Claim(db, place), place, None)
            with mapped_errors(place, db):
                there = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (place.schema,)).fetchall()
            self.session = Session(db, place)
        except BaseException:
            db.close()
            raise
        # A kind of rows that is younger than the crawl has no table before the crawl is opened again.
        self._tables = {name for (name,) in there}
        self._reads = Reads(self.session)

    def rows(self) -> int:
        """See the port."""
        return int8_in(self.session.values(Call(_ROWS))[0])

    def batches(self) -> Iterator[Batch]:
        """See the port."""
        after = 0
        while tasks := self.session.fetch(Call(_TASKS, (int8(after), int8(ROWS_AT_ONCE)))):
            yield Batch(number=0, at=0.0, born=[_born(*task) for task in tasks])
            after = int8_in(tasks[-1][0])
        for kind, table in KINDS.items():
            if kind is not TaskRow and (is_among_residents(kind) or table in self._tables):
                yield from self._kind(kind, table)
        yield from self._ready()
        yield from self._later()
        for some in self._log(RESULTS):
            results = [(int8_in(seq), int8_in(task), row) for seq, task, row in some]
            yield Batch(number=0, at=0.0, results=results)
        for some in self._log(_LINKS):
            yield Batch(number=0, at=0.0, links=[(int8_in(task), row) for _, task, row in some])
        for key, value in self.session.fetch(Call(_META)):
            yield Batch(number=0, at=0.0, meta=[(key.decode(), value)])

    def blocks(self) -> Iterator[list[StoredBlock]]:
        """See the port."""
        for some in self._log(_STORY):
            yield [StoredBlock(int8_in(seq), known_time(float8_in(at)), lines) for seq, at, lines in some]

    def marks(self) -> list[tuple[str, bytes]]:
        """See the port."""
        return [(sink.decode(), mark) for sink, mark in self.session.fetch(Call(_MARKS))]

    def numbers(self) -> Numbers:
        """See the port. The connection is the hold."""
        ((epoch, commits, crawl_s),) = self.session.fetch(Call(_NUMBERS))
        return Numbers(int8_in(epoch), int8_in(commits), float8_in(crawl_s))

    def close(self) -> None:
        """See the port."""
        self.session.close()

    def _log(self, taken: Statement) -> Iterator[Rows]:
        after = 0
        while rows := first_of(self.session, taken, after, _LAST):
            yield rows
            after = int8_in(rows[-1][0])

    def _kind(self, kind: type[StoreRow], table: str) -> Iterator[Batch]:
        """Yield the rows of one kind, under the keys that they have themselves: a long one is stored as a hash."""
        decode = msgspec.msgpack.Decoder(kind).decode
        for found in self._portions_of(kind, table):
            keys = [decode(row).key for *_, row in found]
            if kind is HostRow:
                values = [(key, active == b"\1", row) for key, (_, active, row) in zip(keys, found, strict=True)]
                yield Batch(number=0, at=0.0, rows={kind: NewRows([*values], [])})
            else:
                rows = [(key, row) for key, (*_, row) in zip(keys, found, strict=True)]
                yield Batch(number=0, at=0.0, rows={kind: NewRows([*rows], [])})

    def _portions_of(self, kind: type[StoreRow], table: str) -> Iterator[Rows]:
        columns = ("active",) if kind is HostRow else ()
        some = (int8(ROWS_AT_ONCE), int8(READ_BYTES))
        after = b""
        while True:
            if is_among_residents(kind):
                found = [rest for _, *rest in self.session.fetch(Call(_RESIDENTS, (table.encode(), after, *some)))]
                rows = [(*each,) for each in found]
            else:
                rows = self.session.fetch(Call(_keyed(table, *columns), (after, *some)))
            if not rows:
                return
            yield rows
            after = rows[-1][0] + b"\0"  # the next key that there may be

    def _ready(self) -> Iterator[Batch]:
        after = (b"", int8(LOWEST_RANK), int8(0))
        while found := self.session.fetch(Call(_READY, (*after, int8(_QUEUED)))):
            ready = [(self._reads.name_of(queue), int8_in(rank), int8_in(order)) for queue, rank, order in found]
            yield Batch(number=0, at=0.0, ready=ready)
            after = (found[-1][0], found[-1][1], found[-1][2])

    def _later(self) -> Iterator[Batch]:
        after = (b"", float8(-math.inf), int8(0))
        while found := self.session.fetch(Call(_LATER, (*after, int8(_QUEUED)))):
            later = [(self._reads.name_of(queue), float8_in(at), int8_in(order)) for queue, at, order in found]
            yield Batch(number=0, at=0.0, later=later)
            after = (found[-1][0], found[-1][1], found[-1][2])


class PostgresqlTarget:
    """A draft in a schema, which this process owns."""

    def __init__(self, place: Place) -> None:
        with ExitStack() as opened:
            db, other = (opened.enter_context(closing(connect(place))) for _ in range(2))
            with mapped_errors(place, db):
                refuse_unfit(facts_of(db), place)
                refuse_pooled(db, other, place)
            other.close()
            own(Claim(db, place), place, None)
            drop_schema(db, place)
            bring_up_to_date(db, place)
            opened.pop_all()
        self._session = Session(db, place)
        self._links = 0

    def write(self, batch: Batch) -> None:
        """See the port. Nobody has opened the draft: its epoch is 0."""
        self._session.fetch_each(*calls_of(batch, 0, 0.0, self._links))
        self._links += len(batch.links)

    def write_blocks(self, blocks: list[StoredBlock]) -> None:
        """See the port. A time that is not known is no number."""
        calls = [call_of_block(seq, math.nan if at is None else at, lines) for seq, at, lines in blocks]
        self._session.fetch_each(*calls)

    def finish(self, numbers: Numbers, marks: list[tuple[str, bytes]]) -> None:
        """See the port."""
        kept = [Call(_KEEP_MARK, (sink.encode(), mark)) for sink, mark in marks]
        own_numbers = (int8(numbers.epoch), int8(numbers.commits), float8(numbers.crawl_s))
        self._session.fetch_each(*kept, Call(_FINISH, own_numbers))

    def close(self) -> None:
        """See the port."""
        self._session.close()


class PostgresqlCopying:
    """The port for a schema of the database at an address."""

    def __init__(self, address: str, schema: str) -> None:
        self._address = address
        self._place = Place(address, schema)
        self._draft = Place(address, DRAFT_PREFIX + schema.removeprefix(SCHEMA_PREFIX))

    def source(self) -> PostgresqlSource:
        """See the port."""
        return PostgresqlSource(self._place)

    def target(self) -> PostgresqlTarget:
        """See the port."""
        return PostgresqlTarget(self._draft)

    def drafted(self) -> PostgresqlSource:
        """See the port."""
        return PostgresqlSource(self._draft)

    def read_draft(self) -> PostgresqlReader:
        """See the port."""
        return PostgresqlReader(self._draft)

    def publish(self) -> None:
        """See the port."""
        PostgresqlSchemas(self._address).rename(self._draft.schema, self._place.schema)

    def remove(self) -> None:
        """See the port."""
        with closing(connect(self._place)) as db:
            own(Claim(db, self._place), self._place, None)
            drop_schema(db, self._place)

    def retire(self, source: CopySource, to: str) -> str:
        """See the port."""
        assert isinstance(source, PostgresqlSource)
        source.session.fetch(Call(_RETIRE, (kept_key(MOVED).encode(), to.encode())))
        source.close()
        return f"{self._place} is left as it was, and marked as moved"


def _born(number: bytes, ref: bytes, depth: bytes, row: bytes) -> tuple[int, bytes, int, bytes]:
    known = int4_in(depth)
    return int8_in(number), ref, known if known < LARGEST_DEPTH else NOT_REACHED, row
