"""A host that floods the crawl with links: what a turn does stays small, and other hosts go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from crawlfleet.coordinator.conduct.journal import Journal
from crawlfleet.coordinator.conduct.service import LED_HOSTS_PER_FLUSH
from crawlfleet.coordinator.core.changes import Accepted, LedOn
from crawlfleet.coordinator.core.later_rows import KeptLinksRow, LeadOnRow
from crawlfleet.coordinator.core.policy import Extent
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.shared.messages import Lease, Outcome, Report, ScopeSpec, Task
from crawlfleet.shared.web.urls import page_fingerprint
from tests.unit.core_crawl import CoreCrawl, all_of
from tests.unit.counting_store import CountingStore

FLOODING, HONEST = "http://a.test", "http://b.test"
LINKS = 10_000
AT_ONCE, ASIDE = 500, 100


def links(page: str, number: int = LINKS, base: str = FLOODING) -> tuple[str, ...]:
    return tuple(f"{base}/{page}/{place}" for place in range(number))


def flooded(pages: int, store: CountingStore | None = None) -> tuple[CoreCrawl, Lease, Task]:
    """Return a crawl in which so many pages of a host have reported many links each, all in one request, and a page of
    another host with its lease."""
    seeds = (f"{FLOODING}/", *(f"{FLOODING}/{number}" for number in range(pages - 1)), f"{HONEST}/")
    crawl = CoreCrawl(*seeds, store=store, per_host=64, tasks_per_slot=64)
    crawl.hello("s")
    crawl.open_gates()
    *granted, (lease, honest) = sorted(crawl.ask(want=pages + 1), key=lambda each: each[1].url)
    assert (len(granted), honest.url) == (pages, f"{HONEST}/")
    if store is not None:
        store.forget()
    crawl.turn(reports=reports(granted))
    return crawl, lease, honest


def reports(granted: Sequence[tuple[Lease, Task]]) -> tuple[Report, ...]:
    return tuple(
        Report(lease=lease.id, ref=task.ref, outcome=Outcome.FETCHED, outlinks=links(task.ref.hex()))
        for lease, task in granted
    )


def to_the_end(crawl: CoreCrawl) -> int:
    """Flush until no links wait; return how often."""
    for number in range(100_000):
        if not crawl.service.is_behind:
            return number
        crawl.service.flush(crawl.now)
    raise AssertionError("links wait for ever")


@pytest.mark.parametrize("pages", [1, 8, 32])
def test_what_an_exchange_and_a_flush_do_does_not_grow_with_the_links_that_wait(pages: int) -> None:
    store = CountingStore()
    crawl, _, _ = flooded(pages, store)
    # A few rows for each report, and one portion of links: their depths, their tasks, and what else they touch.
    assert store.keys <= 10 * pages + 2 * ASIDE
    assert store.changes <= 10 * pages + 2 * ASIDE
    for _ in range(3):
        store.forget()
        crawl.service.flush(crawl.now)
        assert store.keys <= AT_ONCE + 10
        assert AT_ONCE <= store.changes <= AT_ONCE + 10
    assert len(store.resident(LeadOnRow)) == pages


def test_all_links_are_admitted_once_and_nothing_is_kept() -> None:
    crawl, _, _ = flooded(2)
    assert not crawl.service.is_finished
    to_the_end(crawl)
    assert all(crawl.knows(f"{FLOODING}/{page_fingerprint(f'{FLOODING}/').hex()}/{place}") for place in (0, LINKS - 1))
    assert sum(crawl.store.counts().values()) == 2 * LINKS + 2 + 1 + 2
    assert crawl.store.rows(KeptLinksRow, range(100)) == {}
    told = b"".join(change.outlinks for change in crawl.changes if isinstance(change, LedOn | Accepted))
    assert len(told) == 2 * LINKS * 16
    assert crawl.host().links_waiting == 0


def test_links_of_one_host_do_not_wait_for_those_of_another() -> None:
    crawl, lease, page = flooded(8)
    crawl.settle(lease, page, outlinks=links("page", 400, HONEST))
    for _ in range(8):
        crawl.service.flush(crawl.now)
    assert [row.host for row in crawl.store.resident(LeadOnRow)] == ["a.test"] * 8
    assert crawl.knows(f"{HONEST}/page/399")


def test_more_hosts_than_are_led_on_at_once_take_turns() -> None:
    hosts = tuple(f"h{number}.test" for number in range(2 * LED_HOSTS_PER_FLUSH))
    crawl = CoreCrawl(*(f"http://{host}/" for host in hosts), scope=ScopeSpec(hosts=hosts))
    crawl.hello("s")
    for lease, task in crawl.ask(want=len(hosts)):
        crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=404)
    crawl.turn(
        reports=tuple(
            Report(lease=lease.id, ref=task.ref, outcome=Outcome.FETCHED, outlinks=links("x", 400, task.url[:-1]))
            for lease, task in crawl.ask(want=len(hosts))
        )
    )
    for _ in range(2):
        crawl.service.flush(crawl.now)
    assert all(crawl.knows(f"http://{host}/x/0") for host in hosts)


def test_a_flooding_host_is_granted_nothing_until_few_of_its_links_wait_and_others_are() -> None:
    crawl, lease, page = flooded(3)
    assert crawl.host().links_waiting > crawl.policy.tuning.most_links_waiting
    assert crawl.ask() == []
    crawl.settle(lease, page, outlinks=(f"{HONEST}/2",))
    assert all_of(crawl.ask()) == [f"{HONEST}/2"]
    while crawl.host().links_waiting > crawl.policy.tuning.most_links_waiting:
        assert crawl.ask() == []
    assert {url.startswith(FLOODING) for url in all_of(crawl.ask())} == {True}


def test_a_flood_is_told_once_for_each_host() -> None:
    crawl, _, _ = flooded(3)
    with capture_logs() as logged:
        Journal()([*crawl.changes, *crawl.changes])
    (entry,) = [entry for entry in logged if entry["event"] == "a host floods the crawl with links"]
    assert (entry["log_level"], entry["host"]) == ("warning", "a.test")
    assert entry["links_waiting"] > crawl.policy.tuning.most_links_waiting
    assert entry["until"] == "they are admitted, its other pages wait; other hosts go on"


def test_a_crawl_that_is_reopened_goes_on_with_the_links_that_wait(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / FRONTIER)
    store.keep("job", b'{"sinks": []}')
    crawl = CoreCrawl(store=store, extent=Extent(pages=1))
    crawl.hello("s")
    crawl.open_gates()
    ((lease, page),) = crawl.ask()
    crawl.settle(lease, page, outlinks=links("x", 1_200))
    crawl.store.close()
    assert verify(tmp_path).unfinished
    crawl.store = SqliteStore(tmp_path / FRONTIER)
    crawl.reopen()
    assert to_the_end(crawl) > 1
    crawl.service.flush(crawl.now)  # the last pages beyond the budget
    assert crawl.service.is_finished
    crawl.store.close()
    proof = verify(tmp_path)
    assert (proof.holds, proof.unfinished) == (True, 0)
    (outlinks,) = [found for found in proof.invariants if "outlink" in found.name]
    assert outlinks.checked == 1_200


def test_a_kept_row_that_was_removed_is_not_there_before_the_commit_nor_after(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / FRONTIER)
    crawl = CoreCrawl(store=store, links_per_portion=400)
    crawl.hello("s")
    crawl.open_gates()
    ((lease, page),) = crawl.ask()
    crawl.settle(lease, page, outlinks=links("x", 301))
    order = crawl.task().order
    assert store.rows(KeptLinksRow, [order])
    to_the_end(crawl)
    assert store.rows(KeptLinksRow, [order]) == {}
    store.close()
    store = SqliteStore(tmp_path / FRONTIER)
    assert store.rows(KeptLinksRow, [order]) == {}
    store.close()
