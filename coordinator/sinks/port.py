"""The port to a sink."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.sinks.marks import Mark


class Sink(Protocol):
    """Takes results in the order of their commit, exactly once: it knows how far it is, and says so by its mark.

    Raises `CrawlFailed`, naming the place, when it cannot write.
    """

    @property
    def mark(self) -> Mark:
        """How far the sink is."""
        ...

    def restore(self, log: Iterator[Result], length: int) -> Mark:
        """Go back to what is there of the whole log, which has `length` results; return the mark to commit.

        After a power cut the log may be shorter than the sink, as well as the sink shorter than its mark.
        """
        ...

    def write(self, results: Sequence[Result]) -> Mark:
        """Take results; return the mark to commit, once they are handed to the operating system."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...
