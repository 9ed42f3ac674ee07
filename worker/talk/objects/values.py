"""Value: a number of the whole fleet."""

from __future__ import annotations

from crawlfleet.worker.talk.objects.base import SharedObject

Number = int | float


class Value(SharedObject):
    """A number that the whole fleet shares; it starts at 0."""

    kind = "Value"

    @property
    def value(self) -> Number:
        """The number."""
        return self.get()

    @value.setter
    def value(self, number: Number) -> None:
        self.set(number)

    def get(self) -> Number:
        """Return the number."""
        number: Number = self._read("get")
        return number

    def set(self, number: Number) -> None:
        """Set the number."""
        self._call("set", number)

    def add(self, number: Number) -> Number:
        """Add to the number, in one step; return the sum."""
        total: Number = self._call("add", number)
        return total
