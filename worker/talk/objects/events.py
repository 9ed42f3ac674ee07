"""Event: a flag of the whole fleet."""

from __future__ import annotations

from crawlfleet.worker.talk.objects.base import SharedObject, limit_s


class Event(SharedObject):
    """A flag of the whole fleet, as a manager's `Event`, which is not set at first."""

    kind = "Event"

    def is_set(self) -> bool:
        """Return whether the flag is set."""
        is_set: bool = self._read("is_set")
        return is_set

    def set(self) -> None:
        """Set the flag: all that wait for it go on."""
        self._call("set")

    def clear(self) -> None:
        """Clear the flag."""
        self._call("clear")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set; return False if it is not in time."""
        is_set: bool = self._call("wait", timeout_s=limit_s(timeout))
        return is_set
