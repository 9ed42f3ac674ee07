"""Whole crawls whose workers run out of memory, or whose hook finds no descriptor or disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.coordinator.core.changes import TaskEvent
from tests.integration.sick_crawl import OTHERS, SickCrawl, crawl, run
from tests.site.small_site import page, serving

pytestmark = pytest.mark.long

# Runs a command whose processes may have 400 MiB of memory each.
LITTLE_MEMORY = ("sh", "-c", f'ulimit -S -d {400 * 1024}; exec "$@"', "sh")
# Each `<p>` opens again what was never closed: 84 KB of markup, millions of elements, three gigabytes.
BOMB = "<p>" + "".join(f"<b id={number}></x>" for number in range(990)) + "</p>" + "<p>x</x>" * 9_000
GREEDY = """\
def parse(page):
    if page.url.endswith("/sick"):
        held = [bytearray(2**24) for _ in range(2**20)]
    yield {"url": page.url}
"""
LEAK = """\
held = []


def parse(page):
    held.append(b"x" * (20 * 2**20))
    yield {"url": page.url}
"""
RAISING = """\
import errno, os


def parse(page):
    if page.url.endswith("/sick"):
        raise OSError(errno.{name}, os.strerror(errno.{name}))
    yield {{"url": page.url}}
"""
CORRECT = """\
def parse(page):
    yield {"url": page.url}
"""


def sentences(found: SickCrawl, word: str) -> list[dict[str, object]]:
    """Return the lines of the log that say something of a worker's memory."""
    return [line for line in found.log if word in line["event"]]


@pytest.mark.parametrize(("hook", "sick"), [(GREEDY, page("sick")), ("", BOMB)], ids=["hook", "parser"])
def test_a_page_that_needs_too_much_memory_is_named_and_no_other_fails(tmp_path: Path, hook: str, sick: str) -> None:
    found = crawl(tmp_path, "", hook, {"/sick": sick}, LITTLE_MEMORY)
    assert (found.code, found.summary["reasons"]) == (0, {"out_of_memory": 1}), found.printed
    assert found.summary["fetched"] == OTHERS + 1
    # A page that another thread read at that moment may be a suspect, too.
    assert (found.events[TaskEvent.POISONED], found.events[TaskEvent.LOST] >= 3) == (1, True)
    lines = sentences(found, "ran out of memory")
    assert {line["url"] for line in lines} == {f"{found.base}/sick"}
    assert all("400 MiB" in str(line["event"]) for line in lines)
    assert f"it was reading {found.base}/sick" in found.printed


def test_a_worker_of_a_leaking_hook_is_replaced_before_pages_fail(tmp_path: Path) -> None:
    found = crawl(tmp_path, "", LEAK, within=LITTLE_MEMORY)
    assert (found.code, found.summary["failed"], found.summary["rows"]) == (0, 0, OTHERS + 2), found.printed
    assert sentences(found, "a hook may leak")
    assert not sentences(found, "ran out of memory")


@pytest.mark.parametrize(
    ("name", "reason"), [("EMFILE", "hook_descriptors"), ("ENOSPC", "hook_disk"), ("ENOMEM", "out_of_memory")]
)
def test_what_failed_for_want_of_something_is_taken_up_again(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "hook.py").write_text(RAISING.format(name=name))
    with serving({"/": page("home", "/sick", "/well"), "/sick": page("sick"), "/well": page("well")}) as site:
        job = f"name: sick\nseeds: [{site.base}/]\npoliteness: {{delay: 0s}}\nhooks: hook.py\n"
        (tmp_path / "sick.yaml").write_text(job)
        first = run(tmp_path, site.base)
        again = run(tmp_path, site.base)
        (tmp_path / "hook.py").write_text(CORRECT)
        last = run(tmp_path, site.base)
    assert [each.summary["reasons"] for each in (first, again, last)] == [{reason: 1}, {reason: 1}, {}]
    assert (last.summary["fetched"], last.summary["rows"]) == (3, 3)
    taken_up = "1 page failed for want of memory, descriptors or disk, and is fetched again"
    assert len(last.logged(taken_up)) == 2
