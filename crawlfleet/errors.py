"""The errors that a program on the fleet can catch. Their tree is drawn in `crawlfleet.shared.errors`."""

from __future__ import annotations

from crawlfleet.shared.errors import (
    CrawlFailed,
    CrawlfleetError,
    JobError,
    JoinError,
    RemoteError,
    Unreachable,
    UsageError,
    VersionError,
    WireError,
)

__all__ = [
    "CrawlFailed",
    "CrawlfleetError",
    "JobError",
    "JoinError",
    "RemoteError",
    "Unreachable",
    "UsageError",
    "VersionError",
    "WireError",
]
