"""Counts the rows of each item, the pages that gave them, the fields that were empty, and what went wrong with values.

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

#: Under what the counts are kept.
TALLIES = "tallies"


class Tally(msgspec.Struct, array_like=True):
    """How many rows an item has, on how many pages, and in how many rows each field was empty.

    `unconverted` has of each field how many values could not be converted, and the first of them; `rejected` is how
    many rows were rejected, and `why` what was said of the last. A new field goes last and has a default.
    """

    rows: int = 0
    pages: int = 0
    empty: dict[str, int] = {}
    unconverted: dict[str, tuple[int, str]] = {}
    rejected: int = 0
    why: str = ""


class Tallies:
    """The tallies of one crawl by item."""

    def __init__(self, store: Keeping) -> None:
        self._store = store
        self._items = _items(store.kept(TALLIES))

    def note(self, changes: Sequence[Change]) -> None:
        """Count the rows in changes that the store has taken."""
        # As `isinstance`, but without the cost of that for each of many changes.
        recorded = [change for change in changes if type(change) is Recorded and _has_any(change)]
        for change in recorded:
            self._count(change)
        if recorded:
            self._store.keep(TALLIES, _encode(self._items))

    def tell(self, rules: Collection[str], rows: int) -> tuple[ItemCount, ...]:
        """Return the counts of all items: see `told`."""
        return _told(self._items, rules, rows)

    def _count(self, change: Recorded) -> None:
        """Count the rows of one page."""
        on_page: dict[str, int] = {}
        empty: dict[tuple[str, str], int] = {}
        for row in change.result.rows:
            name = row.item
            on_page[name] = on_page.get(name, 0) + 1
            if not all(row.fields.values()):
                for field, value in row.fields.items():
                    if not value and type(value) not in _NUMBERS:
                        empty[name, field] = empty.get((name, field), 0) + 1
        for row in change.result.rejected:
            on_page.setdefault(row.item, 0)
            self._count_rejected(row)
        counted = set()
        for name, number in on_page.items():
            tally = self._tally(name)
            tally.rows = total(tally.rows, number)
            if id(tally) not in counted:
                tally.pages = total(tally.pages, 1)
                counted.add(id(tally))
        for (name, field), number in empty.items():
            _count_empty(self._tally(name).empty, line(field, MAX_NAME_CHARS), number)
        for each in change.unconverted:
            _count_unconverted(self._tally(each.item).unconverted, each.field, each.number, each.sample)

    def _count_rejected(self, row: Row) -> None:
        tally = self._tally(row.item)
        tally.rejected = total(tally.rejected, 1)
        tally.why = row.rejected

    def _tally(self, item: str) -> Tally:
        name = line(item, MAX_NAME_CHARS)
        if name not in self._items and len(self._items) >= MOST_ITEMS:
            name = OTHERS
        return self._items.setdefault(name, Tally())


def told(kept: bytes | None, rules: Collection[str], rows: int) -> tuple[ItemCount, ...]:
    """Return the counts of all items, as they were kept, also of rules without rows; nothing if not all `rows` were
    counted. Those of crawls that an earlier version began were not."""
    return _told(_items(kept), rules, rows)


def _told(items: dict[str, Tally], rules: Collection[str], rows: int) -> tuple[ItemCount, ...]:
    if sum(tally.rows for tally in items.values()) != rows:
        return ()
    # If there are too many, rules may be among the others.
    unmatched = () if OTHERS in items else rules
    all_items = {line(name, MAX_NAME_CHARS): Tally() for name in unmatched} | items
    return tuple(_as_message(name, tally) for name, tally in all_items.items())


def _as_message(name: str, tally: Tally) -> ItemCount:
    return ItemCount(
        name=name,
        rows=tally.rows,
        pages=tally.pages,
        empty=tally.empty,
        unconverted={field: number for field, (number, _) in tally.unconverted.items()},
        samples={field: sample for field, (_, sample) in tally.unconverted.items()},
        rejected=tally.rejected,
        rejected_for=tally.why,
    )


def _has_any(change: Recorded) -> bool:
    return bool(change.result.rows or change.result.rejected or change.unconverted)


def _items(kept: bytes | None) -> dict[str, Tally]:
    return {} if kept is None else _decode(kept)


def _count_empty(empty: dict[str, int], field: str, number: int) -> None:
    if field in empty or len(empty) < MOST_FIELDS:
        empty[field] = total(empty.get(field, 0), number)


def _count_unconverted(unconverted: dict[str, tuple[int, str]], field: str, number: int, sample: str) -> None:
    name = line(field, MAX_NAME_CHARS)
    before, first = unconverted.get(name, (0, sample))
    if name in unconverted or len(unconverted) < MOST_FIELDS:
        unconverted[name] = (total(before, number), first)


# A zero and False are values.
_NUMBERS = frozenset({int, float, bool})
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Tally]).decode
