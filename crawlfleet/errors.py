"""The errors that a user's program can catch. `crawlfleet.shared.errors` shows their tree."""

from crawlfleet.shared.errors import (
    CrawlFailed,
    CrawlfleetError,
    CrawlLost,
    CrawlWarning,
    JobError,
    JoinError,
    NotOwner,
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
    "CrawlLost",
    "CrawlWarning",
    "CrawlfleetError",
    "JobError",
    "JoinError",
    "NotOwner",
    "PageFailed",
    "PageRefused",
    "RemoteError",
    "Unreachable",
    "UsageError",
    "VersionError",
    "WireError",
]
