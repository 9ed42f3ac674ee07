"""`verify` holds on a sound crawl, and finds each kind of damage: exit code 1, and the URL is named."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from crawlfleet.__main__ import main
from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.rows import HostRow, LedgerRow, Result, TaskRow, TaskState
from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.story import ACCEPTED, EVENT_NUMBERS, StoryLine, decode_block, encode_block
from crawlfleet.coordinator.offline.laws import Replay
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.shared.errors import UsageError
from tests.unit.durable_crawl import ITEMS, SEED, DurableCrawl

ONE, THREE = f"{SEED}1", f"{SEED}3"

Database = sqlite3.Connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    crawl = DurableCrawl(tmp_path)
    crawl.begin()
    crawl.finish()
    crawl.close()
    return tmp_path


def task_of(db: Database, url: str) -> TaskRow:
    rows = (msgspec.msgpack.decode(row, type=TaskRow) for (row,) in db.execute("SELECT row FROM tasks"))
    return next(row for row in rows if row.url == url)


def rewrite(db: Database, task: TaskRow) -> None:
    db.execute("UPDATE tasks SET row = ? WHERE id = ?", (msgspec.msgpack.encode(task), task.order))


def rewrite_story(db: Database, changed: Callable[[StoryLine], StoryLine | None]) -> None:
    """Put what `changed` returns in the place of each line; None takes it out."""
    for seq, lines in db.execute("SELECT seq, lines FROM story").fetchall():
        kept = [after for line in decode_block(lines) if (after := changed(line)) is not None]
        db.execute("UPDATE story SET lines = ? WHERE seq = ?", (encode_block(kept), seq))


def delete_a_result(db: Database) -> None:
    db.execute("DELETE FROM results WHERE task = ?", (task_of(db, ONE).order,))


def add_a_result_twice(db: Database) -> None:
    db.execute("DROP INDEX results_by_task")
    db.execute(
        "INSERT INTO results (task, row) SELECT task, row FROM results WHERE task = ?", (task_of(db, ONE).order,)
    )


def flip_a_state(db: Database) -> None:
    rewrite(db, replace(task_of(db, ONE), state=TaskState.FAILED))


def put_a_final_task_back(db: Database) -> None:
    rewrite(db, replace(task_of(db, ONE), state=TaskState.PENDING))


def remove_the_task_of_an_outlink(db: Database) -> None:
    db.execute("DELETE FROM tasks WHERE id = ?", (task_of(db, THREE).order,))


def remove_an_outlink_and_its_history(db: Database) -> None:
    number = task_of(db, THREE).order
    for table, column in (("tasks", "id"), ("results", "task")):
        db.execute(f"DELETE FROM {table} WHERE {column} = ?", (number,))
    rewrite_story(db, lambda line: None if line.task == number else line)


def accept_under_a_stale_lease(db: Database) -> None:
    number = task_of(db, ONE).order
    stale = {(number, ACCEPTED): 999}
    rewrite_story(db, lambda line: replace(line, lease=stale.get((line.task, line.event), line.lease)))


def accept_a_second_time(db: Database) -> None:
    number = task_of(db, ONE).order
    block = [StoryLine(number, event, 1) for event in (EVENT_NUMBERS[TaskEvent.FETCHED], ACCEPTED)]
    db.execute("INSERT INTO story (lines) VALUES (?)", (encode_block(block),))


def miscount_a_host(db: Database) -> None:
    ((key, row),) = db.execute("SELECT key, row FROM hosts").fetchall()
    host = msgspec.msgpack.decode(row, type=HostRow)
    db.execute("UPDATE hosts SET row = ? WHERE key = ?", (msgspec.msgpack.encode(replace(host, known=99)), key))


def forget_a_host(db: Database) -> None:
    db.execute("DELETE FROM hosts")


def accept_without_a_grant(db: Database) -> None:
    granted = (task_of(db, ONE).order, EVENT_NUMBERS[TaskEvent.GRANTED])
    rewrite_story(db, lambda line: None if (line.task, line.event) == granted else line)


def forge_a_line(db: Database) -> None:
    """Let a result have a line of a seeds file that did not lead to its page."""
    number = task_of(db, ONE).order
    (row,) = db.execute("SELECT row FROM results WHERE task = ?", (number,)).fetchone()
    forged = replace(msgspec.msgpack.decode(row, type=Result), seed_line=SeedLine("http://b.test/"))
    db.execute("UPDATE results SET row = ? WHERE task = ?", (msgspec.msgpack.encode(forged), number))


def forget_a_line(db: Database) -> None:
    """Let a task name a line that is not there."""
    rewrite(db, replace(task_of(db, ONE), seed_line=99))


DAMAGES: dict[str, tuple[Callable[[Database], None], str]] = {
    "a result is gone": (delete_a_result, ONE),
    "a result is there twice": (add_a_result_twice, ONE),
    "a state is not what the history says": (flip_a_state, ONE),
    "a final task waits again": (put_a_final_task_back, ONE),
    "an outlink is no task": (remove_the_task_of_an_outlink, ONE),
    "an outlink and all of its history is gone": (remove_an_outlink_and_its_history, ONE),
    "a report was accepted under another lease": (accept_under_a_stale_lease, ONE),
    "a report was accepted after the end": (accept_a_second_time, ONE),
    "a report was accepted without a grant": (accept_without_a_grant, ONE),
    "a host counts what is not known": (miscount_a_host, "counted 99"),
    "a host is gone": (forget_a_host, "a.test counts none"),
    "a result has another line": (forge_a_line, ONE),
    "a line is gone": (forget_a_line, ONE),
}


def test_a_sound_crawl_holds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder)]) == 0
    assert "broken" not in capsys.readouterr().out
    proof = verify(folder)
    assert proof.holds
    assert proof.unfinished == 0
    assert all(invariant.checked for invariant in proof.invariants)


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_to_the_store_is_found_and_named(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    damage, url = DAMAGES[name]
    with closing(sqlite3.connect(folder / FRONTIER)) as db, db:
        damage(db)

    assert main(["verify", str(folder)]) == 1
    assert f"{url}" in capsys.readouterr().out


def test_a_counter_that_is_wrong_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(folder / FRONTIER)) as db, db:
        (kept,) = db.execute("SELECT value FROM meta WHERE key = 'ledger'").fetchone()
        ledger = msgspec.msgpack.decode(kept, type=LedgerRow)
        wrong = replace(ledger, pages_fetched=ledger.pages_fetched + 1)
        db.execute("UPDATE meta SET value = ? WHERE key = 'ledger'", (msgspec.msgpack.encode(wrong),))

    assert main(["verify", str(folder)]) == 1
    assert "counted 5" in capsys.readouterr().out


def _lines(folder: Path) -> list[bytes]:
    return (folder / ITEMS).read_bytes().splitlines(keepends=True)


SINK_DAMAGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a line is changed": lambda lines: [lines[0], lines[1].replace(b'"path":"1"', b'"path":"x"'), *lines[2:]],
    "a line is there twice": lambda lines: [*lines, lines[1]],
    "a line is gone": lambda lines: [lines[0], *lines[2:]],
    "a line is torn": lambda lines: [lines[0], *lines[2:], lines[1][:-5]],
}


@pytest.mark.parametrize("name", SINK_DAMAGES)
def test_damage_to_a_sink_is_found_and_named(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    lines = _lines(folder)
    assert ONE.encode() in lines[1]
    (folder / ITEMS).write_bytes(b"".join(SINK_DAMAGES[name](lines)))

    assert main(["verify", str(folder)]) == 1
    assert ONE in capsys.readouterr().out


def test_a_sink_that_is_gone_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ITEMS).unlink()

    assert main(["verify", str(folder)]) == 1
    assert ONE in capsys.readouterr().out


def test_a_crawl_that_goes_on_holds_so_far(tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path)
    crawl.begin()
    crawl.ask()
    crawl.close()

    proof = verify(tmp_path)

    assert proof.holds
    assert proof.unfinished == 2


def test_a_folder_without_a_crawl_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no crawl that can be read"):
        verify(tmp_path)


@pytest.mark.parametrize(
    "ended",
    [(TaskEvent.POISONED, TaskEvent.RECHECKED), (TaskEvent.RELEASED,), (TaskEvent.LOST, TaskEvent.ADOPTED)],
)
def test_a_report_of_a_life_before_is_none_of_a_current_lease(ended: tuple[TaskEvent, ...]) -> None:
    replay = Replay(str)
    for event in (TaskEvent.ADMITTED, TaskEvent.GRANTED, *ended, TaskEvent.JUDGED):
        replay.play(StoryLine(1, EVENT_NUMBERS[event], 5))
    replay.play(StoryLine(1, ACCEPTED, 5))
    assert (replay.legal.broken, replay.current.broken) == (0, 1)
