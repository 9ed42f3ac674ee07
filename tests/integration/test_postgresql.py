"""PostgreSQL as a sink: what another program finds there, what is refused, and a server that goes away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import psycopg
import pytest

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import CrawlTaken, Keeping
from crawlfleet.coordinator.offline.export import export
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.coordinator.results.columns import Column, Layout, Table
from crawlfleet.coordinator.sinks import patience, postgresql_sink
from crawlfleet.coordinator.sinks.outputs import outputs_of
from crawlfleet.coordinator.sinks.port import Shape
from crawlfleet.coordinator.sinks.postgresql_sink import PostgresqlTables
from crawlfleet.coordinator.sinks.schema import take_schema
from crawlfleet.shared.errors import CrawlFailed, UsageError
from crawlfleet.shared.messages import Row
from tests.results import result
from tests.site.postgresql_server import PostgresqlServer, programs
from tests.unit.durable_crawl import DurableCrawl
from tests.unit.test_database_sinks import LOG, TWO, page

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]
NOWHERE = Path("nowhere")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer() as running:
        yield running


@pytest.fixture
def address(server: PostgresqlServer, request: pytest.FixtureRequest) -> str:
    """Return the address of a database of the test's own."""
    name = f"test_{abs(hash(request.node.name)) % 10**9}"
    ask(server.address(), f"CREATE DATABASE {name}")
    return server.address(name)


def ask(address: str, query: Any, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(address, autocommit=True) as db:
        db.execute("SET TIME ZONE 'UTC'")
        cursor = db.execute(query, values or None)
        return cursor.fetchall() if cursor.description else []


def tables(address: str, layout: Layout = TWO, crawl: str = "shop", **more: Any) -> PostgresqlTables:
    return PostgresqlTables(Shape(layout=layout, address=address, crawl=crawl, **more))


def write(kind: PostgresqlTables, *results: Result) -> None:
    with closing(kind.open(NOWHERE, None, power=False)) as sink:
        sink.restore(iter(results), len(results))
        sink.write(results)


def test_a_table_has_a_column_of_each_type(address: str) -> None:
    kind = tables(address)
    write(kind, *LOG)
    rows = ask(address, "SELECT * FROM thing ORDER BY row_id")
    assert rows[0] == (
        *(0, "http://a.test/1", -(2**63), 0.1, Decimal("12.30"), True, date(2026, 1, 31)),
        *(datetime(2026, 1, 31, 11, tzinfo=UTC), Decimal("1.20"), "EUR", {"a": [1, None]}, ["ü", None]),
        {"day": "2026-01-31"},
    )
    assert str(rows[0][4]) == "12.30"
    assert rows[1:] == [(2, "http://a.test/3", *[None] * 11)]
    assert ask(address, 'SELECT "a ""b""", "A ""B""" FROM "Select"') == [("1", "2")]
    assert ask(address, "SELECT crawl, results, rows FROM crawlfleet_state") == [("shop", 3, 3)]
    assert list(kind.read(NOWHERE, whole=True)) == [row for each in LOG for row in kind.rows_of(each)]


def test_odd_names_and_values_come_back_as_they_are_and_nul_is_rejected(address: str) -> None:
    names = ("xmin", "row_id", "select", "a%s", "{}", "ü")
    layout = Layout((Table("crawlfleet_state", (Column("url"), *(Column(name) for name in names))),))
    kind = tables(address, layout)
    odd = dict.fromkeys(names, "\\N\t\n\\. '\"%s é")
    log = (page(1, ("crawlfleet_state", odd)), page(2, ("crawlfleet_state", {"ü": "a\0b"})))
    write(kind, *log)
    assert ask(address, 'SELECT "xmin_", "row_id_", "select", "a%s", "{}", "ü" FROM crawlfleet_state_') == [
        tuple(odd.values())
    ]
    assert [each.reason for each in kind.rejects_of(log[1])] == ["ü has a NUL character, which PostgreSQL cannot store"]
    assert list(kind.read(NOWHERE, whole=True)) == kind.rows_of(log[0])


def test_crawls_share_a_database_and_tables_of_others_are_refused_by_name(address: str) -> None:
    write(tables(address), *LOG)
    write(tables(address, crawl="news", prefix="news_"), *LOG)
    write(tables(address, crawl="news", schema_name="Other schema"), *LOG)
    with pytest.raises(UsageError, match=r"the table Select in schema public .* exists already and is not"):
        tables(address, crawl="news").open(NOWHERE, None, power=False)
    ask(address, "CREATE VIEW mine_thing AS SELECT 1")
    with pytest.raises(UsageError, match=r"the table mine_thing in schema public .* name another schema or prefix"):
        tables(address, prefix="mine_").open(NOWHERE, None, power=False)
    assert ask(address, "SELECT crawl, prefix, rows FROM crawlfleet_state ORDER BY 1") == [
        ("news", "news_", 3),
        ("shop", "", 3),
    ]


def test_a_table_that_was_dropped_is_told_and_all_that_were_are_written_again(address: str) -> None:
    kind = tables(address)
    write(kind, *LOG)
    ask(address, "DROP TABLE thing")
    with pytest.raises(UsageError, match=r"the table thing in .* is gone: .* drop all tables of this crawl"):
        kind.open(NOWHERE, None, power=False)
    ask(address, 'DROP TABLE "Select"')
    write(kind, *LOG)
    assert list(kind.read(NOWHERE, whole=True)) == [row for each in LOG for row in kind.rows_of(each)]


def test_a_name_that_is_too_long_for_postgresql_is_refused() -> None:
    with pytest.raises(UsageError, match=r"names of 63 bytes at most: shorten 'p{63}thing'"):
        tables("postgresql://nowhere", prefix="p" * 63)


def test_two_coordinators_do_not_write_at_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_sink, "_SESSION", "SET lock_timeout = 1")
    kind = tables(address)
    with closing(kind.open(NOWHERE, None, power=False)):
        with pytest.raises(CrawlFailed, match="is being written by another coordinator of this crawl"):
            kind.open(NOWHERE, None, power=False)
        tables(address, crawl="other", prefix="x").open(NOWHERE, None, power=False).close()


