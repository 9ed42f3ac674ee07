"""Orders to a session from outside its control thread: drain, end as it is, or end with an error."""

from __future__ import annotations

from collections.abc import Callable


class Orders:
    """Orders that any thread may give and read; `wake` makes the control thread check them.

    `draining` says whether to take nothing new, report what runs, and end; `replacing`, that it drains so that another
    process may take its place; `leaving`, that what still runs is to be left behind.
    """

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self.draining = False
        self.replacing = False
        self.leaving = False
        self._error: Exception | None = None

    def drain(self) -> None:
        """Request an orderly end."""
        self.draining = True
        self._wake()

    def replace(self) -> None:
        """Request an orderly end, after which another process takes the place of this one."""
        self.replacing = True
        self.drain()

    def leave(self) -> None:
        """Request that a drain ends without what still runs."""
        self.leaving = True
        self._wake()

    def abort(self, error: Exception) -> None:
        """Request an immediate end because of an error; the first error counts."""
        self._error = self._error or error
        self._wake()

    def check(self) -> None:
        """Raise the error of `abort`, if any, in the control thread."""
        if self._error is not None:
            raise self._error
