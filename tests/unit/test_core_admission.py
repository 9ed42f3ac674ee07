"""What becomes a task, and at which depth."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from crawlfleet.coordinator.core.latest_scope import scope_of
from crawlfleet.coordinator.core.policy import Priority
from crawlfleet.coordinator.core.rows import R, TaskRow, TaskState
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Kind, Outcome, Report
from crawlfleet.shared.web.urls import fingerprint
from tests.unit.core_crawl import CoreCrawl, all_of


def fetched(lease: int, ref: bytes, *outlinks: str) -> Report:
    return Report(lease=lease, ref=ref, outcome=Outcome.FETCHED, status=200, age_s=0.0, outlinks=outlinks)


def test_a_page_found_nearer_by_the_same_turn_passes_its_new_depth_to_its_links() -> None:
    crawl = CoreCrawl("http://a.test/1", "http://a.test/2", depth=2)
    crawl.hello("s")
    crawl.open_gates()
    (lease, one), (_, two) = crawl.ask()
    crawl.settle(lease, one, outlinks=("http://a.test/x",))
    ((second, x),) = crawl.ask()
    crawl.settle(second, x, outlinks=("http://a.test/p",))
    ((third, page),) = crawl.ask()
    assert page.depth == 2
    nearer = fetched(lease.id, two.ref, "http://a.test/p")
    crawl.turn(reports=(nearer, fetched(third.id, page.ref, "http://a.test/q")))
    assert crawl.task("http://a.test/p").depth == 1
    assert crawl.task("http://a.test/q").depth == 2
    assert all_of(crawl.ask()) == ["http://a.test/q"]


def test_what_is_too_deep_is_revived_when_it_is_found_nearer() -> None:
    crawl = CoreCrawl("http://a.test/1", "http://a.test/2", depth=1)
    crawl.hello("s")
    crawl.open_gates()
    (lease, one), (_, two) = crawl.ask()
    crawl.settle(lease, one, outlinks=("http://a.test/x",))
    ((second, x),) = crawl.ask()
    crawl.settle(second, x, outlinks=("http://a.test/deep",))
    dropped = crawl.task("http://a.test/deep")
    assert (dropped.state, dropped.reason) == (TaskState.DROPPED, "depth")
    crawl.settle(lease, two, outlinks=("http://a.test/deep",))
    assert all_of(crawl.ask()) == ["http://a.test/deep"]


def test_the_first_rule_that_matches_gives_a_page_its_priority() -> None:
    rules = (Priority("/news/old/", -5), Priority(r"re:^/news/\d+$", 9), Priority("/news/", 5))
    paths = ("/", "/news/old/1", "/news/a", "/news/7", "/b")
    crawl = CoreCrawl(*(f"http://a.test{path}" for path in paths), priorities=rules, per_host=8)
    crawl.hello("s")
    crawl.open_gates()
    granted = [url.removeprefix("http://a.test") for url in all_of(crawl.ask())]
    assert granted == ["/news/7", "/news/a", "/", "/b", "/news/old/1"]


def test_a_priority_reaches_deeper_than_any_depth() -> None:
    crawl = CoreCrawl("http://a.test/1", priorities=(Priority("/deep", 1),), tasks_per_lease=1)
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outlinks=("http://a.test/deep",))
    assert crawl.service.put("http://a.test/near", crawl.now) == ""
    assert all_of(crawl.ask()) == ["http://a.test/deep"]


def test_what_is_known_and_no_nearer_costs_no_row_under_a_depth_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    crawl = CoreCrawl("http://a.test/1", "http://a.test/2", depth=5)
    crawl.hello("s")
    crawl.open_gates()
    (lease, one), (_, two) = crawl.ask()
    links = tuple(f"http://a.test/x{number}" for number in range(9))
    crawl.settle(lease, one, outlinks=links)
    read: list[object] = []
    rows = crawl.store.rows

    def watched(kind: type[R], keys: Collection[Any]) -> dict[Any, R]:
        read.extend(keys if kind is TaskRow else ())
        return rows(kind, keys)

    monkeypatch.setattr(crawl.store, "rows", watched)
    known = b"".join(fingerprint(Kind.PAGE, "", url) for url in links[4:])
    crawl.settle(lease, two, outlinks=links[:4], known=known)
    assert set(read) == {two.ref}
    assert len(crawl.task("http://a.test/2").outlinks) == len(links)


class Host(str):
    """A host name that counts how often it is looked up."""

    __slots__ = ()
    hashed = 0

    def __hash__(self) -> int:
        Host.hashed += 1
        return super().__hash__()


def test_the_hosts_of_a_scope_are_not_gone_through_for_each_link() -> None:
    spec, joined = ScopeSpec(hosts=(Host("a.test"), Host("b.test"))), (Host("www.a.test"),)
    assert scope_of(spec, joined).refuses("http://www.a.test/") == ""
    Host.hashed = 0
    assert scope_of(spec, joined) is scope_of(spec, joined)
    assert Host.hashed == 0
    assert scope_of(spec, ()).refuses("http://www.a.test/") == "host"
