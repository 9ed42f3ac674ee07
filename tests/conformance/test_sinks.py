"""What every kind of sinks keeps to: whatever a crash leaves of a sink, the log is in it once, in order, whole.

The suite runs over the table of sinks, and over two kinds that only tests have. A kind of lines is cut at every byte, a
transactional one is looked at on both sides of its commit; both are killed at every call that a write makes.
"""

from __future__ import annotations

import importlib
import itertools
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.frontier.sqlite.marks import SqliteMarks
from crawlfleet.coordinator.sinks.port import LineKind, SinkKind
from crawlfleet.coordinator.sinks.registry import SINKS, SinkEntry, entry_for
from crawlfleet.shared.errors import CrawlFailed, UsageError
from tests.results import rejecting, result, typed_result
from tests.shapes import EVERY_TYPE, QUOTES
from tests.toys.sinks import LINES, REJECTED_LINES, TABLE

ENTRIES = (*SINKS.values(), LINES, REJECTED_LINES, TABLE)
OF_LINES = [entry for entry in ENTRIES if not entry.transactional and not entry.is_compressed]
COMPRESSED = [entry for entry in ENTRIES if entry.is_compressed]
TRANSACTIONAL = [entry for entry in ENTRIES if entry.transactional]
NAME = "items"
MARKS = "sinks.db"


LOG = (result(1), result(2, rows=0), rejecting(result(3, rows=2)), result(4))
HALF = 2
# Kinds that need a library of their own take longer with each call: they are killed at so many of them.
MAX_DEATHS = 40
# PyArrow loads it with the first rows, for a second.
LATE_LIBRARY = "pandas"
TAILS = (b"{", b"\n", b"a row\n", b"\x00", b"\x00" * 5_000)
AGAIN = b"the last result"

T = TypeVar("T")


@pytest.fixture(params=ENTRIES, ids=lambda entry: entry.name)
def entry(request: pytest.FixtureRequest) -> SinkEntry:
    found: SinkEntry = request.param
    return found


@pytest.fixture
def kind(entry: SinkEntry) -> SinkKind:
    return entry.made_for(QUOTES)


@pytest.fixture(params=OF_LINES, ids=lambda entry: entry.name)
def lines(request: pytest.FixtureRequest) -> LineKind:
    return cast("LineKind", request.param.made_for(QUOTES))


@pytest.fixture(params=TRANSACTIONAL, ids=lambda entry: entry.name)
def transactional_entry(request: pytest.FixtureRequest) -> SinkEntry:
    found: SinkEntry = request.param
    return found


