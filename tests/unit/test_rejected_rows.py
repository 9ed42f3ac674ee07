"""A row that a sink cannot write is set aside, counted and told; the crawl goes on, and `verify` knows of it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from crawlfleet.__main__ import main
from crawlfleet.coordinator.core.changes import Recorded
from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.marks import SqliteMarks
from crawlfleet.coordinator.offline.export import export
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.coordinator.sinks.csv_sink import CommaLines
from crawlfleet.coordinator.sinks.follower import Follower
from crawlfleet.coordinator.sinks.jsonl_sink import JsonLines
from crawlfleet.coordinator.sinks.registry import SINKS
from crawlfleet.coordinator.sinks.rejected_sink import MAX_REASON_CHARS, MAX_SAID, REJECTED, RejectedRows
from crawlfleet.shared.messages import Row
from tests.commits import commit
from tests.results import result
from tests.shapes import QUOTES
from tests.toys import sinks
from tests.unit.durable_crawl import ITEMS, SEED, DurableCrawl

ODD_KEY = {"x": {None: 1}}


def odd(number: int, fields: dict[str, Any]) -> Result:
    return msgspec.structs.replace(result(number), rows=(Row(item="page", index=0, fields=fields),))


def rejected(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / REJECTED).read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def follow(store: MemoryStore, folder: Path, *results: Result) -> Follower:
    """Let a picky sink and one of JSON lines follow the log to its end; return their follower."""
    store.apply([Recorded(result=each) for each in results])
    commit(store, 0.0)
    kinds = {"a.picky": sinks.PickyLines(QUOTES), "b.jsonl": JsonLines(QUOTES)}
    marks = SqliteMarks(folder / "sinks.db", power=False)
    opened = {name: kind.open(folder / name, marks.get(name), power=False) for name, kind in kinds.items()}
    aside = RejectedRows(kinds).open(folder / REJECTED, marks.get(REJECTED), power=False)
    follower = Follower(store, opened, marks, aside)
    follower.restore()
    follower.start()
    follower.stop()
    assert follower.failure is None
    return follower


def test_what_one_sink_rejects_is_set_aside_with_the_reason_and_another_takes_it(
    store: MemoryStore, tmp_path: Path
) -> None:
    follower = follow(store, tmp_path, *map(result, range(4)))
    assert (tmp_path / "a.picky").read_text() == "1\n0\n"
    assert [json.loads(line)["n"] for line in (tmp_path / "b.jsonl").read_text().splitlines()] == [0, 1, 2, 3]
    row = {"url": "http://a.test/2", "item": "quote", "n": 2, "text": "ü"}
    assert [(each["reason"], each["url"]) for each in rejected(tmp_path)] == [
        ("ZeroDivisionError: integer division or modulo by zero", "http://a.test/0"),
        ("2 is even", "http://a.test/2"),
    ]
    assert rejected(tmp_path)[1] == {
        "url": row["url"], "item": "quote", "sink": "a.picky", "reason": "2 is even", "row": row
    }  # fmt: skip
    assert follower.is_at_end()
    assert follower.rows_rejected == 2


def test_a_row_that_its_rule_rejects_is_in_no_sink_and_set_aside_once(store: MemoryStore, tmp_path: Path) -> None:
    bad = Row(item="quote", index=0, fields={"n": None}, rejected="n is required, and empty")
    with capture_logs() as logs:
        follower = follow(store, tmp_path, msgspec.structs.replace(result(1), rejected=(bad,)))
    assert [json.loads(line)["n"] for line in (tmp_path / "b.jsonl").read_text().splitlines()] == [1]
    row = {"url": "http://a.test/1", "item": "quote", "n": None}
    assert rejected(tmp_path) == [
        {"url": row["url"], "item": "quote", "sink": None, "reason": "n is required, and empty", "row": row}
    ]
    assert follower.rows_rejected == 1
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["a row is rejected: it is set aside"]


def test_without_a_rejected_row_there_is_no_file(store: MemoryStore, tmp_path: Path) -> None:
    for number in (1, 3):
        assert follow(store, tmp_path, result(number)).rows_rejected == 0
    assert not (tmp_path / REJECTED).exists()


def test_the_next_run_goes_on_with_the_file_and_the_count(store: MemoryStore, tmp_path: Path) -> None:
    assert follow(store, tmp_path, result(1)).rows_rejected == 0
    assert follow(store, tmp_path, result(2)).rows_rejected == 1
    assert follow(store, tmp_path, result(4)).rows_rejected == 2
    assert [each["row"]["n"] for each in rejected(tmp_path)] == [2, 4]
    (tmp_path / REJECTED).unlink()
    assert follow(store, tmp_path, result(6)).rows_rejected == 3
    assert [each["row"]["n"] for each in rejected(tmp_path)] == [2, 4, 6]


def test_a_log_that_was_cut_short_is_followed_from_its_beginning(tmp_path: Path) -> None:
    follow(MemoryStore(), tmp_path, result(1), result(3))
    for name in ("a.picky", "b.jsonl"):
        (tmp_path / name).unlink()
    follower = follow(MemoryStore(), tmp_path, result(2))
    assert follower.rows_rejected == 1


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (ODD_KEY, "{'url': 'http://a.test/1', 'item': 'page', 'x': {None: 1}}"),
        ({"x": msgspec.msgpack.Ext(1, b"a")}, "Ext"),
        ({"x": "\ud800"}, "\\ud800"),
    ],
)
def test_a_row_that_no_json_can_hold_is_described(
    store: MemoryStore, tmp_path: Path, fields: dict[str, Any], shown: str
) -> None:
    store.apply([Recorded(result=odd(1, fields))])
    assert follow(store, tmp_path).rows_rejected == 2  # the picky kind misses its `n`
    by_json = next(each for each in rejected(tmp_path) if each["sink"] == "b.jsonl")
    assert shown in by_json["row"]
    assert by_json["item"] == "page"
    assert by_json["reason"]


def test_a_row_that_is_nested_too_deep_is_named(store: MemoryStore, tmp_path: Path) -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    store.apply([Recorded(result=odd(1, {"x": value}))])
    assert follow(store, tmp_path).rows_rejected == 2
    assert "nested too deep to be shown" in {each["row"] for each in rejected(tmp_path)}
    while isinstance(value, list):  # taken apart here, since its end may recurse too deep
        value = value.pop()


def test_each_sink_and_reason_is_said_once_and_long_ones_are_cut(store: MemoryStore, tmp_path: Path) -> None:
    with capture_logs() as logs:
        follow(store, tmp_path, *(odd(number, {"n": 2}) for number in range(3)))
        follow(store, tmp_path, *(odd(number, {"n": 2 * number}) for number in range(5, 5 + 2 * MAX_SAID)))
    said = [line for line in logs if line["event"] == "a sink cannot take a row: it is set aside"]
    assert len(said) == 1 + MAX_SAID
    assert (said[0]["sink"], said[0]["reason"], said[0]["url"]) == ("a.picky", "2 is even", "http://a.test/0")
    assert str(tmp_path / REJECTED) in said[0]["detail"]
    follow(store, tmp_path, odd(100, {"n": "x" * 1_000 + "%"}))
    assert len(rejected(tmp_path)[-1]["reason"]) <= MAX_REASON_CHARS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a finished crawl, one of whose sinks takes no row."""
    monkeypatch.setitem(SINKS, ".none", sinks.NONE)
    crawl = DurableCrawl(tmp_path, sinks=(ITEMS, "items.none"))
    crawl.begin()
    crawl.finish()
    crawl.close()
    return tmp_path


