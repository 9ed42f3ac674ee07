"""A crawl in PostgreSQL whose database was put back to an earlier state, or is a promoted standby."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crawlfleet.coordinator.frontier.port import StoreUnreachable
from crawlfleet.coordinator.frontier.registry import open_reader, place_for
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.shared.errors import UsageError
from tests.site.driven_crawl import PAGES, driven
from tests.site.postgresql_server import USER, PostgresqlServer, programs
from tests.site.replicated_servers import ask, await_streaming, replicated

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]
ITEMS = "items.jsonl"
LOST = "has lost commits that were acknowledged, at least "
ASYNCHRONOUS = "is replicated asynchronously: if a standby is promoted"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer(syncs=True) as running:
        yield running


def put_back(server: PostgresqlServer, folder: Path, name: str, *more: str) -> tuple[str, Path]:
    """Crawl a page, copy the database, crawl the rest, and put the copy back; return what stores it, and the folder."""
    stored = f"frontier: '{server.address(name)}'"
    ask(server, f"CREATE DATABASE {name}")
    with driven(folder, 1, (ITEMS, *more), more=stored) as crawl:
        path = crawl.folder.path
    ask(server, f"CREATE DATABASE {name}_before TEMPLATE {name}")
    with driven(folder, PAGES - 1, (ITEMS, *more), more=stored):
        pass
    ask(server, f"DROP DATABASE {name}", f"ALTER DATABASE {name}_before RENAME TO {name}")
    return stored, path


def refused(folder: Path, stored: str, *more: str) -> str:
    """Return why a crawl is not gone on with."""
    with pytest.raises(UsageError, match=LOST) as told, driven(folder, 0, (ITEMS, *more), more=stored):
        pass
    return str(told.value)


def goes_on(folder: Path, stored: str, path: Path, *more: str) -> None:
    """Accept the loss, crawl what is missing, and prove that all is there once."""
    with driven(folder, PAGES - 1, (ITEMS, *more), more=stored, accept_loss=True) as crawl:
        assert any(LOST in notice for notice in crawl.crawl.notices)
    assert len((path / ITEMS).read_bytes().splitlines()) == PAGES
    proof = verify(path)
    assert (proof.holds, proof.unfinished) == (True, 0), proof


def test_a_database_that_was_put_back_is_refused_until_its_loss_is_accepted(
    server: PostgresqlServer, tmp_path: Path
) -> None:
    stored, path = put_back(server, tmp_path, "put_back")
    before = (path / ITEMS).read_bytes()

    told = refused(tmp_path, stored)
    assert f"and with them at least {PAGES - 1} results: it has " in told
    assert f"{path / 'commits.json'} knows of " in told
    assert (path / ITEMS).read_bytes() == before
    broken = [each for each in verify(path).invariants if each.broken]
    assert any(LOST in where for each in broken for where in each.where)

    goes_on(tmp_path, stored, path)


def test_a_sink_with_an_address_tells_of_a_loss_before_a_file_is_cut_back(
    server: PostgresqlServer, tmp_path: Path
) -> None:
    ask(server, "CREATE DATABASE rows")
    sink = server.address("rows")
    stored, path = put_back(server, tmp_path, "put_back_alone", sink)
    (path / "commits.json").unlink()
    before = (path / ITEMS).read_bytes()

    assert f"{sink} has {PAGES} results" in refused(tmp_path, stored, sink)
    assert (path / ITEMS).read_bytes() == before

    goes_on(tmp_path, stored, path, sink)


def replication(server: PostgresqlServer, user: str = USER) -> str:
    """Return what a user of a database is told of its standbys."""
    address = server.address().replace(f"user={USER}", f"user={user}")
    return place_for("process", address, "demo", Path()).replication()


def test_a_standby_that_lacks_commits_is_told_before_and_after_it_is_promoted(tmp_path: Path) -> None:
    with PostgresqlServer(syncs=True) as primary:
        stored = f"frontier: '{primary.address()}'"
        with driven(tmp_path, 1, more=stored) as crawl:
            path = crawl.folder.path
            assert not any(ASYNCHRONOUS in notice for notice in crawl.crawl.notices)
        with PostgresqlServer(syncs=True, of=primary) as standby:
            await_streaming(primary, "async")
            ask(primary, "CREATE ROLE plain LOGIN")  # it is not told the states of standbys
            with driven(tmp_path, more=stored) as crawl:
                (notice,) = [each for each in crawl.crawl.notices if ASYNCHRONOUS in each]
                assert "synchronous_standby_names" in notice
                assert ASYNCHRONOUS in replication(primary, "plain")
                standby.stop()
                crawl.fetch(PAGES - 1)
            primary.kill()
            (primary.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
            standby.start()
            standby.promote()
            stored = f"frontier: '{standby.address()}'"
            assert f"and with them at least {PAGES - 1} results" in refused(tmp_path, stored)
            goes_on(tmp_path, stored, path)


def test_a_synchronous_standby_has_all_that_was_acknowledged(tmp_path: Path) -> None:
    with replicated() as (primary, standby):
        with driven(tmp_path, 2, more=f"frontier: '{primary.address()}'") as crawl:
            path = crawl.folder.path
            assert not any(ASYNCHRONOUS in notice for notice in crawl.crawl.notices)
        primary.kill()
        (primary.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        standby.promote()
        ask(standby, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
        with closing(open_reader(f"{standby.address()}&crawl=driven")) as reader:
            known = (path / "commits.json").read_text()
            assert f'"commits":{reader.commit_number},' in known
            assert reader.result_count == 2
        with driven(tmp_path, PAGES - 2, more=f"frontier: '{standby.address()}'") as crawl:
            assert not any(LOST in notice for notice in crawl.crawl.notices)
        assert verify(path).holds


def test_an_owner_whose_server_ends_while_it_asks_for_standbys_has_lost_its_crawl() -> None:
    with PostgresqlServer(syncs=True) as server:
        server.stop()
        with pytest.raises(StoreUnreachable, match="cannot connect to the database postgres"):
            replication(server)


def test_a_subscriber_is_no_standby() -> None:
    folder = programs()
    assert folder is not None
    with PostgresqlServer("wal_level=logical", syncs=True) as server:
        ask(server, "CREATE PUBLICATION all_of_it FOR ALL TABLES")
        ask(server, "SELECT pg_create_logical_replication_slot('changes', 'pgoutput')")
        options = ["-o", "proto_version=1", "-o", "publication_names=all_of_it"]
        address = ["-h", str(server.folder), "-U", USER, "-d", "postgres"]
        command = [str(folder / "pg_recvlogical"), *address, "-S", "changes", "--start", *options, "-f", "/dev/null"]
        with subprocess.Popen(command) as subscriber:
            try:
                await_streaming(server, "async")
                assert replication(server) == ""
            finally:
                subscriber.terminate()
