"""Rows are counted by rule, with the pages that gave them and the fields that were empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from crawlfleet.coordinator.conduct.tallies import MOST_FIELDS, MOST_ITEMS, OTHERS, TALLIES, Tallies, told
from crawlfleet.coordinator.conduct.turns import told_to
from crawlfleet.coordinator.core.changes import Recorded
from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.shared.messages import Row, Unconverted
from crawlfleet.shared.status import ItemCount
from tests.unit.core_crawl import SEED, CoreCrawl


def row(item: str = "quote", index: int = 0, rejected: str = "", **fields: Any) -> Row:
    return Row(item=item, index=index, fields=fields, rejected=rejected)


def page(*rows: Row, rejected: tuple[Row, ...] = (), unconverted: tuple[Unconverted, ...] = ()) -> Recorded:
    common: dict[str, Any] = {"ref": b"", "url": SEED, "status": 200, "depth": 0, "content_type": "", "size_bytes": 0}
    result = Result(**common, elapsed_s=0.0, at=0.0, hops=(), rows=rows, rejected=rejected)
    return Recorded(result=result, unconverted=unconverted)


def test_rows_pages_and_empty_fields_are_counted_by_item() -> None:
    tallies = Tallies(MemoryStore())
    tallies.note([page(row(text="a", by=""), row(text=0, by=None)), page(), page(row(text=False, by=[]), row("other"))])
    assert tallies.tell((), rows=4) == (
        ItemCount(name="quote", rows=3, pages=2, empty={"by": 3}),
        ItemCount(name="other", rows=1, pages=1),
    )


def test_a_rule_that_never_matched_is_counted_too() -> None:
    assert Tallies(MemoryStore()).tell(("quote",), rows=0) == (ItemCount(name="quote"),)
    tallies = Tallies(MemoryStore())
    tallies.note([page(row("x" * 99))])
    assert [item.rows for item in tallies.tell(("x" * 99,), rows=1)] == [1]


def test_nothing_is_told_if_an_earlier_version_did_not_count() -> None:
    assert Tallies(MemoryStore()).tell(("quote",), rows=9) == ()


def test_a_hook_cannot_name_more_than_is_counted() -> None:
    tallies = Tallies(MemoryStore())
    fields: dict[str, Any] = dict.fromkeys(map(str, range(MOST_FIELDS + 5)))
    tallies.note([page(*(row(f"i{number}", 0, **fields) for number in range(MOST_ITEMS + 5)))])
    told = {item.name: item for item in tallies.tell(("rule",), rows=MOST_ITEMS + 5)}
    assert (len(told), told[OTHERS].rows, told[OTHERS].pages) == (MOST_ITEMS + 1, 5, 1)
    assert len(told["i0"].empty) == MOST_FIELDS


def test_values_that_cannot_be_converted_are_counted_by_field_with_the_first_as_a_sample() -> None:
    tallies = Tallies(MemoryStore())
    told = (Unconverted("quote", "price", 2, "sold out"), Unconverted("quote", "tags.n", 1, "many"))
    tallies.note(
        [page(row(price=None), unconverted=told), page(unconverted=(Unconverted("quote", "price", 3, "free"),))]
    )
    (item,) = tallies.tell((), rows=1)
    assert (item.unconverted, item.samples) == ({"price": 5, "tags.n": 1}, {"price": "sold out", "tags.n": "many"})
    fields = tuple(Unconverted("quote", f"f{number}", 1) for number in range(MOST_FIELDS + 5))
    tallies.note([page(unconverted=fields)])
    assert len(tallies.tell((), rows=1)[0].unconverted) == MOST_FIELDS


def test_rejected_rows_are_counted_apart_with_the_last_reason(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / FRONTIER)
    tallies = Tallies(store)
    tallies.note([page(row(a=1), rejected=(row(rejected="a"),)), page(rejected=(row(rejected="b"), row(rejected="c")))])
    expected = (ItemCount(name="quote", rows=1, pages=2, rejected=3, rejected_for="c"),)
    assert tallies.tell((), rows=1) == expected
    store.close()
    again = SqliteStore(tmp_path / FRONTIER)
    assert Tallies(again).tell((), rows=1) == expected
    assert told(again.kept(TALLIES), (), 1) == expected
    again.close()


def test_counts_of_an_earlier_version_are_read() -> None:
    kept = msgspec.msgpack.encode({"quote": [2, 1, {"by": 1}]})
    assert told(kept, (), 2) == (ItemCount(name="quote", rows=2, pages=1, empty={"by": 1}),)


def test_a_crawl_that_goes_on_goes_on_counting(tmp_path: Path) -> None:
    for run in range(2):
        crawl = CoreCrawl(SEED, f"{SEED}2", store=SqliteStore(tmp_path / FRONTIER))
        crawl.service._journal = told_to(Tallies(crawl.store).note)
        crawl.hello("s")
        if not run:
            crawl.open_gates()
        lease, task = crawl.ask(want=1)[0]
        crawl.settle(lease, task, rows=(row(text=""),))
        crawl.store.close()
    store = SqliteStore(tmp_path / FRONTIER)
    assert Tallies(store).tell((), store.ledger().rows) == (
        ItemCount(name="quote", rows=2, pages=2, empty={"text": 2}),
    )
    store.close()


def test_names_have_no_control_characters() -> None:
    tallies = Tallies(MemoryStore())
    tallies.note([page(Row(item="a\x1b[2J", index=0, fields={"b\r": ""}))])
    assert tallies.tell((), rows=1) == (ItemCount(name="a [2J", rows=1, pages=1, empty={"b ": 1}),)
