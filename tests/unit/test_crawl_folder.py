"""Who may write in a crawl's folder, and what becomes of what is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crawlfleet.coordinator.crawl_folder import ABOUT, JOIN, CrawlFolder, refuse_if_running
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.wire.identity import IDENTITY_FILES, write_private

HOLD = """
import sys
from pathlib import Path
from crawlfleet.coordinator.crawl_folder import CrawlFolder
folder = CrawlFolder(Path(sys.argv[1]), "job", fresh=False)
print("held", flush=True)
sys.stdin.read()
"""


def held_elsewhere(root: Path) -> subprocess.Popen[str]:
    """Let another process hold the folder of `job`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_new_folder_is_made_and_not_resumed(tmp_path: Path) -> None:
    folder = CrawlFolder(tmp_path / "crawls", "job", fresh=False)
    assert folder.path == tmp_path / "crawls" / "job"
    assert folder.path.is_dir()
    assert (folder.is_resumable, folder.moved_to) == (False, None)


def test_the_folder_tells_which_of_its_files_are_private_and_leaves_notes_of_its_owner(tmp_path: Path) -> None:
    about = CrawlFolder(tmp_path, "told", fresh=False).path / ABOUT
    private = about.read_text().partition("Private: ")[2].partition("Not private")[0]
    for name in (JOIN, *IDENTITY_FILES, FRONTIER):
        assert name in private
    (tmp_path / "noted").mkdir()
    (tmp_path / "noted" / ABOUT).write_text("mine")
    CrawlFolder(tmp_path, "noted", fresh=False)
    assert (tmp_path / "noted" / ABOUT).read_text() == "mine"


def test_keys_and_a_token_alone_are_no_results(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    for name in (JOIN, "coordinator.crt", "coordinator.key", "secret"):
        (tmp_path / "job" / name).write_text("kept")
    CrawlFolder(tmp_path, "job", fresh=False)


def test_a_private_file_that_was_never_finished_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "job").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: os._exit(1))  # killed at the last moment
        child = os.fork()
        if child == 0:
            write_private(tmp_path / "job" / JOIN, b"token")
    assert os.waitpid(child, 0)[1] != 0
    assert len(list((tmp_path / "job").iterdir())) == 1
    CrawlFolder(tmp_path, "job", fresh=False)


def test_a_log_and_sinks_that_were_never_written_are_no_results(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "log.jsonl").write_text('{"event": "the port was taken"}\n')
    (tmp_path / "job" / "items.jsonl").touch()
    assert not CrawlFolder(tmp_path, "job", fresh=False).is_resumable


def test_a_folder_with_a_frontier_is_resumed(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / FRONTIER).touch()
    (tmp_path / "job" / "items.jsonl").touch()
    assert CrawlFolder(tmp_path, "job", fresh=False).is_resumable


def test_results_without_a_frontier_are_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "items.jsonl").write_text("row\n")
    with pytest.raises(UsageError, match="--fresh"):
        CrawlFolder(tmp_path, "job", fresh=False)
    assert (tmp_path / "job" / "items.jsonl").read_text() == "row\n"


def test_fresh_moves_what_is_there_aside_and_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "items.jsonl").write_text("row\n")
    folder = CrawlFolder(tmp_path, "job", fresh=True)
    assert folder.moved_to is not None
    assert folder.moved_to.parent == tmp_path
    assert (folder.moved_to / "items.jsonl").read_text() == "row\n"
    assert {entry.name for entry in folder.path.iterdir()} == {"lock", ABOUT}


def test_a_job_file_is_not_taken_for_the_folder_of_a_crawl(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").touch()
    with pytest.raises(UsageError, match=r"job\.yaml is no folder: name the folder of a crawl"):
        refuse_if_running(tmp_path / "job.yaml")


def test_fresh_with_nothing_there_moves_nothing(tmp_path: Path) -> None:
    assert CrawlFolder(tmp_path, "job", fresh=True).moved_to is None


@pytest.mark.parametrize("fresh", [False, True])
def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path, fresh: bool) -> None:
    with held_elsewhere(tmp_path) as holder:
        try:
            with pytest.raises(UsageError, match=rf"process id {holder.pid}"):
                CrawlFolder(tmp_path, "job", fresh=fresh)
            with pytest.raises(UsageError, match=rf"process id {holder.pid}"):
                refuse_if_running(tmp_path / "job")
        finally:
            holder.kill()
    refuse_if_running(tmp_path / "job")
    CrawlFolder(tmp_path, "job", fresh=fresh)


def test_a_folder_that_nobody_ever_held_is_free(tmp_path: Path) -> None:
    refuse_if_running(tmp_path)


def test_a_place_that_cannot_be_written_is_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file/job.*--crawls"):
        CrawlFolder(tmp_path / "file", "job", fresh=False)


def test_the_lock_names_this_process(tmp_path: Path) -> None:
    folder = CrawlFolder(tmp_path, "job", fresh=False)
    assert (folder.path / "lock").read_text() == str(os.getpid())
