"""Where a crawl's store is: in its folder, or in a database that its folder names."""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from crawlfleet.coordinator.frontier.crawl_address import CrawlAddress
from crawlfleet.coordinator.frontier.kept_address import ADDRESS_FILE, folder_id, keep_address, kept_address
from crawlfleet.coordinator.frontier.registry import (
    FRONTIER,
    STORES,
    StorePlace,
    open_reader,
    place_for,
    place_named,
    stored_in,
)
from crawlfleet.shared.errors import UsageError
from tests.toys.stores import ENTRY, OWNER, folder_of, toy_address


@pytest.fixture(autouse=True)
def toy_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STORES, ENTRY.name, ENTRY)


@pytest.fixture
def database(tmp_path: Path) -> str:
    (tmp_path / "database").mkdir()
    return toy_address(tmp_path / "database")


def filled(place: StorePlace) -> None:
    """Make a store in which something is kept."""
    with closing(place.open(power=False)) as store:
        store.keep("job", b'{"name": "demo"}')


@pytest.mark.parametrize(("durability", "store"), [("process", "sqlite"), ("power", "sqlite"), ("none", "memory")])
def test_a_job_that_names_no_store_has_it_in_its_folder(durability: str, store: str, tmp_path: Path) -> None:
    assert place_for(durability, None, "demo", tmp_path) == StorePlace(STORES[store], tmp_path)


def test_a_job_may_name_the_store_of_files(tmp_path: Path) -> None:
    place = place_for("process", "sqlite", "demo", tmp_path)
    assert (place, str(place)) == (StorePlace(STORES["sqlite"], tmp_path), str(tmp_path))
    assert not place.is_stored()
    filled(place)
    assert place.is_stored()
    assert stored_in(tmp_path) == place
    with closing(place.read()) as reader:
        assert reader.job == {"name": "demo"}


def test_a_crawl_in_a_database_is_found_by_its_folder_and_by_its_address(database: str, tmp_path: Path) -> None:
    place = place_for("process", database, "demo", tmp_path)
    assert str(place) == f"{database}?crawl=demo"
    assert not place.is_stored()
    filled(place)
    assert place.is_stored()
    assert stored_in(tmp_path) is None
    assert place.at is not None
    keep_address(tmp_path, place.at)
    assert stored_in(tmp_path) == place
    assert place_named(str(place)) == place._replace(folder=None)
    for name in (tmp_path, str(place)):
        with closing(open_reader(name)) as reader:
            assert reader.job == {"name": "demo"}
    assert not (tmp_path / FRONTIER).exists()


def test_the_address_is_for_the_owner_of_the_folder_alone(tmp_path: Path) -> None:
    assert (kept_address(tmp_path), folder_id(tmp_path)) == (None, "")
    at = CrawlAddress("toy://h", "demo")
    keep_address(tmp_path, at)
    assert kept_address(tmp_path) == at
    assert (tmp_path / ADDRESS_FILE).stat().st_mode & 0o777 == 0o600


def test_a_folder_keeps_its_own_name_when_its_address_changes(tmp_path: Path) -> None:
    names = set()
    for crawl in ("one", "one", "two"):
        keep_address(tmp_path, CrawlAddress("toy://h", crawl))
        names.add(folder_id(tmp_path))
    assert kept_address(tmp_path) == CrawlAddress("toy://h", "two")
    assert len(names) == 1
    (tmp_path / "other").mkdir()
    keep_address(tmp_path / "other", CrawlAddress("toy://h", "two"))
    assert folder_id(tmp_path / "other") not in names


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", r"frontier\.json cannot be read: .*put back"),
        ('{"address": "toy://h/db", "folder": "x"}', "the address names no crawl"),
        ('{"address": "toy://h/db?crawl=a&password=hunter2", "folder": "x"}', "the address has a password"),
        ('{"address": "toys://h/db?crawl=a", "folder": "x"}', "no store is at such an address"),
    ],
)
def test_a_kept_address_that_is_none_is_refused(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / ADDRESS_FILE).write_text(content)
    with pytest.raises(UsageError, match=said) as told:
        stored_in(tmp_path)
    assert "hunter2" not in str(told.value)


def test_an_address_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*none/frontier\.json: No such file"):
        keep_address(tmp_path / "none", CrawlAddress("toy://h", "demo"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("toy://h/db", r"names no crawl: write one such as .*\?crawl=NAME"),
        (
            "toys://h/db?crawl=a",
            "no store is at such an address: write sqlite, or an address that begins with .*toy://",
        ),
        ("toy://me:hunter2@h/db?crawl=a", "has a password"),
    ],
)
def test_an_address_that_names_no_crawl_is_refused(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as told:
        open_reader(name)
    assert "hunter2" not in str(told.value)


def test_a_folder_without_a_crawl_is_told_by_the_files_that_would_show_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"frontier\.db or frontier\.json is not there"):
        open_reader(tmp_path)


def test_a_store_whose_library_is_missing_is_told_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("schemas", "reader", "store"):
        monkeypatch.setitem(sys.modules, f"crawlfleet.coordinator.frontier.postgresql.{module}", None)
    place = place_for("process", "postgresql://h/db", "demo", tmp_path)
    for use in (place.is_stored, place.read, partial(place.open, power=False)):
        with pytest.raises(UsageError, match=r"the store postgresql cannot .*: pip install 'crawlfleet\[postgres\]'"):
            use()


def test_a_crawl_that_somebody_has_open_is_refused(database: str, tmp_path: Path) -> None:
    place = place_for("process", database, "demo", tmp_path)
    filled(place)
    place.refuse_if_running()
    (folder_of(database, "crawl_demo") / OWNER).write_text("h:1")
    with pytest.raises(UsageError, match="crawl=demo is in use by the coordinator h:1: wait or stop it"):
        place.refuse_if_running()
    place_for("process", None, "demo", tmp_path).refuse_if_running()


def test_a_crawl_in_a_database_gets_another_name(database: str, tmp_path: Path) -> None:
    place = place_for("process", database, "demo", tmp_path)
    filled(place)
    after = place.renamed("demo.1")
    assert str(after) == f"{database}?crawl=demo.1"
    assert (place.is_stored(), after.is_stored()) == (False, True)
