"""The durable store over reopenings: what is there again, how time goes on, and what is refused."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from crawlfleet.coordinator.core.changes import Put
from crawlfleet.coordinator.core.policy import Unit
from crawlfleet.coordinator.core.rows import HostRow, LeaseRow, OriginRow, Result, TaskState, TrapRow, succeed
from crawlfleet.coordinator.core.unit_rows import AskedDelayRow
from crawlfleet.coordinator.frontier.crawl_clock import LONGEST_GAP_S, ClockReading, elapsed_s, read_clocks
from crawlfleet.coordinator.frontier.durable import row_cache
from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.durable.recent_results import RECENT_BYTES, RecentResults
from crawlfleet.coordinator.frontier.durable.row_cache import CACHED_ROWS, RowCache
from crawlfleet.coordinator.frontier.durable.store import LEASES_PER_EPOCH
from crawlfleet.coordinator.frontier.registry import FRONTIER, open_reader
from crawlfleet.coordinator.frontier.sqlite.file_format import FORMAT
from crawlfleet.coordinator.frontier.sqlite.marks import MARKS, SqliteMarks
from crawlfleet.coordinator.frontier.sqlite.reader import SqliteReader
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.frontier.story import LEASED, decode_block, encode_block
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.errors import CrawlFailed, UsageError
from crawlfleet.shared.messages import ExchangeRequest, Hello, Kind, Lease, Task
from crawlfleet.shared.web.urls import fingerprint
from tests.commits import commit
from tests.policies import policy_with
from tests.unit.durable_crawl import ITEMS, POLICY, SEED, DurableCrawl, report

DATA = Path(__file__).parents[1] / "data"


def page(name: str) -> bytes:
    return fingerprint(Kind.PAGE, "", f"{SEED}{name}")


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
    assert again.store.rows(HostRow, ["a.test"])["a.test"].holders
    granted = again.ask(report(lease, robots))

    assert [task.url for _, task in granted] == [SEED]
    again.close()


def test_a_lease_of_the_last_incarnation_is_lost_after_one_lease_time(crawl: DurableCrawl, tmp_path: Path) -> None:
    crawl.ask()
    again = DurableCrawl(left_behind(crawl, tmp_path / "second"))
    lives_until = again.now + POLICY.lease_s

    again.service.flush(lives_until - 0.01)
    assert [lease.session for lease in again.store.resident(LeaseRow)] == ["s"]
    again.service.flush(lives_until)
    assert list(again.store.resident(LeaseRow)) == []
    assert again.store.counts()[Kind.ROBOTS, TaskState.PENDING] == 1
    again.close()


def test_what_was_not_committed_is_gone(crawl: DurableCrawl, tmp_path: Path) -> None:
    crawl.service.exchange(ExchangeRequest(session="s", want=8), crawl.now)
    assert [lease.session for lease in crawl.store.resident(LeaseRow)] == ["s"]

    again = DurableCrawl(left_behind(crawl, tmp_path / "second"))

    assert list(again.store.resident(LeaseRow)) == []
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
def test_crawl_time_goes_on_over_a_reboot(tmp_path: Path, passed_s: float, counted_s: float) -> None:
    with closing(SqliteStore(tmp_path / FRONTIER, clocks=lambda: ClockReading(5_000.0))) as store:
        assert store.opened_at == 0.0
    crawl = DurableCrawl(tmp_path, wall=5_000.0)
    crawl.now = 100.0
    crawl.begin()
    crawl.close()

    with closing(SqliteStore(tmp_path / FRONTIER, clocks=lambda: ClockReading(5_000.0 + passed_s))) as store:
        assert store.opened_at == 100.0 + counted_s


@pytest.mark.parametrize("set_by_s", [0.0, 3_600.0, -3_600.0])
def test_while_the_machine_is_up_no_setting_of_its_clock_counts(set_by_s: float) -> None:
    before = ClockReading(5_000.0, "a boot", 100.0)
    assert elapsed_s(before, ClockReading(5_030.0 + set_by_s, "a boot", 130.0)) == 30.0
    assert elapsed_s(before, ClockReading(5_030.0, "another boot", 7.0)) == 30.0


def test_this_machine_tells_boots_apart_by_a_clock_that_goes_on() -> None:
    before, after = read_clocks(), read_clocks()
    assert before.boot == after.boot != ""
    assert 0.0 <= elapsed_s(before, after) < 60.0


def test_a_store_of_another_format_is_refused_with_both_numbers(tmp_path: Path) -> None:
    path = tmp_path / FRONTIER
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {FORMAT + 1}")

    with pytest.raises(
        UsageError, match=rf"has format {FORMAT + 1}, this version of crawlfleet reads format {FORMAT}: install"
    ):
        SqliteStore(path)


def test_a_store_of_an_older_format_is_brought_up_to_date_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / FRONTIER
    with closing(sqlite3.connect(path)) as db:
        db.executescript((DATA / "frontier_format_1.sql").read_text(encoding="ascii"))
    with pytest.raises(UsageError, match=r"has format 1, .* run the job again to bring it up to date"):
        verify(tmp_path)

    crawl = DurableCrawl(tmp_path)
    assert crawl.store.epoch == 2
    assert crawl.store.rows(TrapRow, ["a.test"]) == {}
    assert [lease.refs for lease in crawl.store.leases_of("s")] == [(page("1"), page("2"))]
    crawl.service.goodbye("s", crawl.now)
    crawl.begin()
    crawl.finish()
    crawl.close()

    assert verify(tmp_path).holds
    assert (tmp_path / ITEMS).read_bytes().count(b"\n") == 4


def make_format_5(path: Path) -> None:
    """Take away what blocks of the story have had since format 6."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for seq, lines in db.execute("SELECT seq, lines FROM story").fetchall():
            older = [msgspec.structs.replace(line, answer=None, worker="") for line in decode_block(lines)]
            lines_5 = [
                msgspec.structs.astuple(line)[: 5 if line.start else 4] for line in older if line.event != LEASED
            ]
            db.execute("UPDATE story SET lines = ? WHERE seq = ?", (encode_block(lines_5), seq))
        db.executescript("ALTER TABLE story DROP COLUMN at; DROP TABLE segments; PRAGMA user_version = 5;")


