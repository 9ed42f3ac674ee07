"""The file of a crawl is copied as a whole, into a draft that counts only when it is put in its place."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from crawlfleet.coordinator.core.later_rows import KeptLinksRow, KeptPartRow
from crawlfleet.coordinator.frontier.copying import Numbers, StoredBlock
from crawlfleet.coordinator.frontier.durable.batch import NewRows
from crawlfleet.coordinator.frontier.registry import FRONTIER, STORES, StorePlace, stored_in
from crawlfleet.coordinator.frontier.sqlite.copying import SqliteCopying, SqliteSource
from crawlfleet.coordinator.offline.copy_digest import CopyDigest
from crawlfleet.shared.errors import UsageError
from tests.batches import batch
from tests.moved_crawls import LARGE_BYTES, as_of_old, digest, half_done


def copy(folder: Path, to: Path) -> Numbers:
    """Copy a crawl into a draft in another folder."""
    with (
        closing(SqliteCopying(folder).source()) as source,
        closing(SqliteCopying(to).target()) as target,
    ):
        for portion in source.batches():
            target.write(portion)
        for blocks in source.blocks():
            target.write_blocks(blocks)
        numbers = source.numbers()
        target.finish(numbers, source.marks())
    return numbers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return half_done(tmp_path / "crawl", is_laden=True)


@pytest.fixture
def to(tmp_path: Path) -> Path:
    path = tmp_path / "copy"
    path.mkdir()
    return path


@pytest.mark.parametrize("made", [Path, as_of_old], ids=["today", "of old"])
def test_all_of_a_file_is_copied(folder: Path, to: Path, made: Callable[[Path], Path]) -> None:
    numbers = copy(made(folder), to)
    assert stored_in(to) is None
    SqliteCopying(to).publish()
    with closing(SqliteSource(folder)) as source, closing(SqliteSource(to)) as copied:
        assert list(digest(source).differences(digest(copied))) == []
        assert source.marks() == copied.marks() != []
        assert copied.numbers()[:2] == numbers[:2]
    with closing(StorePlace(STORES["sqlite"], to).open(power=False)) as store:
        assert store.epoch == numbers.epoch + 1
        (row,) = store.rows(KeptLinksRow, (1_000,)).values()
    assert row.links == b"k" * LARGE_BYTES


def test_what_a_killed_coordinator_has_left_in_the_log_is_copied_and_moves_with_the_file(
    folder: Path, to: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    with closing(StorePlace(STORES["sqlite"], folder).open(power=False)) as store:
        store.keep("name", b"value")
        shutil.copytree(folder, killed, ignore=shutil.ignore_patterns("*-shm"))
    assert (killed / f"{FRONTIER}-wal").stat().st_size > 0
    copy(killed, to)
    SqliteCopying(to).publish()
    copying = SqliteCopying(killed)
    copying.retire(copying.source(), "another place")
    (killed / f"{FRONTIER}.moved").rename(tmp_path / FRONTIER)
    for each in (to, tmp_path):
        with closing(sqlite3.connect(each / FRONTIER)) as db:
            assert db.execute("SELECT value FROM meta WHERE key = 'kept:name'").fetchall() == [(b"value",)]


def test_no_portion_is_larger_than_it_must_be(folder: Path) -> None:
    sizes = []
    with closing(SqliteSource(folder)) as source:
        for portion in source.batches():
            sizes += [len(new.values) for kind, new in portion.rows.items() if kind is KeptPartRow]
    assert (len(sizes), sum(sizes)) == (3, 1_200)


def test_a_draft_that_was_left_is_removed(folder: Path, to: Path) -> None:
    with closing(SqliteCopying(to).target()) as left:
        left.write(batch(1))
    copy(folder, to)
    SqliteCopying(to).publish()
    with closing(SqliteSource(folder)) as source, closing(SqliteSource(to)) as copied:
        assert list(digest(source).differences(digest(copied))) == []


def test_a_file_that_has_moved_is_renamed_and_marked(folder: Path) -> None:
    copying = SqliteCopying(folder)
    assert "frontier.db.moved now" in copying.retire(copying.source(), "another place")
    assert stored_in(folder) is None
    (folder / f"{FRONTIER}.moved").rename(folder / FRONTIER)
    with pytest.raises(UsageError, match="has moved to another place: go on with it there"):
        StorePlace(STORES["sqlite"], folder).open(power=False)


def test_a_file_that_is_being_read_stays_where_it_is(folder: Path) -> None:
    copying = SqliteCopying(folder)
    source = copying.source()
    source.db.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(folder / FRONTIER, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM tasks").fetchone()
        source.db.execute("INSERT INTO meta VALUES ('kept:new', x'00')")
        with pytest.raises(UsageError, match="is being read: wait until that has ended"):
            copying.retire(source, "another place")
    assert stored_in(folder) is not None


def test_a_store_without_files_has_no_copies() -> None:
    with pytest.raises(UsageError, match="cannot be moved from or to the store memory"):
        StorePlace(STORES["memory"], Path()).copying()


CHANGES: dict[str, tuple[dict[str, object], str]] = {
    "nothing": ({}, ""),
    "a row": ({"results": [(1, 1, b"other")]}, "other rows of results"),
    "a task": ({"born": []}, "0 rows of tasks in the place of 1"),
    "a queue": ({"ready": []}, "0 rows of ready in the place of 1"),
    "a link": ({"links": [(2, b"links")]}, "other rows of links"),
    "rows of a kind": ({"rows": {KeptPartRow: NewRows([(1, b"row")], [])}}, "0 rows of hosts in the place of 1"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_digest_tells_what_differs(change: str) -> None:
    changed, said = CHANGES[change]
    one, other = CopyDigest(), CopyDigest()
    one.note(batch(1))
    other.note(batch(1, **changed))
    assert next(one.differences(other), "") == said


def test_a_digest_does_not_depend_on_the_order_of_rows() -> None:
    blocks = [StoredBlock(1, None, b"a"), StoredBlock(2, 1.0, b"b")]
    one, other, late = CopyDigest(), CopyDigest(), CopyDigest()
    one.note_blocks(blocks)
    other.note_blocks(reversed(blocks))
    late.note_blocks([blocks[0], blocks[1]._replace(at=2.0)])
    assert list(one.differences(other)) == []
    assert list(one.differences(late)) == ["other rows of story"]
