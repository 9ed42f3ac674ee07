"""The durable store while a commit is under way, and how often it asks its database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.changes import Change, Gone, Recorded, TaskEvent
from crawlfleet.coordinator.core.later_rows import KeptLinksRow
from crawlfleet.coordinator.core.rows import HostRow, OriginRow, TaskRow, TaskState, TrapRow, succeed
from crawlfleet.coordinator.frontier.durable import row_cache, windows
from crawlfleet.coordinator.frontier.durable.store import DurableStore
from crawlfleet.coordinator.frontier.port import Conclusion
from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.messages import ExchangeRequest, Hello, Kind, Lease, Outcome, Report, Task
from tests.commits import commit
from tests.policies import policy_with
from tests.results import result
from tests.unit.core_crawl import POLICY
from tests.unit.late_database import CountedDatabase, LateDatabase, nobody
from tests.unit.rule_turns import HOST, ORIGIN, born, but, host, moved, new, origin, page, put

MOST = 10


@pytest.fixture(params=[False, True], ids=["not seen yet", "seen already"])
def late(request: pytest.FixtureRequest, tmp_path: Path) -> LateDatabase:
    return LateDatabase(tmp_path, is_seen=request.param)


@pytest.fixture
def store(late: LateDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[DurableStore]:
    """Return a store that keeps nothing that it need not keep."""
    for name in ("CACHED_TASKS", "CACHED_DEPTHS", "CACHED_HOSTS", "CACHED_OF_OTHERS", "CACHED_ROBOTS_BYTES"):
        monkeypatch.setattr(row_cache, name, 0)
    monkeypatch.setattr(row_cache, "CACHED_ROWS", {})
    for name in ("MOST_ENTRIES", "MOST_WINDOWS"):
        monkeypatch.setattr(windows, name, 0)
    with closing(DurableStore(late)) as opened:
        yield opened


def waiting(store: DurableStore, now: float = 0.0, queue: str = ORIGIN) -> list[str]:
    return [task.url for task in store.ready({queue: MOST}, now)[queue].tasks]


def put_in(store: DurableStore, late: LateDatabase, *changes: Change) -> None:
    """Commit changes, and forget them."""
    late.is_late = False
    store.apply(changes)
    commit(store, 0.0)
    late.is_late = True


def test_what_a_commit_under_way_changes_reads_as_applied(store: DurableStore, late: LateDatabase) -> None:
    old, other = page("old", order=1), page("other", order=2)
    kept = KeptLinksRow(order=1, links=b"links")
    put_in(store, late, born(old), born(other), new(host()), new(origin(robots=b"#")), new(kept))
    assert store.rows(TaskRow, [old.ref, other.ref]) == {old.ref: old, other.ref: other}
    assert store.rows(KeptLinksRow, [1]) == {1: kept}
    store.rows(HostRow, [HOST]), store.rows(OriginRow, [ORIGIN])
    fresh = page("fresh", order=3)
    last = moved(TaskEvent.REFUSED, old, reason="host", state=TaskState.DROPPED)
    store.apply([last, born(fresh), put(host(), delay_s=7.0), put(origin(robots=b"#"), robots=b"new")])
    store.apply([Gone(row=succeed(kept)), new(TrapRow(key=HOST, sessions=1))])
    store.commit(1.0, nobody)
    assert store.conclude() is None
    for state in ("under way", "done"):
        assert store.rows(TaskRow, [old.ref, fresh.ref]) == {old.ref: last.task, fresh.ref: fresh}, state
        assert store.rows(KeptLinksRow, [1]) == {}
        assert store.rows(HostRow, [HOST])[HOST].delay_s == 7.0
        assert store.rows(OriginRow, [ORIGIN])[ORIGIN].robots == b"new"
        assert store.rows(TrapRow, [HOST])[HOST].sessions == 1
        assert store.depths([fresh.ref]) == {fresh.ref: fresh.depth}
        assert store.strangers({fresh.ref, b"none"}) == {b"none"}
        assert waiting(store) == [other.url, fresh.url]
        assert store.queues("", MOST) == (ORIGIN,)
        assert {task.url for task in store.waiting(MOST)} == {other.url, fresh.url}
        assert [task.url for task in store.walk(0, MOST)] == [old.url, other.url, fresh.url]
        if state == "under way":
            late.end()
            assert store.conclude() is Conclusion.DONE


def test_what_is_applied_while_a_commit_is_under_way_belongs_to_the_next(
    store: DurableStore, late: LateDatabase, tmp_path: Path
) -> None:
    first, second, third = (page(str(number), order=number) for number in (1, 2, 3))
    store.apply([born(first), born(second), new(host())])
    store.commit(1.0, nobody)
    lowered = moved(TaskEvent.LOWERED, first, depth=0, priority=1)
    store.apply([lowered, born(third), put(host(), delay_s=3.0)])
    store.keep("name", b"value")
    late.end()
    assert store.conclude() is Conclusion.DONE
    assert store.commit_number == 1
    assert waiting(store) == [first.url, second.url, third.url]
    assert store.rows(TaskRow, [first.ref]) == {first.ref: lowered.task}
    assert store.rows(HostRow, [HOST])[HOST].delay_s == 3.0
    assert store.kept("name") == b"value"
    with closing(DurableStore(LateDatabase(tmp_path))) as other:
        assert [task.url for task in other.walk(0, MOST)] == [first.url, second.url]
        assert other.rows(HostRow, [HOST])[HOST].delay_s == 0.0
        assert other.kept("name") is None
    store.commit(2.0, nobody)
    assert store.kept("name") == b"value"
    late.end()
    assert store.conclude() is Conclusion.DONE
    with closing(DurableStore(LateDatabase(tmp_path))) as other:
        assert waiting(other) == [first.url, second.url, third.url]
        assert other.kept("name") == b"value"
        assert other.commit_number == store.commit_number == 2


def test_results_are_seen_when_their_commit_is_concluded(store: DurableStore, late: LateDatabase) -> None:
    tasks = [page(str(number), order=number) for number in (1, 2)]
    for number, task in enumerate(tasks):
        store.apply([born(task), Recorded(result=but(result(number), ref=task.ref))])
        store.commit(1.0, nobody)
        assert store.result_count() == number
        assert store.results(0, MOST)[number:] == []
        late.end()
        assert store.conclude() is Conclusion.DONE
        assert [found.ref for found in store.results(0, MOST)] == [task.ref for task in tasks[: number + 1]]


def test_the_owner_is_told_once_that_a_commit_is_over(store: DurableStore, late: LateDatabase) -> None:
    told: list[str] = []
    store.commit(0.0, lambda: told.append("nothing to commit"))
    assert (told, store.conclude(), store.commit_number) == (["nothing to commit"], Conclusion.DONE, 0)
    store.apply([born(page("a"))])
    store.commit(1.0, lambda: told.append("done"))
    assert (told[1:], store.conclude()) == ([], None)
    with pytest.raises(AssertionError, match="while another one is under way"):
        store.commit(2.0, nobody)
    late.end()
    assert (told[1:], store.conclude(), store.commit_number) == (["done"], Conclusion.DONE, 1)


def test_a_commit_that_another_owner_forestalls_writes_nothing(tmp_path: Path) -> None:
    late = LateDatabase(tmp_path)
    with closing(DurableStore(late)) as store:
        store.apply([born(page("a"))])
        store.commit(1.0, nobody)
        late.refuse()
        assert store.conclude() is Conclusion.FENCED
        assert store.commit_number == 0
    with closing(DurableStore(LateDatabase(tmp_path))) as again:
        assert (again.walk(0, MOST), again.commit_number) == ((), 0)


@pytest.mark.parametrize("is_in", [True, False])
def test_a_commit_of_unknown_end_is_in_as_a_whole_or_not_at_all(tmp_path: Path, is_in: bool) -> None:
    late = LateDatabase(tmp_path)
    with closing(DurableStore(late)) as store:
        store.apply([born(page("a")), Recorded(result=but(result(0), ref=page("a").ref))])
        store.commit(1.0, nobody)
        late.lose(is_in=is_in)
        assert store.conclude() is Conclusion.UNKNOWN
        assert store.result_count() == 0
    with closing(DurableStore(LateDatabase(tmp_path))) as again:
        assert (len(again.walk(0, MOST)), again.commit_number, again.result_count()) == (is_in, is_in, is_in)
        assert waiting(again) == [page("a").url] * is_in


# Calls


def crawl_of(store: DurableStore, hosts: int, pages: int = 1) -> Service:
    """Return a crawl of so many hosts with so many pages each, of which nothing was granted yet; it has a session."""
    names = tuple(f"h{number}.test" for number in range(hosts))
    policy = policy_with(POLICY, scope=ScopeSpec(hosts=names), per_host=1)
    service = Service(store, policy, Brief(job="test", scope=policy.scope), store.epoch, lambda _: None)
    service.hello(Hello(session="s"), 0.0)
    service.add_seeds([f"http://{name}/{number}" for number in range(pages) for name in names], 0.0)
    service.flush(0.0)
    return service


def exchange(service: Service, *reports: Report, want: int = 64) -> list[tuple[Lease, Task]]:
    holding = tuple(lease.id for lease in service._store.leases_of("s"))
    request = ExchangeRequest(session="s", reports=reports, holding=holding, want=want)
    answer = service.exchange(request, 0.0)
    service.flush(0.0)
    return [(lease, task) for lease in answer.leases for task in lease.tasks]


def report(lease: Lease, task: Task, outlinks: tuple[str, ...] = ()) -> Report:
    if task.kind is Kind.ROBOTS:
        return Report(lease=lease.id, ref=task.ref, outcome=Outcome.HTTP_ERROR, status=404)
    return Report(lease=lease.id, ref=task.ref, outcome=Outcome.FETCHED, status=200, outlinks=outlinks)


def test_a_turn_on_warm_rows_asks_for_nothing_but_its_commit(tmp_path: Path) -> None:
    database = CountedDatabase(tmp_path)
    with closing(DurableStore(database)) as store:
        service = crawl_of(store, 4, pages=40)
        granted = exchange(service)
        granted = exchange(service, *(report(*each) for each in granted))
        known = tuple(task.url for _, task in granted)
        for _ in range(3):
            database.calls.clear()
            granted = exchange(service, *(report(*each, known) for each in granted))
            assert database.calls == {"begin": 1}


def test_links_that_are_named_in_both_ways_are_looked_up_in_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = CountedDatabase(tmp_path)
    with closing(DurableStore(database)) as store:
        service = crawl_of(store, 4, pages=40)
        granted = exchange(service)
        granted = exchange(service, *(report(*each) for each in granted))
        monkeypatch.setattr(row_cache, "CACHED_DEPTHS", 0)
        urls = [task.url for _, task in granted]
        links = (urls[0], f"{urls[1]}/new")  # one is known, one is not
        known = b"".join(task.ref for _, task in granted)
        reports = [replace(report(*each, links), known=known) for each in granted]
        exchange(service, *(report(*each) for each in granted[:1]))  # its commit forgets all depths
        database.calls.clear()
        exchange(service, *reports[1:])
        assert database.calls == {"depths": 1, "begin": 1}


def test_queues_that_are_new_in_a_new_crawl_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = CountedDatabase(tmp_path)
    with closing(DurableStore(database)) as store:
        service = crawl_of(store, 16, pages=40)
        granted = exchange(service)
        assert len(granted) == 16
        granted = exchange(service, *(report(*each) for each in granted))
        assert database.calls["heads"] == 0
        monkeypatch.setattr(windows, "MOST_ENTRIES", 4)
        granted = exchange(service, *(report(*each) for each in granted))  # its commit drops windows
        assert len(granted) == 64
        assert database.calls["heads"] == 0
        assert len(exchange(service, *(report(*each) for each in granted))) == 64
        assert database.calls["heads"] > 0


@pytest.mark.parametrize("is_later", [False, True], ids=["all may be granted", "something waits for a time"])
def test_a_grant_over_many_hosts_reads_all_queues_together(tmp_path: Path, is_later: bool) -> None:
    with closing(DurableStore(LateDatabase(tmp_path))) as store:
        store._database.is_late = False  # type: ignore[attr-defined]  # it is the one above
        crawl_of(store, 64)
        if is_later:
            store.apply([born(page("later", order=1_000, not_before=9.0))])
            commit(store, 0.0)
    database = CountedDatabase(tmp_path)
    with closing(DurableStore(database)) as store:
        names = tuple(f"h{number}.test" for number in range(64))
        policy = policy_with(POLICY, scope=ScopeSpec(hosts=names), per_host=1)
        service = Service(store, policy, Brief(job="test", scope=policy.scope), store.epoch, lambda _: None)
        service.hello(Hello(session="s"), 0.0)
        store.rows(OriginRow, [f"http://{name}" for name in names])
        database.calls.clear()
        assert len(service.exchange(ExchangeRequest(session="s", want=64), 0.0).leases) == 64
        assert database.calls == {"heads": 2}
