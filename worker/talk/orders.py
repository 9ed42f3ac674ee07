"""What is asked of a session from outside its control thread: to drain, or to end with an error."""

from __future__ import annotations

from collections.abc import Callable


class Orders:
    """May be given and read by any thread; `wake` makes the control thread look."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self._draining = False
        self._error: Exception | None = None

    @property
    def draining(self) -> bool:
        """Whether to take nothing new, report what runs, and end."""
        return self._draining

    def drain(self) -> None:
        """Ask for the end, in good order."""
        self._draining = True
        self._wake()

    def abort(self, error: Exception) -> None:
        """Ask for the end at once, since an error makes it pointless to go on; the first error counts."""
        self._error = self._error or error
        self._wake()

    def check(self) -> None:
        """Raise the error of `abort`, if there is one; for the control thread."""
        if self._error is not None:
            raise self._error