def test_a_story_of_an_older_version_is_read_as_it_is_and_goes_on_with_times(tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path)
    crawl.begin()
    crawl.ask()
    crawl.close()
    make_format_5(tmp_path / FRONTIER)
    assert verify(tmp_path).holds
    with closing(open_reader(tmp_path)) as reader:
        older = list(reader.blocks())
    assert {block.at for block in older} == {None}

    again = DurableCrawl(tmp_path, wall=2_000.0)
    again.service.goodbye("s", again.now)
    again.begin()
    again.finish()
    again.close()
    assert verify(tmp_path).holds
    assert (tmp_path / ITEMS).read_bytes().count(b"\n") == 4
    with closing(open_reader(tmp_path)) as reader:
        blocks = list(reader.blocks())
    assert blocks[: len(older)] == older
    assert {block.at for block in blocks[len(older) :]} == {2_000.0}


def test_what_an_older_version_dropped_for_its_budget_comes_back_with_a_larger_one(tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path, policy_with(POLICY, pages=1))
    crawl.begin()
    crawl.finish()
    crawl.close()
    with closing(sqlite3.connect(tmp_path / FRONTIER, isolation_level=None)) as db:
        for table, key, column in (("tasks", "id", "row"), ("meta", "key", "value")):
            for name, text in db.execute(f"SELECT {key}, {column} FROM {table}").fetchall():
                older = text.replace(b"\xacbudget_pages", b"\xa6budget")
                db.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (older, name))
        db.executescript(
            "DROP TABLE traps;"
            "ALTER TABLE leases RENAME COLUMN key TO id; ALTER TABLE origins RENAME COLUMN key TO origin;"
            "ALTER TABLE story DROP COLUMN at;"
            "PRAGMA user_version = 2;"
        )

    again = DurableCrawl(tmp_path, policy_with(POLICY, pages=9))
    again.judge_again()
    again.begin()
    again.finish()
    again.close()
    assert verify(tmp_path).holds
    assert (tmp_path / ITEMS).read_bytes().count(b"\n") == 4


def test_a_story_of_the_format_before_units_had_no_names_is_read_with_its_times(tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path)
    crawl.begin()
    crawl.close()
    with closing(sqlite3.connect(tmp_path / FRONTIER)) as db:
        db.execute("PRAGMA user_version = 6")
    with closing(open_reader(tmp_path)) as reader:
        assert {block.at for block in reader.blocks()} == {1_000.0}


