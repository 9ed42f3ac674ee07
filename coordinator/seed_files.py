"""The seeds files of a crawl while it is served: their lines, what is said of bad ones, and what has changed since the
last run."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import islice

import structlog

from crawlfleet.coordinator.conduct.seeding import LineTally
from crawlfleet.coordinator.core.later_rows import SeedLineRow
from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.coordinator.job.job import MAX_JOINING_HOSTS, Job
from crawlfleet.coordinator.job.seeds import columns_of, files_of

NAMED = 3
MAX_SHOWN_CHARS = 200
# Under this key the numbers of the lines of the last run are kept.
_LINES = "seed lines"


class SeedFiles:
    """The seeds files of a job, read once, one after another."""

    def __init__(self, job: Job) -> None:
        columns = columns_of(job.seeds) or ()
        self._follows = job.follows
        self._is_scope_open = job.scope.hosts == "any"
        self._readers = [seed.reader(columns) for seed in files_of(job.seeds)]
        self._begun = 0

    def __bool__(self) -> bool:
        return bool(self._readers)

    def __iter__(self) -> Iterator[tuple[str, SeedLine]]:
        for reader in self._readers:
            self._begun += 1
            yield from reader

    def tell(self) -> None:
        """Log what is wrong with lines that were read since the last time."""
        for reader in self._readers:
            for text in reader.take_told():
                structlog.get_logger().warning("seed line skipped", detail=text)

    @property
    def estimated_left(self) -> int:
        """About how many seeds are left in the files, by the size of what is read."""
        left = 0
        for reader in self._readers[max(0, self._begun - 1) :]:
            read = reader.fraction
            left += round(reader.addresses / read) - reader.addresses if read else 1
        return left

    def findings(self, tally: LineTally, store: Store) -> tuple[str, ...]:
        """Return what the user must see once all lines are added; remember them for the next run.

        Called once, by whoever owns the store.
        """
        self.tell()
        of_files = (sentence for reader in self._readers for sentence in reader.findings())
        return (*of_files, *self._of_lines(tally), *self._since_last_run(tally, store))

    def _of_lines(self, tally: LineTally) -> Iterator[str]:
        if tally.repeated:
            lead = "1 line leads" if tally.repeated == 1 else f"{tally.repeated:,} lines lead"
            yield f"{lead} to a page of an earlier line: it is fetched once, and its rows have that earlier line."
        if tally.late:
            name = "1 line names a page that was" if tally.late == 1 else f"{tally.late:,} lines name pages that were"
            yield f"{name} fetched before as a link of the crawl: rows that are recorded have no `requested`."
        if tally.aside and self._follows and not self._is_scope_open:
            yield (
                f"Seeds of files have more than {MAX_JOINING_HOSTS:,} hosts: links to the others are not followed "
                f"({tally.aside:,} lines). To follow all, write scope: {{hosts: any}} with a budget; none, follow: []."
            )

    def _since_last_run(self, tally: LineTally, store: Store) -> Iterator[str]:
        """Compare the lines with those of the last run, if there was one. What was not read is not known to be gone."""
        kept = store.kept(_LINES)
        is_whole = not any(reader.fault for reader in self._readers)
        now, before = tally.numbers, zlib.decompress(kept) if kept is not None else b""
        new, gone = _but(now, before), _but(before, now) if is_whole else 0
        if kept is not None and (new or gone):
            few = [row.line.requested[:MAX_SHOWN_CHARS] for row in _some(store, gone)]
            named = f" (such as {', '.join(map(repr, few))}: what is known of them stays)" if few else ""
            yield f"Seeds of files: {new.bit_count():,} new, {gone.bit_count():,} gone since the last run{named}."
        known = now if is_whole else _joined(now, before)
        store.keep(_LINES, zlib.compress(known))


def _but(some: bytes, others: bytes) -> int:
    """Return the bits of some that are not among the others."""
    return int.from_bytes(some, "little") & ~int.from_bytes(others, "little")


def _joined(some: bytes, others: bytes) -> bytes:
    """Return the bits of both."""
    both = int.from_bytes(some, "little") | int.from_bytes(others, "little")
    return both.to_bytes(max(len(some), len(others)), "little")


def _some(store: Store, bits: int) -> list[SeedLineRow]:
    """Return the first lines with the numbers that bits stand for."""
    numbers = list(islice(_numbers(bits), NAMED))
    rows = store.rows(SeedLineRow, numbers)
    return [rows[number] for number in numbers if number in rows]


def _numbers(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
