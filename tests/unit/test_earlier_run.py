"""What becomes of an earlier run, and of the files that it wrote elsewhere, when the next one begins."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crawlfleet.coordinator.crawl_folder import SUMMARY
from crawlfleet.coordinator.earlier_run import OUTPUTS, Wishes, note_command, note_end, take_folder
from crawlfleet.coordinator.frontier.registry import FRONTIER, open_reader, store_for
from crawlfleet.coordinator.job.job import as_data, load_from
from crawlfleet.coordinator.sinks.outputs import outputs_of
from crawlfleet.coordinator.sinks.registry import SINKS
from crawlfleet.run.quick_job import QuickOptions, quick_job
from crawlfleet.shared.errors import UsageError
from tests.results import result

LOG = [result(1), result(2), result(3, rows=0)]
RULE = {"name": "quote", "fields": {"n": {"css": "b", "type": "int"}, "text": "p"}}
COMMAND = ("run", "http://h.test/", "--pages", "5")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def job_of(*outputs: str, items: Any = (RULE,), **options: Any) -> dict[str, Any]:
    made = QuickOptions(urls=["http://h.test/"], outputs=outputs, items=list(items), name="shop", **options)
    return as_data(load_from(quick_job(made, str)))


def earlier(job: Mapping[str, Any], *, finished: bool = True, command: tuple[str, ...] = COMMAND) -> Path:
    """Leave what a run leaves in its folder, and of its outputs; return the folder."""
    folder = Path("crawls") / "shop"
    folder.mkdir(parents=True)
    with closing(store_for("process").open(folder, power=False)) as store, closing(store.open_marks()) as marks:
        store.keep("job", msgspec.json.encode(job))
        note_command(store, command)
        for output in outputs_of(job, folder):
            with closing(output.open(None, power=False)) as sink:
                marks.set(output.name, sink.write(LOG))
                if finished:
                    sink.finish()
        note_end(store, finished=finished)
    return folder


def take(job: Mapping[str, Any], **wishes: Any) -> Any:
    """Take the folder of a job, as long as a process would have it that ends at once."""
    folder = take_folder(job, Wishes(crawls=Path("crawls"), **{"command": COMMAND, **wishes}))
    os.close(folder._lock)
    return folder


def files() -> set[str]:
    """Name all files outside of folders of crawls."""
    return {str(path) for path in Path().rglob("*") if path.is_file() and path.parts[0] != "crawls"}


@pytest.mark.parametrize("ending", SINKS)
@pytest.mark.parametrize("finished", [True, False])
def test_a_file_that_the_earlier_run_wrote_goes_with_it(ending: str, finished: bool) -> None:
    job = job_of(f"rows/all{ending}", "other.jsonl")
    earlier(job, finished=finished)
    before = [[*output.kind.read(output.path, whole=False)] for output in outputs_of(job, Path())]
    assert before[0]
    folder = take(job_of(f"rows/all{ending}"), anew=finished, fresh=not finished)
    assert str(Path.cwd() / f"rows/all{ending}") in folder.told
    assert str(folder.moved_to) in folder.told
    assert files() == {"other.jsonl"}
    with closing(open_reader(folder.moved_to)) as reader:
        moved = outputs_of(reader.job, folder.moved_to)
    assert [[*output.kind.read(output.path, whole=False)] for output in moved] == before
    assert moved[0].path == folder.moved_to / OUTPUTS / f"all{ending}"


def test_all_files_of_an_output_stay_together() -> None:
    both = job_of("rows.csv", items=(RULE, {**RULE, "name": "other"}))
    earlier(both)
    assert files() == {"rows.quote.csv", "rows.other.csv"}
    folder = take(both, anew=True)
    assert files() == set()
    assert {path.name for path in (folder.moved_to / OUTPUTS).iterdir()} == {"rows.quote.csv", "rows.other.csv"}


def test_outputs_with_one_name_in_two_folders_are_both_kept() -> None:
    job = job_of("a/rows.csv", "b/rows.csv")
    earlier(job)
    folder = take(job, anew=True)
    assert [len(path.read_text().splitlines()) for path in sorted(folder.moved_to.rglob("rows.csv"))] == [3, 3]
    assert files() == set()


def test_plain_names_go_with_their_folder() -> None:
    earlier(job_of())
    folder = take(job_of(), anew=True)
    assert (folder.moved_to / "items.jsonl").exists()
    assert list(folder.path.iterdir())
    assert "moved into it" not in folder.told


@pytest.mark.parametrize("ending", SINKS)
@pytest.mark.parametrize("with_run", [False, True])
def test_a_file_of_somebody_else_is_refused_and_nothing_has_changed(ending: str, with_run: bool) -> None:
    if with_run:
        earlier(job_of())
    theirs = Path(f"theirs{ending}")
    theirs.write_bytes(b"theirs")
    with pytest.raises(UsageError, match=rf"theirs{ending} exists already, and is not known .*by --overwrite"):
        take(job_of(theirs.name), anew=True)
    assert theirs.read_bytes() == b"theirs"
    assert [path.name for path in Path("crawls").glob("*")] == (["shop"] if with_run else [])
    folder = take(job_of(theirs.name), anew=True, overwrite=True)
    assert (folder.moved_to is not None) is with_run
    assert files() == set()


@pytest.mark.parametrize("ending", SINKS)
def test_a_file_that_somebody_has_changed_since_is_no_longer_the_earlier_runs(ending: str) -> None:
    job = job_of(f"rows{ending}")
    folder = earlier(job)
    Path(f"rows{ending}").write_bytes(b"theirs")
    with pytest.raises(UsageError, match="exists already, and has changed since the earlier run of this crawl"):
        take(job, anew=True)
    assert Path(f"rows{ending}").read_bytes() == b"theirs"
    assert list(Path("crawls").iterdir()) == [folder]
    moved = take(job, anew=True, overwrite=True).moved_to
    assert (moved / OUTPUTS / f"rows{ending}").read_bytes() == b"theirs"
    assert files() == set()


def test_a_file_that_was_taken_away_is_not_looked_for_where_the_next_run_writes() -> None:
    job = job_of("rows.csv")
    earlier(job)
    Path("rows.csv").unlink()
    folder = take(job, anew=True)
    assert "moved into it" not in folder.told
    with closing(open_reader(folder.moved_to)) as reader:
        (output,) = outputs_of(reader.job, folder.moved_to)
    assert output.path == folder.moved_to / OUTPUTS / "rows.csv"


def test_a_folder_in_the_place_of_a_file_is_refused_whatever_is_allowed() -> None:
    Path("rows.parquet").mkdir()
    Path("rows.parquet/mine.txt").touch()
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"rows.parquet is a folder, .*: move it away"):
            take(job_of("rows.parquet"), overwrite=overwrite)
    assert files() == {"rows.parquet/mine.txt"}


def test_a_file_that_another_crawl_is_writing_is_not_replaced() -> None:
    (output,) = outputs_of(job_of("rows.csv"), Path("crawls/other"))
    with closing(output.open(None, power=False)) as sink:
        sink.write(LOG)
        with pytest.raises(UsageError, match=r"rows.csv is being written by another crawl"):
            take(job_of("rows.csv"), overwrite=True)
    assert files() == {"rows.csv"}


def test_an_empty_file_of_lines_is_no_obstacle() -> None:
    Path("rows.csv").touch()
    assert take(job_of("rows.csv")).moved_to is None
    assert files() == {"rows.csv"}


def test_a_run_that_goes_on_keeps_its_files_and_takes_others_only_if_it_may() -> None:
    earlier(job_of("rows.csv"), finished=False)
    Path("new.csv").write_text("theirs")
    job = job_of("rows.csv", "new.csv")
    for overwrite in (False, True):
        assert take(job, anew=True, accept_changes=True, overwrite=overwrite).moved_to is None
        assert files() == {"rows.csv"} if overwrite else {"rows.csv", "new.csv"}


def test_a_run_that_has_not_finished_goes_on_by_the_same_options_however_they_are_written() -> None:
    job = job_of("rows.csv", pages=5)
    earlier(job, finished=False)
    assert take(job, anew=True, command=("run", "http://H.test", "--set", "scope.pages=5")).moved_to is None
    # Another version has other defaults, but the words are the same.
    newer = msgspec.json.decode(msgspec.json.encode(job))
    newer["politeness"]["user_agent"] = "crawlfleet/99"
    assert take(newer, anew=True).moved_to is None


def test_a_run_that_has_not_finished_is_not_taken_on_by_other_options_and_both_ways_on_are_told() -> None:
    written = ("--set", "fetch.headers.Authorization=Bearer 123", "--set", "politeness.delay=2s")
    earlier(job_of(pages=5), finished=False, command=(*COMMAND, "-o", str(Path.cwd() / "rows.csv"), *written))
    command = ("run", "http://h.test/", "--pages", "6")
    with pytest.raises(UsageError) as refused:
        take(job_of(pages=6), anew=True, command=command)
    lines = str(refused.value).splitlines()
    assert {"  - scope.pages: 5", "  + scope.pages: 6"} < set(lines)
    before = (
        "crawlfleet run http://h.test/ --pages 5 -o rows.csv "
        "--set fetch.headers.Authorization=... --set politeness.delay=2s"
    )
    assert {f"  {before}", "  crawlfleet run http://h.test/ --pages 6 --fresh"} < set(lines)
    assert take(job_of(pages=6), anew=True, command=command, accept_changes=True).moved_to is None
    assert take(job_of(pages=6), anew=True, command=command, fresh=True).moved_to is not None


def test_a_run_of_a_job_file_is_never_crawled_anew_by_itself() -> None:
    earlier(job_of(pages=5))
    assert take(job_of(pages=6)).moved_to is None


@pytest.mark.parametrize(("ended", "moves"), [("finished", True), ("interrupted", False)])
def test_a_run_that_is_not_stored_has_finished_if_its_summary_says_so(ended: str, moves: bool) -> None:
    folder = Path("crawls") / "shop"
    folder.mkdir(parents=True)
    (folder / "items.jsonl").write_text("row\n")
    (folder / SUMMARY).write_text(json.dumps({"ended": ended}))
    if moves:
        assert take(job_of(), anew=True).moved_to is not None
    else:
        with pytest.raises(UsageError, match="cannot be resumed"):
            take(job_of(), anew=True)


def test_a_store_that_cannot_be_read_is_left_to_who_opens_it() -> None:
    folder = Path("crawls") / "shop"
    folder.mkdir(parents=True)
    (folder / FRONTIER).write_bytes(b"no database" * 100)
    assert take(job_of(), anew=True).is_resumable
    assert take(job_of(), fresh=True).moved_to is not None