def test_a_file_from_before_seeds_files_is_read_as_it_is_and_brought_up_to_date(tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path)
    crawl.begin()
    crawl.close()
    with closing(sqlite3.connect(tmp_path / FRONTIER)) as db:
        db.executescript("DROP TABLE seed_lines; PRAGMA user_version = 7;")
    assert verify(tmp_path).holds
    with closing(open_reader(tmp_path)) as reader:
        assert reader.seed_lines([1]) == {}
    DurableCrawl(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FRONTIER)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (FORMAT,)
        assert db.execute("SELECT * FROM seed_lines").fetchall() == []


def format_5(folder: Path) -> sqlite3.Connection:
    """Open a file in which two hosts of an address, and one of another, share a row that names them."""
    db = sqlite3.connect(folder / FRONTIER, isolation_level=None)
    db.executescript((DATA / "frontier_format_5.sql").read_text(encoding="ascii"))
    return db


def test_the_hosts_of_a_unit_get_back_what_its_row_named_and_the_crawl_goes_on(tmp_path: Path) -> None:
    format_5(tmp_path).close()
    assert verify(tmp_path).holds
    names = ("a.test", "b.test", "c.test")
    units = ("10.0.0.1", "10.0.0.1", "10.0.0.2")
    scope = ScopeSpec(hosts=names)
    crawl = DurableCrawl(tmp_path, policy_with(POLICY, scope=scope, delay_s=1.0, per_host=1, unit=Unit.ADDRESS))
    rows = crawl.store.rows(HostRow, (*names, *units))
    assert [(rows[name].unit, rows[name].origins, rows[name].ready_at) for name in names] == [
        ("10.0.0.1", ("http://a.test",), 0.0),
        ("10.0.0.1", ("http://b.test", "http://b.test:81"), 0.0),
        ("10.0.0.2", ("http://c.test",), 0.0),
    ]
    assert {(rows[key].names, rows[key].origins, rows[key].is_unit, rows[key].ready_at) for key in units} == {
        ((), (), True, 0.0)
    }
    asked = {(row.unit, row.delay_s): row.files for row in crawl.store.resident(AskedDelayRow)}
    assert asked == {("10.0.0.1", 2.0): 1, ("10.0.0.1", 3.0): 1}
    assert rows["10.0.0.1"].delay_s == 3.0

    crawl.service.hello(Hello(session="s"), crawl.now)
    fetched: list[tuple[float, str]] = []
    granted: list[tuple[Lease, Task]] = []
    while not crawl.service.is_finished:
        granted = crawl.ask(*(report(lease, task) for lease, task in granted))
        fetched += [(crawl.now + task.start_after_s, task.url) for _, task in granted]
        crawl.now += 3.0
    of_one = sorted(at for at, url in fetched if "c.test" not in url)
    assert len(of_one) == 6
    assert min(after - before for before, after in pairwise(of_one)) >= 3.0
    crawl.write_sinks()
    crawl.close()
    assert verify(tmp_path).holds


def test_a_unit_that_names_a_host_that_is_not_there_is_damaged(tmp_path: Path) -> None:
    with closing(format_5(tmp_path)) as db:
        db.execute("DELETE FROM hosts WHERE key = 'b.test'")
    with pytest.raises(UsageError, match=r"is damaged \(the host b\.test is not there\)"):
        SqliteStore(tmp_path / FRONTIER)


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / FRONTIER
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript((DATA / "frontier_format_1.sql").read_text(encoding="ascii"))
        db.execute("UPDATE story SET event = 99 WHERE seq = (SELECT max(seq) FROM story)")
        before = list(db.iterdump())

    with pytest.raises(UsageError, match="is damaged"):
        SqliteStore(path)

    with closing(sqlite3.connect(path)) as db:
        assert list(db.iterdump()) == before


def test_what_was_counted_of_traps_is_still_counted_after_a_restart(tmp_path: Path) -> None:
    row = TrapRow(key="a.test", patterns={5: 3}, sessions=1)
    with closing(SqliteStore(tmp_path / FRONTIER)) as store:
        store.apply([Put(row=row)])
        commit(store, 1.0)
        for number in range(CACHED_ROWS[TrapRow] + 1):
            store.apply([Put(row=TrapRow(key=f"h{number}.test"))])
        commit(store, 2.0)
        assert store.rows(TrapRow, ["a.test"]) == {"a.test": row}
    with closing(SqliteStore(tmp_path / FRONTIER)) as store:
        assert store.rows(TrapRow, ["a.test"]) == {"a.test": row}
        store.apply([Put(row=succeed(row, sessions=2))])


def written(cache: RowCache) -> None:
    cache.begin(Batch(number=1, at=0.0))
    cache.conclude()


