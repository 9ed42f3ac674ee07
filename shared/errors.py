"""The tree of errors that cross a boundary of the project.

    CrawlfleetError                what a user can be told in one sentence
    ├── UsageError                 exit 2: the command line, an address, a key, a version
    │   ├── JobError               exit 2: the job file; holds every problem found
    │   ├── JoinError              exit 2: the token is malformed, or the coordinator refuses it
    │   └── VersionError           exit 2: the two sides speak different protocol versions
    ├── CrawlFailed                exit 1: no seed gave a page, or a sink or the store failed
    ├── WireError                  the other process broke the protocol; its connection ends
    ├── Unreachable                no coordinator answers there (now); a worker tries again
    └── RemoteError                the coordinator refused one call, by name; the connection goes on

The web's misbehaviour is not here: it is an `Outcome` in a report. Bugs of ours are not here either; they raise loudly.
"""

from __future__ import annotations


class CrawlfleetError(Exception):
    """Base of all errors that are told to a user in one sentence."""

    exit_code = 1


class UsageError(CrawlfleetError):
    """The user asked for something that cannot be; the text says what, where and what to do."""

    exit_code = 2


class JoinError(UsageError):
    """The join token is malformed, or its secret or fingerprint does not fit the coordinator."""


class VersionError(UsageError):
    """The two sides speak different major versions of the protocol."""


class JobError(UsageError):
    """A job file has problems: `problems` is one line each, `file:line:column: what, and what to do`."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CrawlFailed(CrawlfleetError):
    """The crawl ended without doing its work."""


class WireError(CrawlfleetError):
    """The other side sent what the protocol does not allow."""


class Unreachable(CrawlfleetError):
    """No coordinator answers at that address now."""


class RemoteError(CrawlfleetError):
    """The coordinator refused a call. `name` is the refusal's name (`ValueError`, `KeyError`, ...)."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text
