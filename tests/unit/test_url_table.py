"""The table of a crawl's URLs: what it says of each, and where it has that from."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.__main__ import main
from crawlfleet.commands import export as command
from crawlfleet.coordinator.frontier.registry import FRONTIER, open_reader
from crawlfleet.coordinator.offline import known_tasks
from crawlfleet.coordinator.offline.histories import with_histories
from crawlfleet.coordinator.offline.tables import TABLES
from crawlfleet.coordinator.offline.url_table import URLS, url_rows
from crawlfleet.shared.messages import Kind, Lease, Outcome, Report, Task
from tests.policies import policy_with
from tests.unit.durable_crawl import POLICY, SEED, DurableCrawl, report

ONE, TWO, THREE, FOUR = (f"{SEED}{number}" for number in "1234")
LINKS = {SEED: (ONE, TWO), ONE: (THREE,)}
WORKER = "host/7/0"


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of the table by URL, in order."""
    with closing(open_reader(folder)) as reader:
        return {row["url"]: row for row in url_rows(reader)}


def answer(lease: Lease, task: Task) -> Report:
    """Return what a worker says: 2 is gone, 1 moved to 3, and that to 4."""
    targets = {ONE: THREE, THREE: FOUR}
    if task.url in targets:
        return Report(
            lease=lease.id, ref=task.ref, outcome=Outcome.REDIRECTED, status=301, location=targets[task.url], age_s=0.0
        )
    if task.url == TWO:
        return Report(
            lease=lease.id, ref=task.ref, outcome=Outcome.HTTP_ERROR, status=404, reason="http_404", age_s=0.0
        )
    return report(lease, task)


def crawled(folder: Path, depth: int | None = None) -> None:
    """Crawl, a second later at each step."""
    crawl = DurableCrawl(folder, policy_with(POLICY, depth=depth))
    crawl.begin(WORKER)
    granted = crawl.ask()
    while granted:
        crawl.wall += 1.0
        granted = crawl.ask(*(answer(lease, task) for lease, task in granted))
    crawl.close()


def test_there_is_a_row_for_every_url_however_it_ended(tmp_path: Path) -> None:
    crawled(tmp_path)
    rows = rows_of(tmp_path)
    assert list(rows) == [SEED, f"{SEED}robots.txt", ONE, TWO, THREE, FOUR]
    assert {tuple(row) for row in rows.values()} == {tuple(column.name for column in URLS.columns)}
    assert rows[SEED] == {
        "url": SEED,
        "kind": "page",
        "state": "done",
        "outcome": "fetched",
        "status": 200,
        "reason": None,
        "detail": None,
        "depth": 0,
        "seed": True,
        "requested": None,
        "found_on": None,
        "redirected_from": [],
        "redirects": [],
        "final_url": SEED,
        "attempts": 1,
        "found_at": "1970-01-01T00:16:40.000+00:00",
        "fetched_at": "1970-01-01T00:16:42.000+00:00",
        "worker": WORKER,
        "notes": [],
    }
    gone = {name: rows[TWO][name] for name in ("state", "outcome", "status", "reason", "depth", "seed", "found_on")}
    assert list(gone.values()) == ["failed", "http_error", 404, "http_404", 1, False, SEED]
    assert rows[f"{SEED}robots.txt"]["kind"] == Kind.ROBOTS


def test_redirects_are_told_from_both_ends(tmp_path: Path) -> None:
    crawled(tmp_path)
    rows = rows_of(tmp_path)
    told = {url: (row["redirected_from"], row["redirects"], row["final_url"]) for url, row in rows.items()}
    assert told[ONE] == ([], [THREE, FOUR], FOUR)
    assert told[THREE] == ([ONE], [FOUR], FOUR)
    assert told[FOUR] == ([ONE, THREE], [], FOUR)


def test_what_was_never_fetched_has_no_time_of_that_and_no_worker(tmp_path: Path) -> None:
    crawled(tmp_path, depth=0)
    row = rows_of(tmp_path)[ONE]
    assert (row["state"], row["reason"], row["attempts"]) == ("dropped", "depth", 0)
    assert (row["fetched_at"], row["worker"], row["status"], row["outcome"]) == (None, None, None, None)
    assert row["found_at"] == "1970-01-01T00:16:42.000+00:00"


def test_attempts_are_counted_and_the_last_worker_is_named(tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path)
    crawl.begin("first")
    (robots,) = crawl.ask()
    ((lease, task),) = crawl.ask(report(*robots))
    crawl.ask(Report(lease=lease.id, ref=task.ref, outcome=Outcome.NETWORK_ERROR, reason="connect", age_s=0.0))
    crawl.service.goodbye("s", crawl.now)
    crawl.begin("second")
    crawl.now += 60.0
    crawl.wall += 60.0
    ((lease, task),) = crawl.ask()
    assert rows_of(tmp_path)[SEED]["worker"] == "first"
    crawl.ask(report(lease, task))
    crawl.close()
    row = rows_of(tmp_path)[SEED]
    assert (row["attempts"], row["worker"], row["fetched_at"]) == (2, "second", "1970-01-01T00:17:40.000+00:00")


def test_of_a_story_without_times_and_workers_none_are_told(tmp_path: Path) -> None:
    crawled(tmp_path)
    with closing(sqlite3.connect(tmp_path / FRONTIER)) as db:
        db.execute("UPDATE story SET at = NULL WHERE seq < (SELECT max(seq) FROM story)")
        db.commit()
    rows = rows_of(tmp_path)
    assert (rows[SEED]["found_at"], rows[SEED]["fetched_at"], rows[SEED]["attempts"]) == (None, None, 1)
    assert rows[FOUR]["found_at"] is None
    assert rows[FOUR]["fetched_at"] is not None


def test_the_rows_are_the_same_whatever_is_held_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crawled(tmp_path)
    whole = rows_of(tmp_path)
    monkeypatch.setattr(known_tasks, "REMEMBERED", 0)
    monkeypatch.setattr("crawlfleet.coordinator.offline.url_table.AT_ONCE", 1)
    assert rows_of(tmp_path) == whole
    with closing(open_reader(tmp_path)) as reader:
        assert list(with_histories(reader, window=2)) == list(with_histories(reader))


def test_the_table_is_exported_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "crawl"
    folder.mkdir()
    crawled(folder)
    target = tmp_path / "urls.jsonl"
    assert main(["export", str(folder), "--table", "urls", "--to", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}: 6 rows of table urls\n"
    assert [json.loads(line) for line in target.read_text().splitlines()] == list(rows_of(folder).values())
    assert main(["export", str(folder), "--table", "urls", "--to", str(target)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["export", str(folder), "--table", "urls", "--to", str(target), "--overwrite"]) == 0


def test_the_command_knows_every_table() -> None:
    assert set(command.TABLES) == set(TABLES)
