"""A sink's file after a crash: brought back to its mark, or refused by name."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from crawlfleet.coordinator.sinks.line_file import LineFile
from crawlfleet.coordinator.sinks.marks import Mark
from crawlfleet.shared.errors import CrawlFailed, UsageError

LOG = [b'{"n":1}\n', b"", b'{"n":2}\n{"n":2}\n', b'{"n":3}\n']


def written(path: Path) -> Mark:
    """Write a log of four results to a new file; return its mark."""
    file = LineFile(path, None, power=False)
    file.append(LOG[0] + LOG[1], 2)
    mark = file.append(LOG[2] + LOG[3], 2)
    file.close()
    return mark


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "items.jsonl"


def reopened(path: Path, mark: Mark | None, *, power: bool = False) -> bytes:
    """Open a file at its mark, restore it if need be, write what the log has beyond; return what is in it then."""
    with closing(LineFile(path, mark, power=power)) as file:
        if file.is_to_restore:
            file.restore(LOG)
        for lines in LOG[file.mark.results :]:
            file.append(lines, 1)
    return path.read_bytes()


@pytest.mark.parametrize("tail", [b"{", b'{"n":4}\n', b'{"n":3}\n', b"\x00" * 5_000])
def test_what_is_beyond_the_mark_is_cut_off(path: Path, tail: bytes) -> None:
    mark = written(path)
    with path.open("ab") as file:
        file.write(tail)

    assert reopened(path, mark) == b"".join(LOG)


def test_a_file_that_is_shorter_by_any_number_of_bytes_is_written_again(path: Path) -> None:
    whole = b"".join(LOG)
    for size in range(len(whole) + 1):
        path.unlink(missing_ok=True)
        mark = written(path)
        os.truncate(path, size)

        assert reopened(path, mark) == whole


def test_a_short_file_keeps_its_whole_results_only(path: Path) -> None:
    mark = written(path)
    os.truncate(path, len(LOG[0]) + len(LOG[2]) - 1)
    file = LineFile(path, mark, power=False)
    assert file.is_to_restore

    kept = file.restore(LOG)
    file.close()

    assert (kept.results, path.read_bytes()) == (2, LOG[0])


def test_a_file_that_is_gone_is_written_again(path: Path) -> None:
    mark = written(path)
    path.unlink()

    assert reopened(path, mark) == b"".join(LOG)


def test_a_file_whose_last_block_was_changed_is_refused_by_name(path: Path) -> None:
    mark = written(path)
    content = path.read_bytes().replace(b'{"n":3}', b'{"n":9}')
    path.write_bytes(content)

    with pytest.raises(UsageError, match=r"items\.jsonl was changed by somebody else: move it away"):
        LineFile(path, mark, power=False)
    assert path.read_bytes() == content


def test_a_short_file_with_lines_that_the_log_has_not_is_refused_by_name(path: Path) -> None:
    mark = written(path)
    path.write_bytes(b'{"other":1}\n')
    file = LineFile(path, mark, power=False)

    with pytest.raises(UsageError, match=r"items\.jsonl was changed by somebody else"):
        file.restore(LOG)
    file.close()


def test_a_file_that_was_there_before_the_crawl_is_refused(path: Path) -> None:
    path.write_bytes(b"mine\n")

    with pytest.raises(UsageError, match="exists already and is not this crawl's"):
        reopened(path, None)
    assert path.read_bytes() == b"mine\n"


@pytest.mark.parametrize("power", [False, True])
def test_a_file_that_lost_its_mark_is_known_by_the_log(path: Path, power: bool) -> None:
    whole = b"".join(LOG)
    for size in range(1, len(whole) + 1):
        path.write_bytes(whole[:size])
        assert reopened(path, None, power=power) == whole


@pytest.mark.parametrize("tail", [b"\n", b'{"n":4}\n', b"\x00"])
def test_a_file_without_a_mark_that_has_more_than_the_log_is_refused(path: Path, tail: bytes) -> None:
    path.write_bytes(b"".join(LOG) + tail)

    with pytest.raises(UsageError, match="exists already and is not this crawl's"):
        reopened(path, None)
    assert path.read_bytes() == b"".join(LOG) + tail


def test_a_file_has_one_writer(path: Path) -> None:
    file = LineFile(path, None, power=False)

    with pytest.raises(UsageError, match="is being written by another crawl"):
        LineFile(path, None, power=False)

    file.close()
    LineFile(path, None, power=False).close()


def test_what_is_no_regular_file_is_written_and_not_restored() -> None:
    file = LineFile(Path("/dev/null"), Mark(results=3, size_bytes=100, block_hash=b"x"), power=True)

    assert not file.is_to_restore
    assert file.append(b"line\n", 1).results == 4
    file.close()


def test_a_full_disk_is_told_in_one_sentence() -> None:
    file = LineFile(Path("/dev/full"), None, power=False)

    with pytest.raises(CrawlFailed, match="cannot write /dev/full: No space left on device; make room"):
        file.append(b"line\n", 1)
    file.close()


def test_a_folder_that_cannot_be_made_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(CrawlFailed, match=r"cannot write .*items\.jsonl: "):
        LineFile(tmp_path / "file" / "items.jsonl", None, power=False)


def test_a_mark_speaks_of_the_last_block_only(path: Path) -> None:
    mark = written(path)

    assert mark.results == 4
    assert mark.size_bytes == path.stat().st_size
    assert mark.block_at == len(LOG[0])