def test_verify_knows_what_was_set_aside(folder: Path) -> None:
    proof = verify(folder)
    assert proof.holds
    assert [(each.name, each.checked) for each in proof.invariants[-3:]] == [
        (f"{ITEMS} has the rows of the results, each once", 4),
        ("items.none has the rows of the results, each once", 0),
        (f"{REJECTED} has the rows that are rejected, each once", 4),
    ]
    lines = (folder / REJECTED).read_bytes().splitlines(keepends=True)
    (folder / REJECTED).write_bytes(b"".join(lines[1:]))
    assert verify(folder).invariants[-1].broken == 1
    (folder / REJECTED).write_bytes(b"".join([*lines, lines[0]]))
    assert verify(folder).invariants[-1].broken == 1
    (folder / REJECTED).unlink()
    assert verify(folder).invariants[-1].broken == 4


def test_an_export_says_what_its_format_cannot_hold(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exported = export(folder, folder / "out.none")
    assert (exported.results, exported.rows, exported.rejected) == (4, 0, 4)
    assert main(["export", str(folder), "--to", str(folder / "again.none")]) == 0
    said = capsys.readouterr()
    assert "4 rows cannot be written in this format and are missing, the first one of " in said.err
    assert "is no good" in said.err


def test_a_row_that_an_earlier_version_had_accepted_ends_nothing(tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path)
    crawl.begin()
    crawl.finish()
    crawl.close()
    for name in (ITEMS, "sinks.db"):
        (tmp_path / name).unlink()
    with closing(sqlite3.connect(tmp_path / FRONTIER)) as db:
        (number, row), *_ = db.execute("SELECT seq, row FROM results ORDER BY seq").fetchall()
        before = msgspec.msgpack.decode(row, type=Result)
        changed = msgspec.structs.replace(before, rows=(Row(item="page", index=0, fields=ODD_KEY),))
        db.execute("UPDATE results SET row = ? WHERE seq = ?", (msgspec.msgpack.encode(changed), number))
        db.commit()
    again = DurableCrawl(tmp_path)
    again.write_sinks()
    again.close()
    assert verify(tmp_path).holds
    assert [each["url"] for each in rejected(tmp_path)] == [SEED]
    assert len((tmp_path / ITEMS).read_bytes().splitlines()) == 3
    assert main(["export", str(tmp_path), "--to", str(tmp_path / "out.jsonl")]) == 0


def test_rows_are_converted_once_to_be_written_and_to_know_that_none_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[Any] = []
    line_of = CommaLines.line_of_cells

    def counted(kind: CommaLines, cells: tuple[Any, ...]) -> bytes:
        converted.append(cells)
        return line_of(kind, cells)

    monkeypatch.setattr(CommaLines, "line_of_cells", counted)
    log = [result(number) for number in range(5)]
    kind = CommaLines(QUOTES)
    sink = kind.open(tmp_path / "a.csv", None, power=False)
    aside = RejectedRows({"a.csv": kind}).open(tmp_path / REJECTED, None, power=False)
    for some in (log[:3], log[3:]):
        sink.write(some)
        aside.write(some)
    sink.close()
    aside.close()
    assert len(converted) == len(log)
    assert [kind.rejects_of(each) for each in log] == [[]] * 5
