"""The store's log is copied into its file beside the owner, and begins anew when it is long."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.conduct.since_commit import BYTES_PER_COMMIT
from crawlfleet.coordinator.core.changes import Change, Recorded
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.frontier.registry import FRONTIER, open_reader
from crawlfleet.coordinator.frontier.sqlite import checkpointer
from crawlfleet.coordinator.frontier.sqlite.checkpointer import PAGES_PER_COPY, Checkpointer
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore, open_store
from crawlfleet.shared.brief import Brief
from crawlfleet.shared.messages import ExchangeRequest, Hello
from crawlfleet.shared.objects import OPEN, ObjectCall
from tests.commits import commit
from tests.results import result
from tests.unit.rule_turns import POLICY, born, page

LONGEST_LOG_BYTES = 32_000_000


class CommitCounter(MemoryStore):
    commits = 0

    def commit(self, now: float, ended: Callable[[], None]) -> None:
        self.commits += 1
        super().commit(now, ended)


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as db:
        db.executescript("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (n INTEGER, b BLOB)")
        yield db


def write(db: sqlite3.Connection, rows: int = 20) -> None:
    db.execute("BEGIN")
    db.executemany("INSERT INTO t VALUES (?, zeroblob(4000))", [(number,) for number in range(rows)])
    db.execute("COMMIT")


def checkpointer_of_no_file(tmp_path: Path) -> Checkpointer:
    """Return one whose thread cannot open the file, though there is a log."""
    copying = Checkpointer(tmp_path / "no such folder" / "a.db")
    copying._log = tmp_path / "a.db-wal"
    return copying


def rows_without_log(tmp_path: Path) -> int:
    """Count the rows that are in the file itself."""
    shutil.copy(tmp_path / "a.db", tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        return int(db.execute("SELECT count(*) FROM t").fetchone()[0])


def test_what_is_committed_is_copied_once_it_is_much(owner: sqlite3.Connection, tmp_path: Path) -> None:
    copying = Checkpointer(tmp_path / "a.db")
    write(owner)
    copying.committed(owner, PAGES_PER_COPY)
    copying.close()
    assert rows_without_log(tmp_path) == 20


def test_a_small_crawl_has_no_thread(owner: sqlite3.Connection, tmp_path: Path) -> None:
    copying = checkpointer_of_no_file(tmp_path)
    copying.committed(owner, PAGES_PER_COPY - 1)
    copying.close()
    copying.committed(owner, 0)


def load(number: int) -> list[Change]:
    """Return the changes of a commit: pages that are found and fetched, with large rows."""
    changes: list[Change] = []
    for place in range(40):
        task = page(f"{number}/{place}", order=1 + 40 * number + place)
        changes += [born(task), Recorded(result=replace(result(0), ref=task.ref, url="x" * 20_000))]
    return changes


def read_all_the_time(folder: Path, store: SqliteStore, over: threading.Event) -> None:
    """Read like sinks, results dicts and exports do."""
    while not over.is_set():
        with closing(open_reader(folder)) as reader:
            for number, _ in enumerate(reader.results()):
                store.results(number, 500)
                if over.is_set():
                    return


@pytest.mark.parametrize("readers", [0, 2])
def test_the_log_stays_short_though_its_owner_never_pauses_and_others_read(tmp_path: Path, readers: int) -> None:
    over, longest, written = threading.Event(), 0, 0
    with closing(open_store(tmp_path, power=False)) as store:
        threads = [threading.Thread(target=read_all_the_time, args=(tmp_path, store, over)) for _ in range(readers)]
        for number in range(150):
            store.apply(load(number))
            commit(store, float(number))
            written += 40 * 20_000
            longest = max(longest, (tmp_path / f"{FRONTIER}-wal").stat().st_size)
            if number == 10:
                for thread in threads:
                    thread.start()
        over.set()
        for thread in threads:
            thread.join()
    assert longest < LONGEST_LOG_BYTES < 3 * written


def test_a_reader_that_is_not_brief_holds_nobody_up_and_the_log_is_cut_when_it_has_gone(
    owner: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointer, "LONGEST_LOG_BYTES", 50_000)
    monkeypatch.setattr(checkpointer, "GROWTH_BYTES", 50_000)
    monkeypatch.setattr(checkpointer, "WAIT_MS", 1)
    copying, log = Checkpointer(tmp_path / "a.db"), tmp_path / "a.db-wal"
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as reader:
        write(owner)
        reader.executescript("BEGIN; SELECT count(*) FROM t")
        reader.execute("SELECT count(*) FROM t").fetchone()
        sizes = []
        for _ in range(4):
            write(owner)
            copying.committed(owner, 0)
            sizes.append(log.stat().st_size)
        assert sizes == sorted(sizes)
        assert sizes[0] > 50_000
        reader.execute("COMMIT")
    for _ in range(2):  # it is tried again when the log has grown
        write(owner)
        copying.committed(owner, 0)
    assert log.stat().st_size < sizes[0]
    assert owner.execute("PRAGMA busy_timeout").fetchone() == (5_000,)


@pytest.mark.parametrize("is_report", [True, False], ids=["reports", "calls of objects"])
def test_a_commit_of_large_messages_is_cut(is_report: bool) -> None:
    store = CommitCounter()
    service = Service(store, POLICY, Brief(job="test", scope=POLICY.scope), 1, lambda _: None)
    loop = Loop(service, on_commit=lambda: None)
    answers: list[Future[int]] = [Future() for _ in range(5)]
    service.hello(Hello(session="s"), 0.0)
    opening = ObjectCall(session="s", thread=1, slot=0, number=1, kind="Lock", name="n", method=OPEN)

    def call(now: float) -> int:
        if is_report:
            service.exchange(ExchangeRequest(session="s"), now, BYTES_PER_COMMIT // 2)
        else:
            service.call_object(opening, now, BYTES_PER_COMMIT // 2)
        return store.commits

    loop.serve([(call, answer) for answer in answers])
    assert [answer.result() for answer in answers] == [0, 0, 1, 1, 2]
    assert store.commits == 3


def test_the_owner_is_told_when_nothing_can_be_copied(owner: sqlite3.Connection, tmp_path: Path) -> None:
    copying = checkpointer_of_no_file(tmp_path)
    copying.committed(owner, PAGES_PER_COPY)
    copying.close()
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        copying.committed(owner, 1)
