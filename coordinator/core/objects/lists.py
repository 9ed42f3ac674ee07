"""list: items in blocks. Each method is one step.

Items are encoded values, which stay so unless a method compares them. Indexes and slices have Python's own meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from typing import Any

from crawlfleet.coordinator.core.objects.blocks import Blocks, ListRow
from crawlfleet.coordinator.core.objects.desk import Desk, Method, ObjectKind, Refused
from crawlfleet.shared.errors import WireError
from crawlfleet.shared.objects import CALL_BYTES, PAGE_BYTES, PAGE_ITEMS
from crawlfleet.shared.wire.values import decode

#: The parts of a slice.
Slice = tuple[int | None, int | None, int | None]
Items = tuple[bytes, ...]


def open_list(desk: Desk, row: ListRow | None, name: str, number: int, items: Items) -> bool:
    """Create a list with its first items."""
    if row is None and items:
        Blocks(desk, ListRow(version=0, name=name, number=number)).splice(0, 0, items)
    elif row is None:
        desk.put(ListRow(name=name, number=number))
    return True


def size(desk: Desk, row: ListRow) -> int:
    """Return how many items there are."""
    return len(Blocks(desk, row))


def get(desk: Desk, row: ListRow, index: int) -> bytes:
    """Return an item."""
    blocks = Blocks(desk, row)
    at = _at(blocks, index, "list index out of range")
    return next(blocks.items(at, at + 1))


def page(desk: Desk, row: ListRow, wanted: Slice, skip: int) -> tuple[list[bytes], bool]:
    """Return a page of the items of a slice without the first `skip`, and whether there are more."""
    blocks = Blocks(desk, row)
    found: list[bytes] = []
    left = PAGE_BYTES
    for item in _in(blocks, range(*_slice(wanted).indices(len(blocks)))[max(0, skip) :]):
        if left <= 0 or len(found) == PAGE_ITEMS:
            return found, True
        found.append(item)
        left -= len(item)
    return found, False


def put(desk: Desk, row: ListRow, index: int, item: bytes) -> None:
    """Give an index another item."""
    blocks = Blocks(desk, row)
    at = _at(blocks, index, "list assignment index out of range")
    blocks.splice(at, at + 1, [item])


def assign(desk: Desk, row: ListRow, wanted: Slice, items: Items) -> None:
    """Put items in the place of a slice."""
    blocks = Blocks(desk, row)
    start, stop, step = _slice(wanted).indices(len(blocks))
    if step == 1:
        blocks.splice(start, max(start, stop), items)
        return
    whole = _whole(blocks)
    try:
        whole[slice(*wanted)] = items
    except ValueError as error:
        raise Refused(ValueError, str(error)) from error
    blocks.splice(0, len(blocks), whole)


def delete(desk: Desk, row: ListRow, wanted: Slice) -> None:
    """Delete a slice."""
    blocks = Blocks(desk, row)
    start, stop, step = _slice(wanted).indices(len(blocks))
    if step == 1:
        blocks.splice(start, max(start, stop), ())
        return
    whole = _whole(blocks)
    del whole[slice(*wanted)]
    blocks.splice(0, len(blocks), whole)


def extend(desk: Desk, row: ListRow, items: Items) -> None:
    """Append items."""
    blocks = Blocks(desk, row)
    blocks.splice(len(blocks), len(blocks), items)


def insert(desk: Desk, row: ListRow, index: int, item: bytes) -> None:
    """Insert an item before an index."""
    blocks = Blocks(desk, row)
    at, _, _ = slice(index, None).indices(len(blocks))
    blocks.splice(at, at, [item])


def pop(desk: Desk, row: ListRow, index: int) -> bytes:
    """Remove an item and return it."""
    blocks = Blocks(desk, row)
    at = _at(blocks, index, "pop index out of range" if len(blocks) else "pop from empty list")
    item = next(blocks.items(at, at + 1))
    desk.check_answer(item)
    blocks.splice(at, at + 1, ())
    return item


def find(desk: Desk, row: ListRow, item: bytes, start: int, stop: int) -> int:
    """Return the first index, from `start` up to `stop`, of an equal item; -1 if there is none."""
    blocks = Blocks(desk, row)
    first, last, _ = slice(start, stop).indices(len(blocks))
    value = _decoded(item)
    found = (at for at, other in enumerate(blocks.items(first, last), first) if _decoded(other) == value)
    return next(found, -1)


def count(desk: Desk, row: ListRow, item: bytes) -> int:
    """Return how many items are equal to one."""
    blocks, value = Blocks(desk, row), _decoded(item)
    return sum(_decoded(other) == value for other in blocks.items(0, len(blocks)))


def remove(desk: Desk, row: ListRow, item: bytes) -> bool:
    """Remove the first item that is equal to one; return whether there is one."""
    at = find(desk, row, item, 0, len(Blocks(desk, row)))
    if at >= 0:
        Blocks(desk, row).splice(at, at + 1, ())
    return at >= 0


def reverse(desk: Desk, row: ListRow) -> None:
    """Reverse the order of the items."""
    blocks = Blocks(desk, row)
    blocks.splice(0, len(blocks), _whole(blocks)[::-1])


def sort(desk: Desk, row: ListRow, backwards: bool) -> None:
    """Sort the items, which have to be comparable."""
    blocks = Blocks(desk, row)
    pairs = [(_decoded(item), item) for item in _whole(blocks)]
    try:
        pairs.sort(key=itemgetter(0), reverse=backwards)
    except TypeError as error:
        raise Refused(TypeError, str(error)) from error
    blocks.splice(0, len(blocks), [item for _, item in pairs])


def repeat(desk: Desk, row: ListRow, times: int) -> None:
    """Repeat all items so many times."""
    blocks = Blocks(desk, row)
    whole = _whole(blocks)
    if (sum(map(len, whole)) + 8 * len(whole)) * (times - 1) > CALL_BYTES:
        raise Refused(ValueError, f"the list would grow by more than {CALL_BYTES} bytes in one call")
    if whole:
        blocks.splice(0, len(blocks), whole * times)


def _at(blocks: Blocks, index: int, text: str) -> int:
    """Return the place of an item by its index; raise `Refused` with `text` if there is none."""
    at = index + len(blocks) if index < 0 else index
    if not 0 <= at < len(blocks):
        raise Refused(IndexError, text)
    return at


def _slice(wanted: Slice) -> slice:
    if wanted[2] == 0:
        raise Refused(ValueError, "slice step cannot be zero")
    return slice(*wanted)


def _whole(blocks: Blocks) -> list[bytes]:
    return list(blocks.items(0, len(blocks)))


def _in(blocks: Blocks, places: range) -> Iterator[bytes]:
    """Yield the items at these places."""
    if not places:
        return iter(())
    if places.step > 0:
        return islice(blocks.items(places[0], places[-1] + 1), 0, None, min(places.step, len(blocks)))
    return reversed(list(blocks.items(places[-1], places[0] + 1))[:: -places.step])


def _decoded(item: bytes) -> Any:
    try:
        return decode(item)
    except WireError as error:
        raise Refused(ValueError, str(error)) from error


LIST = ObjectKind(
    row=ListRow,
    table="object_lists",
    open=open_list,
    options=tuple[Items],
    methods={
        "size": Method(size, reads=True),
        "get": Method(get, tuple[int], reads=True),
        "page": Method(page, tuple[Slice, int], reads=True),
        "find": Method(find, tuple[bytes, int, int], reads=True),
        "count": Method(count, tuple[bytes], reads=True),
        "put": Method(put, tuple[int, bytes]),
        "assign": Method(assign, tuple[Slice, Items]),
        "delete": Method(delete, tuple[Slice]),
        "extend": Method(extend, tuple[Items]),
        "insert": Method(insert, tuple[int, bytes]),
        "pop": Method(pop, tuple[int]),
        "remove": Method(remove, tuple[bytes]),
        "reverse": Method(reverse),
        "sort": Method(sort, tuple[bool]),
        "repeat": Method(repeat, tuple[int]),
    },
)
