"""What the log tells of the distance between requests, and what counts as too soon."""

from __future__ import annotations

import io
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from crawlfleet.__main__ import main
from crawlfleet.coordinator.core.changes import Start
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.story import StoryLine, decode_block, encode_block
from crawlfleet.coordinator.offline.audit import Audit, audit, audit_host
from crawlfleet.screen.console import Console
from crawlfleet.screen.tables import show_audit
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.messages import Hello, Lease, Task
from tests.policies import policy_with
from tests.unit.durable_crawl import POLICY, DurableCrawl, report


def start(at: float, spacing_s: float = 1.0, gap_s: float | None = None, sender: int = 1) -> Start:
    return Start("a.test", at, spacing_s, gap_s, sender)


def test_within_a_session_its_own_clock_counts_however_late_reports_come() -> None:
    found = audit_host("a.test", [start(0.3), start(1.01, gap_s=1.0), start(2.5, gap_s=1.2)])
    assert (found.starts, found.gap_s, found.allowed_s, found.too_soon) == (3, 1.0, 1.0, 0)


def test_between_sessions_the_time_of_the_log_counts() -> None:
    found = audit_host("a.test", [start(0.0), start(0.9, sender=2)])
    assert (found.gap_s, found.too_soon) == (0.9, 1)


def test_a_session_that_comes_between_the_starts_of_another_is_seen() -> None:
    found = audit_host("a.test", [start(0.0), start(1.1, sender=2), start(1.3, gap_s=1.3)])
    assert found.gap_s == pytest.approx(0.2)
    assert found.too_soon == 1


def test_a_start_that_was_told_late_may_be_of_the_session_that_told_of_a_later_one() -> None:
    found = audit_host("a.test", [start(12.0, gap_s=1.01), start(11.1, sender=0)])
    assert (found.starts, found.too_soon) == (2, 0)


def test_a_start_that_another_was_measured_from_may_be_told_after_it() -> None:
    found = audit_host("a.test", [start(1.0), start(12.0, gap_s=1.1), start(12.4)])
    assert (found.starts, found.too_soon) == (3, 0)
    found = audit_host("a.test", [start(1.0), start(11.0), start(12.0, gap_s=1.0), start(12.4)])
    assert (found.starts, found.too_soon) == (4, 1)


def test_each_gap_is_held_against_the_delay_that_it_was_granted_with() -> None:
    starts = [start(0.0), start(1.0, gap_s=1.0), start(5.0, 5.0, gap_s=4.0), start(6.0, gap_s=1.0)]
    found = audit_host("a.test", starts)
    assert (found.gap_s, found.allowed_s, found.too_soon) == (4.0, 5.0, 1)


def test_what_was_granted_without_a_delay_is_not_judged_but_counts_for_what_comes_after() -> None:
    found = audit_host("a.test", [start(0.0, 0.0), start(0.1, 0.0), start(0.6, 1.0, sender=2)])
    assert (found.gap_s, found.too_soon) == (0.5, 1)


def test_rounding_is_no_violation() -> None:
    assert audit_host("a.test", [start(0.0), start(1.0, gap_s=1.0 - 1e-9)]).too_soon == 0


@pytest.mark.parametrize("gap_s", [math.nan, math.inf])
def test_a_gap_that_no_clock_measures_is_none(gap_s: float) -> None:
    assert audit_host("a.test", [start(0.0), start(0.4, gap_s=gap_s)]).too_soon == 1


def crawled(folder: Path, delay_s: float) -> Path:
    """Crawl with a delay, over two incarnations, each page reported a moment after its start."""
    policy = policy_with(POLICY, delay_s=delay_s)
    crawl = DurableCrawl(folder, policy)
    crawl.begin()
    granted: list[tuple[Lease, Task]] = []
    fetched = 0
    while not crawl.service.is_finished:
        granted += crawl.ask()
        if granted:
            lease, task = granted.pop(0)
            crawl.now += task.start_after_s
            granted += crawl.ask(replace(report(lease, task), age_s=0.0))
            fetched += 1
        if fetched == 2 and not granted:
            crawl.close()
            crawl = DurableCrawl(folder, policy)
            crawl.service.hello(Hello(session="s"), crawl.now)
            fetched += 1
        crawl.now += 0.25
    crawl.close()
    return folder


def test_the_log_of_a_crawl_is_audited_over_its_incarnations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = audit(crawled(tmp_path, delay_s=1.0)).hosts
    assert (found.host, found.starts, found.allowed_s, found.too_soon) == ("a.test", 5, 1.0, 0)
    assert found.gap_s is not None
    assert found.gap_s >= 1.0
    assert main(["audit-politeness", str(tmp_path)]) == 0
    assert "a.test" in capsys.readouterr().out


def test_a_request_that_came_too_soon_is_found_and_told_by_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crawled(tmp_path, delay_s=1.0)
    with closing(sqlite3.connect(tmp_path / FRONTIER)) as db, db:
        for seq, lines in db.execute("SELECT seq, lines FROM story").fetchall():
            hurried = [_hurried(line) for line in decode_block(lines)]
            db.execute("UPDATE story SET lines = ? WHERE seq = ?", (encode_block(hurried), seq))
    assert main(["audit-politeness", str(tmp_path)]) == 1
    assert "0.500 s" in capsys.readouterr().out


def _hurried(line: StoryLine) -> StoryLine:
    return line if line.start is None else replace(line, start=Start("a.test", line.start.at / 2, 1.0, 0.5, 1))


def test_hosts_without_a_delay_are_not_in_the_log(tmp_path: Path) -> None:
    assert audit(crawled(tmp_path, delay_s=0.0)).hosts == ()


def test_a_folder_without_a_crawl_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        audit(tmp_path)


def test_names_of_hosts_are_shown_as_they_are_and_the_rest_is_counted() -> None:
    hosts = tuple(audit_host(f"[red]h{number}.test", [start(0.0)]) for number in range(60))
    shown = Console(file=io.StringIO(), width=120)
    show_audit(Audit(hosts=hosts), shown)
    text = shown.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO of above
    assert "[red]h0.test" in text
    assert "and 10 hosts more" in text
