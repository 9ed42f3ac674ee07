"""The database of a store over a real PostgreSQL server: who owns it, what a commit is, and what is refused."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeAlias

import msgspec
import psycopg
import pytest
from structlog.testing import capture_logs

from benchmarks.simulated_crawl import SimulatedCrawl
from crawlfleet.coordinator.core.later_rows import KeptLinksRow, LeadOnRow
from crawlfleet.coordinator.core.pool_rows import PoolRow
from crawlfleet.coordinator.core.rows import HostRow, LeaseRow, OriginRow, StoreRow, TaskRow
from crawlfleet.coordinator.frontier.durable.batch import Batch, NewRows
from crawlfleet.coordinator.frontier.durable.database import LOWEST_RANK, LaterPage, ReadyPage
from crawlfleet.coordinator.frontier.port import Candidate, Conclusion, CrawlTaken, Mark, StoreUnreachable
from crawlfleet.coordinator.frontier.postgresql import database as postgresql_database
from crawlfleet.coordinator.frontier.postgresql import ownership, pipeline, writing
from crawlfleet.coordinator.frontier.postgresql.assurance import Assurance
from crawlfleet.coordinator.frontier.postgresql.connection import Facts, Place, connect, refuse_unfit
from crawlfleet.coordinator.frontier.postgresql.database import PostgresqlDatabase, open_database
from crawlfleet.coordinator.frontier.postgresql.ownership import UNLOCK, Claim
from crawlfleet.coordinator.frontier.postgresql.reader import open_reader
from crawlfleet.coordinator.frontier.postgresql.schemas import PostgresqlSchemas
from crawlfleet.coordinator.frontier.postgresql.statements import Call, Session
from crawlfleet.shared.errors import CrawlFailed, UsageError
from crawlfleet.shared.messages import ExchangeRequest
from tests.batches import QUEUE, batch, ref
from tests.commits import AwaitedStore
from tests.conformance.test_store import admitted
from tests.site.postgresql_proxy import Passes, PostgresqlProxy, TransactionPool
from tests.site.postgresql_server import USER, PostgresqlServer, programs
from tests.unit.test_durable_store import crawl_of, exchange, report

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]
Rows: TypeAlias = dict[type[StoreRow], NewRows]
_schemas = (f"crawl_{number}" for number in count())


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer(syncs=True) as running:
        yield running


@pytest.fixture
def proxy(server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresqlProxy]:
    # Round trips are counted: few of them are to be heartbeats.
    monkeypatch.setattr(postgresql_database, "HEARTBEAT_S", 60.0)
    with PostgresqlProxy(server) as running:
        yield running


@pytest.fixture
def schema() -> str:
    return next(_schemas)


@contextmanager
def opened(address: str, schema: str, **options: Any) -> Iterator[PostgresqlDatabase]:
    with closing(open_database(address, schema, **options)) as database:
        database.load()
        yield database


@pytest.fixture
def database(server: PostgresqlServer, schema: str) -> Iterator[PostgresqlDatabase]:
    with opened(server.address(), schema) as database:
        yield database


def begun(database: PostgresqlDatabase, of: Batch) -> threading.Event:
    over = threading.Event()
    database.begin(of, over.set)
    return over


def commit(database: PostgresqlDatabase, of: Batch) -> Conclusion | None:
    begun(database, of).wait()
    return database.conclude()


def asked(server: PostgresqlServer, query: Any, *values: Any) -> Any:
    with psycopg.connect(server.address(), autocommit=True) as db:
        cursor = db.execute(query, values or None)
        return cursor.fetchall() if cursor.description else []


def until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.01)


def ready(database: PostgresqlDatabase, *queues: str) -> dict[str, list[tuple[int, bytes]]]:
    found, _ = database.heads(dict.fromkeys(queues, ReadyPage(LOWEST_RANK, 0, 9)), {})
    return {queue: [(entry.order, entry.row) for entry in entries] for queue, entries in found.items()}


def unlock(database: PostgresqlDatabase) -> None:
    """Do what no owner does: give the lock back and go on."""
    over = threading.Event()
    assert database._pipeline is not None
    database._pipeline.send((UNLOCK,), lambda _: over.set())
    over.wait()


# What is stored


def test_a_commit_is_read_back_as_a_whole(database: PostgresqlDatabase) -> None:
    later = [(QUEUE, 1.5, 1)]
    assert commit(database, batch(1, later=later)) is Conclusion.DONE
    assert list(database.rows(TaskRow, [ref(1), ref(2), b"short"])) == [b"task 1"]
    assert list(database.tasks([1, 2])) == [b"task 1"]
    assert database.depths([ref(1), ref(2)]) == {ref(1): 1}
    assert list(database.rows(HostRow, ["host-1", "host-2"])) == [b"host"]
    pages = {QUEUE: LaterPage(0.0, 0, 9), "none": LaterPage(0.0, 0, 9)}
    waits = {QUEUE: [(1.5, 1, b"task 1")]}
    assert database.heads({}, pages) == ({}, waits)
    assert database.heads({QUEUE: ReadyPage(LOWEST_RANK, 0, 9)}, pages) == ({QUEUE: [(0, 1, b"task 1")]}, waits)
    assert list(database.results(0, 9)) == [b"result 1"]
    assert (database.result(ref(1)), database.result(ref(2)), database.result(b"none")) == (b"result 1", None, None)
    assert database.conclude() is None


def test_what_changes_takes_the_place_of_what_was_there(database: PostgresqlDatabase) -> None:
    commit(database, batch(1))
    second = Batch(
        number=2,
        at=2.0,
        changed=[(1, b"changed")],
        lowered=[(1, 0)],
        rows={HostRow: NewRows([("host-1", False, b"other")], []), OriginRow: NewRows([], [QUEUE, "none"])},
        ready_gone=[(QUEUE, 0, 1), (QUEUE, 7, 1)],
        ready=[("alone", 3, 1)],
        meta=[("counts", b"more")],
    )
    assert commit(database, second) is Conclusion.DONE
    assert (
        commit(database, Batch(number=3, at=3.0, changed=[(1, b"again")], ready=[("alone", 3, 1)])) is Conclusion.DONE
    )
    assert list(database.rows(TaskRow, [ref(1)])) == list(database.walk(0, 9)) == [b"again"]
    assert database.depths([ref(1)]) == {ref(1): 0}
    assert list(database.rows(HostRow, ["host-1"])) == [b"other"]
    assert list(database.rows(OriginRow, [QUEUE])) == []
    assert ready(database, QUEUE) == {}
    assert list(database.waiting(9)) == [b"again"]
    assert database.queues("", 9) == ["alone"]
    waits = Batch(number=4, at=4.0, ready_gone=[("alone", 3, 1)], later=[("alone", 9.0, 1)])
    assert commit(database, waits) is Conclusion.DONE
    assert list(database.waiting(9)) == [b"again"]
    assert database.queues("", 9) == ["alone"]


def test_rows_of_resident_kinds_are_loaded_as_a_whole(server: PostgresqlServer, schema: str) -> None:
    with opened(server.address(), schema) as database:
        rows: Rows = {
            LeaseRow: NewRows([(1, b"lease"), (2, b"gone")], []),
            LeadOnRow: NewRows([(1, b"lead on"), (2, b"changes")], []),
            PoolRow: NewRows([("session", b"pool")], []),
            HostRow: NewRows([("idle", False, b"idle"), ("active", True, b"active")], []),
        }
        commit(database, Batch(number=1, at=1.0, rows=rows))
        changed: Rows = {
            LeaseRow: NewRows([], [2]),
            LeadOnRow: NewRows([(2, b"changed")], [1]),
            PoolRow: NewRows([], ["s"]),
        }
        commit(database, Batch(number=2, at=1.0, rows=changed))
        assert list(database.rows(LeadOnRow, [1, 2])) == [b"changed"]
    with closing(open_database(server.address(), schema)) as again:
        loaded = {kind: list(found) for kind, found in again.load().rows.items()}
    assert loaded == {HostRow: [b"active"], LeaseRow: [b"lease"], LeadOnRow: [b"changed"], PoolRow: [b"pool"]}


def test_pages_of_queues_go_on_where_they_ended_and_come_in_one_round_trip(proxy: PostgresqlProxy, schema: str) -> None:
    queues = [f"http://{number:02}.test" for number in range(64)]
    entries = [(queue, rank, 10 * number + rank) for number, queue in enumerate(queues, 1) for rank in (1, 2, 3)]
    born = [(order, ref(order), 0, b"%d" % order) for _, _, order in entries]
    with opened(proxy.address(), schema) as database:
        commit(database, Batch(number=1, at=1.0, born=born, ready=entries))
        before = proxy.round_trips
        pages = dict.fromkeys(queues, LaterPage(0.0, 0, 9))
        first, _ = database.heads(dict.fromkeys(queues, ReadyPage(LOWEST_RANK, 0, 2)), pages)
        assert proxy.round_trips == before + 1
        before = proxy.round_trips
        rest, _ = database.heads({queue: ReadyPage(*entries[-1][:2], 9) for queue, entries in first.items()}, {})
        assert proxy.round_trips == before + 1
    assert {queue: [entry.order for entry in found] for queue, found in first.items()} == {
        queue: [10 * number + 1, 10 * number + 2] for number, queue in enumerate(queues, 1)
    }
    assert {queue: [entry.row for entry in found] for queue, found in rest.items()} == {
        queue: [b"%d" % (10 * number + 3)] for number, queue in enumerate(queues, 1)
    }


def test_a_commit_is_one_round_trip(proxy: PostgresqlProxy, schema: str) -> None:
    with opened(proxy.address(), schema) as database:
        for number in (1, 2, 3):
            before = proxy.round_trips
            assert commit(database, batch(number)) is Conclusion.DONE
            assert proxy.round_trips == before + 1


def test_a_turn_on_warm_rows_makes_no_round_trip_but_its_commit(proxy: PostgresqlProxy, schema: str) -> None:
    with closing(AwaitedStore(open_database(proxy.address(), schema))) as store:
        service = crawl_of(store, 4, pages=40)
        granted = exchange(service, *(report(*each) for each in exchange(service)))
        known = tuple(task.url for _, task in granted)
        for _ in range(3):
            before = proxy.round_trips
            granted = exchange(service, *(report(*each, known) for each in granted))
            assert proxy.round_trips == before + 1


def test_a_grant_over_64_hosts_makes_two_round_trips(proxy: PostgresqlProxy, schema: str) -> None:
    with closing(AwaitedStore(open_database(proxy.address(), schema))) as store:
        crawl_of(store, 64)
    with closing(AwaitedStore(open_database(proxy.address(), schema))) as store:
        service = crawl_of(store, 64)
        assert len(store.rows(OriginRow, [f"http://h{number}.test" for number in range(64)])) == 64
        before = proxy.round_trips
        assert len(service.exchange(ExchangeRequest(session="s", want=64), 0.0).leases) == 64
        assert proxy.round_trips <= before + 2


def test_an_exchange_makes_two_and_a_half_round_trips_on_average(proxy: PostgresqlProxy, schema: str) -> None:
    with closing(AwaitedStore(open_database(proxy.address(), schema))) as store:
        crawl = SimulatedCrawl(store)
        crawl.fill(5_000)
        store._rows.depths.clear()  # as if there were more than are kept in memory
        crawl.open()
        crawl.crawl(1_000)
        before = proxy.round_trips
        exchanges = len(crawl.crawl(3_000).commits_s)
        assert (proxy.round_trips - before) / exchanges <= 2.5
    assert exchanges > 25


def test_rows_of_many_megabytes_go_in_calls_of_their_own_and_are_read_in_portions(
    database: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "CALL_BYTES", 2_000_000)
    rows = [os.urandom(size) for size in (9_000_000, 1_500_000, 1_500_000, 10)]
    born = [(order, ref(order), 0, b"t") for order in range(1, 5)]
    results = [(order, order, row) for order, row in enumerate(rows, 1)]
    kept: Rows = {KeptLinksRow: NewRows([(1, rows[0])], [])}
    assert commit(database, Batch(number=1, at=1.0, born=born, results=results, rows=kept)) is Conclusion.DONE
    assert list(database.results(0, 9)) == rows[:1]
    assert list(database.results(1, 9)) == rows[1:]
    assert list(database.rows(KeptLinksRow, [1])) == rows[:1]


def test_a_row_that_no_array_holds_is_refused_by_its_size(
    database: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "LONGEST_ROW_BYTES", 1_000)
    monkeypatch.setattr(writing, "CALL_BYTES", 1_000)
    with pytest.raises(CrawlFailed, match="a row of the crawl has 0 MB, and PostgreSQL stores 1,023 MB at most"):
        database.begin(batch(1, results=[(1, 1, bytes(1_001))]), lambda: None)


def test_names_too_long_for_an_index_are_kept_apart(database: PostgresqlDatabase) -> None:
    first, second = (f"http://{'a' * 4_000}.{name}.test" for name in ("one", "two"))
    tasks = [msgpack_task(1, first), msgpack_task(2, second)]
    born = [(order, ref(order), 0, row) for order, row in enumerate(tasks, 1)]
    rows: Rows = {OriginRow: NewRows([(first, b"1"), (second, b"2")], [])}
    entries = [(first, 0, 1), (second, 0, 2)]
    commit(database, Batch(number=1, at=1.0, born=born, rows=rows, ready=entries[:1], later=[(second, 1.5, 2)]))
    assert list(database.rows(OriginRow, [second])) == [b"2"]
    assert sorted(database.queues("", 9)) == [first, second]
    assert ready(database, first) == {first: [(1, tasks[0])]}


def msgpack_task(order: int, queue: str) -> bytes:
    return msgspec.msgpack.encode(msgspec.structs.replace(admitted(order).task, queue=queue))


def test_a_value_is_kept_at_once(database: PostgresqlDatabase) -> None:
    assert database.kept("job") is None
    database.keep("job", b"one")
    database.keep("job", b"two")
    assert database.kept("job") == b"two"


# Ownership


def test_a_crawl_goes_on_where_its_last_owner_ended(server: PostgresqlServer, schema: str) -> None:
    with closing(open_database(server.address(), schema)) as first:
        begin = first.load()
        commit(first, batch(1, later=[(QUEUE, 9.0, 1)], at=50.0))
        first.keep("job", b"{}")
    with closing(open_database(server.address(), schema)) as second:
        loaded = second.load()
        assert (begin.epoch, loaded.epoch) == (1, 2)
        assert 50.0 <= loaded.opened_at < 650.0
        assert (loaded.commit_number, loaded.results, loaded.later, loaded.meta) == (1, 1, 1, {"counts": b"counts 1"})
        assert list(loaded.rows[HostRow]) == [b"host"]
        assert second.kept("job") == b"{}"
        assert commit(second, batch(2)) is Conclusion.DONE


@pytest.mark.parametrize(("ago", "gap_s"), [("-1 hour", 0.0), ("3 days", 86_400.0)])
def test_a_gap_by_the_clock_of_the_database_counts_for_a_day_at_most(
    server: PostgresqlServer, schema: str, ago: str, gap_s: float
) -> None:
    with opened(server.address(), schema) as database:
        commit(database, batch(1, at=50.0))
    asked(server, f'UPDATE "{schema}".ledger SET committed_at = clock_timestamp() - %s::interval', ago)
    with closing(open_database(server.address(), schema)) as again:
        assert again.load().opened_at == 50.0 + gap_s


def test_a_crawl_that_another_process_has_is_refused_by_the_name_of_its_owner(
    database: PostgresqlDatabase, server: PostgresqlServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "PATIENCE_S", 0.0)
    owner = re.escape(f"{socket.gethostname()}:{os.getpid()}")
    who = rf"is owned by another coordinator, {owner}, since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d .*"
    what = "stop it first, or wait until it ends; `crawlfleet coordinator` stands by, and takes the crawl over then$"
    with pytest.raises(UsageError, match=f"schema {schema} .* {who}: {what}"):
        open_database(server.address(), schema)
    with opened(server.address(), next(_schemas)) as other:
        assert commit(other, batch(1)) is Conclusion.DONE
    assert commit(database, batch(1)) is Conclusion.DONE


def test_who_waits_has_the_crawl_when_its_owner_ends(server: PostgresqlServer, schema: str) -> None:
    owner = open_database(server.address(), schema)
    owner.load()
    seen = []

    def while_owned(claim: Claim) -> None:
        seen.append(claim.owner())
        if len(seen) == 3:
            owner.close()

    with opened(server.address(), schema, while_owned=while_owned) as database:
        assert commit(database, batch(1)) is Conclusion.DONE
    assert [(found.epoch, found.silent_s < 600.0) for found in seen if found] == [(1, True)] * len(seen)
    assert len(seen) >= 3


def test_an_owner_knows_who_waits_and_who_waits_knows_the_owner(server: PostgresqlServer, schema: str) -> None:
    owner = open_database(server.address(), schema, candidate=Candidate(address="10.0.0.1:7320"))
    owner.load()
    seen = []

    def while_owned(claim: Claim) -> None:
        claim.say_waiting("10.0.0.2:7320")
        seen.append((owner.standing_by(), claim.owner()))
        owner.close()

    assert owner.standing_by() == ()
    with opened(server.address(), schema, while_owned=while_owned) as database:
        assert database.standing_by() == ()
    assert seen[0][0] == ("10.0.0.2:7320",)
    assert seen[0][1] is not None
    assert (seen[0][1].address, seen[0][1].since <= datetime.now(UTC)) == ("10.0.0.1:7320", True)


def test_a_coordinator_that_waited_long_ago_is_not_there_any_more(
    database: PostgresqlDatabase, server: PostgresqlServer, schema: str
) -> None:
    with closing(psycopg.connect(server.address(), autocommit=True)) as db:
        db.execute(f"INSERT INTO {schema}.waiting VALUES ('a', 'a:1', clock_timestamp() - interval '11 s')".encode())
    assert database.standing_by() == ()


def test_an_owner_with_nothing_to_commit_hears_that_its_crawl_was_taken(server: PostgresqlServer, schema: str) -> None:
    with opened(server.address(), schema) as paused:
        unlock(paused)
        with opened(server.address(), schema), pytest.raises(CrawlTaken, match="another coordinator has taken schema"):
            paused.standing_by()


@pytest.mark.parametrize(("lease_s", "heartbeat_s"), [(15.0, 1.0), (1.5, 0.5)])
def test_an_owner_says_thrice_a_lease_time_that_it_is_there(
    server: PostgresqlServer, schema: str, lease_s: float, heartbeat_s: float
) -> None:
    database = open_database(server.address(), schema, candidate=Candidate(lease_s=lease_s))
    with closing(database):
        assert database._heartbeat_s == heartbeat_s


def test_an_owner_that_was_stopped_asks_whether_the_crawl_is_still_its_own(
    server: PostgresqlServer, proxy: PostgresqlProxy, schema: str
) -> None:
    now = 0.0
    with closing(open_database(proxy.address(), schema)) as database:
        database._assurance = Assurance(2.0, lambda: now)
        with closing(AwaitedStore(database)) as stopped:
            assert stopped.is_surely_owned()
            before = proxy.round_trips
            stopped.commit(0.0, lambda: None)
            assert (stopped.conclude(), proxy.round_trips) == (Conclusion.DONE, before)
            now = 60.0
            assert not stopped.is_surely_owned()
            stopped.commit(0.0, lambda: None)
            assert (stopped.conclude(), proxy.round_trips) == (Conclusion.DONE, before + 1)
            assert stopped.is_surely_owned()
            unlock(database)
            now = 120.0
            with opened(server.address(), schema):
                stopped.commit(0.0, lambda: None)
                assert stopped.conclude() is Conclusion.FENCED
            assert not stopped.is_surely_owned()


def test_an_owner_is_sure_of_its_crawl_no_more_when_its_connection_is_lost(proxy: PostgresqlProxy, schema: str) -> None:
    with opened(proxy.address(), schema) as database:
        assert database.is_surely_owned()
        proxy.cut()
        until(lambda: not database.is_surely_owned())


def test_who_does_not_want_to_wait_any_more_gives_up(
    database: PostgresqlDatabase, server: PostgresqlServer, schema: str
) -> None:
    def gives_up(_claim: Claim) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_database(server.address(), schema, while_owned=gives_up)
    assert commit(database, batch(1)) is Conclusion.DONE


def test_the_commit_of_an_owner_whose_crawl_was_taken_is_fenced_and_leaves_nothing(
    server: PostgresqlServer, schema: str
) -> None:
    with opened(server.address(), schema) as paused:
        commit(paused, batch(1))
        unlock(paused)
        with opened(server.address(), schema) as owner, closing(paused.open_marks()) as marks:
            assert commit(owner, batch(2, meta=[("counts", b"mine")])) is Conclusion.DONE
            assert commit(paused, batch(2)) is Conclusion.FENCED
            assert commit(paused, Batch(number=2, at=2.0, meta=[("counts", b"theirs")])) is Conclusion.FENCED
            assert asked(server, f"SELECT value FROM {schema}.meta WHERE key = 'counts'") == [(b"mine",)]
            with pytest.raises(CrawlFailed, match="another coordinator has taken schema"):
                paused.keep("job", b"theirs")
            with pytest.raises(CrawlFailed, match=f"another coordinator has taken schema {schema} .* sink items is"):
                marks.set("items", Mark(results=1))
            assert (owner.kept("job"), marks.get("items")) == (None, None)
            assert commit(owner, batch(3)) is Conclusion.DONE


def test_a_mark_is_that_of_its_sink(database: PostgresqlDatabase) -> None:
    with closing(database.open_marks()) as marks:
        assert marks.get("items.jsonl") is None
        marks.set("items.jsonl", Mark(results=1))
        marks.set("items.jsonl", Mark(results=2, block_hash=b"\0h"))
        assert marks.get("items.jsonl") == Mark(results=2, block_hash=b"\0h")
        assert marks.get("other.jsonl") is None


def test_an_owner_that_has_nothing_to_commit_says_that_it_is_there(server: PostgresqlServer, schema: str) -> None:
    query = f'SELECT heartbeat_at, committed_at FROM "{schema}".ledger'
    with opened(server.address(), schema, silence_s=2.0):
        (before,) = asked(server, query)
        until(lambda: asked(server, query)[0][0] > before[0])
        assert asked(server, query)[0][1] == before[1]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_process_that_is_killed_or_stopped_loses_its_crawl(
    server: PostgresqlServer, schema: str, how: signal.Signals
) -> None:
    child = os.fork()
    if child == 0:
        open_database(server.address(), schema, silence_s=1.0).load()
        signal.pause()
    try:
        until(lambda: asked(server, "SELECT to_regclass(%s)", f"{schema}.ledger")[0][0])
        until(lambda: asked(server, f"SELECT epoch FROM {schema}.ledger")[0][0] == 1)
        os.kill(child, how)
        with opened(server.address(), schema, while_owned=lambda _: time.sleep(0.01)) as database:
            assert commit(database, batch(1)) is Conclusion.DONE
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_an_owner_that_was_stopped_in_the_middle_of_a_transaction_is_ended_by_who_waits(
    server: PostgresqlServer, proxy: PostgresqlProxy, schema: str
) -> None:
    waits_for = "SELECT wait_event FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s"
    ended = []
    with opened(proxy.address(), schema) as stopped:
        proxy.passes = Passes.UNENDED
        over = begun(stopped, batch(1))
        until(lambda: asked(server, waits_for, "WITH mine AS (UPDATE ledger%") == [("ClientRead",)])

        def while_owned(claim: Claim) -> None:
            ended.append(claim.terminate_owner())

        with opened(server.address(), schema, while_owned=while_owned) as database:
            assert commit(database, batch(1)) is Conclusion.DONE
        over.wait()
        assert stopped.conclude() is Conclusion.UNKNOWN
    assert ended[0]


def test_schemas_are_told_apart_and_renamed_while_nobody_owns_their_crawls(
    server: PostgresqlServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "PATIENCE_S", 0.0)
    schemas, old, taken = PostgresqlSchemas(server.address()), f"{schema} old", f"{schema} taken"
    assert not schemas.has(schema)
    with opened(server.address(), schema) as database:
        commit(database, batch(1))
        assert schemas.has(schema)
        assert schemas.owner_of(schema) == f"{socket.gethostname()}:{os.getpid()}"
        with pytest.raises(UsageError, match=f"schema {schema} .* is owned by another coordinator"):
            schemas.rename(schema, old)
    assert (schemas.owner_of(schema), schemas.owner_of(old)) == ("", "")
    asked(server, f'CREATE SCHEMA "{taken}"')
    with pytest.raises(UsageError, match=f"schema {schema} .* cannot be renamed: there is a schema {taken} already"):
        schemas.rename(schema, taken)
    schemas.rename(schema, old)
    assert (schemas.has(schema), schemas.has(old)) == (False, True)
    with opened(server.address(), old) as database:
        assert list(database.tasks([1])) == [b"task 1"]
    with pytest.raises(UsageError, match=f"schema {schema} of .* holds no crawl"):
        schemas.rename(schema, f"{schema} other")
    with pytest.raises(UsageError, match=r"schema information_schema .* is no crawl's"):
        schemas.has("information_schema")
    with pytest.raises(UsageError, match="cannot connect to the database"):
        PostgresqlSchemas("postgresql://127.0.0.1:1/crawls").has(schema)


# Lost connections


def test_a_mark_that_the_last_owner_was_setting_does_not_keep_the_next_one_waiting(
    server: PostgresqlServer, proxy: PostgresqlProxy, schema: str
) -> None:
    with opened(proxy.address(), schema) as last:
        marks = last.open_marks()
        proxy.passes = Passes.UNENDED

        def set_mark() -> None:
            with suppress(CrawlFailed):
                marks.set("items", Mark())

        setting = threading.Thread(target=set_mark, daemon=True)
        setting.start()
        held = "SELECT count(*) FROM pg_locks WHERE mode = 'RowShareLock' AND relation = '{}.ledger'::regclass"
        until(lambda: asked(server, held.format(f'"{schema}"')) == [(1,)])
        end_owner = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        asked(server, end_owner)
        with opened(server.address(), schema) as owner:
            assert commit(owner, batch(1)) is Conclusion.DONE
        proxy.cut()
    proxy.passes = Passes.ALL


@pytest.mark.parametrize("is_in", [True, False], ids=["in", "not in"])
def test_a_commit_whose_answer_is_lost_is_unknown_and_as_a_whole_in_or_not(
    server: PostgresqlServer, proxy: PostgresqlProxy, schema: str, is_in: bool
) -> None:
    with opened(proxy.address(), schema) as database:
        commit(database, batch(1))
        proxy.passes = Passes.REQUESTS if is_in else Passes.UNENDED
        over = begun(database, batch(2))
        if is_in:
            until(lambda: asked(server, f'SELECT commits FROM "{schema}".ledger') == [(2,)])
        assert database.conclude() is None
        proxy.cut()
        over.wait()
        assert database.conclude() is Conclusion.UNKNOWN
        assert commit(database, batch(3)) is Conclusion.UNKNOWN
        with pytest.raises(StoreUnreachable, match=r"the connection to the database postgres at .* was lost"):
            database.keep("job", b"")
        with pytest.raises(StoreUnreachable, match=r"the connection to the database postgres at .* was lost"):
            database.waiting(1)
    proxy.passes = Passes.ALL
    with closing(open_database(server.address(), schema)) as again:
        loaded = again.load()
        assert (loaded.commit_number, loaded.results) == ((2, 2) if is_in else (1, 1))
        assert list(again.walk(0, 9)) == [b"task 1", b"task 2"][: loaded.commit_number]


def test_a_commit_is_unknown_when_the_server_is_killed(schema: str) -> None:
    with PostgresqlServer(syncs=True) as own, PostgresqlProxy(own) as proxy:
        with opened(proxy.address(), schema) as database:
            commit(database, batch(1))
            proxy.passes = Passes.REQUESTS
            over = begun(database, batch(2))
            until(lambda: asked(own, f'SELECT commits FROM "{schema}".ledger') == [(2,)])
            own.kill()
            over.wait()
            assert database.conclude() is Conclusion.UNKNOWN
            with pytest.raises(StoreUnreachable, match="cannot connect to the database postgres at"):
                open_database(own.address(), schema)
        own.start()
        with opened(own.address(), schema) as again:
            assert list(again.tasks([1, 2])) == [b"task 1", b"task 2"]
            assert commit(again, batch(3)) is Conclusion.DONE


def test_a_commit_that_the_server_refuses_fails_by_its_words_and_leaves_nothing(
    database: PostgresqlDatabase, server: PostgresqlServer, schema: str
) -> None:
    commit(database, batch(1))
    asked(server, f'ALTER TABLE "{schema}".story ADD CHECK (at < 0) NOT VALID')
    begun(database, batch(2)).wait()
    with pytest.raises(
        CrawlFailed, match=r"cannot use schema .* violates check constraint .*; make room or mend"
    ) as told:
        database.conclude()
    assert not isinstance(told.value, StoreUnreachable)
    assert list(database.tasks([2])) == []


@pytest.mark.parametrize("state", ["53100", "57014", "25006"], ids=["no room", "cancelled", "read-only"])
def test_what_a_server_refuses_for_now_is_a_database_that_is_away(
    database: PostgresqlDatabase, server: PostgresqlServer, schema: str, state: str
) -> None:
    refuses = f"""CREATE FUNCTION "{schema}".refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE 'no room' USING ERRCODE = '{state}'; END $$"""
    asked(server, refuses)
    for table in ("story", "meta"):
        trigger = f'BEFORE INSERT ON "{schema}".{table} EXECUTE FUNCTION "{schema}".refuse()'
        asked(server, f"CREATE TRIGGER refuses {trigger}")
    begun(database, batch(1)).wait()
    with pytest.raises(StoreUnreachable, match=r"cannot use schema .*: no room; make room or mend the database$"):
        database.conclude()
    with pytest.raises(StoreUnreachable, match="no room"):
        database.keep("job", b"one")


def test_what_failed_for_once_works_when_it_is_tried_again(
    database: PostgresqlDatabase, server: PostgresqlServer, schema: str
) -> None:
    tables = [f'"{schema}".{name}' for name in ("meta", "tasks")]
    for table in tables:
        asked(server, f"ALTER TABLE {table} RENAME TO away")
        with pytest.raises(CrawlFailed, match="does not exist; make room or mend the database"):
            database.keep("job", b"one") if table == tables[0] else database.tasks([1])
        asked(server, f'ALTER TABLE "{schema}".away RENAME TO {table.split(".")[1]}')
    database.keep("job", b"two")
    assert database.kept("job") == b"two"
    assert commit(database, batch(1)) is Conclusion.DONE
    assert list(database.tasks([1])) == [b"task 1"]


def test_it_is_said_that_a_commit_is_not_acknowledged(
    proxy: PostgresqlProxy, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "SLOW_S", 0.2)
    with opened(proxy.address(), schema) as database, capture_logs() as told:
        assert commit(database, batch(1)) is Conclusion.DONE
        assert told == []
        proxy.passes = Passes.REQUESTS
        over = begun(database, batch(2))
        until(lambda: told)
        proxy.cut()
        over.wait()
    assert re.fullmatch(r"schema .* has acknowledged nothing for \d+ s: it is slow, or waits for .*", told[0]["event"])


def test_who_waits_for_a_silent_server_is_interrupted_and_asks_it_nothing_more(
    proxy: PostgresqlProxy, schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(proxy.address(), schema)
    with closing(connect(place)) as db:
        proxy.passes = Passes.REQUESTS
        before = proxy.round_trips
        asker = threading.get_ident()

        def interrupt() -> None:
            until(lambda: proxy.round_trips > before)
            signal.pthread_kill(asker, signal.SIGINT)

        with ThreadPoolExecutor(1) as pool:
            interrupting = pool.submit(interrupt)
            with pytest.raises(KeyboardInterrupt):
                Claim(db, place).take()
            interrupting.result()
        assert db.closed
    assert not caplog.records  # psycopg warns if it has asked for a cancellation in vain


def test_an_interrupted_read_leaves_no_answer_for_the_next(
    database: PostgresqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_session: Session) -> None:
        raise KeyboardInterrupt

    commit(database, batch(1))
    monkeypatch.setattr(Session, "_results", interrupt)
    with pytest.raises(KeyboardInterrupt):
        database.tasks([1])
    monkeypatch.undo()
    with pytest.raises(StoreUnreachable, match=r"the connection to .* was lost"):
        database.depths([ref(1)])


def test_an_interrupted_commit_is_unknown_and_not_in(
    database: PostgresqlDatabase, server: PostgresqlServer, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupts(tuple[bytes, bytes]):
        """A statement of a batch whose sending is interrupted."""

        def __iter__(self) -> Iterator[bytes]:
            raise KeyboardInterrupt

    real = writing.calls_of

    def calls_of(*given: Any) -> list[Call]:
        *calls, last = real(*given)
        return [*calls, last._replace(statement=Interrupts(last.statement))]  # type: ignore[arg-type]  # as said

    commit(database, batch(1))
    monkeypatch.setattr("crawlfleet.coordinator.frontier.postgresql.database.calls_of", calls_of)
    over = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        database.begin(batch(2), over.set)
    over.wait()
    assert database.conclude() is Conclusion.UNKNOWN
    database.close()
    with opened(server.address(), schema) as again:
        assert list(again.tasks([2])) == []


def test_a_commit_under_way_ends_before_the_database_is_closed(server: PostgresqlServer, schema: str) -> None:
    with opened(server.address(), schema) as database:
        over = begun(database, batch(1))
    assert over.is_set()
    assert database.conclude() is Conclusion.DONE


# What is refused


def test_a_server_is_refused_that_is_old_or_does_not_sync_or_has_another_encoding() -> None:
    place = Place("postgresql://u:secret@db.test/crawls", "shop")
    good = Facts(140_000, "14.0", "on", "UTF8")
    refuse_unfit(good, place)
    for facts, why in (
        (good._replace(number=130_015, version="13.15"), "is PostgreSQL 13.15, crawlfleet needs 14 or newer"),
        (good._replace(fsync="off"), "has fsync = off, so that a power cut would lose or damage the crawl: set"),
        (good._replace(encoding="LATIN1"), "has the encoding LATIN1, crawlfleet needs UTF8: create"),
    ):
        with pytest.raises(UsageError, match=f"^the database crawls at db.test {why}"):
            refuse_unfit(facts, place)


def test_a_running_server_that_does_not_sync_is_refused(schema: str) -> None:
    with PostgresqlServer() as own, pytest.raises(UsageError, match="has fsync = off"):
        open_database(own.address(), schema)


def test_a_pool_that_shares_sessions_by_transaction_is_refused(server: PostgresqlServer, schema: str) -> None:
    with (
        TransactionPool(server) as pool,
        pytest.raises(UsageError, match="is behind a pool that shares sessions by transaction, such as pgbouncer with"),
    ):
        open_database(pool.address(), schema)


def test_a_schema_that_is_no_crawls_is_refused_and_an_empty_one_is_taken(server: PostgresqlServer, schema: str) -> None:
    asked(server, f'CREATE SCHEMA "{schema}"')
    asked(server, f'CREATE TABLE "{schema}".ours (n int)')
    with pytest.raises(UsageError, match=f"schema {schema} of .* exists already and is no crawl's: move it away"):
        open_database(server.address(), schema)
    asked(server, f'DROP TABLE "{schema}".ours')
    with opened(server.address(), schema) as database:
        assert commit(database, batch(1)) is Conclusion.DONE


def test_who_may_create_no_schema_is_told_so(server: PostgresqlServer, schema: str) -> None:
    asked(server, f'CREATE ROLE "{schema}" LOGIN')
    address = server.address().replace(f"user={USER}", f"user={schema}")
    with pytest.raises(UsageError, match=f"permission denied for database postgres; grant that to the user {schema}"):
        open_database(address, schema)


def test_tables_of_a_newer_format_are_refused(server: PostgresqlServer, schema: str) -> None:
    with opened(server.address(), schema):
        pass
    asked(server, f'UPDATE "{schema}".ledger SET format = 99')
    for opens in (open_database, open_reader):
        with pytest.raises(UsageError, match="has format 99, this version of crawlfleet reads format 1: install the"):
            opens(server.address(), schema)


@pytest.mark.parametrize("opens", [open_database, open_reader])
def test_an_address_is_never_told_with_its_password(opens: Callable[[str, str], object]) -> None:
    with pytest.raises(StoreUnreachable, match=r"cannot connect to the database crawls at 127\.0\.0\.1:1: ") as told:
        opens("postgresql://me:secret@127.0.0.1:1/crawls", "shop")
    assert "secret" not in str(told.value)
    with pytest.raises(UsageError, match="the address of the database is malformed: write it as postgresql") as refused:
        opens("postgresql://me:sec ret@127.0.0.1:1/crawls", "shop")
    assert "ret@" not in str(refused.value)
