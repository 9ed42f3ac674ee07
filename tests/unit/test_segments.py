"""Rows that are too large for one transaction are committed ahead: nothing is lost, doubled, or left over."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crawlfleet.coordinator.core.changes import Gone, Linked, Put
from crawlfleet.coordinator.core.later_rows import KeptLinksRow, SeedLineRow
from crawlfleet.coordinator.core.objects.rows import PartRow
from crawlfleet.coordinator.core.rows import RemovableRow, succeed
from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.coordinator.frontier.registry import FRONTIER, open_reader
from crawlfleet.coordinator.frontier.sqlite import database, segments
from crawlfleet.coordinator.frontier.sqlite.checkpointer import Checkpointer
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.shared.messages import AckState, Kind, Row
from crawlfleet.shared.parts import PART_BYTES
from tests.commits import commit
from tests.unit.parts_crawl import OLD, PartsCrawl, parts_of
from tests.unit.rule_turns import born, page

LONGEST_LOG_BYTES = 32_000_000
REFERRED = "SELECT row FROM {} WHERE typeof(row) = 'integer'"
OnCommit = Callable[[], None]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let rows be large that are small."""
    monkeypatch.setattr(database, "INLINE_BYTES", 2_000)
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 700)


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[PartsCrawl]:
    folder = tmp_path / "crawl"
    folder.mkdir()
    found = PartsCrawl(folder)
    with closing(found):
        yield found


def at_each_commit(monkeypatch: pytest.MonkeyPatch, act: OnCommit) -> None:
    """Call a function after each commit of a store, before anything of its log is copied into its file."""
    committed = Checkpointer.committed

    def act_first(self: Checkpointer, db: sqlite3.Connection, pages: int) -> None:
        act()
        committed(self, db, pages)

    monkeypatch.setattr(Checkpointer, "committed", act_first)


def numbers(folder: Path) -> tuple[int, int]:
    """Return how many segments there are, and how many of them rows refer to."""
    with closing(sqlite3.connect(folder / FRONTIER)) as db:
        (number,) = db.execute("SELECT count(*) FROM segments").fetchone()
        found = [
            row
            for table in ("results", "links", "kept_links", "object_parts")
            for row in db.execute(REFERRED.format(table))
        ]
        more = [db.execute("SELECT more FROM segments WHERE id = ?", first).fetchone()[0] for first in found]
    return number, len(more) + sum(more)


