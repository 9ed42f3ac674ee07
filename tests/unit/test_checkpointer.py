"""The store's log is copied into its file beside the owner, and begins anew when it is long."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crawlfleet.coordinator.frontier.sqlite import checkpointer
from crawlfleet.coordinator.frontier.sqlite.checkpointer import PAGES_PER_COPY, Checkpointer


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as db:
        db.executescript("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (n INTEGER, b BLOB)")
        yield db


def commit(db: sqlite3.Connection, rows: int = 20) -> None:
    db.execute("BEGIN")
    db.executemany("INSERT INTO t VALUES (?, zeroblob(4000))", [(number,) for number in range(rows)])
    db.execute("COMMIT")


def rows_without_log(tmp_path: Path) -> int:
    """Count the rows that are in the file itself."""
    shutil.copy(tmp_path / "a.db", tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        return int(db.execute("SELECT count(*) FROM t").fetchone()[0])


def log_pages(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])


def test_what_is_committed_is_copied_once_it_is_much(owner: sqlite3.Connection, tmp_path: Path) -> None:
    copying = Checkpointer(tmp_path / "a.db")
    commit(owner)
    copying.committed(owner, PAGES_PER_COPY)
    copying.close()
    assert rows_without_log(tmp_path) == 20


def test_a_small_crawl_has_no_thread(owner: sqlite3.Connection, tmp_path: Path) -> None:
    copying = Checkpointer(tmp_path / "no such folder" / "a.db")
    copying.committed(owner, PAGES_PER_COPY - 1)
    copying.close()
    copying.committed(owner, 0)


def test_a_long_log_begins_anew_though_its_owner_never_pauses(
    owner: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointer, "LONG_LOG_PAGES", 10)
    copying = Checkpointer(tmp_path / "a.db")
    commit(owner)
    copying.committed(owner, PAGES_PER_COPY)
    copying.close()
    commit(owner)
    copying.committed(owner, 1)
    commit(owner, rows=1)
    assert log_pages(owner) < 10


def test_the_owner_is_told_when_nothing_can_be_copied(owner: sqlite3.Connection, tmp_path: Path) -> None:
    copying = Checkpointer(tmp_path / "no such folder" / "a.db")
    copying.committed(owner, PAGES_PER_COPY)
    copying.close()
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        copying.committed(owner, 1)
