"""What was unusual about a page is noted: in its record, in the table of URLs, in the summary."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from crawlfleet.coordinator.conduct.counting import count
from crawlfleet.coordinator.core.changes import Recorded
from crawlfleet.coordinator.core.judging import judged
from crawlfleet.coordinator.frontier.registry import FRONTIER, open_reader
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.offline.url_table import url_rows
from crawlfleet.coordinator.summary import Summary
from crawlfleet.screen.console import Console
from crawlfleet.screen.tables import show_summary
from crawlfleet.shared.messages import Kind, Outcome, Report
from crawlfleet.shared.notes import Note, known
from tests.unit.core_crawl import CoreCrawl
from tests.unit.rule_turns import POLICY

ROOT = Path(__file__).resolve().parents[2]


def test_every_note_has_its_row_in_the_documents_and_no_other_has() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (.+) \|$", (ROOT / "docs/reference/notes.md").read_text(), re.MULTILINE)
    assert rows == [(note.value, note.meaning) for note in Note]


def test_only_known_notes_are_kept_each_once() -> None:
    sent = ("tls_cut", "x" * 10**6, "body_short", "tls_cut", *map(str, range(1_000)))
    report = Report(lease=1, ref=b"r", outcome=Outcome.FETCHED, notes=sent)
    assert judged(report, Kind.PAGE, POLICY).notes == known(sent) == ("tls_cut", "body_short")


def test_a_noted_page_is_fetched_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = SqliteStore(tmp_path / FRONTIER)
    store.keep("job", b'{"sinks": []}')
    crawl = CoreCrawl(store=store)
    crawl.hello("s")
    crawl.open_gates()
    ((lease, page),) = crawl.ask()
    crawl.settle(lease, page, notes=("tls_cut", "body_short"))
    assert (crawl.task(page.url).reason, crawl.task(page.url).notes) == ("", ("tls_cut", "body_short"))
    (recorded,) = [change for change in crawl.changes if isinstance(change, Recorded)]
    assert recorded.result.notes == ("tls_cut", "body_short")
    numbers = count(store, job="job", elapsed_s=1.0, robots_wait_s=1.0)
    assert (numbers.fetched, numbers.noted) == (1, {"tls_cut": 1, "body_short": 1})
    end = {"ended": "finished", "started_at": "", "fetched_before": 0, "sinks": (), "resumable": True, "exit_code": 0}
    show_summary(msgspec.convert(msgspec.structs.asdict(numbers) | end, Summary), Console())
    shown = " ".join(capsys.readouterr().out.split())
    assert f"noted of 1 page: tls_cut: {Note.TLS_CUT.meaning}" in shown
    store.close()
    with closing(open_reader(tmp_path)) as reader:
        assert [row["notes"] for row in url_rows(reader) if row["kind"] == "page"] == [["tls_cut", "body_short"]]


def test_a_page_that_is_tried_again_has_the_notes_of_its_last_answer() -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    crawl.open_gates()
    ((lease, page),) = crawl.ask()
    crawl.settle(lease, page, outcome=Outcome.HTTP_ERROR, status=503, reason="http_503", notes=("tls_cut",))
    assert (crawl.task(page.url).notes, crawl.store.ledger().noted) == (("tls_cut",), {})
    crawl.now += 60.0
    ((lease, page),) = crawl.ask()
    crawl.settle(lease, page)
    assert (crawl.task(page.url).notes, crawl.store.ledger().noted) == ((), {})
