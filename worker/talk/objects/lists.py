"""list: a list of the whole fleet."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, MutableSequence
from operator import index as as_index
from typing import Any, Self, SupportsIndex, overload

from crawlfleet.shared.wire.values import decode
from crawlfleet.worker.talk.objects.base import SharedObject, Source
from crawlfleet.worker.talk.objects.contents import encoded

_ALL = slice(None)


class List(SharedObject):
    """A list of the whole fleet, as a manager's `list`. Each method is one step; a loop over it reads as it goes."""

    kind = "list"

    def __init__(self, source: Source, name: str, items: Iterable[Any] = ()) -> None:
        super().__init__(source, name, encoded(items))

    def __len__(self) -> int:
        size: int = self._read("size")
        return size

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        if isinstance(index, slice):
            return list(self._items(index))
        return decode(self._read("get", _number(index)))

    def __setitem__(self, index: SupportsIndex | slice, value: Any) -> None:
        if isinstance(index, slice):
            self._call("assign", _numbers(index), encoded(value))
        else:
            self._call("put", _number(index), *encoded([value]))

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        if isinstance(index, slice):
            self._call("delete", _numbers(index))
        else:
            self._call("pop", _number(index))

    def __iter__(self) -> Iterator[Any]:
        return self._items(_ALL)

    def __reversed__(self) -> Iterator[Any]:
        return self._items(slice(None, None, -1))

    def __contains__(self, value: object) -> bool:
        return self._find(value, 0, sys.maxsize) >= 0

    def __str__(self) -> str:
        return str(self.copy())

    def __add__(self, other: list[Any] | List) -> list[Any]:
        return self.copy() + (other.copy() if isinstance(other, List) else other)

    def __mul__(self, times: SupportsIndex) -> list[Any]:
        return self.copy() * times

    def __rmul__(self, times: SupportsIndex) -> list[Any]:
        return times * self.copy()

    def __iadd__(self, values: Iterable[Any]) -> Self:
        self.extend(values)
        return self

    def __imul__(self, times: SupportsIndex) -> Self:
        self._call("repeat", _small(times))
        return self

    def append(self, value: object) -> None:
        """Append a value."""
        self.extend([value])

    def extend(self, values: Iterable[Any]) -> None:
        """Append values, in one step."""
        self._call("extend", encoded(values))

    def insert(self, index: SupportsIndex, value: object) -> None:
        """Insert a value before an index."""
        self._call("insert", _small(index), *encoded([value]))

    def pop(self, index: SupportsIndex = -1) -> Any:
        """Remove the value at an index and return it; raise `IndexError` if there is none."""
        return decode(self._call("pop", _small(index)))

    def remove(self, value: object) -> None:
        """Remove the first value that is equal; raise `ValueError` if there is none."""
        if not self._call("remove", *encoded([value])):
            raise ValueError("list.remove(x): x not in list")

    def index(self, value: object, start: SupportsIndex = 0, stop: SupportsIndex = sys.maxsize) -> int:
        """Return the first index, from `start` up to `stop`, of an equal value; raise `ValueError` if there is none."""
        found = self._find(value, start, stop)
        if found < 0:
            raise ValueError(f"{value!r} is not in list")
        return found

    def count(self, value: object) -> int:
        """Return how many values are equal to one."""
        number: int = self._read("count", *encoded([value]))
        return number

    def reverse(self) -> None:
        """Reverse the order of the values."""
        self._call("reverse")

    def sort(self, *, key: None = None, reverse: bool = False) -> None:
        """Sort the values. A `key` cannot be sent: sort a copy with it, and assign that to `[:]`."""
        if key is not None:
            raise TypeError("a shared list cannot be sorted by a key: functions are not sent; sort a copy()")
        self._call("sort", bool(reverse))

    def clear(self) -> None:
        """Remove all values."""
        self._call("delete", (None, None, None))

    def copy(self) -> list[Any]:
        """Return the values as a list of this process."""
        return self[:]

    def _items(self, wanted: slice) -> Iterator[Any]:
        """Yield the values of a slice: those of a few megabytes are read at one moment, others page by page."""
        numbers, count, more = _numbers(wanted), 0, True
        while more:
            items, more = self._read("page", numbers, count)
            count += len(items)
            yield from map(decode, items)

    def _find(self, value: object, start: SupportsIndex, stop: SupportsIndex) -> int:
        (item,) = encoded([value])
        found: int = self._read("find", item, _number(start), _number(stop))
        return found


MutableSequence.register(List)


def _number(index: SupportsIndex) -> int:
    """Return an index as it is sent; those that no list can have are cut."""
    return max(-sys.maxsize, min(as_index(index), sys.maxsize))


def _small(number: SupportsIndex) -> int:
    """Return a number as it is sent; raise `OverflowError` where Python's lists do."""
    if _number(number) != as_index(number):
        raise OverflowError("Python int too large to convert to C ssize_t")
    return _number(number)


def _numbers(wanted: slice) -> tuple[int | None, int | None, int | None]:
    parts = (wanted.start, wanted.stop, wanted.step)
    start, stop, step = (None if part is None else _number(part) for part in parts)
    return start, stop, step
