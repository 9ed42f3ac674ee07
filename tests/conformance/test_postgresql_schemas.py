"""The schemas of crawls in a real PostgreSQL server, for whoever has none of them open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from crawlfleet.coordinator.frontier.crawl_address import VARIABLE
from crawlfleet.coordinator.frontier.registry import StorePlace, open_reader, place_for
from crawlfleet.shared.errors import CrawlFailed, UsageError
from tests.site.postgresql_server import USER, PostgresqlServer, programs

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]
SECRET = "hunter2"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer(syncs=True) as running:
        yield running


def place_of(server: PostgresqlServer, crawl: str) -> StorePlace:
    return place_for("process", server.address(), crawl, Path())


def filled(server: PostgresqlServer, crawl: str) -> StorePlace:
    """Store a crawl in which something is kept."""
    place = place_of(server, crawl)
    with closing(place.open(power=False)) as store:
        store.keep("job", b'{"name": "demo"}')
    return place


def test_a_crawl_is_there_once_it_was_opened_and_read_by_its_address(server: PostgresqlServer) -> None:
    assert not place_of(server, "first").is_stored()
    place = filled(server, "first")
    assert place.is_stored()
    with closing(open_reader(str(place))) as reader:
        assert reader.job == {"name": "demo"}
    with pytest.raises(UsageError, match="holds no crawl"):
        open_reader(str(place_of(server, "none")))


def test_a_schema_of_somebody_else_is_refused(server: PostgresqlServer) -> None:
    with psycopg.connect(server.address(), autocommit=True) as db:
        db.execute("CREATE SCHEMA crawl_theirs CREATE TABLE theirs (x int)")
    place = place_of(server, "theirs")
    with pytest.raises(UsageError, match=r"crawl_theirs .* is no crawl's"):
        place.is_stored()
    with pytest.raises(UsageError, match=r"crawl_theirs .* is no crawl's"):
        place.open(power=False)


def test_a_crawl_that_is_open_is_told_with_its_owner_and_not_renamed(server: PostgresqlServer) -> None:
    place = filled(server, "open")
    place.refuse_if_running()
    with closing(place.open(power=False)):
        with pytest.raises(UsageError, match=r"crawl=open is in use by the coordinator [\w.-]+:\d+: wait or stop it"):
            place.refuse_if_running()
        with pytest.raises(UsageError, match="owned by another coordinator"):
            place.renamed("open.1")
    place.refuse_if_running()
    assert place.is_stored()


def test_a_crawl_gets_a_name_that_no_other_has(server: PostgresqlServer) -> None:
    place, other = filled(server, "demo"), filled(server, "demo.1")
    with pytest.raises(UsageError, match="cannot be renamed: there is a schema crawl_demo_1 already"):
        place.renamed("demo.1")
    after = place.renamed("demo.2")
    assert (place.is_stored(), after.is_stored(), other.is_stored()) == (False, True, True)
    with closing(after.open(power=False)) as store:
        assert store.kept("job") == b'{"name": "demo"}'


def test_a_server_that_does_not_answer_is_told_by_whoever_only_looks(tmp_path: Path) -> None:
    place = place_for("process", f"postgresql:///crawls?host={tmp_path}", "demo", tmp_path)
    for look in (place.is_stored, place.read, place.refuse_if_running):
        with pytest.raises(UsageError, match="cannot connect to the database crawls"):
            look()
    with pytest.raises(CrawlFailed, match="cannot connect to the database crawls"):
        place.open(power=False)


def test_a_password_is_taken_from_the_environment_and_told_by_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with PostgresqlServer(syncs=True) as guarded:
        with psycopg.connect(guarded.address(), autocommit=True) as db:
            db.execute(f"ALTER ROLE {USER} PASSWORD '{SECRET}'")
            rules = guarded.folder / "data" / "pg_hba.conf"
            rules.write_text("local all all scram-sha-256\n")
            db.execute("SELECT pg_reload_conf()")
        place = place_for("process", guarded.address(), "demo", tmp_path)
        told = []
        for known in ("", f"{guarded.address()}&password=wrong-{SECRET}"):
            monkeypatch.setenv(VARIABLE, known)
            with pytest.raises(UsageError, match="password") as refused:
                place.is_stored()
            told.append(str(refused.value))
        monkeypatch.setenv(VARIABLE, f"{guarded.address()}&password={SECRET}")
        with closing(place.open(power=False)) as store:
            store.keep("job", b"{}")
        assert place.is_stored()
        place.read().close()
        assert place.renamed("other").is_stored()
    assert SECRET not in "".join((*told, str(place)))
