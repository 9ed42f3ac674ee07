"""The file below a sink of lines: what no sink of lines shows by itself. The rest is in `conformance/test_sinks.py`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.sinks.line_file import LineFile
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


def test_a_short_file_keeps_its_whole_results_only(path: Path) -> None:
    mark = written(path)
    os.truncate(path, len(LOG[0]) + len(LOG[2]) - 1)
    file = LineFile(path, mark, power=False)
    assert file.is_to_restore

    kept = file.restore(LOG)
    file.close()

    assert (kept.results, path.read_bytes()) == (2, LOG[0])


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


def test_a_mark_speaks_of_the_last_block_only(path: Path) -> None:
    mark = written(path)

    assert mark.results == 4
    assert mark.size_bytes == path.stat().st_size
    assert mark.block_at == len(LOG[0])
