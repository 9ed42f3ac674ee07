"""What a page gives to the program that asked for it: its rows, or an error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from crawlfleet.shared.errors import PageFailed, PageRefused
from crawlfleet.shared.pools import Settled
from crawlfleet.shared.reasons import Reason


class Rows(list[Any]):
    """The rows of one page, a list.

    `url` is the address that was asked for, `final_url` the one that was fetched last, `status` its HTTP status.
    """

    __slots__ = ("final_url", "status", "url")

    def __init__(self, rows: Iterable[Any] = (), url: str = "", final_url: str = "", status: int = 0) -> None:
        super().__init__(rows)
        self.url = url
        self.final_url = final_url
        self.status = status

    def __repr__(self) -> str:
        return f"Rows({list.__repr__(self)}, url={self.url!r})"


#: What an ask is answered with. An error is raised, or returned in place of the rows.
Outcome: TypeAlias = Rows | BaseException


def outcome_of(settled: Settled, url: str) -> Outcome:
    """Return the rows of a page that was asked for as `url`, or the error that says why there are none."""
    if not settled.failed:
        return Rows(settled.rows, url, settled.url, settled.status)
    kind = PageRefused if settled.refused else PageFailed
    return kind(url, settled.reason, settled.status, settled.detail)


def cancelled(url: str) -> PageRefused:
    """Return the error of a page that was asked for, but is not wanted any more."""
    return PageRefused(url, Reason.CANCELLED.value)
