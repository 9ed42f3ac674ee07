"""set: a set of the whole fleet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableSet
from collections.abc import Set as AbstractSet
from typing import Any, Self

from crawlfleet.shared.wire.values import decode
from crawlfleet.worker.talk.objects.base import Source
from crawlfleet.worker.talk.objects.contents import Entries, members_of, subkey_of, subkeys_of


class Set(Entries):
    """A set of the whole fleet, as a manager's `set` from Python 3.14 on. Each method is one step.

    What gives a new set (`copy`, `union`, `|` and so on) gives one of this process.
    """

    kind = "set"

    def __init__(self, source: Source, name: str, members: Iterable[Any] = ()) -> None:
        super().__init__(source, name, members_of(set(members)))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.copy())

    def __str__(self) -> str:
        return str(self.copy())

    def add(self, member: object) -> None:
        """Add a member."""
        self._call("update", members_of([member]))

    def discard(self, member: object) -> None:
        """Remove a member, if it is there."""
        self._call("remove", subkey_of(member))

    def remove(self, member: object) -> None:
        """Remove a member; raise `KeyError` if it is not there."""
        if self._call("remove", subkey_of(member)) is None:
            raise KeyError(member)

    def pop(self) -> Any:
        """Remove a member and return it; raise `KeyError` if there is none."""
        found = self._call("popitem")
        if found is None:
            raise KeyError("pop from an empty set")
        return decode(found[0])

    def copy(self) -> set[Any]:
        """Return the members as a set of this process."""
        return set(self._keys())

    # In place.

    def update(self, *others: Iterable[Any]) -> None:
        """Add all members of the others, in one step."""
        self._call("update", members_of(set().union(*others)))

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """Keep only the members that are in all of the others, in one step."""
        if others:
            first, *more = (set(other) for other in others)
            self._call("keep", subkeys_of(first.intersection(*more)))

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Remove the members of the others, in one step."""
        self._call("drop", subkeys_of(set().union(*others)))

    def symmetric_difference_update(self, other: Iterable[Any]) -> None:
        """Remove the members that the other has too, and add its others, in one step."""
        self._call("toggle", members_of(set(other)))

    def __ior__(self, other: AbstractSet[Any]) -> Self:
        if not _is_set(other):
            return NotImplemented
        self.update(other)
        return self

    def __iand__(self, other: AbstractSet[Any]) -> Self:
        if not _is_set(other):
            return NotImplemented
        self.intersection_update(other)
        return self

    def __isub__(self, other: AbstractSet[Any]) -> Self:
        if not _is_set(other):
            return NotImplemented
        self.difference_update(other)
        return self

    def __ixor__(self, other: AbstractSet[Any]) -> Self:
        if not _is_set(other):
            return NotImplemented
        self.symmetric_difference_update(other)
        return self

    # What gives a set or an answer of this process.

    def union(self, *others: Iterable[Any]) -> set[Any]:
        """Return the members of this set and of the others."""
        return self.copy().union(*others)

    def intersection(self, *others: Iterable[Any]) -> set[Any]:
        """Return the members that are in all of the others, too."""
        return self.copy().intersection(*others)

    def difference(self, *others: Iterable[Any]) -> set[Any]:
        """Return the members that are in none of the others."""
        return self.copy().difference(*others)

    def symmetric_difference(self, other: Iterable[Any]) -> set[Any]:
        """Return the members that are in one of the two alone."""
        return self.copy().symmetric_difference(other)

    def isdisjoint(self, other: Iterable[Any]) -> bool:
        """Return whether the two have no member in common."""
        return self.copy().isdisjoint(other)

    def issubset(self, other: Iterable[Any]) -> bool:
        """Return whether the other has all members of this set."""
        return self.copy().issubset(other)

    def issuperset(self, other: Iterable[Any]) -> bool:
        """Return whether this set has all members of the other."""
        return self.copy().issuperset(other)

    def __or__(self, other: AbstractSet[Any]) -> set[Any]:
        return self.union(other) if _is_set(other) else NotImplemented

    def __and__(self, other: AbstractSet[Any]) -> set[Any]:
        return self.intersection(other) if _is_set(other) else NotImplemented

    def __sub__(self, other: AbstractSet[Any]) -> set[Any]:
        return self.difference(other) if _is_set(other) else NotImplemented

    def __xor__(self, other: AbstractSet[Any]) -> set[Any]:
        return self.symmetric_difference(other) if _is_set(other) else NotImplemented

    def __ror__(self, other: AbstractSet[Any]) -> AbstractSet[Any]:
        return other | self.copy() if _is_set(other) else NotImplemented

    def __rand__(self, other: AbstractSet[Any]) -> AbstractSet[Any]:
        return other & self.copy() if _is_set(other) else NotImplemented

    def __rsub__(self, other: AbstractSet[Any]) -> AbstractSet[Any]:
        return other - self.copy() if _is_set(other) else NotImplemented

    def __rxor__(self, other: AbstractSet[Any]) -> AbstractSet[Any]:
        return other ^ self.copy() if _is_set(other) else NotImplemented

    def __le__(self, other: AbstractSet[Any]) -> bool:
        return self.copy() <= set(other) if _is_set(other) else NotImplemented

    def __lt__(self, other: AbstractSet[Any]) -> bool:
        return self.copy() < set(other) if _is_set(other) else NotImplemented

    def __ge__(self, other: AbstractSet[Any]) -> bool:
        return self.copy() >= set(other) if _is_set(other) else NotImplemented

    def __gt__(self, other: AbstractSet[Any]) -> bool:
        return self.copy() > set(other) if _is_set(other) else NotImplemented


MutableSet.register(Set)


def _is_set(other: object) -> bool:
    return isinstance(other, AbstractSet)
