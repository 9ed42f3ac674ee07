"""The loop over an embedded crawl, while its database is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import FollowedLog, StoreUnreachable
from crawlfleet.embedded.crawl import _look
from crawlfleet.embedded.messages import Over
from crawlfleet.embedded.process import CrawlProcess


class Away:
    """A log whose database does not answer."""

    def results(self, _cursor: int, _limit: int) -> Sequence[Result]:
        raise StoreUnreachable("cannot connect")


class Process:
    """The process of a crawl, as far as a loop asks it."""

    def __init__(self, over: Over | None) -> None:
        self.over = over

    def check_open(self) -> None:
        pass


def look(over: Over | None) -> Any:
    return _look(cast(CrawlProcess, Process(over)), cast(FollowedLog, Away()), 0, 0.0)


def test_rows_are_waited_for_as_long_as_the_crawl_goes_on() -> None:
    assert look(None) == ((), False)


def test_rows_that_cannot_be_read_when_the_crawl_is_over_are_an_error() -> None:
    with pytest.raises(StoreUnreachable, match="cannot connect"):
        look(Over())
