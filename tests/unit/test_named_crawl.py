"""Commands that read a crawl take its folder, or its address, if it is stored in a database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crawlfleet.__main__ import main
from crawlfleet.coordinator.frontier.crawl_address import CrawlAddress
from crawlfleet.coordinator.frontier.kept_address import keep_address
from crawlfleet.coordinator.frontier.registry import STORES
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.coordinator.sinks.rejected_sink import REJECTED
from tests.toys.stores import ENTRY, OWNER, toy_address
from tests.unit.durable_crawl import ITEMS, SEED, DurableCrawl


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "database" / "crawl_demo"
    path.mkdir(parents=True)
    crawl = DurableCrawl(path)
    crawl.begin()
    crawl.finish()
    crawl.close()
    return path


@pytest.fixture
def folder(schema: Path, tmp_path: Path) -> Path:
    """Return the folder of a crawl whose store is in a database."""
    folder = tmp_path / "demo"
    folder.mkdir()
    (schema / ITEMS).rename(folder / ITEMS)
    return folder


@pytest.fixture
def address(folder: Path, schema: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(STORES, ENTRY.name, ENTRY)
    at = CrawlAddress(toy_address(schema.parent), "demo")
    keep_address(folder, at)
    return str(at)


def test_verify_looks_at_the_files_of_a_folder(folder: Path, address: str) -> None:
    by_folder, by_address = verify(folder), verify(address)
    assert by_folder.holds
    assert by_address.holds
    assert [each.checked for each in by_folder.invariants if each.name.startswith(ITEMS)] == [4]
    unseen = [each for each in by_address.invariants if ITEMS in each.name]
    assert [(each.name, each.checked) for each in unseen] == [
        (f"{ITEMS} was not looked at: it is in the crawl's folder, and only its address was named", 0)
    ]
    assert not any(REJECTED in each.name for each in by_address.invariants)
    (folder / ITEMS).write_bytes(b"")
    assert not verify(folder).holds


def test_every_command_that_reads_crawls_takes_both(
    folder: Path, address: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found: dict[str, list[str]] = {}
    for crawl in (str(folder), address):
        assert main(["verify", crawl]) == 0
        assert main(["audit-politeness", crawl]) == 0
        capsys.readouterr()
        target = tmp_path / "rows.jsonl"
        assert main(["export", crawl, "--to", str(target), "--overwrite"]) == 0
        assert main(["export", crawl, "--table", "urls", "--to", str(tmp_path / "urls.jsonl"), "--overwrite"]) == 0
        found[crawl] = [json.loads(line)["url"] for line in target.read_text().splitlines()]
    assert found[str(folder)] == found[address]
    assert SEED in found[address]


def test_a_crawl_that_runs_elsewhere_is_not_verified(
    folder: Path, address: str, schema: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (schema / OWNER).write_text("host:1")
    for crawl in (str(folder), address):
        assert main(["verify", crawl]) == 2
        assert "crawl=demo is in use by the coordinator host:1: wait or stop it" in capsys.readouterr().err


@pytest.mark.usefixtures("address")
def test_a_password_is_refused_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "toy://me:hunter2@h/db?crawl=demo"]) == 2
    told = capsys.readouterr()
    assert "the address of the crawl: the address has a password" in told.err
    assert "hunter2" not in told.err + told.out
