"""The index of resident rows: the keys of each family, in the order of their places."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from typing import Any

from crawlfleet.coordinator.core.rows import R, ResidentRow


class Families:
    """The families of rows of one kind; the rows themselves are elsewhere, by key."""

    def __init__(self) -> None:
        self._places: dict[Any, list[tuple[int, Any]]] = {}

    def add(self, row: ResidentRow) -> None:
        """Add a row whose key is new."""
        insort(self._places.setdefault(row.family, []), (row.place, row.key))

    def remove(self, row: ResidentRow) -> None:
        """Remove a row."""
        places = self._places[row.family]
        del places[bisect_left(places, (row.place, row.key))]
        if not places:
            del self._places[row.family]

    def rows(self, stored: Mapping[Any, R], family: Any) -> Iterator[R]:
        """Yield the rows of a family in the order of their places. Nothing may change meanwhile."""
        return (stored[key] for _, key in self._places.get(family, ()))
