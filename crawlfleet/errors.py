"""The errors that a user's program can catch. `crawlfleet.shared.errors` shows their tree."""

from crawlfleet.shared.errors import (
    CrawlFailed,
    CrawlfleetError,
    JobError,
    JoinError,
    PageFailed,
    PageRefused,
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
    "PageFailed",
    "PageRefused",
    "RemoteError",
    "Unreachable",
    "UsageError",
    "VersionError",
    "WireError",
]
