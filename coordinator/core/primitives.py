"""Locks and numbers of the whole fleet, as plain state machines: no call waits here.

An owner is `session/process/thread`. The locks of a lost session are freed. Fencing numbers only grow, so that a
resource outside the fleet can tell an old owner from the new one. The promise that nothing is lost or doubled does not
cover locks and numbers: hooks may run again after a worker died.
"""

from __future__ import annotations

MAX_NAMES = 10_000


def session_of(owner: str) -> str:
    """Return the session that an owner belongs to."""
    return owner.partition("/")[0]


class Locks:
    """Locks by name, each with its owner and the number of its last grant."""

    def __init__(self) -> None:
        self._owner: dict[str, str] = {}
        self._fence: dict[str, int] = {}

    def acquire(self, name: str, owner: str) -> int:
        """Acquire a lock; return its fencing number: the same if `owner` holds it already, 0 if another owner does."""
        holder = self._owner.get(name)
        if holder is not None:
            return self._fence[name] if holder == owner else 0
        if name not in self._fence and len(self._fence) >= MAX_NAMES:
            raise ValueError(f"there are {MAX_NAMES} locks already: use fewer names")
        self._owner[name] = owner
        self._fence[name] = self._fence.get(name, 0) + 1
        return self._fence[name]

    def release(self, name: str, owner: str) -> None:
        """Free a lock; raise `ValueError` if the owner does not hold it (any more)."""
        if self._owner.get(name) != owner:
            raise ValueError(f"the lock {name!r} is not held here (any more)")
        del self._owner[name]

    def free(self, session: str) -> None:
        """Free all locks of a session."""
        for name, owner in list(self._owner.items()):
            if session_of(owner) == session:
                del self._owner[name]


class Values:
    """Numbers by name; a number that was never set is 0."""

    def __init__(self) -> None:
        self._values: dict[str, int | float] = {}

    def get(self, name: str) -> int | float:
        """Return a number."""
        return self._values.get(name, 0)

    def set(self, name: str, number: int | float) -> None:
        """Set a number."""
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise TypeError(f"a fleet value is an int or a float, not {type(number).__name__}")
        if name not in self._values and len(self._values) >= MAX_NAMES:
            raise ValueError(f"there are {MAX_NAMES} values already: use fewer names")
        self._values[name] = number

    def add(self, name: str, number: int | float) -> int | float:
        """Add to a number, in one step; return the sum."""
        self.set(name, self.get(name) + number)
        return self.get(name)
