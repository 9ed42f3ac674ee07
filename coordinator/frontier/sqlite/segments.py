"""Large rows, cut into segments that are committed ahead of what refers to them.

A transaction holds all of its pages in the write-ahead log, so it has to be small. Of a commit with more than
`INLINE_BYTES` the largest rows are cut into segments, which are rows of a table of their own, and committed before it,
some at a time. In the place of such a row stands the number of its first segment, an integer; nobody sees segments
before that is committed. Those that a crash leaves without it are removed when the file is opened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import msgspec

from crawlfleet.coordinator.frontier.versions import Key

#: A transaction has so much of rows. Keys, indexes and queues are some MB more at most.
INLINE_BYTES = 8 * 1024 * 1024
SEGMENT_BYTES = 1024 * 1024
#: So many segments are committed together.
SEGMENTS_AT_ONCE = 4

_LAST = "segments"
_OF_ROW = "id BETWEEN :first AND :first + (SELECT more FROM segments WHERE id = :first)"

#: A row as a table has it: encoded, or the number of its first segment.
Stored = bytes | int


class TableRows(NamedTuple):
    """What a commit writes into a table: tuples that begin with a key and end with an encoded row; keys that go.

    The encoded rows have `size_bytes`. `stay`: rows of this table are never replaced or removed.
    """

    table: str
    values: list[tuple[Any, ...]]
    size_bytes: int
    gone: Sequence[Key] = ()
    stay: bool = False


class _Segment(NamedTuple):
    """A row of the table: `more` segments follow. The first names its row, if that may be replaced or removed."""

    id: int
    more: int
    owner: str | None
    key: Key | None
    data: bytes


class Place(NamedTuple):
    """A row among new rows."""

    rows: TableRows
    number: int


def whole(db: sqlite3.Connection, stored: Stored) -> bytes:
    """Return an encoded row, joined if it is in segments."""
    if isinstance(stored, bytes):
        return stored
    found = db.execute(f"SELECT data FROM segments WHERE {_OF_ROW} ORDER BY id", {"first": stored})
    return b"".join(data for (data,) in found)


def too_large(new: Sequence[TableRows], inline_bytes: int = INLINE_BYTES) -> list[Place]:
    """Return the rows without which the others are small enough for one transaction: the largest ones, if any."""
    size = sum(rows.size_bytes for rows in new)
    if size <= inline_bytes:
        return []
    places = [Place(rows, number) for rows in new for number in range(len(rows.values))]
    places.sort(key=lambda place: len(place.rows.values[place.number][-1]), reverse=True)
    for taken, place in enumerate(places):
        if size <= inline_bytes:
            return places[:taken]
        size -= len(place.rows.values[place.number][-1])
    return places


class Segments:
    """The segments of a file, as the owner of its store writes them."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._committed = self._last = 0
        # The first segment of each row that may be replaced or removed; of those that are not committed yet, apart.
        self._owned: dict[tuple[str, Key], int] = {}
        self._fresh: dict[tuple[str, Key], int] = {}

    def load(self) -> None:
        """Read what there is, and remove what nothing refers to."""
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (_LAST,)).fetchone()
        self._committed = self._last = 0 if found is None else msgspec.msgpack.decode(found[0])
        self._db.execute("DELETE FROM segments WHERE id > ?", (self._last,))
        owned = self._db.execute("SELECT owner, key, id FROM segments WHERE owner IS NOT NULL")
        self._owned = {(owner, key): first for owner, key, first in owned}

    def write_ahead(self, places: Sequence[Place]) -> Iterator[int]:
        """Commit the segments of rows, and put numbers in their places; yield the bytes of each commit."""
        segments = chain.from_iterable(map(self._cut, places))
        while some := list(islice(segments, SEGMENTS_AT_ONCE)):
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO segments VALUES (?, ?, ?, ?, ?)", some)
            self._db.execute("COMMIT")
            yield sum(len(segment.data) for segment in some)

    def refer(self, new: Sequence[TableRows]) -> None:
        """Write what the transaction of new rows has about segments: some are referred to now, others no more."""
        if self._owned:
            for rows in new:
                for key in chain((value[0] for value in rows.values), rows.gone):
                    first = self._owned.pop((rows.table, key), None)
                    if first is not None:
                        self._db.execute(f"DELETE FROM segments WHERE {_OF_ROW}", {"first": first})
        if self._last > self._committed:
            self._owned.update(self._fresh)
            self._fresh.clear()
            self._committed = self._last
            value = msgspec.msgpack.encode(self._last)
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_LAST, value))

    def _cut(self, place: Place) -> Iterator[_Segment]:
        """Put the number of the first segment in the place of a row; yield the segments."""
        (table, values, _, _, stay), number = place
        key, *others, row = values[number]
        first, more = self._last + 1, (len(row) - 1) // SEGMENT_BYTES
        values[number] = (key, *others, first)
        self._last += more + 1
        if not stay:
            self._fresh[table, key] = first
        for at in range(more + 1):
            names_row = not (stay or at)
            yield _Segment(
                id=first + at,
                more=more - at,
                owner=table if names_row else None,
                key=key if names_row else None,
                data=row[at * SEGMENT_BYTES : (at + 1) * SEGMENT_BYTES],
            )
