"""Sorts the rows of a result into those that a kind of sinks writes and those that it rejects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.sinks.port import Rejected

Written = TypeVar("Written")


class Sorter(Generic[Written]):
    """Base of kinds. A kind defines `sorted`.

    Who has results written asks for their rejected rows next. So a sink lets its kind `remember` at each write which of
    them have none: these are not converted again.
    """

    def __init__(self) -> None:
        self._whole: dict[int, Result] | None = None

    def sorted(self, result: Result) -> Iterator[Written | Rejected]:
        """Yield each row of a result as it is written, or why it is rejected. The same result gives the same rows."""
        raise NotImplementedError

    def taken(self, result: Result) -> list[Written]:
        """Return the rows of a result as they are written, without those that are rejected."""
        rows = list(self.sorted(result))
        taken = [row for row in rows if not isinstance(row, Rejected)]
        if len(taken) == len(rows):
            self.note_whole(result)
        return taken

    def rejects_of(self, result: Result) -> list[Rejected]:
        """Return the rows of a result that are left out."""
        if self._whole is not None and self._whole.get(id(result)) is result:
            return []
        return [row for row in self.sorted(result) if isinstance(row, Rejected)]

    def note_whole(self, result: Result) -> None:
        """Remember that no row of a result is rejected, if there is a write that this is of use after."""
        if self._whole is not None:
            self._whole[id(result)] = result

    def remember(self) -> None:
        """Remember what is found out from now on, and let go of the last write's results."""
        self._whole = {}
