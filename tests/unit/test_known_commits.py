"""What a folder knows of its crawl's commits: never more than was acknowledged, and nothing of other crawls."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest

from crawlfleet.coordinator.known_commits import Known, KnownCommits, crawl_id
from crawlfleet.shared.errors import UsageError


class Counted(NamedTuple):
    commit_number: int
    results: int

    def result_count(self) -> int:
        return self.results


def test_each_commit_is_noted_before_its_results_are_told(tmp_path: Path) -> None:
    commits = KnownCommits(tmp_path)
    commits.begin(Known("sqlite:a", 3, 7, 0, "boot"))
    assert not commits.note(Counted(8, 0))
    assert commits.note(Counted(9, 5))
    assert not commits.note(Counted(9, 5))
    assert KnownCommits(tmp_path).of("sqlite:a") == Known("sqlite:a", 3, 9, 5, "boot")


def test_a_shorter_number_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    commits = KnownCommits(tmp_path)
    commits.begin(Known("sqlite:a", 10**9, 10**18, 10**18))
    commits.begin(Known("sqlite:a", 1, 2, 3))
    assert commits.of("sqlite:a") == Known("sqlite:a", 1, 2, 3)


@pytest.mark.parametrize("said", [b"", b"\0" * 200, b'{"crawl":"sqlite:a","epo', b'{"crawl":"sqlite:b","commits":9}'])
def test_nothing_is_known_by_a_file_that_is_torn_or_of_another_crawl(tmp_path: Path, said: bytes) -> None:
    (tmp_path / "commits.json").write_bytes(said)
    assert KnownCommits(tmp_path).of("sqlite:a") == Known()


def test_a_crawl_without_a_name_is_no_other_one(tmp_path: Path) -> None:
    commits = KnownCommits(tmp_path)
    commits.begin(Known("", 3, 7, 0))
    assert crawl_id(None, "sqlite") == ""
    assert commits.of("") == Known()


def test_what_cannot_be_written_leaves_the_earlier_number(tmp_path: Path) -> None:
    commits = KnownCommits(tmp_path)
    commits.begin(Known("sqlite:a", 3, 7, 0))
    assert commits._descriptor is not None
    only_read = os.open(commits.path, os.O_RDONLY)
    os.dup2(only_read, commits._descriptor)
    os.close(only_read)
    assert commits.note(Counted(8, 1))
    assert commits.of("sqlite:a").commits == 7


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "commits.json").mkdir()
    with pytest.raises(UsageError, match=r"cannot write .*commits\.json: Is a directory; make room, or free it"):
        KnownCommits(tmp_path).begin(Known())
