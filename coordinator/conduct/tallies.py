"""Counts the rows of each item, the pages that gave them, and the fields that were empty.

It gets the same changes as the store, and keeps its counts there, in the same commit. Hooks name items and fields as
they like: beyond the limits they are counted together, or not at all. Names are shown in terminals, so they have no
control characters.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from crawlfleet.coordinator.core.changes import Change, Recorded
from crawlfleet.coordinator.core.judging import line
from crawlfleet.coordinator.frontier.port import Keeping
from crawlfleet.shared.messages import Row
from crawlfleet.shared.ranges import total
from crawlfleet.shared.status import ItemCount

MOST_ITEMS = 50
MOST_FIELDS = 50
MAX_NAME_CHARS = 60
OTHERS = "(others)"

_KEY = "tallies"


class Tally(msgspec.Struct, array_like=True):
    """How many rows an item has, on how many pages, and in how many rows each field was empty."""

    rows: int = 0
    pages: int = 0
    empty: dict[str, int] = {}


class Tallies:
    """The tallies of one crawl by item."""

    def __init__(self, store: Keeping) -> None:
        self._store = store
        kept = store.kept(_KEY)
        self._items: dict[str, Tally] = {} if kept is None else _decode(kept)

    def note(self, changes: Sequence[Change]) -> None:
        """Count the rows in changes that the store has taken."""
        # As `isinstance`, but without the cost of that for each of many changes.
        recorded = [change.result.rows for change in changes if type(change) is Recorded and change.result.rows]
        for rows in recorded:
            self._count(rows)
        if recorded:
            self._store.keep(_KEY, _encode(self._items))

    def tell(self, rules: Collection[str], rows: int) -> tuple[ItemCount, ...]:
        """Return the counts of all items, also of rules without rows; nothing if not all `rows` were counted.

        Those of crawls that an earlier version began were not.
        """
        if sum(tally.rows for tally in self._items.values()) != rows:
            return ()
        # If there are too many, rules may be among the others.
        unmatched = () if OTHERS in self._items else rules
        items = {line(name, MAX_NAME_CHARS): Tally() for name in unmatched} | self._items
        return tuple(
            ItemCount(name=name, rows=tally.rows, pages=tally.pages, empty=tally.empty) for name, tally in items.items()
        )

    def _count(self, rows: Sequence[Row]) -> None:
        """Count the rows of one page."""
        on_page: dict[str, int] = {}
        empty: dict[tuple[str, str], int] = {}
        for row in rows:
            name = row.item
            on_page[name] = on_page.get(name, 0) + 1
            if not all(row.fields.values()):
                for field, value in row.fields.items():
                    if not value and type(value) not in _NUMBERS:
                        empty[name, field] = empty.get((name, field), 0) + 1
        counted = set()
        for name, number in on_page.items():
            tally = self._tally(name)
            tally.rows = total(tally.rows, number)
            if id(tally) not in counted:
                tally.pages = total(tally.pages, 1)
                counted.add(id(tally))
        for (name, field), number in empty.items():
            _count_empty(self._tally(name).empty, line(field, MAX_NAME_CHARS), number)

    def _tally(self, item: str) -> Tally:
        name = line(item, MAX_NAME_CHARS)
        if name not in self._items and len(self._items) >= MOST_ITEMS:
            name = OTHERS
        return self._items.setdefault(name, Tally())


def _count_empty(empty: dict[str, int], field: str, number: int) -> None:
    if field in empty or len(empty) < MOST_FIELDS:
        empty[field] = total(empty.get(field, 0), number)


# A zero and False are values.
_NUMBERS = frozenset({int, float, bool})
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Tally]).decode
