"""What the line of progress says of hosts whose robots.txt is awaited."""

from __future__ import annotations

import re

from crawlfleet.screen.progress import words
from crawlfleet.shared.status import Status

WAITING = {"robots_waiting": 1, "robots_waiting_for": ("http://a.test (http_503)",), "robots_wait_s": 3_600.0}


def test_one_page_is_one_page() -> None:
    assert words(Status(job="job", fetched=1, rows=1), 0.0).startswith("job: 1 page · 0/s · 0 to go · 1 row · ")
    assert words(Status(job="job", fetched=2, rows=0), 0.0).startswith("job: 2 pages · 0/s · 0 to go · 0 rows · ")


def test_while_there_is_more_to_do_the_longest_wait_is_told() -> None:
    line = words(Status(job="job", **WAITING), 0.0)  # type: ignore[arg-type]  # fields by name
    assert "waiting for robots.txt of 1 host (http://a.test (http_503)), 1h at most" in line
    assert "connected" not in line


def test_the_last_wait_is_told_with_its_end_and_the_key_that_sets_it() -> None:
    line = words(Status(job="job", **WAITING, robots_last_s=9.0, unanswered=True), 0.0)  # type: ignore[arg-type]  # as above
    assert re.search(r"until \d\d:\d\d:\d\d \(politeness.robots_wait_last says how long\)", line)
    assert "no name server and no host has answered so far: is this machine connected?" in line
