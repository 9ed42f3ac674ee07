"""An older state of a crawl's store is noticed beside what its folder and its sinks know, and gone on with only when
that is accepted."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from crawlfleet.__main__ import main
from crawlfleet.coordinator.frontier.registry import FRONTIER, open_reader
from crawlfleet.coordinator.frontier.sqlite.marks import MARKS
from crawlfleet.coordinator.known_commits import CRAWL
from crawlfleet.coordinator.losses import _meaning
from crawlfleet.coordinator.offline.laws import Invariant
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.coordinator.results.columns import Column, Layout, Table
from crawlfleet.coordinator.sinks.outputs import outputs_at
from crawlfleet.shared.errors import UsageError
from tests.site.driven_crawl import PAGES, driven

ITEMS = "items.jsonl"
DATABASE = "items.sqlite"
LOST = "has lost commits that were acknowledged, at least "
COPY = "copy"


def put_back(folder: Path, sinks: tuple[str, ...] = (ITEMS,)) -> Path:
    """Crawl a page, copy the frontier, crawl the rest, and put the copy back; return the crawl's folder."""
    with driven(folder, 1, sinks) as crawl:
        path = crawl.folder.path
    shutil.copy(path / FRONTIER, folder / COPY)
    with driven(folder, PAGES - 1, sinks):
        pass
    shutil.copy(folder / COPY, path / FRONTIER)
    return path


def rows_in(path: Path) -> list[str]:
    return [msgspec.json.decode(line)["path"] for line in (path / ITEMS).read_bytes().splitlines()]


def refused(folder: Path, sinks: tuple[str, ...] = (ITEMS,)) -> str:
    """Return why a crawl is not gone on with."""
    with pytest.raises(UsageError, match=LOST) as told, driven(folder, sinks=sinks):
        pass
    return str(told.value)


def stored_id(path: Path) -> bytes | None:
    with closing(open_reader(path)) as reader:
        return reader.kept(CRAWL)


def broken(path: Path) -> list[Invariant]:
    return [each for each in verify(path).invariants if each.broken]


def epoch_of(path: Path) -> int:
    epoch: int = msgspec.json.decode((path / "commits.json").read_bytes())["epoch"]
    return epoch


def test_an_older_copy_of_a_frontier_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    path = put_back(tmp_path)
    before = (path / ITEMS).read_bytes(), (path / "commits.json").read_bytes()
    known = msgspec.json.decode(before[1])["commits"]
    with closing(open_reader(path)) as reader:
        there = reader.commit_number

    for _ in range(2):
        told = refused(tmp_path)
        assert f"at least {known - there}, and with them at least {PAGES - 1} results" in told
        assert f": it has {there} commits and 1 results, {path / 'commits.json'} knows of {known} and {PAGES}" in told
        assert f", {path / ITEMS} has {PAGES} results: put back a later copy" in told
        assert told.endswith("go on without them by --accept-loss: then their pages are fetched again")
        assert "\n" not in told
    assert ((path / ITEMS).read_bytes(), (path / "commits.json").read_bytes()) == before


def test_an_accepted_loss_cuts_sinks_back_and_the_crawl_goes_on_to_its_end(tmp_path: Path) -> None:
    path = put_back(tmp_path)
    lost_in = epoch_of(path)

    with driven(tmp_path, accept_loss=True) as crawl:
        (notice,) = [each for each in crawl.crawl.notices if LOST in each]
        assert notice.endswith("The crawl goes on without them: sinks are cut back to what it has.")
        assert len(rows_in(path)) == 1
        assert crawl.crawl._store.epoch > lost_in
        crawl.fetch(PAGES - 1)
    assert sorted(rows_in(path)) == ["", "1", "2", "3"]
    assert broken(path) == []
    with driven(tmp_path) as crawl:  # it is asked for once
        assert not any(LOST in each for each in crawl.crawl.notices)


def boot_again(path: Path) -> None:
    """Let a folder's file be of an earlier boot of the machine."""
    known = msgspec.json.decode((path / "commits.json").read_bytes())
    assert known["boot"]
    (path / "commits.json").write_bytes(msgspec.json.encode({**known, "boot": "an earlier one"}))


def test_what_a_power_cut_may_take_is_told_and_gone_on_without(tmp_path: Path) -> None:
    path = put_back(tmp_path)
    boot_again(path)
    with driven(tmp_path, PAGES - 1) as crawl:
        (notice,) = [each for each in crawl.crawl.notices if LOST in each]
        assert ". The machine was restarted, and durability: process survives no power cut. The crawl goes on" in notice
    assert sorted(rows_in(path)) == ["", "1", "2", "3"]
    assert broken(path) == []


