"""Results that are large are read in portions of some bytes, so that no reader holds more than it must."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite import reader, result_reader
from crawlfleet.coordinator.frontier.sqlite.reader import open_reader
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.results import results_dict
from crawlfleet.coordinator.results.results_dict import ResultsDict
from crawlfleet.shared.messages import ResultPage, Row, decode
from tests.unit.core_crawl import SEED, CoreCrawl

SIZE = 1_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a crawl with three results of more than `SIZE` bytes each."""
    for module in (result_reader, reader):
        monkeypatch.setattr(module, "READ_BYTES", 2 * SIZE + SIZE // 2)
    with closing(SqliteStore(tmp_path / FRONTIER)) as store:
        crawl = CoreCrawl(*(f"{SEED}{number}" for number in range(3)), store=store)
        crawl.hello("s")
        crawl.open_gates()
        for lease, task in crawl.ask():
            crawl.settle(lease, task, rows=(Row(item="i", index=0, fields={"t": "x" * SIZE}),))
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(folder / FRONTIER)) as store:
        yield store


def test_no_more_results_are_read_at_once_than_some_bytes_but_one_always_is(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [len(store.results(cursor, 9)) for cursor in range(4)] == [2, 2, 1, 0]
    monkeypatch.setattr(result_reader, "READ_BYTES", 1)
    assert [len(store.results(cursor, 9)) for cursor in range(4)] == [1, 1, 1, 0]


def test_whoever_reads_from_outside_misses_none(folder: Path) -> None:
    with closing(open_reader(folder)) as found:
        assert len([result for _, result in found.results()]) == 3


def test_a_page_of_the_results_dict_has_no_more_than_some_bytes(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_dict, "MAX_PAGE_BYTES", SIZE)
    results = ResultsDict(store, CoreCrawl().service.urls)
    cursor, read = 0, list[tuple[str, Any]]()
    while (page := decode(results.page(cursor, 9), ResultPage)).results:
        assert len(page.results) == 1
        read += page.results
        cursor = page.cursor
    assert [(url, len(value[0]["t"])) for url, value in read] == [(f"{SEED}{number}", SIZE) for number in range(3)]