def test_active_hosts_are_not_gone_through_at_each_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_cache, "CACHED_HOSTS", 3)
    cache = RowCache()
    looked_at = Counter[str]()
    is_active = row_cache.is_active
    monkeypatch.setattr(row_cache, "is_active", lambda host: looked_at.update([host.key]) or is_active(host))
    for number in range(64):
        cache.put(HostRow(key=f"h{number}.test", delay_s=0.0, ready_at=1.0))
        written(cache)
    assert len(cache.hosts) == 64
    assert max(looked_at.values()) < 6
    cache.put(HostRow(key="h0.test", delay_s=0.0))
    for number in range(64, 130):
        cache.put(HostRow(key=f"h{number}.test", delay_s=0.0))
        written(cache)
    assert set(cache.hosts) >= {f"h{number}.test" for number in range(1, 64)}
    assert len(cache.hosts) < 130


def test_texts_of_robots_files_in_memory_are_bounded_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_cache, "CACHED_ROBOTS_BYTES", 1_000)
    rows = [OriginRow(origin=f"http://h{n}.test", host=f"h{n}.test", robots=b"#" * 300) for n in range(8)]
    with closing(SqliteStore(tmp_path / FRONTIER)) as store:
        for row in rows:
            store.apply([Put(row=row)])
            commit(store, 1.0)
            assert len(store._rows.rows[OriginRow]) <= 4
        assert store.rows(OriginRow, [row.origin for row in rows]) == {row.origin: row for row in rows}


def test_results_are_the_same_whether_they_are_still_in_memory_or_not(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / FRONTIER)) as store:
        kept = RecentResults(store._database, 0)
        one = Result(
            ref=b"", url=SEED, status=200, depth=0, content_type="", size_bytes=0, elapsed_s=0, at=0, hops=(), rows=()
        )
        results = [replace(one, ref=bytes([number]) * 16, url=f"{SEED}{number}") for number in range(40)]
        encode = msgspec.msgpack.encode
        with closing(sqlite3.connect(tmp_path / FRONTIER)) as db:
            stored = [(seq, seq, encode(result)) for seq, result in enumerate(results, 1)]
            db.executemany("INSERT INTO results VALUES (?, ?, ?)", stored)
            db.commit()
        for result in results:
            kept.committed([(result, RECENT_BYTES // 8)])
            assert kept._recent_bytes <= RECENT_BYTES
        assert 0 < len(kept._recent) <= 8
        for cursor in range(41):
            assert list(kept.read(cursor, 7)) == results[cursor : cursor + 7]


def test_nobody_else_may_read_the_file_which_has_the_headers_of_the_job(tmp_path: Path) -> None:
    path = tmp_path / FRONTIER
    for _ in range(2):
        with closing(SqliteStore(path)) as store:
            commit(store, 0.0)
            assert {each.stat().st_mode & 0o777 for each in tmp_path.glob(f"{FRONTIER}*")} == {0o600}
        path.chmod(0o644)


def test_threads_that_read_results_and_end_leave_no_open_file_behind(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / FRONTIER)) as store:
        commit(store, 0.0)
        assert store.result(b"none" * 4) is None
        opened = len(list(Path("/dev/fd").iterdir()))
        for _ in range(20):
            with ThreadPoolExecutor(1) as thread:
                assert thread.submit(store.result, b"none" * 4).result() is None
        assert len(list(Path("/dev/fd").iterdir())) == opened


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
    file = crawl.store._file._db
    (pages,) = file.execute("PRAGMA page_count").fetchone()
    file.execute(f"PRAGMA max_page_count = {pages}")
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


def _open_files(folder: Path) -> list[str]:
    links = (link for link in Path("/proc/self/fd").iterdir() if link.is_symlink())
    return [name for name in map(os.path.realpath, links) if name.startswith(f"{folder}/")]


def test_what_cannot_be_opened_is_left_closed(tmp_path: Path) -> None:
    path = tmp_path / FRONTIER
    SqliteStore(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE results")
    with pytest.raises(CrawlFailed):
        SqliteStore(path)
    assert _open_files(tmp_path) == []

    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(UsageError):
        SqliteReader(path)
    assert _open_files(tmp_path) == []

    (tmp_path / MARKS).write_bytes(b"no database " * 100)
    with pytest.raises(CrawlFailed):
        SqliteMarks(tmp_path / MARKS, power=False)
    assert _open_files(tmp_path) == []
