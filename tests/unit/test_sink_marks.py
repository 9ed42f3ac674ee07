"""The sinks' durable cursors: what is set is there after a reopening, and a file that cannot be used is told."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.frontier.sqlite.marks import SqliteMarks
from crawlfleet.shared.errors import CrawlFailed


def test_a_mark_outlives_its_process(tmp_path: Path) -> None:
    mark = Mark(results=3, size_bytes=120, block_at=80, block_hash=b"h" * 16)
    with closing(SqliteMarks(tmp_path / "sinks.db", power=True)) as marks:
        marks.set("items.jsonl", mark)
    with closing(SqliteMarks(tmp_path / "sinks.db", power=False)) as marks:
        assert marks.get("items.jsonl") == mark
        assert marks.get("other.jsonl") is None


def test_a_damaged_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "sinks.db"
    path.write_bytes(b"no database" * 1000)

    with pytest.raises(CrawlFailed, match=r"cannot use .*sinks\.db: file is not a database; .* run the job again"):
        SqliteMarks(path, power=False)


def test_a_full_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    with closing(SqliteMarks(tmp_path / "sinks.db", power=False)) as marks:
        (pages,) = marks._db.execute("PRAGMA page_count").fetchone()
        marks._db.execute(f"PRAGMA max_page_count = {pages}")

        with pytest.raises(CrawlFailed, match=r"database or disk is full; make room .* run the job again"):
            marks.set("items.jsonl", Mark(block_hash=b"h" * 100_000))
