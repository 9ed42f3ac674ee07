"""The committed log reaches every sink whole, in order, once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from crawlfleet.coordinator.core.changes import Recorded
from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.frontier.sqlite.marks import SqliteMarks
from crawlfleet.coordinator.sinks.follower import Follower
from crawlfleet.coordinator.sinks.jsonl_sink import JsonLines
from crawlfleet.coordinator.sinks.port import Sink
from crawlfleet.shared.errors import CrawlFailed
from tests.commits import commit
from tests.results import result
from tests.shapes import QUOTES


def record(store: MemoryStore, *results: Result) -> None:
    store.apply([Recorded(result=each) for each in results])
    commit(store, 0.0)


class FailingSink:
    """Takes `good` results, then fails."""

    name = "failing"

    def __init__(self, error: Exception, good: int = 0) -> None:
        self.mark = Mark()
        self.closed = False
        self._error = error
        self._good = good

    def restore(self, log: Iterator[Result], length: int) -> Mark:
        raise NotImplementedError

    def write(self, results: Sequence[Result]) -> Mark:
        if self.mark.results + len(results) > self._good:
            raise self._error
        self.mark = Mark(results=self.mark.results + len(results))
        return self.mark

    def finish(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        self.closed = True


def follower(store: MemoryStore, folder: Path, *sinks: Sink) -> Follower:
    named = {f"{place}.jsonl": sink for place, sink in enumerate(sinks)}
    return Follower(store, named, SqliteMarks(folder / "sinks.db", power=False))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_row_has_its_page_and_its_rule_first_then_its_fields(tmp_path: Path) -> None:
    store, sink = MemoryStore(), JsonLines(QUOTES).open(tmp_path / "items.jsonl", None, power=False)
    record(store, result(1))
    following = follower(store, tmp_path, sink)
    following.start()
    following.stop()
    assert (tmp_path / "items.jsonl").read_text(encoding="utf-8") == (
        '{"url":"http://a.test/1","item":"quote","n":1,"text":"ü"}\n'
    )


def test_all_that_was_committed_is_written_in_order_before_the_follower_ends(tmp_path: Path) -> None:
    store = MemoryStore()
    sinks = [JsonLines(QUOTES).open(tmp_path / name, None, power=False) for name in ("one.jsonl", "two.jsonl")]
    following = follower(store, tmp_path, *sinks)
    following.start()
    for start in range(0, 1_200, 300):
        record(store, *(result(number, rows=number % 3) for number in range(start, start + 300)))
        following.nudge()
    following.stop()
    expected = [number for number in range(1_200) for _ in range(number % 3)]
    assert [row["n"] for row in lines(tmp_path / "one.jsonl")] == expected
    assert [row["n"] for row in lines(tmp_path / "two.jsonl")] == expected
    assert following.is_at_end()
    assert following.failure is None


def test_what_is_not_committed_is_not_written(tmp_path: Path) -> None:
    store, sink = MemoryStore(), JsonLines(QUOTES).open(tmp_path / "items.jsonl", None, power=False)
    store.apply([Recorded(result=result(1))])
    following = follower(store, tmp_path, sink)
    following.start()
    following.stop()
    assert lines(tmp_path / "items.jsonl") == []


@pytest.mark.parametrize("error", [CrawlFailed("cannot write here"), ZeroDivisionError("bug")])
def test_a_sink_that_fails_is_told_and_never_called_done(tmp_path: Path, error: Exception) -> None:
    store, sink = MemoryStore(), FailingSink(error, good=1)
    following = follower(store, tmp_path, sink)
    record(store, result(1))
    following.start()
    record(store, result(2))
    following.nudge()
    following.stop()
    assert isinstance(following.failure, CrawlFailed)
    assert str(error) in str(following.failure)
    assert not following.is_at_end()
    assert sink.closed


def test_a_sink_that_fails_when_it_is_closed_is_told_and_the_others_are_closed(tmp_path: Path) -> None:
    store, (first, second) = MemoryStore(), (FailingSink(CrawlFailed("")), FailingSink(CrawlFailed("")))

    def fail() -> None:
        raise CrawlFailed("cannot write what was gathered")

    first.close = fail  # type: ignore[method-assign]  # of this one alone
    following = follower(store, tmp_path, first, second)
    following.start()
    following.stop()
    assert str(following.failure) == "cannot write what was gathered"
    assert second.closed


def test_a_full_disk_is_told_with_the_file_and_what_to_do() -> None:
    sink = JsonLines(QUOTES).open(Path("/dev/full"), None, power=False)
    with pytest.raises(CrawlFailed, match=r"/dev/full: No space left on device; make room"):
        sink.write([result(1)])
    sink.close()


def test_a_result_is_never_half_there_for_another_thread() -> None:
    store, seen = MemoryStore(), list[Result | None]()

    class Watched(list[Result]):
        """Lets a reader look in the middle of a commit."""

        def append(self, each: Result) -> None:
            seen.append(store.result(each.ref))
            super().append(each)
            seen.append(store.result(each.ref))

    store._results = Watched()
    record(store, result(1))
    assert seen == [None, None]
    assert store.result(result(1).ref) == result(1)
