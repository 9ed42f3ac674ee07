"""Crawls that move between a folder and a real PostgreSQL server, whole or not at all."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from crawlfleet.__main__ import main
from crawlfleet.coordinator.core.later_rows import KeptLinksRow
from crawlfleet.coordinator.crawl_folder import held
from crawlfleet.coordinator.frontier.copying import Numbers, StoredBlock
from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.kept_address import folder_id, kept_address
from crawlfleet.coordinator.frontier.postgresql.copying import PostgresqlCopying, PostgresqlTarget
from crawlfleet.coordinator.frontier.registry import FRONTIER, StorePlace, place_for, place_named, stored_in
from crawlfleet.coordinator.frontier.sqlite.copying import SqliteTarget
from crawlfleet.coordinator.frontier.sqlite.marks import MARKS, SqliteMarks
from crawlfleet.coordinator.offline.migrate import migrate
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.shared.errors import CrawlFailed, UsageError
from tests.moved_crawls import LARGE_BYTES, as_of_old, digest_at, half_done, with_links
from tests.site.postgresql_server import PostgresqlServer, programs
from tests.unit.durable_crawl import ITEMS

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]
_names = (f"demo{number}" for number in count())


def quiet(_what: str, _rows: int, _of: int) -> None:
    pass


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer(syncs=True) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return half_done(tmp_path / next(_names))


def there(folder: Path) -> StorePlace:
    return place_named(folder)


MADE: dict[str, Callable[[Path], Path]] = {
    "half done": half_done,
    "laden": lambda folder: half_done(folder, is_laden=True),
    "with links": with_links,
    "of an earlier version": lambda folder: as_of_old(half_done(folder)),
}


@pytest.mark.parametrize("made", MADE)
def test_all_of_a_crawl_moves_there_and_back(server: PostgresqlServer, tmp_path: Path, made: str) -> None:
    folder = MADE[made](tmp_path / next(_names))
    before = digest_at(there(folder))
    marks = _marks(folder)
    moved = migrate(folder, server.address(), quiet)
    assert moved.frontier == server.address()
    assert there(folder).at == kept_address(folder)
    assert not (folder / FRONTIER).exists()
    named = {f"{folder_id(folder)}/{name}": mark for name, mark in marks.items()}
    with psycopg.connect(server.address()) as db:
        schema = kept_address(folder).schema  # type: ignore[union-attr]  # it has just been kept
        assert dict(db.execute(f"SELECT sink, mark FROM {schema}.marks").fetchall()) == named
    assert verify(folder).holds
    back = migrate(folder, "sqlite", quiet)
    assert (back.frontier, back.rows) == ("sqlite", moved.rows)
    assert list(before.differences(digest_at(there(folder)))) == []
    assert _marks(folder) == marks
    assert verify(folder).holds


def _marks(folder: Path) -> dict[str, bytes]:
    if not (folder / MARKS).exists():
        return {}
    with closing(sqlite3.connect(folder / MARKS)) as db:
        return dict(db.execute("SELECT sink, mark FROM marks").fetchall())


def test_epoch_commits_and_crawl_time_go_on_where_they_were(server: PostgresqlServer, folder: Path) -> None:
    numbers: list[Numbers] = []
    for to in (server.address(), "sqlite"):
        with closing(there(folder).copying().source()) as source:
            numbers.append(source.numbers())
        migrate(folder, to, quiet)
        with closing(there(folder).open(power=False)) as store:
            before = numbers[-1]
            assert (store.epoch, store.commit_number) == (before.epoch + 1, before.commits)
            assert store.opened_at >= before.crawl_s
    assert numbers[1].epoch == numbers[0].epoch + 1


def test_a_large_row_comes_whole(server: PostgresqlServer, tmp_path: Path) -> None:
    folder = half_done(tmp_path / next(_names), is_laden=True)
    for to in (server.address(), "sqlite"):
        migrate(folder, to, quiet)
        with closing(there(folder).open(power=False)) as store:
            (row,) = store.rows(KeptLinksRow, (1_000,)).values()
            assert row.links == b"k" * LARGE_BYTES
    with closing(sqlite3.connect(folder / FRONTIER)) as db:
        assert db.execute("SELECT count(*) FROM segments").fetchone() > (8,)


def test_the_old_places_are_marked_and_nobody_goes_on_there(server: PostgresqlServer, folder: Path) -> None:
    migrate(folder, server.address(), quiet)
    old = folder / f"{FRONTIER}.moved"
    aside = folder.with_name("aside")
    aside.mkdir()
    (aside / FRONTIER).write_bytes(old.read_bytes())
    with pytest.raises(UsageError, match="has moved to postgresql://"):
        there(aside).open(power=False)
    at = there(folder)
    migrate(folder, "sqlite", quiet)
    with pytest.raises(UsageError, match=r"has moved to the folder .* on "):
        at._replace(folder=None).open(power=False)
    with pytest.raises(UsageError, match="holds a crawl already, which has moved to the folder"):
        migrate(folder, server.address(), quiet)
    there(folder).open(power=False).close()


def test_a_crawl_that_a_coordinator_has_is_not_moved(server: PostgresqlServer, folder: Path) -> None:
    with held(folder), pytest.raises(UsageError, match="is in use by the coordinator with process id"):
        migrate(folder, server.address(), quiet)
    migrate(folder, server.address(), quiet)
    at = there(folder)._replace(folder=None)
    with closing(at.open(power=False)), pytest.raises(UsageError, match="is owned by another coordinator"):
        migrate(folder, "sqlite", quiet)
    assert not (folder / FRONTIER).exists()
    migrate(folder, "sqlite", quiet)


def test_a_place_that_has_a_crawl_is_refused(server: PostgresqlServer, folder: Path) -> None:
    place_for("process", server.address(), folder.name, folder).open(power=False).close()
    with pytest.raises(UsageError, match="holds a crawl already: drop it or move it aside first"):
        migrate(folder, server.address(), quiet)
    with pytest.raises(UsageError, match=r"the crawl is in .* already: name another place"):
        migrate(folder, "sqlite", quiet)
    assert there(folder).at is None


def test_a_copy_that_somebody_has_opened_is_not_removed(
    server: PostgresqlServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as during:
        during.setattr("crawlfleet.coordinator.offline.migrate.keep_address", _fail)
        for _ in range(2):  # a copy that nobody has opened is made again
            with pytest.raises(CrawlFailed, match="full"):
                migrate(folder, server.address(), quiet)
    place_for("process", server.address(), folder.name, folder).open(power=False).close()
    with pytest.raises(UsageError, match="holds a crawl already"):
        migrate(folder, server.address(), quiet)
    assert there(folder).at is None


def _fail(*_: object) -> None:
    raise CrawlFailed("the disk is full")


LOSSES: dict[str, dict[str, Any]] = {
    "tasks": {"born": []},
    "results": {"results": []},
    "queues": {"later": []},
    "kept values": {"meta": []},
    "hosts": {"rows": {}},
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("target", [PostgresqlTarget, SqliteTarget], ids=["there", "back"])
def test_a_copy_that_is_not_the_same_does_not_count(
    server: PostgresqlServer,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: type[PostgresqlTarget | SqliteTarget],
    loss: str,
) -> None:
    to = server.address()
    if target is SqliteTarget:
        migrate(folder, to, quiet)
        to = "sqlite"
    write, before = target.write, stored_in(folder)

    def lossy(self: object, batch: Batch) -> None:
        write(self, replace(batch, **LOSSES[loss]))  # type: ignore[arg-type]  # it is a target of this type

    with monkeypatch.context() as during:
        during.setattr(target, "write", lossy)
        with pytest.raises(CrawlFailed, match=r"the copy is not what was copied, and does not count: .* rows of"):
            migrate(folder, to, quiet)
    assert stored_in(folder) == before
    assert verify(folder).holds
    migrate(folder, to, quiet)
    assert verify(folder).holds


def test_a_story_that_is_not_the_same_does_not_count(
    server: PostgresqlServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = PostgresqlTarget.write_blocks

    def late(self: PostgresqlTarget, blocks: list[StoredBlock]) -> None:
        write(self, [block._replace(at=1.0) for block in blocks])

    monkeypatch.setattr(PostgresqlTarget, "write_blocks", late)
    with pytest.raises(CrawlFailed, match="does not count: other rows of story"):
        migrate(folder, server.address(), quiet)


def test_a_crawl_that_is_damaged_is_not_moved(server: PostgresqlServer, folder: Path) -> None:
    with closing(sqlite3.connect(folder / FRONTIER, isolation_level=None)) as db:
        db.execute("DELETE FROM results")
    with pytest.raises(CrawlFailed, match="the crawl is damaged, and was not moved: it does not hold that every"):
        migrate(folder, server.address(), quiet)
    assert there(folder).at is None


def test_a_file_of_an_older_format_is_refused(server: PostgresqlServer, folder: Path) -> None:
    with closing(sqlite3.connect(folder / FRONTIER, isolation_level=None)) as db:
        db.execute("PRAGMA user_version = 7")
    with pytest.raises(UsageError, match=r"has format 7, .*: run the job again to bring it up to date"):
        migrate(folder, server.address(), quiet)


def test_a_crawl_that_is_older_than_a_kind_of_rows_moves_too(server: PostgresqlServer, folder: Path) -> None:
    migrate(folder, server.address(), quiet)
    with psycopg.connect(server.address(), autocommit=True) as db:
        db.execute(f"DROP TABLE crawl_{folder.name}.seed_lines")
    migrate(folder, "sqlite", quiet)
    assert verify(folder).holds


def test_a_schema_of_somebody_else_is_left_alone(server: PostgresqlServer, folder: Path) -> None:
    with psycopg.connect(server.address(), autocommit=True) as db:
        db.execute(f"CREATE SCHEMA draft_{folder.name} CREATE TABLE theirs (x int)")
    with pytest.raises(UsageError, match=r"exists already and is no crawl's"):
        migrate(folder, server.address(), quiet)
    assert there(folder).at is None


def test_a_crawl_moves_to_another_database_and_its_files_keep_their_marks(
    server: PostgresqlServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(server.address(), autocommit=True) as db:
        db.execute(f"CREATE DATABASE {folder.name}")
    migrate(folder, server.address(), quiet)
    old, before, name = there(folder), digest_at(there(folder)), folder_id(folder)
    with monkeypatch.context() as during:
        during.setattr(PostgresqlCopying, "retire", _fail)
        with pytest.raises(CrawlFailed, match="full"):
            migrate(folder, server.address(folder.name), quiet)
    assert there(folder).at != old.at  # the last step was taken, only the old place is not marked yet
    assert "marked as moved" in migrate(folder, server.address(folder.name), quiet).left
    with pytest.raises(UsageError, match="has moved to"):
        old.open(power=False)
    with pytest.raises(UsageError, match="already: name another place"):
        migrate(folder, server.address(folder.name), quiet)
    assert list(before.differences(digest_at(there(folder)))) == []
    assert folder_id(folder) == name
    with closing(there(folder).open(power=False)) as store, closing(store.open_marks()) as marks:
        assert marks.get(f"{name}/{ITEMS}") is not None
    assert verify(folder).holds


def test_the_command_says_how_far_it_is(
    server: PostgresqlServer, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("crawlfleet.commands.migrate.SAID_EVERY_S", 0.0)
    assert main(["migrate", str(folder), server.address()]) == 0
    said = capsys.readouterr().out.splitlines()
    whats = list(dict.fromkeys(line.partition(":")[0].split()[0] for line in said))
    assert whats[:4] == ["copying", "comparing", "proving", "moved"]
    (last,) = [line for line in said if line.startswith("comparing")][-1:]
    rows, of = re.fullmatch(r"comparing: (\d+) of (\d+) rows", last).groups()  # type: ignore[union-attr]  # or it fails
    assert int(rows) <= int(of)
    assert f"moved: {of} rows" in "\n".join(said)


def test_sinks_that_are_known_by_a_folder_go_on_by_their_marks(server: PostgresqlServer, folder: Path) -> None:
    written = (folder / ITEMS).read_bytes()
    with closing(SqliteMarks(folder / MARKS, power=False)) as marks:
        mark = marks.get(ITEMS)
    assert mark is not None
    assert mark.size_bytes == len(written) > 0
    migrate(folder, server.address(), quiet)
    with closing(there(folder).open(power=False)) as store, closing(store.open_marks()) as there_now:
        assert there_now.get(f"{folder_id(folder)}/{ITEMS}") == mark
        assert there_now.get(ITEMS) is None
