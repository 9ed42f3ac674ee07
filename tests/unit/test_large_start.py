"""A start with very many seeds: counts, not times, of what a portion of them costs, however many are known by then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from crawlfleet.coordinator import crawl as crawl_module
from crawlfleet.coordinator.app import Options, open_crawl
from crawlfleet.coordinator.conduct import seeding
from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.rows import HostRow, LeaseRow
from crawlfleet.coordinator.core.turn import Table
from crawlfleet.coordinator.crawl_folder import CrawlFolder
from crawlfleet.coordinator.frontier.due_hosts import DueHosts
from crawlfleet.coordinator.frontier.durable import row_cache
from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.durable.row_cache import RowCache
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.job.job import load
from crawlfleet.coordinator.job.source import JobSource
from crawlfleet.screen.progress import words
from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.messages import ExchangeAnswer, ExchangeRequest, Hello, Kind
from crawlfleet.shared.status import Status
from tests.policies import policy_with
from tests.unit.core_crawl import POLICY
from tests.unit.counting_store import CountingStore
from tests.unit.rule_turns import lease, leased, page

PORTION = 100
WANT = 64


def addresses(count: int) -> tuple[str, ...]:
    return tuple(f"http://h{number}.test/" for number in range(count))


def serve(store: CountingStore | SqliteStore, seeds: tuple[str, ...]) -> Service:
    """Return a service that is to add seeds, and has a session."""
    scope = ScopeSpec(hosts=tuple(seed[7:-1] for seed in seeds))
    service = Service(store, policy_with(POLICY, scope=scope), Brief(job="test", scope=scope), 7, lambda _: None)
    service.expect_seeds(seeds)
    service.hello(Hello(session="s"), 0.0)
    return service


def ask(service: Service, holding: tuple[int, ...] = ()) -> ExchangeAnswer:
    answer = service.exchange(ExchangeRequest(session="s", want=WANT, released=holding), 0.0)
    service.flush(0.0)
    return answer


@pytest.fixture(autouse=True)
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding, "SEEDS_PER_TURN", PORTION)


def test_each_portion_of_seeds_reads_and_changes_as_much_as_the_first() -> None:
    store = CountingStore()
    service = serve(store, addresses(20 * PORTION))
    costs = []
    is_more = True
    while is_more:
        store.forget()
        is_more = service.add_some_seeds(0.0)
        service.flush(0.0)
        costs.append((store.calls.copy(), store.keys, store.changes))
    assert len(costs) == 20
    assert costs[0][2] >= 4 * PORTION  # pages and robots.txt, hosts and origins
    assert all(cost == costs[0] for cost in costs)


def test_a_grant_reads_and_changes_as_much_with_twenty_times_the_hosts() -> None:
    costs = []
    for hosts in (PORTION, 20 * PORTION):
        store = CountingStore()
        service = serve(store, addresses(hosts))
        while service.add_some_seeds(0.0):
            pass
        store.forget()
        assert len(ask(service).leases) == WANT
        costs.append((store.calls, store.keys, store.changes))
    assert costs[0] == costs[1]


class Looked(str):
    """A key that counts how often it is looked up or put somewhere."""

    looks = 0
    __slots__ = ()

    def __hash__(self) -> int:
        Looked.looks += 1
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)


@pytest.mark.parametrize("ahead", [False, True], ids=["looked up", "read ahead"])
def test_a_turn_does_not_look_at_the_rows_that_it_has_to_read_one_more(ahead: bool) -> None:
    looks = []
    for held in (10, 1_000):
        table: Table[str, int] = Table(lambda keys: dict.fromkeys(keys, 1))
        table.read(map(Looked, range(held)))
        wanted = [Looked(f"more {number}") for number in range(10)]
        Looked.looks = 0
        for key in wanted:
            if ahead:
                table.read([key])
            assert table[key] == 1
        looks.append(Looked.looks)
    assert looks[0] == looks[1] > 0


class HostsLookedAt(dict[str, HostRow]):
    """Hosts that count how often one is looked at."""

    looks = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.looks += 1
        return super().get(key, default)


def test_due_hosts_are_found_without_a_look_at_the_others() -> None:
    looks = []
    for count in (WANT, 100 * WANT):
        hosts, due = HostsLookedAt(), DueHosts()
        for number in range(count):
            host = HostRow(key=f"h{number}.test", delay_s=0.0, ready_at=0.0)
            hosts[host.key] = host
            due.note(host, None)
        for _ in range(3):
            assert len(due.due(hosts, 0.0, WANT)) == WANT
            assert due.next_at(hosts) == 0.0
        looks.append(hosts.looks)
    assert looks[0] == looks[1] == 3 * (WANT + 1)


class Walked(dict[Any, Any]):
    """Rows that count how often somebody goes over all of them."""

    walks = 0

    def values(self) -> Any:
        self.walks += 1
        return super().values()

    def items(self) -> Any:
        self.walks += 1
        return super().items()

    def __iter__(self) -> Iterator[Any]:
        self.walks += 1
        return super().__iter__()


def open_task(cache: RowCache, number: int) -> None:
    task = leased(page(str(number), order=number), number)
    cache.put_task(task)
    cache.put(replace(lease(number, task), session=f"s{number}"))


def active_host(cache: RowCache, number: int) -> None:
    cache.put(HostRow(key=f"h{number}.test", delay_s=0.0, ready_at=0.0))


@pytest.mark.parametrize(("fill", "kind"), [(open_task, LeaseRow), (active_host, HostRow)])
def test_commits_do_not_go_over_what_is_open_or_active_however_much_that_is(
    monkeypatch: pytest.MonkeyPatch, fill: Callable[[RowCache, int], None], kind: type[LeaseRow | HostRow]
) -> None:
    monkeypatch.setattr(row_cache, "CACHED_TASKS", 10)
    monkeypatch.setattr(row_cache, "CACHED_HOSTS", 10)
    cache = RowCache()
    rows = Walked()
    setattr(cache, {LeaseRow: "leases", HostRow: "hosts"}[kind], rows)
    cache.rows[kind] = rows
    for number in range(1, 1_001):
        fill(cache, number)
        cache.begin(Batch(number=number, at=0.0))
        cache.conclude()
    # Each pass doubles what may be held before the next: 10, 20, ..., 1280.
    assert 1 <= rows.walks <= 8
    assert len(rows) == 1_000


# Portions


def test_nothing_is_granted_and_nobody_is_told_of_the_end_before_the_last_portion() -> None:
    service = serve(CountingStore(), addresses(3 * PORTION))
    told = []
    for is_more in (True, True, False):
        told.append(ask(service))
        assert service.add_some_seeds(0.0) is is_more
    assert [(answer.leases, answer.finished) for answer in told] == [((), False)] * 3
    assert len(ask(service).leases) == WANT


def test_a_crash_between_two_portions_loses_no_seed(tmp_path: Path) -> None:
    seeds = addresses(3 * PORTION)
    store = SqliteStore(tmp_path / FRONTIER)
    service = serve(store, seeds)
    service.add_some_seeds(0.0)
    service.flush(0.0)
    service.add_some_seeds(0.0)  # not committed
    store.close()
    store = SqliteStore(tmp_path / FRONTIER)
    assert pages(store) == PORTION
    service = serve(store, seeds)
    loop = Loop(service, on_commit=lambda: None)
    while loop.call(service.add_some_seeds):
        pass
    store.close()
    store = SqliteStore(tmp_path / FRONTIER)
    assert pages(store) == len(seeds)
    assert {task.url for task in store.walk(0, 1_000) if task.kind is Kind.PAGE} == set(seeds)
    store.close()


def pages(store: SqliteStore) -> int:
    return sum(number for (kind, _), number in store.counts().items() if kind is Kind.PAGE)


def test_a_seed_that_is_written_twice_or_known_is_added_once() -> None:
    store = CountingStore()
    for _ in range(2):
        service = serve(store, (*addresses(PORTION), *addresses(PORTION + 1)))
        while service.add_some_seeds(0.0):
            pass
        assert (service.seeding.added, service.seeding.total) == (2 * PORTION + 1, 2 * PORTION + 1)
        assert sum(store.counts().values()) == 2 * (PORTION + 1)  # each with its robots.txt


def test_the_progress_says_how_many_seeds_are_added() -> None:
    status = Status(job="big", elapsed_s=7.0, seeds=100_000, seeds_added=40_000)
    assert words(status, 0.0) == "big: adding seeds: 40,000 of 100,000 · 7 s"
    assert "seeds" not in words(replace(status, seeds_added=100_000), 0.0)


def test_a_long_start_tells_the_log_and_who_asks_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crawl_module, "SAID_EVERY_S", 0.0)
    path = tmp_path / "job.yaml"
    path.write_text(f'name: big\nseeds: ["http://h{{1..{3 * PORTION}}}.test/"]\n', encoding="ascii")
    crawl = open_crawl(
        load(path), CrawlFolder(tmp_path / "crawls", "big", fresh=False), Options(job=JobSource(path=path))
    )
    seen: list[Status] = []

    def watch() -> None:
        while not seen or seen[-1].seeds_added < seen[-1].seeds:
            seen.append(crawl.status())
        crawl.stop()

    watcher = threading.Thread(target=watch)
    with capture_logs() as lines:
        watcher.start()
        summary = crawl.run()
        watcher.join()
    assert (summary.ended, summary.pending) == ("interrupted", 3 * PORTION)
    said = [line["event"] for line in lines if line["event"].startswith("adding seeds")]
    assert said == ["adding seeds: 100 of 300", "adding seeds: 200 of 300"]
    assert seen[-1].seeds == 3 * PORTION
