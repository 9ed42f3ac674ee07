"""A page whose report comes in parts, in a crawl on disk: what a restart, a death, and a slow worker make of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crawlfleet.shared.messages import AckState
from tests.unit.parts_crawl import NEW, OLD, PartsCrawl


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[PartsCrawl]:
    found = PartsCrawl(tmp_path)
    with closing(found.store):
        yield found


def test_parts_survive_a_restart_between_any_two_of_them(crawl: PartsCrawl) -> None:
    parts = crawl.grant(OLD)
    for number, part in enumerate(parts[:-1]):
        assert (crawl.send(part).state, crawl.kept) == (AckState.MORE, number + 1)
        assert not crawl.core.fetched()
        crawl.restart()
    assert crawl.send(parts[0]).parts == len(parts) - 1
    assert crawl.send(parts[-1]).state is AckState.OK
    crawl.restart()
    crawl.core.hello(OLD)
    assert crawl.send(parts[-1]).state is AckState.OK
    crawl.check()


@pytest.mark.parametrize("end", ["silence", "death", "goodbye"])
def test_what_a_dead_worker_has_sent_is_discarded_and_the_page_is_told_again_as_a_whole(
    crawl: PartsCrawl, end: str
) -> None:
    first = crawl.grant(OLD)
    for part in first[:-1]:
        crawl.send(part)
    if end == "goodbye":
        crawl.core.service.goodbye(OLD, crawl.core.now)
        crawl.core.service.flush(crawl.core.now)
    elif end == "death":
        crawl.core.hello("u", replaces=OLD)
    else:
        crawl.core.pass_time(8.0)
        crawl.core.turn(NEW)
        crawl.core.pass_time(8.0)
    assert (crawl.kept, crawl.core.fetched()) == (0, set())
    crawl.core.hello(OLD)
    assert crawl.send(first[-1]).state is AckState.STALE
    crawl.core.pass_time(3.0)
    second = crawl.grant(NEW)
    assert [crawl.send(part, NEW).state for part in second] == [AckState.MORE] * (len(second) - 1) + [AckState.OK]
    assert crawl.send(first[0]).state is AckState.STALE
    crawl.check()
