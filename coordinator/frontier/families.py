"""The index of resident rows: the keys of each family, in the order of their places."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from typing import Any

from crawlfleet.coordinator.core.rows import R, ResidentRow


class Families:
    """The families of rows of one kind; the rows themselves are elsewhere, by key."""

    def __init__(self) -> None:
        self._places: dict[Any, list[tuple[float, Any]]] = {}

    def put(self, row: ResidentRow, before: ResidentRow | None) -> None:
        """Take a row in the place of the one that has had its key, if any."""
        if before is not None:
            if before.place == row.place:
                return
            self.remove(before)
        insort(self._places.setdefault(row.family, []), (row.place, row.key))

    def remove(self, row: ResidentRow) -> None:
        """Remove a row."""
        places = self._places[row.family]
        del places[bisect_left(places, (row.place, row.key))]
        if not places:
            del self._places[row.family]

    def rows(self, stored: Mapping[Any, R], family: Any, after: int, backwards: bool) -> Iterator[R]:
        """Yield the rows of a family beyond a place, in the order of their places. Nothing may change meanwhile."""
        places = self._places.get(family, [])
        indexes = range(bisect_left(places, (after + 1,)), len(places))
        return (stored[places[index][1]] for index in (reversed(indexes) if backwards else indexes))
