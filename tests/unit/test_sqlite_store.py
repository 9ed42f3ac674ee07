"""The durable store over reopenings: what is there again, how time goes on, and what is refused."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.core.rows import TaskState
from coordinator.crawl_folder import FRONTIER
from coordinator.frontier.sqlite_store import FORMAT, LEASES_PER_EPOCH, LONGEST_GAP_S, SqliteStore
from shared.errors import CrawlFailed, UsageError
from shared.messages import ExchangeRequest, Kind
from tests.unit.durable_crawl import POLICY, SEED, DurableCrawl, report


def left_behind(crawl: DurableCrawl, target: Path) -> Path:
    """Return a folder as a killed coordinator leaves it: a copy of the files as they are."""
    target.mkdir()
    for path in crawl.folder.iterdir():
        if not path.name.endswith("-shm"):
            shutil.copyfile(path, target / path.name)
    crawl.close()
    return target


@pytest.fixture
def crawl(tmp_path: Path) -> DurableCrawl:
    folder = tmp_path / "first"
    folder.mkdir()
    crawl = DurableCrawl(folder)
    crawl.begin()
    return crawl


def test_a_lease_outlives_its_coordinator_and_its_report_counts(crawl: DurableCrawl, tmp_path: Path) -> None:
    ((lease, robots),) = crawl.ask()
    again = DurableCrawl(left_behind(crawl, tmp_path / "second"))

    assert [row.id for row in again.store.leases_of("s")] == [lease.id]
    assert again.store.hosts(["a.test"])["a.test"].holders
    granted = again.ask(report(lease, robots))

    assert [task.url for _, task in granted] == [SEED]
    again.close()


def test_a_lease_of_the_last_incarnation_is_lost_after_one_lease_time(crawl: DurableCrawl, tmp_path: Path) -> None:
    crawl.ask()
    again = DurableCrawl(left_behind(crawl, tmp_path / "second"))
    lives_until = again.now + POLICY.lease_s

    again.service.flush(lives_until - 0.01)
    assert again.store.holders() == {"s"}
    again.service.flush(lives_until)
    assert again.store.holders() == frozenset()
    assert again.store.counts()[Kind.ROBOTS, TaskState.PENDING] == 1
    again.close()


def test_what_was_not_committed_is_gone(crawl: DurableCrawl, tmp_path: Path) -> None:
    crawl.service.exchange(ExchangeRequest(session="s", want=8), crawl.now)
    assert crawl.store.holders() == {"s"}

    again = DurableCrawl(left_behind(crawl, tmp_path / "second"))

    assert again.store.holders() == frozenset()
    assert again.store.counts()[Kind.ROBOTS, TaskState.PENDING] == 1
    again.close()


def test_incarnations_and_lease_ids_are_never_used_again(crawl: DurableCrawl, tmp_path: Path) -> None:
    ((first, _),) = crawl.ask()
    crawl.service.goodbye("s", crawl.now)
    crawl.service.flush(crawl.now)
    epoch = crawl.store.epoch
    again = DurableCrawl(left_behind(crawl, tmp_path / "second"))
    again.begin()

    ((second, _),) = again.ask()

    assert again.store.epoch == epoch + 1
    assert second.id > first.id
    assert second.id == LEASES_PER_EPOCH + 1
    again.close()


@pytest.mark.parametrize(
    ("passed_s", "counted_s"),
    [(60.0, 60.0), (-3_600.0, 0.0), (LONGEST_GAP_S * 9, LONGEST_GAP_S)],
    ids=["as long as it was", "a clock set back", "a clock set far forward"],
)
def test_crawl_time_goes_on_over_a_restart(tmp_path: Path, passed_s: float, counted_s: float) -> None:
    with closing(SqliteStore(tmp_path / FRONTIER, wall=lambda: 5_000.0)) as store:
        assert store.opened_at == 0.0
    crawl = DurableCrawl(tmp_path, wall=5_000.0)
    crawl.now = 100.0
    crawl.begin()
    crawl.close()

    with closing(SqliteStore(tmp_path / FRONTIER, wall=lambda: 5_000.0 + passed_s)) as store:
        assert store.opened_at == 100.0 + counted_s


def test_a_store_of_another_format_is_refused_with_both_numbers(tmp_path: Path) -> None:
    path = tmp_path / FRONTIER
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {FORMAT + 1}")

    with pytest.raises(UsageError, match=rf"has format {FORMAT + 1}, this version of crawlfleet reads format {FORMAT}"):
        SqliteStore(path)


def test_a_file_that_is_no_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / FRONTIER
    path.write_bytes(b"this is no database\n" * 500)

    with pytest.raises(
        UsageError, match=r"frontier\.db is damaged \(.*\): restore a copy, or start again with --fresh"
    ):
        SqliteStore(path)


def test_a_damaged_page_is_refused_with_what_to_do(crawl: DurableCrawl) -> None:
    crawl.finish()
    crawl.close()
    path = crawl.folder / FRONTIER
    content = bytearray(path.read_bytes())
    content[4_096:] = b"\xa5" * (len(content) - 4_096)
    path.write_bytes(content)

    with pytest.raises(UsageError, match="is damaged"):
        SqliteStore(path)


def test_a_full_disk_fails_the_crawl_and_what_was_committed_is_kept(crawl: DurableCrawl, tmp_path: Path) -> None:
    ((lease, robots),) = crawl.ask()
    (pages,) = crawl.store._db.execute("PRAGMA page_count").fetchone()
    crawl.store._db.execute(f"PRAGMA max_page_count = {pages}")
    urls = [f"{SEED}{number}/{'x' * 900}" for number in range(100)]

    def write() -> None:
        crawl.service.add_seeds(urls, crawl.now)
        crawl.service.flush(crawl.now)

    with pytest.raises(CrawlFailed, match=r"cannot write .*frontier\.db: database or disk is full; make room"):
        write()

    again = DurableCrawl(left_behind(crawl, tmp_path / "second"))
    assert again.store.counts()[Kind.PAGE, TaskState.PENDING] == 1
    assert again.ask(report(lease, robots))
    again.close()
