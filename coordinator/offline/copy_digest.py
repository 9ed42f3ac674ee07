"""Counts and digests of a stored crawl, table by table, by which a copy is compared with what it was made of.

A digest is a sum over the hashes of rows: it does not depend on their order, which databases have each their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from crawlfleet.coordinator.core.kinds import KINDS
from crawlfleet.coordinator.frontier.copying import StoredBlock
from crawlfleet.coordinator.frontier.durable.batch import Batch

_HASH_BYTES = 16

_encode = msgspec.msgpack.Encoder().encode


class CopyDigest:
    """What was noted of a crawl: how many rows of each table, and the digest of these."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._sums: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How many rows were noted."""
        return self.counts.total()

    def note(self, batch: Batch) -> None:
        """Note the rows of a portion."""
        self._note("tasks", batch.born)
        self._note("ready", batch.ready)
        self._note("later", batch.later)
        self._note("results", batch.results)
        self._note("links", ((self.counts["links"] + place, *link) for place, link in enumerate(batch.links)))
        self._note("meta", batch.meta)
        for kind, new in batch.rows.items():
            self._note(KINDS[kind], new.values)

    def note_blocks(self, blocks: Iterable[StoredBlock]) -> None:
        """Note blocks of the story."""
        self._note("story", blocks)

    def note_marks(self, marks: Iterable[tuple[str, bytes]]) -> None:
        """Note marks of sinks."""
        self._note("marks", marks)

    def differences(self, other: CopyDigest) -> Iterator[str]:
        """Yield a part of a sentence for each table that is not the same in both."""
        for table in sorted({*self.counts, *other.counts}):
            if self.counts[table] != other.counts[table]:
                yield f"{other.counts[table]:,} rows of {table} in the place of {self.counts[table]:,}"
            elif self._sums[table] != other._sums[table]:
                yield f"other rows of {table}"

    def _note(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        for row in rows:
            hashed = blake2b(_encode(row), digest_size=_HASH_BYTES).digest()
            self.counts[table] += 1
            self._sums[table] = (self._sums[table] + int.from_bytes(hashed)) % 2 ** (8 * _HASH_BYTES)
