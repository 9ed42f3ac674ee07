"""The programs that a crawl is kept open for. Pure, and kept in memory only: rows of sessions know them as well."""

from __future__ import annotations


class Programs:
    """Knows which sessions of programs have opened a named object and are still there."""

    def __init__(self) -> None:
        self._wait = False
        self._has_come = False
        self._here: set[str] = set()

    @property
    def is_awaited(self) -> bool:
        """Whether to keep the crawl open: the first program has not come yet, or some have not gone yet."""
        return self._wait and (not self._has_come or bool(self._here))

    def wait(self) -> None:
        """Await programs from now on; none is awaited otherwise."""
        self._wait = True

    def opened(self, session: str) -> None:
        """A program has opened an object; it may do so many times."""
        self._has_come = True
        self._here.add(session)

    def gone(self, session: str) -> None:
        """A session has ended or was lost, whether it was a program's or not."""
        self._here.discard(session)
