"""Whole crawls whose hook waits too long for an object of the fleet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import crawls
from tests.site.small_site import page, serving

JOB = """\
name: waits
seeds: [{seed}]
politeness: {{delay: 0s, per_host: 16, patience: 2}}
fetch: {{retries: 0}}
hooks: hook.py
"""
# One worker process: it counts the calls for each page.
HOOK = """\
from collections import Counter

from crawlfleet.worker.hook_waited import HookWaited

calls = Counter()


def parse(page):
    calls[page.url] += 1
    yield {{"call": calls[page.url]}}
    if page.url.endswith("/slow") and calls[page.url] <= {waits}:
        page.follow("/never")
        raise HookWaited("waited 1 s for the lock 'login'")
"""
PAGES = {"/": page("home", "/slow", "/quick"), "/slow": page("slow", "/behind"), "/quick": page("quick")}
PAGES |= {"/behind": page("behind"), "/never": page("never")}


def crawl(folder: Path, waits: int) -> tuple[dict[str, Any], dict[str, int]]:
    """Crawl a site on which one page's hook waits too long so many times; return the summary, and calls by path."""
    (folder / "hook.py").write_text(HOOK.format(waits=waits))
    with serving(PAGES) as site:
        (folder / "waits.yaml").write_text(JOB.format(seed=f"{site.base}/"))
        done = crawls.run(folder, "run", "waits.yaml", "--workers", "1")
        assert done.returncode == 0, done.stdout + done.stderr
        rows = crawls.lines(folder / "crawls" / "waits" / "items.jsonl")
        proof = crawls.run(folder, "verify", "crawls/waits")
        assert proof.returncode == 0, proof.stdout
        summary = json.loads((folder / "crawls" / "waits" / "summary.json").read_text())
        return summary, {row["url"].removeprefix(site.base): row["call"] for row in rows}


@pytest.mark.parametrize("waits", [1, 2])
def test_a_page_whose_hook_waited_too_long_is_tried_again_without_using_up_a_retry(tmp_path: Path, waits: int) -> None:
    summary, calls = crawl(tmp_path, waits)
    assert calls == {"/": 1, "/slow": waits + 1, "/quick": 1, "/behind": 1}
    assert (summary["failed"], summary["rows"], summary["retried"]) == (0, 4, {"hook_waited": waits})


def test_a_page_whose_hook_always_waits_fails_and_the_crawl_goes_on(tmp_path: Path) -> None:
    summary, calls = crawl(tmp_path, 99)
    assert calls == {"/": 1, "/quick": 1}
    assert (summary["reasons"], summary["retried"]) == ({"hook_waited": 1}, {"hook_waited": 2})
