"""Whole crawls with a page that takes more CPU time, or longer, than its job allows: it alone fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.worker.node import SHORT_RUNS
from tests.integration.sick_crawl import OTHERS, SickCrawl, crawl

pytestmark = pytest.mark.long

# The time that lexbor takes for a tag grows with the square of its attributes.
ATTRIBUTES = "<title>sick</title><p " + " ".join(f"a{number}" for number in range(60_000)) + ">"
HOOK = """\
import re, time


def parse(page):
    if page.url.endswith("/sick"):
        {sick}
    yield {{"url": page.url}}
"""
ENDLESS = "while True: sum(range(100))"
SLEEP = "time.sleep(3_600)"
# It keeps the interpreter's lock: no other thread of its process runs.
REGEX = 're.match("(a+)+$", "a" * 60 + "b")'


def ended(found: SickCrawl, reason: str) -> dict[str, object]:
    """Check that one page alone has failed; return the line of the log that says so."""
    assert found.code == 0, found.printed
    assert (found.summary["fetched"], found.summary["failed"]) == (OTHERS + 1, 1)
    assert found.summary["reasons"] == {reason: 1}
    assert found.events[TaskEvent.LOST] == found.events[TaskEvent.RETRIED] == found.events[TaskEvent.POISONED] == 0
    (line,) = found.logged("a page was ended, and its worker is replaced")
    assert (line["url"], line["reason"]) == (f"{found.base}/sick", reason)
    assert "a worker died" not in {line["event"].partition(",")[0] for line in found.log}
    return line


def test_a_page_that_its_parser_cannot_end_is_ended_at_its_limit(tmp_path: Path) -> None:
    job = "limits: {cpu: 1s}\nparse: {engine: lexbor}"
    line = ended(crawl(tmp_path, job, sick={"/sick": ATTRIBUTES}), "cpu_limit")
    assert line["detail"] == "reading it took more than 1s of CPU time (limits.cpu)"


def test_a_hook_that_never_returns_is_ended_at_the_limit_of_cpu_time_with_its_line(tmp_path: Path) -> None:
    line = ended(crawl(tmp_path, "limits: {cpu: 1s}", HOOK.format(sick=ENDLESS)), "cpu_limit")
    assert str(line["detail"]).endswith("hook.py:6 took more than 1s of CPU time (limits.cpu)")


def test_a_hook_that_sleeps_for_ever_is_ended_at_the_limit_of_time(tmp_path: Path) -> None:
    line = ended(crawl(tmp_path, "limits: {cpu: 1s, parse_time: 2s}", HOOK.format(sick=SLEEP)), "parse_time")
    assert str(line["detail"]).endswith("hook.py:6 took longer than 2s (limits.parse_time)")


def test_a_hook_that_hangs_is_named_with_its_page_and_line_while_it_does(tmp_path: Path) -> None:
    found = crawl(tmp_path, "limits: {parse_time: 3s}", HOOK.format(sick=SLEEP))
    lines = found.logged("a page takes long")
    assert len(lines) >= 2
    assert {line["url"] for line in lines} == {f"{found.base}/sick"}
    assert all(str(line["detail"]).endswith("hook.py:6") and line["thread"] for line in lines)
    assert f"crawlfleet: {found.base}/sick has been read for 1s: the hook at {tmp_path}/hook.py:6" in found.printed


def test_a_worker_that_a_page_keeps_from_running_python_is_ended_by_its_node(tmp_path: Path) -> None:
    line = ended(crawl(tmp_path, "limits: {cpu: 1s}", HOOK.format(sick=REGEX)), "cpu_limit")
    assert line["detail"] == "reading it took more than 1s of CPU time (limits.cpu)"


def test_a_page_that_keeps_the_interpreter_is_ended_before_its_worker_loses_its_leases(tmp_path: Path) -> None:
    line = ended(crawl(tmp_path, "lease: 4s", HOOK.format(sick=REGEX)), "cpu_limit")
    assert line["detail"] == "reading it kept the interpreter for 2 s, so that its worker could not renew its leases"


def test_many_pages_beyond_their_limits_do_not_end_the_node(tmp_path: Path) -> None:
    names = [f"/{number}/sick" for number in range(SHORT_RUNS + 2)]
    sick = dict.fromkeys(names, "<title>sick</title>")
    found = crawl(tmp_path, "limits: {cpu: 200ms}", HOOK.format(sick=REGEX), sick)
    assert (found.code, found.summary["reasons"]) == (0, {"cpu_limit": len(names)})
    assert found.summary["fetched"] == OTHERS + 1
    assert found.events[TaskEvent.LOST] == 0
