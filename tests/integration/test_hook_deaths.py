"""Whole crawls whose hook ends its process, or its thread, at one page: a death like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.coordinator.core.changes import TaskEvent
from tests.integration.sick_crawl import OTHERS, crawl

pytestmark = pytest.mark.long

HOOK = """\
import ctypes, os, sys


def parse(page):
    if page.url.endswith("/sick"):
        {end}
    yield {{"url": page.url}}
"""
# The thread ends without a chance for Python to notice.
END_THREAD = "ctypes.CDLL(None).pthread_exit(None)"


@pytest.mark.parametrize(
    ("end", "death"),
    [("os._exit(0)", "exit code 0"), ("os._exit(3)", "exit code 3"), (END_THREAD, "exit code 1")],
    ids=["exit 0", "exit 3", "thread"],
)
def test_a_page_whose_hook_ends_its_worker_is_poison_and_no_other_is_lost(tmp_path: Path, end: str, death: str) -> None:
    found = crawl(tmp_path, "", HOOK.format(end=end))
    assert (found.code, found.summary["ended"], found.summary["reasons"]) == (0, "finished", {"poison": 1})
    assert found.summary["fetched"] == found.summary["rows"] == OTHERS + 1
    assert found.events[TaskEvent.POISONED] == 1
    (line,) = found.logged("page failed")
    assert (line["url"], line["detail"]) == (f"{found.base}/sick", f"the last of them: {death}")


def test_a_hook_that_calls_exit_fails_its_page_alone(tmp_path: Path) -> None:
    found = crawl(tmp_path, "", HOOK.format(end="sys.exit(0)"))
    assert (found.code, found.summary["reasons"], found.summary["rows"]) == (0, {"extract_error": 1}, OTHERS + 1)
    assert not found.logged("a worker died, starting another")
    (line,) = found.logged("page failed")
    assert str(line["detail"]).startswith("the hook raised SystemExit: 0 at ")