def test_a_power_cut_takes_nothing_that_was_to_survive_it(tmp_path: Path) -> None:
    path = put_back(tmp_path)
    boot_again(path)
    with pytest.raises(UsageError, match=LOST), driven(tmp_path, more="durability: power"):
        pass


def test_a_new_crawl_has_lost_nothing_that_another_one_left_in_its_sink(tmp_path: Path) -> None:
    sinks = [{"file": str(tmp_path / DATABASE)}]
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with driven(tmp_path / "one", PAGES, sinks):
        pass
    foreign = pytest.raises(UsageError, match="exists already and is not this crawl's")
    with foreign, driven(tmp_path / "other", sinks=sinks):
        pass


def test_an_opening_that_was_lost_gets_no_number_twice_though_no_commit_was(tmp_path: Path) -> None:
    with driven(tmp_path) as crawl:
        path = crawl.folder.path
    with closing(sqlite3.connect(path / FRONTIER)) as db, db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (msgspec.msgpack.encode(0),))
    with driven(tmp_path) as crawl:
        assert crawl.crawl._store.epoch == 2
        assert epoch_of(path) == 2


def test_verify_names_who_knows_of_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put_back(tmp_path)
    lost = next(each for each in broken(path) if each.name == "every commit that was acknowledged is there")
    assert lost.where[0].startswith(str(path))
    assert LOST in lost.where[0]
    assert main(["verify", str(path)]) == 1
    assert LOST in capsys.readouterr().out


def test_marks_tell_of_a_loss_without_the_folders_file(tmp_path: Path) -> None:
    path = put_back(tmp_path)
    (path / "commits.json").unlink()
    told = refused(tmp_path)
    assert f"at least 1, and with them at least {PAGES - 1} results" in told
    assert f"{path / ITEMS} has {PAGES} results" in told
    assert "commits.json" not in told
    assert any(LOST in where for each in broken(path) for where in each.where)


def test_the_folders_file_tells_of_a_loss_without_marks(tmp_path: Path) -> None:
    path = put_back(tmp_path)
    (path / MARKS).unlink()
    assert ITEMS not in refused(tmp_path)


def test_a_database_tells_of_a_loss_by_its_own_number(tmp_path: Path) -> None:
    path = put_back(tmp_path, (ITEMS, DATABASE))
    (path / "commits.json").unlink()
    (path / MARKS).unlink()
    before = (path / ITEMS).read_bytes()
    told = refused(tmp_path, (ITEMS, DATABASE))
    assert f"{path / DATABASE} has {PAGES} results" in told
    assert (path / ITEMS).read_bytes() == before


def test_a_database_is_cut_back_too(tmp_path: Path) -> None:
    path = put_back(tmp_path, (ITEMS, DATABASE))
    with driven(tmp_path, PAGES - 1, (ITEMS, DATABASE), accept_loss=True):
        pass
    assert broken(path) == []


def test_a_loss_is_not_accepted_where_there_is_none(tmp_path: Path) -> None:
    with driven(tmp_path, 1) as crawl:
        path = crawl.folder.path
    before = epoch_of(path), stored_id(path)
    with driven(tmp_path, PAGES - 1, accept_loss=True) as crawl:
        assert not any(LOST in each for each in crawl.crawl.notices)
    assert (epoch_of(path), stored_id(path)) == (before[0] + 1, before[1])
    assert broken(path) == []


def test_numbers_of_another_crawl_in_its_place_are_not_compared(tmp_path: Path) -> None:
    with driven(tmp_path, PAGES) as crawl:
        path = crawl.folder.path
    known = (path / "commits.json").read_bytes()
    shutil.rmtree(path)
    path.mkdir()
    (path / "commits.json").write_bytes(known)
    with driven(tmp_path, 1):
        pass
    assert broken(path) == []
    assert msgspec.json.decode((path / "commits.json").read_bytes())["results"] == 1


def test_a_crawl_that_is_not_kept_leaves_no_number(tmp_path: Path) -> None:
    path = tmp_path / "crawls" / "driven"
    with driven(tmp_path, 1, more="durability: none"):
        assert not (path / "commits.json").exists()


def test_what_is_at_addresses_is_told_by_its_kind() -> None:
    layout = Layout((Table("page", (Column("path", "text"),)),))
    objects = outputs_at("memory://bucket/items.jsonl", Path(), layout, {})
    posted = outputs_at("https://hook.test/", Path(), layout, {})
    assert _meaning([*objects, *posted]) == (
        "sinks are cut back to what it has, memory://bucket/items.jsonl is put anew when the run ends, "
        "https://hook.test/ keeps what it was sent, and gets rows of these pages again with the same ids"
    )
