"""The port to a sink."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol


class Sink(Protocol):
    """Takes rows in the order of their commit. Raises `CrawlFailed`, naming the place, when it cannot."""

    def write(self, rows: Iterable[dict[str, Any]]) -> int:
        """Take rows; return how many."""
        ...

    def flush(self) -> None:
        """Hand all that was taken to the operating system."""
        ...

    def close(self) -> None:
        """Flush and close."""
        ...
