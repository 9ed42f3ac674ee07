"""What a crawl came to: the numbers at its end, as a value and as JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a crawl. `ended` is `finished`, `interrupted` or `failed`, `detail` says why if it failed.

    `robots_given_up` is on how many hosts no page was fetched, since their robots.txt could not be had within
    `robots_wait_s`; `robots_waiting` how many were still waited for.
    """

    job: str
    ended: str
    detail: str = ""
    started_at: str
    elapsed_s: float
    discovered: int
    done: int
    fetched: int
    fetched_before: int
    redirected: int
    failed: int
    dropped: int
    unfinished: int
    rows: int
    retries: int
    retried: dict[str, int]
    leases_lost: int
    reasons: dict[str, int]
    sinks: tuple[str, ...]
    resumable: bool
    exit_code: int
    robots_wait_s: float = 0.0
    robots_waiting: int = 0
    robots_given_up: int = 0
    robots_given_up_on: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def pages_per_s(self) -> float:
        """The rate of this run, not of those that it went on from."""
        return (self.fetched - self.fetched_before) / self.elapsed_s if self.elapsed_s > 0 else 0.0


def write(summary: Summary, path: Path) -> None:
    """Leave a summary as JSON, whole or not at all; raise `OSError` if that cannot be."""
    draft = path.with_suffix(".tmp")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    draft.replace(path)
