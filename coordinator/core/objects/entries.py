"""dict, set and Namespace: entries by their keys, in the order in which the keys were added.

Each entry is a part. Its subkey, which the client computes, is the same for equal keys; the key itself, as it was first
given, and the value are encoded, and stay so here. Each method is one step.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from crawlfleet.coordinator.core.objects.desk import Desk, Method, ObjectKind, part_bytes
from crawlfleet.coordinator.core.objects.rows import ObjectRow, PartRow
from crawlfleet.coordinator.core.rows import succeed
from crawlfleet.shared.objects import PAGE_BYTES, PAGE_ITEMS

#: Subkey, key, value. Members of sets have no value.
Entry = tuple[bytes, bytes, bytes]


class EntriesRow(ObjectRow, frozen=True, kw_only=True):
    """Base of the objects that consist of entries."""

    size: int = 0


class DictRow(EntriesRow, frozen=True, kw_only=True):
    """A dict."""


class SetRow(EntriesRow, frozen=True, kw_only=True):
    """A set."""


class NamespaceRow(EntriesRow, frozen=True, kw_only=True):
    """A namespace: its keys are names of attributes."""


def size(_desk: Desk, row: EntriesRow) -> int:
    """Return how many entries there are."""
    return row.size


def contains(desk: Desk, row: EntriesRow, subkey: bytes) -> bool:
    """Return whether there is a key."""
    return desk.part(row, subkey) is not None


def get(desk: Desk, row: EntriesRow, subkey: bytes) -> bytes | None:
    """Return the value under a key; None if there is none."""
    part = desk.part(row, subkey)
    return None if part is None else part.value


def page(desk: Desk, row: EntriesRow, after: int, with_values: bool) -> tuple[list[bytes], list[bytes], int]:
    """Return keys, and values, of a page of entries beyond a place, and where it ends: 0 if there are no more."""
    keys: list[bytes] = []
    values: list[bytes] = []
    left = PAGE_BYTES
    for part in desk.parts(row, after):
        if left <= 0 or len(keys) == PAGE_ITEMS:
            return keys, values, after
        keys.append(part.name)
        left -= len(part.name)
        if with_values:
            values.append(part.value)
            left -= len(part.value)
        after = part.place
    return keys, values, 0


def update(desk: Desk, row: EntriesRow, entries: tuple[Entry, ...]) -> None:
    """Give keys other values, and add those that are new."""
    desk.check_room(_growth(desk, row, entries))
    _resize(desk, row, _add(desk, row, entries))


def setdefault(desk: Desk, row: EntriesRow, entry: Entry) -> bytes:
    """Return the value under a key, after adding it if it is new."""
    found = desk.part(row, entry[0])
    value = entry[2] if found is None else found.value
    desk.check_answer(value)
    if found is None:
        update(desk, row, (entry,))
    return value


def remove(desk: Desk, row: EntriesRow, subkey: bytes) -> bytes | None:
    """Remove a key; return its value, or None if there is no such key."""
    part = desk.part(row, subkey)
    if part is None:
        return None
    desk.check_answer(part.value)
    _resize(desk, row, -_remove(desk, [part]))
    return part.value


def popitem(desk: Desk, row: EntriesRow) -> tuple[bytes, bytes] | None:
    """Remove the entry that was added last, and return its key and value; None if there is none."""
    part = next(desk.parts(row, backwards=True), None)
    if part is None:
        return None
    desk.check_answer((part.name, part.value))
    _resize(desk, row, -_remove(desk, [part]))
    return part.name, part.value


def clear(desk: Desk, row: EntriesRow) -> None:
    """Remove all entries."""
    _resize(desk, row, -_remove(desk, list(desk.parts(row))))


def keep(desk: Desk, row: EntriesRow, subkeys: frozenset[bytes]) -> None:
    """Remove all members but these."""
    _resize(desk, row, -_remove(desk, [part for part in desk.parts(row) if part.subkey not in subkeys]))


def drop(desk: Desk, row: EntriesRow, subkeys: frozenset[bytes]) -> None:
    """Remove these members."""
    _resize(desk, row, -_remove(desk, _there(desk, row, sorted(subkeys))))


def toggle(desk: Desk, row: EntriesRow, entries: tuple[Entry, ...]) -> None:
    """Remove those of these members that are there, and add the others."""
    members = {entry[0]: entry for entry in entries}
    there = _there(desk, row, members)
    for part in there:
        del members[part.subkey]
    desk.check_room(_growth(desk, row, members.values()))
    _resize(desk, row, _add(desk, row, members.values()) - _remove(desk, there))


def _there(desk: Desk, row: EntriesRow, subkeys: Iterable[bytes]) -> list[PartRow]:
    parts = (desk.part(row, subkey) for subkey in subkeys)
    return [part for part in parts if part is not None]


def _growth(desk: Desk, row: EntriesRow, entries: Iterable[Entry]) -> int:
    """Return by how many bytes the object grows."""
    total = 0
    for subkey, name, value in entries:
        before = desk.part(row, subkey)
        total += part_bytes(subkey, value, name) if before is None else len(value) - len(before.value)
    return total


def _add(desk: Desk, row: EntriesRow, entries: Iterable[Entry]) -> int:
    """Return how many of the keys are new."""
    new = 0
    for subkey, name, value in entries:
        new += desk.part(row, subkey) is None
        desk.add_part(row, subkey, value, name=name)
    return new


def _remove(desk: Desk, parts: list[PartRow]) -> int:
    for part in parts:
        desk.remove_part(part)
    return len(parts)


def _resize(desk: Desk, row: EntriesRow, by: int) -> None:
    if by:
        desk.put(succeed(row, size=row.size + by))


def _kind(row_type: type[EntriesRow], table: str, methods: dict[str, Method]) -> ObjectKind:
    def open_entries(desk: Desk, row: EntriesRow | None, name: str, number: int, entries: tuple[Entry, ...]) -> bool:
        if row is None:
            new = row_type(name=name, number=number)
            desk.check_room(_growth(desk, new, entries))
            desk.put(replace(new, size=_add(desk, new, entries)))
        return True

    return ObjectKind(row=row_type, table=table, open=open_entries, options=_ENTRIES, methods=methods)


_ENTRIES = tuple[tuple[Entry, ...]]
_SUBKEY = tuple[bytes]
_SUBKEYS = tuple[frozenset[bytes]]
_COMMON = {
    "size": Method(size, reads=True),
    "contains": Method(contains, _SUBKEY, reads=True),
    "page": Method(page, tuple[int, bool], reads=True),
    "update": Method(update, _ENTRIES),
    "remove": Method(remove, _SUBKEY),
    "popitem": Method(popitem),
    "clear": Method(clear),
}
_GET = Method(get, _SUBKEY, reads=True)

DICT = _kind(
    DictRow,
    "object_dicts",
    {**_COMMON, "get": _GET, "setdefault": Method(setdefault, tuple[Entry])},
)
SET = _kind(
    SetRow,
    "object_sets",
    {**_COMMON, "keep": Method(keep, _SUBKEYS), "drop": Method(drop, _SUBKEYS), "toggle": Method(toggle, _ENTRIES)},
)
NAMESPACE = _kind(NamespaceRow, "object_namespaces", {**_COMMON, "get": _GET})
