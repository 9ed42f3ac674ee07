"""A whole crawl of a site with sick pages among others, by `crawlfleet run`: what it came to, and what was said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.crawl_folder import LOG
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.reader import SqliteReader
from crawlfleet.coordinator.frontier.story import EVENT_NUMBERS
from tests.acceptance import crawls
from tests.site.small_site import Page, page, serving

OTHERS = 20
# Pages that take long are named earlier than usual.
HURRIED = """
import sys
from crawlfleet.worker import readers
readers.NAMED_AFTER_S = 0.5
from crawlfleet.commands.registry import run_alone
sys.exit(run_alone("run"))
"""
JOB = """\
name: sick
seeds: [{seed}]
politeness: {{delay: 0s, per_host: 16}}
{more}
"""


class SickCrawl(NamedTuple):
    """How a crawl ended: the summary, the lines of its log, what the command printed, the events of its tasks."""

    code: int
    summary: dict[str, Any]
    log: list[dict[str, Any]]
    printed: str
    events: dict[TaskEvent, int]
    base: str

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of the log for an event."""
        return [line for line in self.log if line["event"] == event]


def crawl(
    folder: Path, more: str, hook: str = "", sick: Mapping[str, Page] | None = None, within: Sequence[str] = ()
) -> SickCrawl:
    """Crawl a page that leads to sick ones (by default `/sick`) and to `OTHERS` others; `more` is of the job."""
    found = dict(sick or {"/sick": page("sick")})
    pages = {f"/{number}": page(f"page {number}") for number in range(OTHERS)} | found
    pages["/"] = page("home", *found, *pages)
    if hook:
        (folder / "hook.py").write_text(hook)
        more += "\nhooks: hook.py"
    with serving(pages) as site:
        (folder / "sick.yaml").write_text(JOB.format(seed=f"{site.base}/", more=more))
        return run(folder, site.base, within)


def run(folder: Path, base: str, within: Sequence[str] = ()) -> SickCrawl:
    """Run the job that `crawl` has written, by the command `within` if there is one, and verify what it leaves."""
    command = [*within, sys.executable, "-c", HURRIED, "sick.yaml", "--workers", "1"]
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False
    )
    left = folder / "crawls" / "sick"
    proof = crawls.run(folder, "verify", "crawls/sick")
    assert proof.returncode == 0, proof.stdout + done.stdout + done.stderr
    with closing(SqliteReader(left / FRONTIER)) as stored:
        numbers = [line.event for line in stored.story()]
    return SickCrawl(
        code=done.returncode,
        summary=json.loads((left / "summary.json").read_text()),
        log=crawls.lines(left / LOG),
        printed=done.stdout + done.stderr,
        events={event: numbers.count(EVENT_NUMBERS[event]) for event in TaskEvent},
        base=base,
    )