def test_the_log_stays_short_though_a_page_has_very_many_rows(
    crawl: PartsCrawl, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tuple(Row(item="i", index=index, fields={"text": f"{index:0250}"}) for index in range(200_000))
    ((lease, task),) = crawl.core.ask(OLD)
    sizes: list[int] = []
    at_each_commit(monkeypatch, lambda: sizes.append((crawl.folder / f"{FRONTIER}-wal").stat().st_size))
    answers = [crawl.send(part).state for part in parts_of(lease, task, rows, PART_BYTES)]
    assert answers == [AckState.MORE] * (len(answers) - 1) + [AckState.OK]
    assert len(answers) * PART_BYTES > LONGEST_LOG_BYTES
    assert len(sizes) > len(answers)
    assert max(sizes) < LONGEST_LOG_BYTES
    assert len(crawl.store.results(0, 9)[0].rows) == len(rows)
    crawl.close()
    assert verify(crawl.folder).holds
    with closing(open_reader(crawl.folder)) as reader:
        ((_, result),) = reader.results()
    assert result.rows == rows


@pytest.mark.usefixtures("small")
def test_a_crash_after_any_commit_loses_nothing_doubles_nothing_and_leaves_nothing_over(
    crawl: PartsCrawl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = crawl.begin()[-1]
    left: list[Path] = []

    def leave() -> None:
        left.append(tmp_path / f"left {len(left)}")
        shutil.copytree(crawl.folder, left[-1], ignore=shutil.ignore_patterns("*-shm"))

    with monkeypatch.context() as during:
        at_each_commit(during, leave)
        assert crawl.send(last).state is AckState.OK
    assert len(left) > 3
    assert [numbers(folder)[1] > 0 for folder in left] == [False] * (len(left) - 1) + [True]
    for folder in left:
        crawl.restart(folder)
        crawl.core.hello(OLD)
        assert crawl.send(last).state is AckState.OK
        crawl.check()
        number, referred = numbers(folder)
        assert number == referred > 3


@pytest.mark.usefixtures("small")
def test_what_waits_for_the_same_commit_is_committed_with_it(crawl: PartsCrawl) -> None:
    last = crawl.begin()[-1]
    crawl.core.service.put("http://a.test/other", crawl.core.now)
    crawl.store.keep("name", b"value")
    assert crawl.send(last).state is AckState.OK
    crawl.restart()
    assert crawl.store.kept("name") == b"value"
    crawl.core.hello(OLD)
    crawl.core.pass_time(0.0)
    assert "http://a.test/other" in {task.url for _, task in crawl.core.ask(OLD, 500) if task.kind is Kind.PAGE}


LARGE_ROWS = [
    (KeptLinksRow(order=1, links=b"1" * 5_000), {"links": b"2" * 4_000}),
    (PartRow(object=1, subkey=b"k", place=1, value=b"1" * 5_000), {"value": b"2" * 4_000}),
]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("first", "changed"), LARGE_ROWS, ids=["kept links", "a part of an object"])
def test_segments_go_with_the_row_that_refers_to_them(
    tmp_path: Path, first: RemovableRow, changed: dict[str, bytes]
) -> None:
    second = succeed(first, **changed)
    with closing(SqliteStore(tmp_path / FRONTIER)) as store:
        for row, number in ((first, 8), (second, 6)):
            store.apply([Put(row=row)])
            commit(store, 1.0)
            assert numbers(tmp_path) == (number, number)
    with closing(SqliteStore(tmp_path / FRONTIER)) as store:
        assert store.rows(type(first), (first.key,)) == {first.key: second}
        store.apply([Gone(row=succeed(second))])
        commit(store, 2.0)
        assert numbers(tmp_path) == (0, 0)


@pytest.mark.usefixtures("small")
def test_links_of_a_page_that_is_read_again_take_the_place_of_the_first(tmp_path: Path) -> None:
    task = page("a")
    with closing(SqliteStore(tmp_path / FRONTIER)) as store:
        store.apply([born(task)])
        for links in (b"1" * 5_000, b"2" * 3_000):
            store.apply([Linked(ref=task.ref, links=links)])
            commit(store, 1.0)
            number, referred = numbers(tmp_path)
            assert number == referred > 3
    with closing(open_reader(tmp_path)) as reader:
        assert [links for _, links in reader.links()] == [b"2" * 3_000]


@pytest.mark.usefixtures("small")
def test_lines_of_seeds_files_that_are_in_segments_are_read_from_outside(tmp_path: Path) -> None:
    row = SeedLineRow(number=7, line=SeedLine("http://a.test/", {"column": "x" * 5_000}))
    with closing(SqliteStore(tmp_path / FRONTIER)) as store:
        store.apply([Put(row=row)])
        commit(store, 1.0)
        with closing(sqlite3.connect(tmp_path / FRONTIER)) as db:
            assert db.execute(REFERRED.format("seed_lines")).fetchall()
    with closing(open_reader(tmp_path)) as reader:
        assert reader.seed_lines([7, 8]) == {7: row}


def test_only_the_largest_rows_are_committed_ahead() -> None:
    values = [(1, b"1" * 3), (2, b"2" * 5_000_000), (3, b"3" * 3_000_000), (4, b"4" * 6_000_000)]

    def too_large(values: list[tuple[int, bytes]], times: int = 1) -> list[int]:
        rows = segments.TableRows("t", list(values), sum(len(row) for _, row in values))
        return [place.number for place in segments.too_large([rows] * times)]

    assert too_large(values) == [3]
    assert too_large(values, 2) == [3, 3, 1, 1]
    assert too_large(values[:3]) == []
