"""The programs that a crawl is kept open for. Pure, and kept in memory only: rows know them as well."""

from __future__ import annotations


class Programs:
    """Knows which sessions of programs have opened a named object and are still there, and which hold pools open."""

    def __init__(self) -> None:
        self._wait = False
        self._has_come = False
        self._here: set[str] = set()
        self._holding: set[str] = set()

    @property
    def is_awaited(self) -> bool:
        """Whether to keep the crawl open: programs hold pools, or the first has not come yet, or some have not gone."""
        return self.hold_pools or (self._wait and (not self._has_come or bool(self._here)))

    @property
    def hold_pools(self) -> bool:
        """Whether any program holds a pool open, from which asks may come at any time."""
        return bool(self._holding)

    def wait(self) -> None:
        """Await programs from now on; none is awaited otherwise."""
        self._wait = True

    def opened(self, session: str) -> None:
        """A program has opened an object; it may do so many times."""
        self._has_come = True
        self._here.add(session)

    def hold(self, session: str) -> None:
        """A program holds a pool open."""
        self.opened(session)
        self._holding.add(session)

    def let_go(self, session: str) -> None:
        """A program holds no pool open any more, if it did."""
        self._holding.discard(session)

    def gone(self, session: str) -> None:
        """A session has ended or was lost, whether it was a program's or not."""
        self._here.discard(session)
        self.let_go(session)
