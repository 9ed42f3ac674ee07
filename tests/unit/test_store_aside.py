"""The earlier run of a crawl whose store is in a database: it is resumed, moved aside, or told where it is."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crawlfleet.coordinator.crawl_folder import CrawlFolder
from crawlfleet.coordinator.earlier_run import OUTPUTS, Wishes, note_end, take_folder
from crawlfleet.coordinator.frontier.crawl_address import CrawlAddress
from crawlfleet.coordinator.frontier.kept_address import ADDRESS_FILE, keep_address
from crawlfleet.coordinator.frontier.registry import FRONTIER, STORES, open_reader, place_for
from crawlfleet.coordinator.job.job import as_data, load_from
from crawlfleet.coordinator.job.source import Setting
from crawlfleet.coordinator.served_folders import FileNames
from crawlfleet.coordinator.sinks.outputs import outputs_of
from crawlfleet.run.quick_job import QuickOptions, quick_job
from crawlfleet.shared.errors import UsageError
from tests.results import result
from tests.toys.stores import ENTRY, OWNER, folder_of, toy_address

LOG = [result(1), result(2), result(3, rows=0)]
CRAWL = Path("crawls") / "my-shop"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(STORES, ENTRY.name, ENTRY)
    for name in ("database", "other"):
        (tmp_path / name).mkdir()


def database(name: str = "database") -> str:
    return toy_address(Path.cwd() / name)


def job_of(*outputs: str, frontier: str | None, name: str = "my-shop") -> dict[str, Any]:
    settings = [] if frontier is None else [Setting("frontier", frontier, "test")]
    made = QuickOptions(urls=["http://h.test/"], outputs=outputs, name=name, settings=settings)
    return as_data(load_from(quick_job(made, str)))


def earlier(job: dict[str, Any], *, finished: bool = False) -> None:
    """Leave what a run leaves in its folder, its store and its outputs."""
    CRAWL.mkdir(parents=True, exist_ok=True)
    place = place_for("process", job["frontier"], job["name"], CRAWL)
    if place.at is not None:
        keep_address(CRAWL, place.at)
    names = FileNames(place)
    with closing(place.open(power=False)) as store, closing(store.open_marks()) as marks:
        store.keep("job", msgspec.json.encode(job))
        for output in outputs_of(job, CRAWL):
            with closing(output.open(None, power=False)) as sink:
                marks.set(names.of(output), sink.write(LOG))
        note_end(store, finished=finished)


def take(job: dict[str, Any], **wishes: Any) -> CrawlFolder:
    """Take the folder of a job, as long as a process would have it that ends at once."""
    folder = take_folder(job, Wishes(crawls=Path("crawls"), **wishes))
    os.close(folder._lock)
    return folder


def crawls(name: str = "database") -> list[str]:
    """Name the schemas of a database."""
    return sorted(path.name for path in Path(name).iterdir())


def test_a_crawl_in_a_database_is_resumed_and_nothing_moves() -> None:
    job = job_of(frontier=database())
    earlier(job)
    folder = take(job)
    assert (folder.is_resumable, folder.told) == (True, "")
    assert crawls() == ["crawl_my_shop"]


def test_a_crawl_in_a_database_is_resumed_where_its_folder_is_new() -> None:
    job = job_of(frontier=database())
    earlier(job)
    CRAWL.rename("elsewhere")
    folder = take(job)
    assert (folder.is_resumable, folder.told) == (True, "")
    assert not (CRAWL / "items.jsonl").exists()


def test_fresh_gives_the_crawl_another_name_which_its_folder_keeps() -> None:
    job = job_of("rows.jsonl", frontier=database())
    earlier(job)
    folder = take(job, fresh=True)
    assert folder.moved_to is not None
    address = f"{database()}?crawl={folder.moved_to.name}"
    assert (
        folder.told
        == f"the earlier run is now in {folder.moved_to} and {address}; moved into it: {Path.cwd() / 'rows.jsonl'}"
    )
    assert crawls() == ["crawl_" + folder.moved_to.name.replace(".", "_").replace("-", "_")]
    assert not (folder.path / ADDRESS_FILE).exists()
    for name in (folder.moved_to, address):
        with closing(open_reader(name)) as reader:
            assert reader.job["sinks"] == [{"file": f"{OUTPUTS}/rows.jsonl", "formulas": "escape", "rotate": None}]


def test_fresh_finds_a_crawl_of_another_machine() -> None:
    job = job_of(frontier=database())
    earlier(job)
    CRAWL.rename("elsewhere")
    folder = take(job, fresh=True)
    (schema,) = crawls()
    assert schema.startswith("crawl_my_shop_2")
    assert (folder.moved_to, folder.is_resumable) == (None, False)
    assert folder.told.startswith(f"the earlier run is now in {database()}?crawl=my-shop.2")


def test_a_crawl_that_has_finished_is_moved_aside_when_it_begins_anew() -> None:
    job = job_of(frontier=database())
    earlier(job, finished=True)
    assert take(job, anew=True).told
    assert crawls() != ["crawl_my_shop"]


def test_a_crawl_that_somebody_has_open_is_not_moved_and_its_folder_knows_it_still() -> None:
    job = job_of(frontier=database())
    earlier(job)
    (folder_of(database(), "crawl_my_shop") / OWNER).write_text("h:1")
    with pytest.raises(UsageError, match=r"crawl_my_shop is in use by h:1"):
        take(job, fresh=True)
    with closing(open_reader(CRAWL)) as reader:
        assert reader.job == job
    assert crawls() == ["crawl_my_shop"]


def test_a_crawl_that_is_elsewhere_is_told_with_where_it_is() -> None:
    in_database, in_file = job_of(frontier=database()), job_of(frontier=None)
    earlier(in_database)
    for other in (in_file, job_of(frontier=database("other"))):
        with pytest.raises(UsageError, match=r"is stored in toy:.*crawl=my-shop: go on .* --frontier 'toy:.*--fresh"):
            take(other)
    assert take(in_file, fresh=True).moved_stores
    earlier(in_file)
    with pytest.raises(UsageError, match=r"is stored in crawls/my-shop: go on with it there by --frontier 'sqlite'"):
        take(in_database)
    folder = take(in_database, fresh=True)
    assert folder.moved_to is not None
    assert (folder.moved_to / FRONTIER).exists()


def test_a_crawl_that_was_taken_to_another_database_is_gone_on_with_there() -> None:
    earlier(job_of(frontier=database()))
    Path("database/crawl_my_shop").rename("other/crawl_my_shop")
    assert take(job_of(frontier=database("other"))).is_resumable


def test_fresh_also_moves_what_is_where_the_next_run_is_to_be() -> None:
    earlier(job_of(frontier=database()))
    CRAWL.rename("elsewhere")
    earlier(job_of(frontier=None))
    folder = take(job_of(frontier=database()), fresh=True)
    assert folder.moved_to is not None
    assert "crawl_my_shop" not in crawls()
    assert folder.moved_stores == (f"{database()}?crawl={folder.moved_to.name}",)


def test_a_death_while_a_crawl_is_moved_aside_is_told_or_mended() -> None:
    job = job_of(frontier=database())
    earlier(job)
    keep_address(CRAWL, CrawlAddress(database(), "my-shop.1"))
    assert take(job).is_resumable
    Path("database/crawl_my_shop").rename("database/crawl_my_shop_1")
    with pytest.raises(UsageError, match=r"was interrupted, .*crawl=my-shop\.1 now: start again by --fresh"):
        take(job)
    folder = take(job, fresh=True)
    assert folder.moved_to is not None
    assert folder.moved_stores == (f"{database()}?crawl={folder.moved_to.name}",)
    assert "crawl_my_shop_1" not in crawls()


def test_two_names_that_have_one_schema_are_told() -> None:
    earlier(job_of(frontier=database()))
    for fresh in (False, True):
        with pytest.raises(UsageError, match=r"has the crawl 'my-shop' in the schema crawl_my_shop, .* 'my_shop'"):
            take(job_of(frontier=database(), name="my_shop"), fresh=fresh)
    assert crawls() == ["crawl_my_shop"]


def test_rows_without_the_store_that_they_came_from_are_refused() -> None:
    job = job_of(frontier=database())
    earlier(job)
    Path("database/crawl_my_shop").rename("gone")
    with pytest.raises(UsageError, match=r"holds the results of a run that cannot be resumed"):
        take(job)
    assert take(job, fresh=True).moved_to is not None


def test_a_database_that_does_not_answer_stops_the_run_before_anything_moves() -> None:
    job = job_of(frontier=database())
    earlier(job)
    Path("database").rename("gone")
    for fresh in (False, True):
        with pytest.raises(UsageError, match="cannot connect to toy:"):
            take(job, fresh=fresh)
    assert (CRAWL / ADDRESS_FILE).exists()