@pytest.fixture
def transactional(transactional_entry: SinkEntry) -> SinkKind:
    return transactional_entry.made_for(QUOTES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / NAME


def rows(kind: SinkKind, log: Sequence[Result]) -> list[bytes]:
    return [row for each in log for row in kind.rows_of(each)]


def found(kind: SinkKind, path: Path) -> list[bytes]:
    return list(kind.read(path, whole=True))


def written(kind: SinkKind, path: Path, log: Sequence[Result] = LOG, mark: Mark | None = None) -> Mark:
    """Write results to a sink, half of them first; return its mark."""
    with closing(kind.open(path, mark, power=False)) as sink:
        sink.write(log[:HALF])
        if log[HALF:]:
            sink.write(log[HALF:])
        sink.finish()
        return sink.mark


def followed(
    kind: SinkKind, path: Path, mark: Mark | None, log: Sequence[Result] = LOG, *, power: bool = False
) -> list[bytes]:
    """Let a sink follow a log from its mark on, as a coordinator does; return what is in it then."""
    with closing(kind.open(path, mark, power=power)) as sink:
        assert sink.restore(iter(log), len(log)) == sink.mark
        assert sink.mark.results <= len(log)
        for each in log[sink.mark.results :]:
            assert sink.write([each]) == sink.mark
        assert sink.mark.results == len(log)
    return found(kind, path)


def deaths_of(entry: SinkEntry, folder: Path) -> Iterator[Path]:
    """Let processes die while they write the second half of the log, each at a later call; yield what they left.

    A folder has a sink and its mark in `MARKS`. The last process was not killed.
    """
    kind, begun = entry.made_for(QUOTES), folder / "begun"
    begun.mkdir(parents=True)
    in_child(begin, kind, begun)
    calls = in_child(calls_of_second_half, kind, shutil.copytree(begun, folder / "counted"))
    for call in range(0, calls + 1, 1 + calls // MAX_DEATHS if entry.extra else 1):
        left = shutil.copytree(begun, folder / "left")
        assert _dies_in_second_half(kind, left, call) or call == calls
        yield left
        shutil.rmtree(left)
    left = shutil.copytree(folder / "counted", folder / "left")
    yield left


def begin(kind: SinkKind, folder: Path) -> None:
    """Write the first half of the log, and its mark."""
    with closing(SqliteMarks(folder / MARKS, power=False)) as marks:
        marks.set(NAME, written(kind, folder / NAME, LOG[:HALF]))


def calls_of_second_half(kind: SinkKind, folder: Path) -> int:
    """Write the second half; return after how many calls and returns it is there."""
    calls = itertools.count()
    _write_second_half(kind, folder, lambda: next(calls))
    return next(calls)


def in_child(work: Callable[..., T], *arguments: Any) -> T:
    """Do what starts threads of a library in a child, so that this process can fork at any time."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)

    def child() -> None:
        there.send(work(*arguments))

    process = context.Process(target=child)
    process.start()
    there.close()
    try:
        answer: T = here.recv()
    finally:
        process.join()
    return answer


def in_small_process(work: Callable[[SinkEntry, Path], T], entry: SinkEntry, folder: Path) -> T:
    """Do what forks hundreds of times in a new process: a fork of this one costs more the more it has in memory."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawning, initializer=load_early, initargs=(entry,)) as process:
        return process.submit(work, entry, folder).result()


def load_early(entry: SinkEntry) -> None:
    """Load what each of the forks would load by itself."""
    if entry.extra:
        importlib.import_module(LATE_LIBRARY)


def test_what_was_written_is_read_back(kind: SinkKind, path: Path) -> None:
    assert written(kind, path).results == len(LOG)
    assert found(kind, path) == rows(kind, LOG)


def test_what_was_never_written_has_no_rows(kind: SinkKind, path: Path) -> None:
    assert found(kind, path) == []
    assert followed(kind, path, None, ()) == []


def test_a_sink_goes_on_where_it_was(kind: SinkKind, path: Path) -> None:
    mark = written(kind, path, LOG[:HALF])
    assert followed(kind, path, mark) == rows(kind, LOG)


def test_rows_are_there_once_however_the_log_is_cut_into_batches(kind: SinkKind, path: Path) -> None:
    with closing(kind.open(path, None, power=True)) as sink:
        marks = [sink.write([each]).results for each in LOG]
    assert marks == [1, 2, 3, 4]
    assert found(kind, path) == rows(kind, LOG)


def test_a_sink_may_be_written_by_another_thread_than_the_one_that_opens_and_closes_it(
    kind: SinkKind, path: Path
) -> None:
    with closing(kind.open(path, None, power=False)) as sink, ThreadPoolExecutor(1) as writer:
        assert writer.submit(sink.write, LOG).result().results == len(LOG)
    assert found(kind, path) == rows(kind, LOG)


@pytest.mark.parametrize("power", [False, True])
def test_a_sink_that_is_gone_is_written_again(kind: SinkKind, path: Path, power: bool) -> None:
    mark = written(kind, path)
    path.unlink()
    assert followed(kind, path, mark, power=power) == rows(kind, LOG)


def test_a_sink_that_lost_its_mark_is_known_by_the_log(kind: SinkKind, path: Path) -> None:
    written(kind, path)
    assert followed(kind, path, None) == rows(kind, LOG)
    assert followed(kind, path, None, (*LOG, result(5))) == rows(kind, (*LOG, result(5)))


def test_a_sink_is_taken_back_with_a_log_that_was_cut_short(kind: SinkKind, path: Path) -> None:
    mark = written(kind, path)
    other = (*LOG[:HALF], result(7))
    assert followed(kind, path, mark, LOG[:HALF]) == rows(kind, LOG[:HALF])
    assert followed(kind, path, None, other) == rows(kind, other)


@pytest.mark.parametrize("mark", [None, Mark(results=4, size_bytes=5, block_hash=b"h" * 16)])
def test_what_is_somebody_elses_is_refused_by_name_and_left_alone(
    kind: SinkKind, path: Path, mark: Mark | None
) -> None:
    path.parent.mkdir()
    path.write_bytes(b"mine\n" * 1_000)
    with pytest.raises(UsageError, match=rf"{NAME} .*move it away"):
        followed(kind, path, mark)
    assert path.read_bytes() == b"mine\n" * 1_000


def test_the_sink_of_another_crawl_is_refused_by_name_and_left_alone(kind: SinkKind, path: Path) -> None:
    written(kind, path, (result(8), result(9)))
    for mark, log in ((None, LOG), (None, LOG[:1]), (written(kind, path.with_name("own"), LOG[:HALF]), LOG)):
        with pytest.raises(UsageError, match=rf"{NAME} .*move it away"):
            followed(kind, path, mark, log)
    assert found(kind, path) == rows(kind, (result(8), result(9)))


def test_a_place_that_cannot_be_written_is_told_in_one_sentence(kind: SinkKind, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CrawlFailed, match=rf"cannot write .*{NAME}: "):
        kind.open(tmp_path / "file" / NAME, None, power=False).write(LOG)  # some are created by their first row


@pytest.mark.long
def test_a_death_at_any_call_loses_tears_and_doubles_nothing(entry: SinkEntry, path: Path) -> None:
    assert in_small_process(check_deaths, entry, path.parent) > 10


def follow_on(kind: SinkKind, folder: Path) -> list[bytes]:
    """Let a sink follow the log from its mark on; return what is in it then."""
    with closing(SqliteMarks(folder / MARKS, power=False)) as marks:
        return followed(kind, folder / NAME, marks.get(NAME))


def check_deaths(entry: SinkEntry, folder: Path) -> int:
    """Let a sink follow the log after every death; return how many there were."""
    kind, deaths = entry.made_for(QUOTES), 0
    for left in deaths_of(entry, folder):
        followed_rows = in_child(follow_on, kind, left)
        assert followed_rows == rows(kind, LOG), f"killed at call {deaths}: {followed_rows}"
        deaths += 1
    return deaths


# Rows of every type, and of none


def test_rows_of_every_type_and_of_none_are_written_and_known_again(entry: SinkEntry, path: Path) -> None:
    kind = entry.made_for(EVERY_TYPE)
    log = tuple(map(typed_result, range(1, 5)))
    written(kind, path, log)
    assert found(kind, path) == rows(kind, log)
    assert len(rows(kind, log)) >= sum(len(each.rows) for each in log) or kind.rejects_of(log[0])
    assert followed(kind, path, None, (*log, typed_result(5))) == rows(kind, (*log, typed_result(5)))


# Lines: a file may be cut at any byte, and have anything behind its mark.


def test_a_file_that_is_cut_at_any_byte_is_written_again(lines: LineKind, path: Path) -> None:
    mark = written(lines, path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert followed(lines, path, mark) == rows(lines, LOG), f"cut at {size}"
        assert path.read_bytes() == whole


def test_what_is_beyond_the_mark_is_written_again_up_to_any_byte(lines: LineKind, path: Path) -> None:
    mark = written(lines, path, LOG[:HALF])
    kept = path.stat().st_size
    written(lines, path, LOG[HALF:], mark)
    whole = path.read_bytes()
    for size in range(kept, len(whole) + 1):
        path.write_bytes(whole[:size])
        followed(lines, path, mark)
        assert path.read_bytes() == whole, f"cut at {size}"


@pytest.mark.parametrize("power", [False, True])
def test_a_file_without_its_mark_is_known_at_any_byte(lines: LineKind, path: Path, power: bool) -> None:
    written(lines, path)
    whole = path.read_bytes()
    for size in range(1, len(whole) + 1):
        path.write_bytes(whole[:size])
        followed(lines, path, None, power=power)
        assert path.read_bytes() == whole, f"cut at {size}"


@pytest.mark.parametrize("tail", [*TAILS, AGAIN])
def test_what_is_beyond_the_mark_is_cut_off(lines: LineKind, path: Path, tail: bytes) -> None:
    mark = written(lines, path)
    whole = path.read_bytes()
    path.write_bytes(whole + (lines.lines_of(LOG[-1]) if tail is AGAIN else tail))
    followed(lines, path, mark)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("tail", [*TAILS, AGAIN])
def test_a_file_without_a_mark_that_has_more_than_the_log_is_refused(lines: LineKind, path: Path, tail: bytes) -> None:
    written(lines, path)
    content = path.read_bytes() + (lines.lines_of(LOG[-1]) if tail is AGAIN else tail)
    path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"{NAME} exists already and is not this crawl's"):
        followed(lines, path, None)
    assert path.read_bytes() == content


def test_a_file_whose_last_block_was_changed_is_refused(lines: LineKind, path: Path) -> None:
    mark = written(lines, path)
    content = path.read_bytes()[:-4] + b"x" * 3 + b"\n"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"{NAME} was changed by somebody else: move it away"):
        followed(lines, path, mark)
    assert path.read_bytes() == content


def test_a_short_file_with_what_the_log_has_not_is_refused(lines: LineKind, path: Path) -> None:
    mark = written(lines, path)
    path.write_bytes(b"x\n")
    with pytest.raises(UsageError, match=rf"{NAME} was changed by somebody else: move it away"):
        followed(lines, path, mark)
    assert path.read_bytes() == b"x\n"


def test_a_torn_line_is_left_out_unless_the_file_is_to_be_whole(lines: LineKind, path: Path) -> None:
    written(lines, path)
    whole = path.read_bytes()
    all_rows = rows(lines, LOG)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        seen = list(lines.read(path, whole=False))
        assert seen == all_rows[: len(seen)]
        torn = list(lines.read(path, whole=True))[len(seen) :]
        assert torn == [] or (len(torn) == 1 and whole[:size].endswith(torn[0]))


def test_the_head_stands_once_before_the_first_line(lines: LineKind, path: Path) -> None:
    written(lines, path)
    assert path.read_bytes() == lines.head + b"".join(map(lines.lines_of, LOG))


# Compressed lines: the same, by members.


@pytest.fixture(params=COMPRESSED, ids=lambda entry: entry.name)
def compressed(request: pytest.FixtureRequest) -> SinkKind:
    made: SinkKind = request.param.made_for(QUOTES)
    return made


@pytest.mark.parametrize("has_mark", [True, False])
def test_a_compressed_file_that_is_cut_at_any_byte_is_written_again(
    compressed: SinkKind, path: Path, has_mark: bool
) -> None:
    mark = written(compressed, path)
    whole, all_rows = path.read_bytes(), rows(compressed, LOG)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert followed(compressed, path, mark if has_mark else None) == all_rows, f"cut at {size}"


def test_what_is_beyond_the_mark_of_a_compressed_file_is_cut_off(compressed: SinkKind, path: Path) -> None:
    mark = written(compressed, path)
    whole = path.read_bytes()
    for tail in (*TAILS, whole, whole[: len(whole) // 3]):
        path.write_bytes(whole + tail)
        followed(compressed, path, mark)
        assert path.read_bytes() == whole


@pytest.mark.parametrize("tail", [*TAILS, AGAIN])
def test_a_compressed_file_without_a_mark_that_has_more_than_the_log_is_refused(
    compressed: SinkKind, path: Path, tail: bytes
) -> None:
    written(compressed, path)
    content = path.read_bytes() + (path.read_bytes() if tail is AGAIN else tail)
    path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"{NAME} exists already and is not this crawl's"):
        followed(compressed, path, None)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"\x1f\x8c", b"x", b"mine\n"])
