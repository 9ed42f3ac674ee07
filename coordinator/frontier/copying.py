"""The port by which a stored crawl is copied into another store: all of it, in portions that fit into memory.

A portion is a `Batch` with what is stored, whatever wrote it. Rows in it are whole, keys are those of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.port import StoreReader

#: What is kept with a copy: where it is from, and the epoch with which it was made. A copy that nobody has opened has
#: that epoch still.
COPIED = "copied"
#: What is kept with a crawl that has moved: where to. Nobody opens it any more.
MOVED = "moved"


class StoredBlock(NamedTuple):
    """A block of the story as it is stored: its place, its time, if that is known, and its lines."""

    seq: int
    at: float | None
    lines: bytes


class Numbers(NamedTuple):
    """A crawl's own numbers: that of its last opening, that of its last commit, and crawl time now."""

    epoch: int
    commits: int
    crawl_s: float


class CopySource(Protocol):
    """A stored crawl, held so that nobody else opens it. Raises `UsageError` or `CrawlFailed` if it cannot be read."""

    def rows(self) -> int:
        """Return about how many rows there are, for people."""
        ...

    def batches(self) -> Iterator[Batch]:
        """Yield all but the story, the marks and the numbers, in portions."""
        ...

    def blocks(self) -> Iterator[list[StoredBlock]]:
        """Yield the story, in portions."""
        ...

    def marks(self) -> list[tuple[str, bytes]]:
        """Return the marks of all sinks, encoded."""
        ...

    def numbers(self) -> Numbers:
        """Return the crawl's own numbers; raise `CrawlFailed` if the crawl is not held any more."""
        ...

    def close(self) -> None:
        """Let others open the crawl."""
        ...


class CopyTarget(Protocol):
    """A draft of a stored crawl, which no other command takes for one. Raises `CrawlFailed` if it cannot be written."""

    def write(self, batch: Batch) -> None:
        """Write one portion."""
        ...

    def write_blocks(self, blocks: list[StoredBlock]) -> None:
        """Write one portion of the story."""
        ...

    def finish(self, numbers: Numbers, marks: list[tuple[str, bytes]]) -> None:
        """Write the rest, and make all of it durable."""
        ...

    def close(self) -> None:
        """Close the draft."""
        ...


class Copying(Protocol):
    """One place of a crawl, from which and to which crawls are copied."""

    def source(self) -> CopySource:
        """Open the crawl that is there. Raises `UsageError` if a coordinator has it, or it has another format."""
        ...

    def target(self) -> CopyTarget:
        """Begin a draft of a crawl; remove one that was left."""
        ...

    def drafted(self) -> CopySource:
        """Open the draft, which is finished."""
        ...

    def read_draft(self) -> StoreReader:
        """Open a snapshot of the draft."""
        ...

    def publish(self) -> None:
        """Make the draft the crawl of this place, in one step."""
        ...

    def remove(self) -> None:
        """Remove the crawl that is there."""
        ...

    def retire(self, source: CopySource, to: str) -> str:
        """Mark the crawl that is there, and is held by `source`, as moved; say what is left, for people."""
        ...
