"""What limits leave out of a page is told: in its record, in the log, in the summary, by `verify`."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from crawlfleet.__main__ import main
from crawlfleet.coordinator.conduct.counting import count
from crawlfleet.coordinator.conduct.journal import Journal
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.shared.messages import Outcome
from tests.unit.core_crawl import CoreCrawl


def test_what_was_left_out_of_a_page_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = SqliteStore(tmp_path / FRONTIER)
    store.keep("job", b'{"sinks": []}')
    crawl = CoreCrawl(store=store)
    crawl.hello("s")
    crawl.open_gates()
    ((lease, page),) = crawl.ask()
    crawl.settle(lease, page, links_left_out=1, rows_left_out=2)
    told = "capped: 3 left out (1 link, 2 rows)"
    assert crawl.task(page.url).detail == told
    with capture_logs() as logged:
        Journal()(crawl.changes)
    (entry,) = [entry for entry in logged if entry["event"] == "page capped"]
    assert (entry["url"], entry["detail"]) == (page.url, told)
    numbers = count(store, job="job", elapsed_s=1.0, robots_wait_s=1.0)
    assert (numbers.capped_pages, numbers.links_left_out, numbers.rows_left_out) == (1, 1, 2)
    store.close()
    assert main(["verify", str(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{told} of 1 page: more than limits.links, rows, row_bytes or report_bytes allow; the log names it" in shown


@pytest.mark.parametrize(
    ("outcome", "detail"),
    [
        (Outcome.EXTRACT_ERROR, "the hook raised KeyError; capped: 4 left out (4 links)"),
        (Outcome.HTTP_ERROR, "the hook raised KeyError"),
    ],
)
def test_a_page_without_links_has_none_left_out(outcome: Outcome, detail: str) -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    crawl.open_gates()
    ((lease, page),) = crawl.ask()
    crawl.settle(lease, page, outcome=outcome, links_left_out=4, detail="the hook raised KeyError")
    assert crawl.task(page.url).detail == detail
    assert crawl.store.ledger().left_out.pages == (outcome is Outcome.EXTRACT_ERROR)
