"""Reads a crawl's schema from outside, also while the crawl runs, or from a standby.

It reads in portions, each in a transaction of its own. Tasks, story and results are read as far as there were any when
the reader was opened; tasks and hosts may have changed since, if the crawl runs.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

import msgspec

from crawlfleet.coordinator.core.later_rows import LeadOnRow, SeedLineRow
from crawlfleet.coordinator.core.leases import under_lease
from crawlfleet.coordinator.core.rows import HostRow, LedgerRow, Result, TaskRow
from crawlfleet.coordinator.frontier.durable.batch import LEDGER, kept_key
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.frontier.postgresql.arrays import (
    UUID_BYTES,
    byteas,
    float8_in,
    int8,
    int8_in,
    uuids,
)
from crawlfleet.coordinator.frontier.postgresql.connection import Place, connect, mapped_errors
from crawlfleet.coordinator.frontier.postgresql.marks import mark_of
from crawlfleet.coordinator.frontier.postgresql.portions import ROWS_AT_ONCE, all_of, portion
from crawlfleet.coordinator.frontier.postgresql.reading import TASK_ROW
from crawlfleet.coordinator.frontier.postgresql.results import RESULTS
from crawlfleet.coordinator.frontier.postgresql.schema import format_of, refuse_other_format, stored_key
from crawlfleet.coordinator.frontier.postgresql.statements import Call, Session, statement
from crawlfleet.coordinator.frontier.stored_rows import (
    host_in,
    leading_on_in,
    lease_in,
    result_in,
    seed_line_in,
    task_in,
)
from crawlfleet.coordinator.frontier.story import Block, StoryLine, decode_block
from crawlfleet.shared.errors import CrawlFailed, UsageError

_IN = 500

T = TypeVar("T")

# Tables that are appended to, each with the column by which it grows: one statement sees one state of them all.
_APPENDED = {"tasks": "id", "story": "seq", "results": "seq", "links": "seq"}
_LASTS = "SELECT " + ", ".join(f"coalesce((SELECT max({place}) FROM {name}), 0)" for name, place in _APPENDED.items())
_BEGIN = statement(
    "snapshot",
    f"{_LASTS}, (SELECT commits FROM ledger), convert_to(key, 'UTF8'), value "
    "FROM (VALUES (1)) AS one LEFT JOIN meta ON true",
)
_STORY = portion("story", "seq", "at", row="lines")
_LINKS = portion("links", "seq", "task")
_TASKS = statement(
    "portion_tasks",
    f"SELECT t.id, t.ref, {TASK_ROW} FROM tasks t WHERE id > $1::int8 AND id <= $2::int8 ORDER BY id LIMIT $3::int8",
)
_TASK = statement("task", f"SELECT {TASK_ROW} FROM tasks t WHERE id = $1::int8")
_TASKS_OF = statement("tasks_of", f"SELECT t.ref, {TASK_ROW} FROM tasks t WHERE ref = ANY($1::uuid[])")
_LEASES = statement("leases", "SELECT row FROM leases")
_HOSTS = statement("portion_hosts", "SELECT key, row FROM hosts WHERE key > $1::bytea ORDER BY key LIMIT $2::int8")
_LEADING_ON = statement("leading_on", "SELECT row FROM residents WHERE kind = 'leading_on' ORDER BY key")
_SEED_LINES = statement("seed_lines", "SELECT row FROM seed_lines WHERE key = ANY($1::bytea[])")


class PostgresqlReader:
    """The port's reader over one schema."""

    def __init__(self, place: Place) -> None:
        self._place = place
        db = connect(place, reads_only=True)
        try:
            with mapped_errors(place, db):
                refuse_other_format(format_of(db, place), place)
            self._session = Session(db, place)
            found = self._fetch(Call(_BEGIN))
        except BaseException:
            db.close()
            raise
        self._lasts = dict(zip(_APPENDED, map(int8_in, found[0]), strict=False))
        self._commits = int8_in(found[0][len(_APPENDED)])
        self._meta = {key.decode(): value for *_, key, value in found if key}

    def close(self) -> None:
        """Close the snapshot."""
        self._session.close()

    @property
    def job(self) -> dict[str, Any]:
        """The job of the crawl's last run, as plain data."""
        kept = self.kept("job")
        if kept is None:
            raise UsageError(f"{self._place} holds a crawl that has not begun: run its job first")
        job: dict[str, Any] = msgspec.json.decode(kept)
        return job

    @property
    def ledger(self) -> LedgerRow:
        """The crawl's own numbers."""
        found = self._meta.get(LEDGER)
        return LedgerRow() if found is None else msgspec.msgpack.decode(found, type=LedgerRow)

    @property
    def commit_number(self) -> int:
        """The number of the last commit."""
        return self._commits

    @property
    def result_count(self) -> int:
        """How many results there are."""
        return self._lasts["results"]

    def kept(self, key: str) -> bytes | None:
        """Return a value that was kept besides the rows."""
        return self._meta.get(kept_key(key))

    def mark(self, sink: str) -> Mark | None:
        """Return how far a sink is; None if it never wrote."""
        with self._mapped_errors():
            return mark_of(self._session, sink)

    def tasks(self) -> Iterator[tuple[int, bytes, TaskRow]]:
        """Yield each task: the number and the fingerprint under which it is stored, and its row."""
        leases = [lease_in(row) for (row,) in self._fetch(Call(_LEASES))]
        leased = {ref: lease for lease in leases for ref in lease.refs}
        after, last = 0, self._lasts["tasks"]
        while rows := self._fetch(Call(_TASKS, (int8(after), int8(last), int8(ROWS_AT_ONCE)))):
            for number, ref, row in rows:
                task = task_in(row)
                yield int8_in(number), ref, under_lease(task, leased[ref]) if ref in leased else task
            after = int8_in(rows[-1][0])

    def tasks_of(self, refs: Collection[bytes]) -> dict[bytes, TaskRow]:
        """Return the tasks with these fingerprints; one that is under a lease may be PENDING."""
        return {ref: task_in(row) for ref, row in self._of_refs(refs)}

    def name_of(self, number: int) -> str:
        """Return the URL of a task, or another name for a task without a row."""
        found = self._fetch(Call(_TASK, (int8(number),)))
        return task_in(found[0][0]).url if found else f"task {number}"

    def story(self) -> Iterator[StoryLine]:
        """Yield the log of changes in order."""
        for block in self.blocks():
            yield from block.lines

    def blocks(self) -> Iterator[Block]:
        """Yield the log of changes by commits, in order."""
        with self._mapped_errors():
            for _, at, lines in all_of(self._session, _STORY, self._lasts["story"]):
                yield Block(known_time(float8_in(at)), decode_block(lines))

    def results(self) -> Iterator[tuple[int, Result]]:
        """Yield each result with the number of its task, in the order of commit."""
        with self._mapped_errors():
            for _, task, row in all_of(self._session, RESULTS, self._lasts["results"]):
                yield int8_in(task), result_in(row)

    def links(self) -> Iterator[tuple[int, bytes]]:
        """Yield the links of each page that has some, packed, with the number of its task, in the order of commit."""
        with self._mapped_errors():
            for _, task, row in all_of(self._session, _LINKS, self._lasts["links"]):
                yield int8_in(task), row

    def hosts(self) -> Iterator[HostRow]:
        """Yield each host, or unit of hosts."""
        after = b""
        while rows := self._fetch(Call(_HOSTS, (after, int8(ROWS_AT_ONCE)))):
            yield from (host_in(row) for _, row in rows)
            after = rows[-1][0]

    def leading_on(self) -> Iterator[LeadOnRow]:
        """Yield the tasks with links that wait to be admitted."""
        yield from (leading_on_in(row) for (row,) in self._fetch(Call(_LEADING_ON)))

    def known(self, refs: Collection[bytes]) -> set[bytes]:
        """Return the fingerprints that are tasks of the crawl."""
        return {ref for ref, _ in self._of_refs(refs)}

    def seed_lines(self, numbers: Collection[int]) -> dict[int, SeedLineRow]:
        """Return the lines of seeds files with these numbers."""
        found: dict[int, SeedLineRow] = {}
        for some in _runs(numbers):
            rows = self._fetch(Call(_SEED_LINES, (byteas([stored_key(number) for number in some]),)))
            found |= {line.number: line for line in (seed_line_in(row) for (row,) in rows)}
        return found

    def _of_refs(self, refs: Collection[bytes]) -> Iterator[tuple[bytes, ...]]:
        """Yield fingerprint and row of each task with one of these."""
        for some in _runs([ref for ref in refs if len(ref) == UUID_BYTES]):
            yield from self._fetch(Call(_TASKS_OF, (uuids(some),)))

    def _fetch(self, call: Call) -> list[tuple[bytes, ...]]:
        with self._mapped_errors():
            return self._session.fetch(call)

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except (CrawlFailed, msgspec.DecodeError) as error:
            raise UsageError(f"{self._place} cannot be read: {error}") from error


def open_reader(address: str, schema: str) -> PostgresqlReader:
    """Open a snapshot of a crawl. Raises `UsageError` if there is none, `StoreUnreachable` if no server answers."""
    return PostgresqlReader(Place(address, schema))


def known_time(at: float) -> float | None:
    """Return the time of a block of the story; None if it is not known, which is stored as no number."""
    return None if math.isnan(at) else at


def _runs(values: Collection[T]) -> Iterator[list[T]]:
    rest = iter(values)
    while some := list(islice(rest, _IN)):
        yield some
