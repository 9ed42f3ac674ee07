"""The tree of errors that cross a boundary of the project.

    CrawlfleetError                an error that one sentence explains to a user
    ├── UsageError                 exit 2: the command line, an address, a key, a version
    │   ├── JobError               exit 2: the job file; holds every problem found
    │   ├── JoinError              exit 2: the token is malformed, or the coordinator refuses it
    │   └── VersionError           exit 2: the two sides speak different protocol versions
    ├── CrawlFailed                exit 1: no seed gave a page, or a sink or the store failed
    │   └── CrawlLost              the coordinator has lost its crawl for now: it goes on when it is its turn
    ├── PageFailed                 a page that a program asked for could not be fetched, or gave no rows
    │   └── PageRefused            a rule kept it from being fetched or read
    ├── WireError                  the other process violated the protocol; its connection ends
    ├── Unreachable                no coordinator answers at the moment; a worker tries again
    │   └── NotOwner               the coordinator there waits for its turn: another one owns the crawl
    └── RemoteError                the coordinator refused one call, by name; the connection stays open

`CrawlWarning` is a warning of Python: a loop over a crawl has rows, but not all that its caller may think.

Misbehaviour of the web is not an error here but an `Outcome` in a report, except to a program that asked for that page.
Bugs in crawlfleet raise other exceptions.
"""

from __future__ import annotations

from crawlfleet.shared import reasons


class CrawlfleetError(Exception):
    """Base of all errors that one sentence explains to a user."""

    exit_code = 1


class UsageError(CrawlfleetError):
    """The user asked for something impossible; the text says what, where and what to do."""

    exit_code = 2


class JoinError(UsageError):
    """The join token is malformed, or its secret or fingerprint does not match the coordinator's."""


class VersionError(UsageError):
    """The two sides speak different major versions of the protocol."""


class JobError(UsageError):
    """A job file has problems: `problems` has one line for each, `file:line:column: what, and what to do`."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CrawlFailed(CrawlfleetError):
    """The crawl ended without completing its work."""


class CrawlLost(CrawlFailed):
    """A coordinator has lost its crawl to another one, or the connection to its database. Callers hear `NotOwner`."""


class CrawlWarning(UserWarning):
    """Something in a crawl that goes on, or has finished, is not as its caller may think: pages failed, say."""


class PageFailed(CrawlfleetError):
    """A page that was asked for as `url` gives no rows.

    `reason` is the name of the failure, `status` the last HTTP status (0 if there was none), `detail` more words.
    """

    def __init__(self, url: str, reason: str, status: int = 0, detail: str = "") -> None:
        super().__init__(url, reason, status, detail)
        self.url = url
        self.reason = reason
        self.status = status
        self.detail = detail

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.url or 'a page'} {self._verb}: {self.reason}. {reasons.meaning_of(self.reason)}{detail}"

    _verb = "failed"


class PageRefused(PageFailed):
    """A rule kept a page that was asked for from being fetched or read; `rule` is the rule's name."""

    _verb = "was refused"

    @property
    def rule(self) -> str:
        """The name of the rule: the reason."""
        return self.reason


class WireError(CrawlfleetError):
    """The other side sent something that the protocol does not allow."""


class Unreachable(CrawlfleetError):
    """No coordinator answers at that address now."""


class NotOwner(Unreachable):
    """A coordinator waits for its turn. `owner` is the address of the one that owns the crawl, empty if not known."""

    def __init__(self, owner: str = "") -> None:
        super().__init__(owner)
        self.owner = owner

    def __str__(self) -> str:
        where = f" at {self.owner}" if self.owner else ""
        return f"this coordinator waits for its turn: another one{where} owns the crawl"


class RemoteError(CrawlfleetError):
    """The coordinator refused a call. `name` is the refusal's name (`ValueError`, `KeyError`, ...)."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text