def test_a_small_file_that_is_not_compressed_is_refused(compressed: SinkKind, path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"{NAME} exists already and is not this crawl's"):
        followed(compressed, path, None)
    assert path.read_bytes() == content


# Transactions: a death leaves what was there before, or all of what came.


@pytest.mark.long
def test_a_death_leaves_a_whole_number_of_transactions(
    transactional: SinkKind, transactional_entry: SinkEntry, path: Path
) -> None:
    before, after = rows(transactional, LOG[:HALF]), rows(transactional, LOG)
    left = in_small_process(rows_left, transactional_entry, path.parent)
    assert left == [before] * left.count(before) + [after] * left.count(after)
    assert left.count(before) > 0 < left.count(after)


def rows_left(entry: SinkEntry, folder: Path) -> list[list[bytes]]:
    """Return what every death leaves."""
    kind = entry.made_for(QUOTES)
    return [in_child(found, kind, left / NAME) for left in deaths_of(entry, folder)]


def test_a_mark_that_is_behind_its_sink_doubles_nothing(transactional: SinkKind, path: Path) -> None:
    behind = written(transactional, path, LOG[:HALF])
    with closing(transactional.open(path, behind, power=False)) as sink:
        sink.write(LOG[HALF:])
    with closing(transactional.open(path, behind, power=False)) as sink:
        assert sink.restore(iter(LOG), len(LOG)).results == len(LOG)
    assert found(transactional, path) == rows(transactional, LOG)


# The table


def test_an_ending_that_no_sink_writes_is_refused_naming_those_that_exist() -> None:
    with pytest.raises(UsageError, match=r"items\.xyz.*\.jsonl"):
        entry_for("items.xyz")


def _dies_in_second_half(kind: SinkKind, folder: Path, call: int) -> bool:
    """Write the rest of the log in a process that is killed at its n-th call or return; say whether it came to that."""
    child = os.fork()
    if child == 0:
        try:
            left = iter(range(call))
            _write_second_half(kind, folder, lambda: _die_after(left))
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def _write_second_half(kind: SinkKind, folder: Path, at_each_call: Callable[[], object]) -> None:
    with closing(SqliteMarks(folder / MARKS, power=False)) as marks:
        sink = kind.open(folder / NAME, marks.get(NAME), power=False)
        sink.restore(iter(LOG), len(LOG))
        sys.setprofile(lambda *_: at_each_call())
        marks.set(NAME, sink.write(LOG[sink.mark.results :]))
        sink.finish()
        sys.setprofile(None)
        sink.close()


def _die_after(left: Iterator[Any]) -> None:
    if next(left, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
