"""A host that floods the crawl with links: what a turn does stays small, and other hosts go on."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import asdict
from structlog.testing import capture_logs

from crawlfleet.__main__ import main
from crawlfleet.coordinator.conduct.counting import count
from crawlfleet.coordinator.conduct.journal import Journal
from crawlfleet.coordinator.conduct.led_hosts import HOSTS_PER_TURN
from crawlfleet.coordinator.conduct.since_commit import BUSY_S
from crawlfleet.coordinator.core.changes import Accepted, LedOn
from crawlfleet.coordinator.core.creation import FULL_HOSTS_NAMED
from crawlfleet.coordinator.core.later_rows import KeptLinksRow, LeadOnRow
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.policy import Extent, HostLimits
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.coordinator.summary import Summary
from crawlfleet.screen.console import Console
from crawlfleet.screen.tables import show_summary
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Lease, Outcome, Report, Task
from crawlfleet.shared.status import CostlyHost
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
    store.forget()
    crawl.service.flush(crawl.now)  # somebody has called a moment ago
    assert ASIDE <= store.changes <= ASIDE + 10
    for _ in range(3):
        store.forget()
        crawl.pass_time(BUSY_S)
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
    hosts = tuple(f"h{number}.test" for number in range(2 * HOSTS_PER_TURN))
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
    assert (entry["pages"], entry["links"] // LINKS) == (3, 3)
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


# As many URLs as may be known


def known_crawl(tmp_path: Path, known_per_host: int) -> CoreCrawl:
    """Return a crawl whose seed had five links, in a folder."""
    store = SqliteStore(tmp_path / FRONTIER)
    store.keep("job", b'{"sinks": []}')
    crawl = CoreCrawl(store=store, limits=HostLimits(known_per_host=known_per_host))
    crawl.hello("s")
    crawl.open_gates()
    ((lease, page),) = crawl.ask()
    crawl.settle(lease, page, outlinks=links("x", 5))
    return crawl


def test_links_beyond_what_may_be_known_are_counted_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crawl = known_crawl(tmp_path, 3)
    with capture_logs() as logged:
        Journal()([*crawl.changes, *crawl.changes])
    (entry,) = [entry for entry in logged if entry.get("reason") == "known_per_host"]
    assert (entry["event"], entry["url"]) == ("limit reached", f"{FLOODING}/x/2")
    assert (crawl.host().known, crawl.host().beyond) == (3, 3)
    numbers = count(crawl.store, job="job", elapsed_s=1.0, robots_wait_s=1.0)
    assert (numbers.full_hosts, numbers.full_hosts_named, numbers.links_not_admitted) == (1, ("a.test",), 3)
    crawl.store.close()
    assert main(["verify", str(tmp_path)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "known_per_host allows of 1 host: a.test; 3 links to others were not admitted" in told


def test_what_was_not_admitted_is_when_it_is_found_again_under_a_higher_limit(tmp_path: Path) -> None:
    crawl = known_crawl(tmp_path, 3)
    crawl.reopen(limits=HostLimits(known_per_host=9))
    crawl.hello("s")
    (lease, page), *_ = crawl.ask()
    crawl.settle(lease, page, outlinks=links("x", 5))
    assert (crawl.host().known, crawl.host().beyond) == (6, 3)
    crawl.reopen(limits=HostLimits(known_per_host=1))
    crawl.hello("s")
    (lease, page), *_ = crawl.ask()
    crawl.settle(lease, page, outlinks=links("y", 5))
    assert (crawl.host().known, crawl.host().beyond) == (6, 8)
    assert crawl.service.put(f"{FLOODING}/put", crawl.now) == ""
    assert crawl.knows(f"{FLOODING}/put")
    crawl.store.close()
    assert verify(tmp_path).holds


def test_no_more_hosts_than_a_few_are_named() -> None:
    hosts = tuple(f"h{number}.test" for number in range(FULL_HOSTS_NAMED + 2))
    crawl = CoreCrawl(
        *(f"http://{host}/" for host in hosts), scope=ScopeSpec(hosts=hosts), limits=HostLimits(known_per_host=1)
    )
    crawl.service.admit([Link(url=f"http://{host}/2", depth=1) for host in hosts], crawl.now)
    full = crawl.store.ledger().full
    assert (full.hosts, full.named, full.links) == (len(hosts), hosts[:FULL_HOSTS_NAMED], len(hosts))
    numbers = count(crawl.store, job="job", elapsed_s=1.0, robots_wait_s=1.0)
    summary = Summary(
        **asdict(numbers), ended="", started_at="", fetched_before=0, sinks=(), resumable=True, exit_code=0
    )
    assert "of 7 hosts: h0.test, h1.test, h2.test, h3.test, h4.test and 2 more" in shown(summary)


def test_hosts_that_took_an_outstanding_part_are_named_in_the_summary() -> None:
    crawl, lease, page = flooded(3)
    crawl.settle(lease, page, cpu_s=0.5)
    numbers = count(crawl.store, job="job", elapsed_s=1.0, robots_wait_s=1.0)
    end: dict[str, Any] = {"ended": "", "started_at": "", "fetched_before": 0, "sinks": (), "resumable": True}
    told = shown(Summary(**asdict(numbers), **end, exit_code=0))
    assert "a.test took 100% of the links (30,000)" in told
    costly = CostlyHost(host="a.test", kind="cpu_s", amount=12.34, part=0.5)
    told = shown(Summary(**{**asdict(numbers), "costly_hosts": (*numbers.costly_hosts, costly)}, **end, exit_code=0))
    assert "(30,000), 50% of the CPU time of reading pages (12.3 s)" in told


def shown(summary: Summary) -> str:
    """Return a summary as the terminal shows it, on one line."""
    console = Console(width=200)
    with console.capture() as captured:
        show_summary(summary, console)
    return " ".join(captured.get().split())


def test_a_store_of_before_hosts_were_counted_counts_them_when_it_is_opened(tmp_path: Path) -> None:
    crawl = known_crawl(tmp_path, 9)
    crawl.service.admit([Link(url=f"{HONEST}/far", depth=9, always=True)], crawl.now)
    crawl.service.flush(crawl.now)
    crawl.store.close()
    with closing(sqlite3.connect(tmp_path / FRONTIER, isolation_level=None)) as db:
        for key, row in db.execute("SELECT key, row FROM hosts").fetchall():
            older = msgspec.msgpack.decode(row)[:-5]
            db.execute("UPDATE hosts SET row = ? WHERE key = ?", (msgspec.msgpack.encode(older), key))
        db.execute("DELETE FROM hosts WHERE key = 'b.test'")
        db.executescript("ALTER TABLE story DROP COLUMN at; PRAGMA user_version = 4;")
    SqliteStore(tmp_path / FRONTIER).close()
    proof = verify(tmp_path)
    assert proof.holds
    assert [each.checked for each in proof.invariants if "known of it" in each.name] == [2]
