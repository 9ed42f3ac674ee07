"""Orders to a session from outside its control thread: drain, or end with an error."""

from __future__ import annotations

from collections.abc import Callable


class Orders:
    """Orders that any thread may give and read; `wake` makes the control thread check them."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self._draining = False
        self._error: Exception | None = None

    @property
    def draining(self) -> bool:
        """Whether to take nothing new, report what runs, and end."""
        return self._draining

    def drain(self) -> None:
        """Request an orderly end."""
        self._draining = True
        self._wake()

    def abort(self, error: Exception) -> None:
        """Request an immediate end because of an error; the first error counts."""
        self._error = self._error or error
        self._wake()

    def check(self) -> None:
        """Raise the error of `abort`, if any, in the control thread."""
        if self._error is not None:
            raise self._error