def test_the_next_owner_of_a_crawl_ends_the_session_of_the_last_which_then_has_lost_the_crawl(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = tables(address, writer="crawlfleet 1")
    with closing(kind.open(NOWHERE, None, power=False)) as last:
        last.write(LOG[:1])
        with closing(kind.open(NOWHERE, last.mark, power=False)) as owner:
            monkeypatch.setattr(postgresql_sink, "_SESSION", "SET lock_timeout = 1")
            for write_too in (
                partial(last.write, LOG[1:]),
                partial(tables(address, writer="crawlfleet 2").open, NOWHERE, None, power=False),
            ):
                with pytest.raises(CrawlTaken, match="is being written by another coordinator of this crawl"):
                    write_too()
            owner.restore(iter(LOG), len(LOG))
            owner.write(LOG[1:])
    assert list(kind.read(NOWHERE, whole=True)) == [row for each in LOG for row in kind.rows_of(each)]


def test_a_server_that_does_not_answer_is_told(tmp_path: Path) -> None:
    with pytest.raises(CrawlFailed, match="cannot connect to postgresql:///"):
        tables(f"postgresql:///x?host={tmp_path}").open(NOWHERE, None, power=False)


@pytest.mark.parametrize("was_committed", [False, True])
def test_after_a_lost_connection_a_batch_is_there_once(
    address: str, was_committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = tables(address)
    with closing(kind.open(NOWHERE, None, power=False)) as sink:
        sink.write(LOG[:1])
        database = sink._database
        assert isinstance(database, postgresql_sink.PostgresqlDatabase)
        pid = database._db.info.backend_pid
        if was_committed:  # by the server, and the client did not hear of it
            insert = sink._insert

            def lose(*arguments: Any) -> None:
                insert(*arguments)
                monkeypatch.undo()
                ask(address, "SELECT pg_terminate_backend(%s)", pid)
                with database.transaction():
                    database._db.execute("SELECT 1")

            monkeypatch.setattr(sink, "_insert", lose)
        else:
            ask(address, "SELECT pg_terminate_backend(%s)", pid)
        sink.write(LOG[1:])
        assert database._db.info.backend_pid != pid
    assert list(kind.read(NOWHERE, whole=True)) == [row for each in LOG for row in kind.rows_of(each)]


def test_a_server_that_restarts_is_waited_for_and_one_that_does_not_ends_the_crawl(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = [result(number) for number in range(1, 41)]
    layout = Layout((Table("quote", (Column("url"), Column("n", "int"), Column("text"))),))
    with PostgresqlServer() as server:
        kind = tables(server.address(), layout)
        with closing(kind.open(NOWHERE, None, power=False)) as sink:
            for number, each in enumerate(log):
                if number % 15 == 5:
                    server.stop()
                    threading.Timer(0.2, server.start).start()
                sink.write([each])
        assert list(kind.read(NOWHERE, whole=True)) == [row for each in log for row in kind.rows_of(each)]
        monkeypatch.setattr(patience, "IN_ALL_S", 0.3)
        with closing(kind.open(NOWHERE, None, power=False)) as sink:
            server.stop()
            with pytest.raises(CrawlFailed, match=r"does not come back: .* the next run writes what is missing"):
                sink.write([result(41)])


class Kept(dict[str, bytes]):
    """What a store keeps, by its keys."""

    def kept(self, key: str) -> bytes | None:
        return self.get(key)

    def keep(self, key: str, value: bytes) -> None:
        self[key] = value


def test_tables_whose_columns_change_are_written_again_and_those_that_do_not_are_left_alone(address: str) -> None:
    store, marks = Kept(), None
    log = [result(number) for number in range(1, 4)]
    for columns, said in (
        ({"n": "int"}, ""),
        ({"n": "int"}, ""),
        ({"n": "text", "text": "text"}, "(- quote.n: int, + quote.n: text, + quote.text: text): it is written again"),
    ):
        sink = {"to": address, "schema_name": "public", "prefix": "", "headers": []}
        job = {"name": "shop", "sinks": [sink], "columns": {"quote": columns, "none": {}}, "hooks": "x.py"}
        (output,) = outputs_of(job, NOWHERE)
        sentence = take_schema(cast("Keeping", store), output, marks, power=False)
        assert said in sentence if said else not sentence
        with closing(output.open(marks, power=False)) as opened:
            opened.restore(iter(log), len(log))
            assert opened.mark.results == (0 if marks is None or said else 3)
            marks = opened.write(log) if opened.mark.results == 0 else opened.mark
    assert ask(address, "SELECT n, text FROM quote ORDER BY row_id") == [("1", "ü"), ("2", "ü"), ("3", "ü")]
    assert ask(address, "SELECT array_length(tables, 1) FROM crawlfleet_state") == [(3,)]


def finished_crawl(folder: Path, sink: Any) -> DurableCrawl:
    crawl = DurableCrawl(folder, sinks=(sink, "items.jsonl"))
    crawl.begin()
    crawl.finish()
    crawl.close()
    return crawl


def test_verify_reads_it_back_and_says_when_it_cannot(tmp_path: Path) -> None:
    with PostgresqlServer() as server:
        address = server.address()
        crawl = finished_crawl(tmp_path, {"to": address, "schema_name": "public", "prefix": "shop_"})
        assert outputs_of(crawl.job, tmp_path)[0].place == address
        assert [(each.checked, each.broken) for each in verify(tmp_path).invariants[-2:]] == [(4, 0), (4, 0)]
        ask(address, "DELETE FROM shop_page WHERE row_id = 1")
        assert [each.broken for each in verify(tmp_path).invariants[-2:]] == [1, 0]
        server.stop()
        proof = verify(tmp_path)
        assert proof.holds
        assert f"{address} was not looked at: cannot connect to {address}" in proof.invariants[-2].name


def test_an_export_is_there_whole_or_not_at_all(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished_crawl(tmp_path, "more.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(postgresql_sink.PostgresqlDatabase, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export(tmp_path, address)
    assert ask(address, "SELECT relname FROM pg_class WHERE relname = 'page'") == []
    with monkeypatch.context() as patch:
        patch.setattr(
            postgresql_sink.PostgresqlDatabase,
            "save",
            lambda self, _: ask(address, "SELECT pg_terminate_backend(%s)", self._db.info.backend_pid),
        )
        with pytest.raises(CrawlFailed, match="was lost, and nothing was written: run the command again"):
            export(tmp_path, address)
    assert export(tmp_path, address)[:3] == (4, 4, 0)
    with pytest.raises(UsageError, match="has the rows of this crawl already: replace them by --overwrite"):
        export(tmp_path, address)
    assert export(tmp_path, address, overwrite=True).files == (address,)
    assert ask(address, "SELECT count(*) FROM page") == [(4,)]


def test_rows_of_every_type_and_of_none_survive_many_batches(address: str) -> None:
    values: list[dict[str, Any]] = [
        {"f": 1e308, "any": [1e22, -0.0, 0.1, 5e-324, 2**63, "1.50", {"b": 1, "a": None}]},
        {"at": "0001-01-01T00:00:00", "day": "9999-12-31", "d": "-0.00", "cost": 3},
        {},
        {"d": "0.00000001", "tags": [], "inner": {}},
    ]
    log = [
        msgspec.structs.replace(result(number), rows=tuple(Row(item="thing", index=0, fields=each) for each in values))
        for number in range(30)
    ]
    kind = tables(address)
    with closing(kind.open(NOWHERE, None, power=False)) as sink:
        for start in range(0, 30, 7):
            sink.write(log[start : start + 7])
    with closing(kind.open(NOWHERE, None, power=False)) as sink:
        assert sink.restore(iter(log), len(log)).results == 30
    assert not any(map(kind.rejects_of, log))
    assert list(kind.read(NOWHERE, whole=True)) == [row for each in log for row in kind.rows_of(each)]
