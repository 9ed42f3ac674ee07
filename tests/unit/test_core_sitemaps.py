"""Sitemaps at the coordinator: which are read, which of their entries count, and how large ones are reported."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.core.changes import Accepted
from crawlfleet.coordinator.core.rows import Gate, LeaseRow, OriginRow, TaskRow, TaskState
from crawlfleet.coordinator.core.sitemaps import MAX_NAMED
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.shared.brief import ScopeSpec, UrlSpec
from crawlfleet.shared.messages import AckState, Kind, Lease, Outcome, Report, SitemapEntry, Task
from crawlfleet.shared.web.urls import fingerprint, origin
from tests.unit.core_crawl import SEED, CoreCrawl

MAP = "http://a.test/sitemap.xml"


def entries(*urls: str) -> tuple[SitemapEntry, ...]:
    return tuple(SitemapEntry(url) for url in urls)


def sitemap(crawl: CoreCrawl, url: str = MAP, serves: str = "") -> TaskRow:
    ref = fingerprint(Kind.SITEMAP, serves or origin(url), url)
    return crawl.store.rows(TaskRow, [ref])[ref]


def knows(crawl: CoreCrawl, url: str, serves: str = "") -> bool:
    return bool(crawl.store.rows(TaskRow, [fingerprint(Kind.SITEMAP, serves or origin(url), url)]))


def with_map(*seeds: str, maps: tuple[str, ...] = (MAP,), robots: bytes = b"", **policy: Any) -> CoreCrawl:
    """Begin a crawl by sitemaps and let robots.txt allow them."""
    crawl = CoreCrawl(*seeds, **policy) if seeds else CoreCrawl(scope=ScopeSpec(hosts=("a.test", "b.test")), **policy)
    crawl.service.add_seeds((), crawl.now, maps=maps)
    crawl.hello("s")
    crawl.open_gates(body=robots, status=200 if robots else 404)
    return crawl


def only_map(crawl: CoreCrawl, url: str = MAP) -> tuple[Lease, Task]:
    """Take what is granted, and return the sitemap among it."""
    return next((lease, task) for lease, task in crawl.ask(want=50) if task.url == url)


# Where sitemaps come from


def test_a_sitemap_that_the_job_names_is_granted_behind_robots_txt_and_before_any_page() -> None:
    crawl = CoreCrawl()
    crawl.service.add_seeds((), 0.0, maps=(MAP,))
    crawl.hello("s")
    ((lease, robots),) = crawl.ask()
    assert robots.kind is Kind.ROBOTS
    crawl.settle(lease, robots, outcome=Outcome.HTTP_ERROR, status=404)
    assert [(task.kind, task.url) for _, task in crawl.ask()] == [(Kind.SITEMAP, MAP), (Kind.PAGE, SEED)]


ROBOTS = b"""\xef\xbb\xbfSitemap: http://a.test/bom.xml
User-agent: other
SITEMAP:http://a.test/1.xml.gz # in another's group
sitemap :   /relative.xml
User-agent: *
Site-map: http://a.test/2.txt
Sitemap:
Sitemap: nonsense://x
Sitemap: http://a.test/1.xml.gz
Disallow: /private/
"""


def test_sitemaps_in_robots_txt_are_read_if_the_job_asks_for_them_whatever_group_they_stand_in() -> None:
    crawl = CoreCrawl(sitemaps=True)
    crawl.hello("s")
    crawl.open_gates(body=ROBOTS, status=200)
    maps = {task.url for _, task in crawl.ask(want=50) if task.kind is Kind.SITEMAP}
    assert maps == {f"http://a.test/{name}" for name in ("bom.xml", "1.xml.gz", "relative.xml", "2.txt")}


def test_one_robots_txt_names_so_many_sitemaps_and_no_more() -> None:
    crawl = CoreCrawl(sitemaps=True)
    crawl.hello("s")
    lines = "".join(f"Sitemap: http://a.test/{number}.xml\n" for number in range(MAX_NAMED + 1))
    crawl.open_gates(body=lines.encode(), status=200)
    for _ in range(MAX_NAMED // 100):  # they are admitted in portions
        crawl.service.flush(crawl.now)
    assert knows(crawl, f"http://a.test/{MAX_NAMED - 1}.xml")
    assert not knows(crawl, f"http://a.test/{MAX_NAMED}.xml")


def test_the_same_sitemap_named_by_the_job_and_by_robots_txt_is_one() -> None:
    crawl = with_map(robots=f"Sitemap: {MAP}".encode(), sitemaps=True)
    assert [task.url for _, task in crawl.ask()].count(MAP) == 1


# What they list


def test_entries_are_pages_at_depth_zero_with_their_priority_and_date() -> None:
    crawl = with_map(depth=0)
    listed = (SitemapEntry("http://a.test/low", -5, 7), SitemapEntry("http://a.test/high", 5))
    crawl.settle(*only_map(crawl), entries=listed)
    low = crawl.task("http://a.test/low")
    assert (low.depth, low.priority, low.lastmod, low.seed) == (0, -5, 7, False)
    assert low.found_on == sitemap(crawl).ref
    assert [task.url for _, task in crawl.ask()] == ["http://a.test/high", "http://a.test/low"]


def test_the_scope_holds_for_entries() -> None:
    crawl = with_map(SEED, scope=ScopeSpec(hosts=("a.test",), exclude=("/private/",)))
    lies = ("http://x.test/", "http://a.test/private/1", "http://A.test/", "nonsense", "")
    crawl.settle(*only_map(crawl), entries=entries(*lies, "http://a.test/ok"), sitemaps=("nonsense", "HTTP://a.test"))
    assert crawl.knows("http://a.test/ok")
    assert not any(crawl.knows(lie) for lie in lies)


def test_entries_of_another_host_count_if_the_job_itself_names_the_sitemap() -> None:
    crawl = with_map(maps=("http://cdn.test/map.xml",))
    crawl.settle(*only_map(crawl, "http://cdn.test/map.xml"), entries=entries("http://a.test/1", "http://b.test/1"))
    assert crawl.knows("http://a.test/1")
    assert crawl.knows("http://b.test/1")


def by_robots(url: str) -> CoreCrawl:
    """Begin a crawl of a.test, whose robots.txt names a sitemap; b.test is in scope, too."""
    crawl = CoreCrawl(sitemaps=True)
    crawl.hello("s")
    crawl.open_gates(body=f"Sitemap: {url}".encode(), status=200)
    return crawl


def test_a_sitemap_elsewhere_counts_for_the_host_whose_robots_txt_names_it() -> None:
    away = "http://cdn.test/a/map.xml"
    crawl = by_robots(away)
    while not (found := [(lease, task) for lease, task in crawl.ask() if task.url == away]):
        pass_gate(crawl)
    listed = entries("http://a.test/1", "http://b.test/1", "http://cdn.test/1")
    crawl.settle(*found[0], entries=listed, sitemaps=("http://cdn.test/a/2.xml", "http://b.test/3.xml"))
    assert crawl.knows("http://a.test/1")
    assert not crawl.knows("http://b.test/1")
    assert not crawl.knows("http://cdn.test/1")
    assert knows(crawl, "http://cdn.test/a/2.xml", serves="http://a.test")
    assert not knows(crawl, "http://b.test/3.xml", serves="http://a.test")


def pass_gate(crawl: CoreCrawl) -> None:
    for lease in crawl.store.leases_of("s"):
        for task in crawl.store.rows(TaskRow, lease.refs).values():
            if task.kind is Kind.ROBOTS:
                report = Report(lease=lease.id, ref=task.ref, outcome=Outcome.HTTP_ERROR, status=404, age_s=0.0)
                crawl.turn(reports=(report,))


def test_a_robots_txt_of_a_host_out_of_scope_leads_nowhere() -> None:
    away = "http://cdn.test/map.xml"
    crawl = by_robots(away)
    ((lease, robots),) = [(lease, task) for lease, task in crawl.ask() if task.kind is Kind.ROBOTS]
    assert robots.url == "http://cdn.test/robots.txt"
    crawl.settle(lease, robots, status=200, body=b"Sitemap: http://cdn.test/other.xml\nSitemap: http://x.test/y.xml")
    assert sitemap(crawl, away, serves="http://a.test").state is not TaskState.DROPPED
    assert not knows(crawl, "http://cdn.test/other.xml")
    assert not knows(crawl, "http://x.test/y.xml", serves="http://cdn.test")


# Indexes


def test_an_index_leads_to_sitemaps_as_far_as_an_index_of_indexes() -> None:
    crawl = with_map()
    names = ["sitemap.xml", "1.xml", "2.xml", "3.xml"]
    for place, name in enumerate(names[:-1]):
        lease, task = only_map(crawl, f"http://a.test/{name}")
        assert (task.kind, task.depth) == (Kind.SITEMAP, place)
        crawl.settle(lease, task, sitemaps=(f"http://a.test/{names[place + 1]}",))
    assert knows(crawl, "http://a.test/2.xml")
    assert not knows(crawl, "http://a.test/3.xml")


def test_an_index_that_names_itself_is_read_once() -> None:
    crawl = with_map()
    lease, task = only_map(crawl)
    crawl.settle(lease, task, sitemaps=(MAP, "http://a.test/other.xml"))
    lease, other = only_map(crawl, "http://a.test/other.xml")
    crawl.settle(lease, other, sitemaps=(MAP,))
    assert sitemap(crawl).depth == 0
    assert [task.kind for _, task in crawl.ask()].count(Kind.SITEMAP) == 0


# How they end


def test_a_sitemap_that_cannot_be_had_is_tried_again_and_fails_with_its_reason() -> None:
    crawl = with_map(retries=1)
    lease, task = only_map(crawl)
    crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=500)
    assert sitemap(crawl).state is TaskState.PENDING
    crawl.pass_time(10.0)
    lease, task = only_map(crawl)
    crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=404, reason="http_404")
    assert (sitemap(crawl).state, sitemap(crawl).reason) == (TaskState.FAILED, "http_404")


def test_what_a_broken_sitemap_lists_counts() -> None:
    crawl = with_map()
    lease, task = only_map(crawl)
    listed: dict[str, Any] = {
        "outcome": Outcome.EXTRACT_ERROR,
        "reason": "sitemap_broken",
        "entries": entries("http://a.test/1"),
    }
    crawl.settle(lease, task, **listed)
    assert (sitemap(crawl).state, sitemap(crawl).reason) == (TaskState.FAILED, "sitemap_broken")
    assert crawl.knows("http://a.test/1")


def test_a_redirect_of_a_sitemap_is_followed_and_serves_the_same_host() -> None:
    crawl = by_robots(MAP)
    lease, task = only_map(crawl)
    target = "http://b.test/moved.xml"
    crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=301, location=target)
    pass_gate_of_b = [(lease, task) for lease, task in crawl.ask() if task.kind is Kind.ROBOTS]
    for lease, task in pass_gate_of_b:
        crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=404)
    lease, moved = only_map(crawl, target)
    assert moved.kind is Kind.SITEMAP
    crawl.settle(lease, moved, entries=entries("http://a.test/1", "http://b.test/1", "http://x.test/1"))
    assert crawl.knows("http://a.test/1")
    assert crawl.knows("http://b.test/1")
    assert not crawl.knows("http://x.test/1")


def test_a_sitemap_keeps_its_address_whatever_the_job_takes_for_one_and_its_pages_do_not() -> None:
    named = "http://a.test/map.xml?from=1&to=2"
    crawl = with_map(maps=(named,), urls=UrlSpec(drop_query=("from",)))
    crawl.settle(
        *only_map(crawl, named),
        sitemaps=("http://a.test/next.xml?from=3",),
        entries=entries("http://a.test/p?from=3", "http://a.test/p?x=1"),
    )
    assert knows(crawl, "http://a.test/next.xml?from=3")
    assert crawl.knows("http://a.test/p?x=1")
    assert not crawl.knows("http://a.test/p?from=3")


# Parts


def test_parts_are_admitted_as_they_come_and_the_last_one_ends_the_task() -> None:
    crawl = with_map()
    lease, task = only_map(crawl)
    assert crawl.settle(lease, task, entries=entries("http://a.test/1"), more=True) is AckState.OK
    assert crawl.knows("http://a.test/1")
    assert sitemap(crawl).state is TaskState.LEASED
    assert crawl.store.rows(LeaseRow, [lease.id])[lease.id].refs.count(task.ref) == 1
    assert crawl.settle(lease, task, entries=entries("http://a.test/2")) is AckState.OK
    assert crawl.knows("http://a.test/2")
    assert sitemap(crawl).state is TaskState.DONE
    assert all(task.ref not in left.refs for left in crawl.store.leases_of("s"))


def test_a_part_that_is_sent_again_changes_nothing_more() -> None:
    crawl = with_map()
    lease, task = only_map(crawl)
    part: dict[str, Any] = {"entries": entries("http://a.test/1"), "more": True}
    crawl.settle(lease, task, **part)
    before = crawl.store.ledger().next_order
    assert crawl.settle(lease, task, **part) is AckState.OK
    assert crawl.store.ledger().next_order == before
    crawl.settle(lease, task)
    assert crawl.settle(lease, task, **part) is AckState.OK
    assert (sitemap(crawl).state, crawl.store.ledger().next_order) == (TaskState.DONE, before)


def test_every_part_tells_the_story_of_its_outlinks() -> None:
    crawl = with_map()
    lease, task = only_map(crawl)
    crawl.settle(lease, task, entries=entries("http://a.test/1"), more=True)
    crawl.settle(lease, task, entries=entries("http://a.test/2"))
    listed = [change.outlinks for change in crawl.changes if isinstance(change, Accepted) and change.ref == task.ref]
    assert listed == [crawl.task("http://a.test/1").ref, crawl.task("http://a.test/2").ref]


def test_when_its_worker_is_lost_between_two_parts_a_sitemap_is_read_again() -> None:
    crawl = with_map()
    crawl.hello("t")
    lease, task = only_map(crawl)
    crawl.settle(lease, task, entries=entries("http://a.test/1"), more=True)
    crawl.hello("u", replaces="s")
    assert sitemap(crawl).state is TaskState.PENDING
    again = next((lease, task) for lease, task in crawl.ask("t") if task.url == MAP)
    crawl.hello("s")
    assert crawl.settle(lease, task, entries=entries("http://a.test/2"), more=True) is AckState.STALE
    assert not crawl.knows("http://a.test/2")
    crawl.settle(*again, "t", entries=entries("http://a.test/1", "http://a.test/2"))
    assert sitemap(crawl).state is TaskState.DONE


def test_a_late_part_of_a_lost_lease_counts_until_the_sitemap_is_granted_again() -> None:
    crawl = with_map()
    lease, task = only_map(crawl)
    crawl.pass_time(crawl.policy.lease_s + 1)
    assert sitemap(crawl).state is TaskState.PENDING
    crawl.hello("s")
    assert crawl.settle(lease, task, entries=entries("http://a.test/1"), more=True) is AckState.OK
    assert sitemap(crawl).state is TaskState.PENDING
    assert crawl.knows("http://a.test/1")


@pytest.mark.parametrize("count", [3, 10_001])
def test_more_entries_than_a_report_may_have_are_left_out(count: int) -> None:
    crawl = CoreCrawl(max_outlinks=2)
    crawl.service.add_seeds((), 0.0, maps=(MAP,))
    crawl.hello("s")
    crawl.open_gates()
    listed = entries(*(f"http://a.test/{number}" for number in range(count)))
    crawl.settle(*only_map(crawl), entries=listed)
    assert [crawl.knows(f"http://a.test/{number}") for number in range(3)] == [True, True, False]
    assert crawl.store.rows(OriginRow, ["http://a.test"])["http://a.test"].gate is not Gate.WAITING


def test_a_priority_beyond_what_a_job_may_give_is_taken_for_the_highest(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / FRONTIER)) as store:
        crawl = CoreCrawl(store=store)
        crawl.service.add_seeds((), crawl.now, maps=(MAP,))
        crawl.hello("s")
        crawl.open_gates()
        lease, task = only_map(crawl)
        crawl.settle(lease, task, entries=(SitemapEntry(f"{SEED}x", 2**40), SitemapEntry(f"{SEED}y", -(2**40))))
        assert (crawl.task(f"{SEED}x").priority, crawl.task(f"{SEED}y").priority) == (1_000, -1_000)
