"""Orders to a session from outside its control thread: drain, or end with an error."""

from __future__ import annotations

from collections.abc import Callable


class Orders:
    """Orders that any thread may give and read; `wake` makes the control thread check them.

    `draining` says whether to take nothing new, report what runs, and end.
    """

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self.draining = False
        self._error: Exception | None = None

    def drain(self) -> None:
        """Request an orderly end."""
        self.draining = True
        self._wake()

    def abort(self, error: Exception) -> None:
        """Request an immediate end because of an error; the first error counts."""
        self._error = self._error or error
        self._wake()

    def check(self) -> None:
        """Raise the error of `abort`, if any, in the control thread."""
        if self._error is not None:
            raise self._error
