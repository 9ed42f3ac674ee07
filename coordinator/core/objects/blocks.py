"""The items of a list: blocks of a few items each, and an index of the blocks.

Each block is a part with up to `BLOCK_ITEMS` items, or one that is larger than `BLOCK_BYTES`. The list's own row holds
the index: the blocks' numbers and sizes, packed. The size of the last block is not among them, so that an item that is
appended changes that block alone.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

import msgspec

from crawlfleet.coordinator.core.objects.desk import Desk, Refused, part_bytes
from crawlfleet.coordinator.core.objects.rows import ObjectRow, PartRow
from crawlfleet.coordinator.core.rows import succeed
from crawlfleet.coordinator.core.turn import existing

BLOCK_ITEMS = 64
BLOCK_BYTES = 4096
#: A block with fewer items is joined with the next one, if that has room.
FEW_ITEMS = BLOCK_ITEMS // 4
MAX_BLOCKS = 100_000

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes]).decode


class ListRow(ObjectRow, frozen=True, kw_only=True):
    """A list: the index of its blocks."""

    #: The numbers of the blocks, 4 bytes each, in the order of the list; and the next number.
    blocks: bytes = b""
    next_block: int = 1
    #: How many items each block has, 2 bytes each; the last one is left out.
    counts: bytes = b""


class Blocks:
    """A list's items, as one call reads and changes them. A call makes one `splice` at most."""

    def __init__(self, desk: Desk, row: ListRow) -> None:
        self._desk = desk
        self._row = row
        self._numbers = array("I", row.blocks)
        self._counts = array("H", row.counts)
        if self._numbers:
            self._counts.append(len(self._items_of(len(self._numbers) - 1)))
        self._ends = list(accumulate(self._counts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def items(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the items from `start` up to `stop`."""
        index = bisect_right(self._ends, start)
        while start < stop:
            first = self._ends[index] - self._counts[index]
            yield from self._items_of(index)[start - first : stop - first]
            start = self._ends[index]
            index += 1

    def splice(self, start: int, stop: int, items: Sequence[bytes]) -> None:
        """Put items in the place of those from `start` up to `stop`; raise `Refused` if there is no room for them."""
        at_end = stop == len(self)
        first, last, new = self._touched(start, stop, items)
        self._write(first, last, _chunks(new, at_end=at_end))

    def _touched(self, start: int, stop: int, items: Sequence[bytes]) -> tuple[int, int, list[bytes]]:
        """Return the blocks that change, from the first up to the last, and the items that they hold then."""
        if not self._numbers:
            return 0, 0, list(items)
        first = min(bisect_right(self._ends, start), len(self._ends) - 1)
        last = first
        while self._ends[last] < stop:
            last += 1
        begin, end = self._ends[first] - self._counts[first], self._ends[last] - self._counts[last]
        new = [*self._items_of(first)[: start - begin], *items, *self._items_of(last)[stop - end :]]
        last += 1
        if len(new) < FEW_ITEMS and last < len(self._numbers):
            joined = new + self._items_of(last)
            if _fits(joined):
                return first, last + 1, joined
        return first, last, new

    def _write(self, first: int, last: int, chunks: list[list[bytes]]) -> None:
        """Let blocks hold these chunks, in the place of the blocks from `first` up to `last`."""
        desk, row = self._desk, self._row
        before, values = self._numbers[first:last], [_encode(chunk) for chunk in chunks]
        fresh = range(row.next_block, row.next_block + max(0, len(chunks) - len(before)))
        after = array("I", [*before[: len(chunks)], *fresh])
        growth = sum(part_bytes(_subkey(0), value) for value in values)
        desk.check_room(growth - sum(part_bytes(part.subkey, part.value) for part in map(self._part, before)))
        if len(self._numbers) + len(fresh) > MAX_BLOCKS:
            raise Refused(ValueError, f"a list has at most {MAX_BLOCKS} blocks of items: remove something first")
        for number in before[len(chunks) :]:
            desk.remove_part(self._part(number))
        for number, value in zip(after, values, strict=True):
            part = desk.part(row, _subkey(number))
            if part is None or part.value != value:
                desk.add_part(row, _subkey(number), value, place=number)
        self._numbers[first:last] = after
        self._counts[first:last] = array("H", map(len, chunks))
        index = {"blocks": self._numbers.tobytes(), "counts": self._counts[:-1].tobytes()}
        if (row.blocks, row.counts) != (index["blocks"], index["counts"]):
            desk.put(succeed(row, next_block=row.next_block + len(fresh), **index))

    def _items_of(self, index: int) -> list[bytes]:
        return _decode(self._part(self._numbers[index]).value)

    def _part(self, number: int) -> PartRow:
        return existing(self._desk.part(self._row, _subkey(number)))


def _subkey(number: int) -> bytes:
    return number.to_bytes(4)


def _fits(items: Sequence[bytes]) -> bool:
    """Return whether items are one block."""
    return len(items) == 1 or (len(items) <= BLOCK_ITEMS and sum(map(len, items)) <= BLOCK_BYTES)


def _chunks(items: list[bytes], *, at_end: bool) -> list[list[bytes]]:
    """Divide items into blocks: full ones at the end of a list, where it grows; half-full ones elsewhere."""
    if not items or _fits(items):
        return [items] if items else []
    most_items, most_bytes = (BLOCK_ITEMS, BLOCK_BYTES) if at_end else (BLOCK_ITEMS // 2 + 1, BLOCK_BYTES // 2)
    chunks: list[list[bytes]] = []
    size = 0
    for item in items:
        size += len(item)
        if not chunks or size > most_bytes or len(chunks[-1]) == most_items:
            chunks.append([])
            size = len(item)
        chunks[-1].append(item)
    return chunks
