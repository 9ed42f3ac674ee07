"""Real documentation, served by nginx: two workers find what wget2 finds, even if one of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from lxml import html

from tests.acceptance.crawls import lines, start, whole_site_job
from tests.acceptance.nginx_site import DOCUMENTATION, NginxSite, missing, wget2
from tests.acceptance.processes import end_with_descendants, process_with_connection_to

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}"),
]
AGENT = "crawlfleet"
KILL_AT = 150


@pytest.fixture(params=DOCUMENTATION)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NginxSite]:
    with NginxSite(DOCUMENTATION[request.param], tmp_path / "nginx") as running:
        yield running


@contextmanager
def _crawl(site: NginxSite, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Crawl all of a site with two workers; at the end of the block it must finish, well."""
    process = start(folder, "run", whole_site_job(folder, "site", site.base), "--workers", "2")
    try:
        yield process
        assert process.wait(timeout=100) == 0, (folder / "out.txt").read_text()
    finally:
        end_with_descendants(process)


def _titles(folder: Path) -> dict[str, str]:
    """Read what was extracted: unquoted URI → title; there must be one row for each."""
    rows = lines(folder / "crawls" / "site" / "items.jsonl")
    titles = {_uri(row["url"]): row["title"] for row in rows}
    assert len(titles) == len(rows), "a page has two rows"
    return titles


def _uri(url: str) -> str:
    parts = urlsplit(url)
    return unquote(f"{parts.path}?{parts.query}" if parts.query else parts.path)


def _title_by_lxml(path: Path) -> str:
    return " ".join((html.parse(path).findtext(".//title") or "").split())


def _wait_for_pages(site: NginxSite, count: int, process: subprocess.Popen[str]) -> None:
    while len(site.page_uris(AGENT)) < count:
        assert process.poll() is None, "the crawl ended too early"
        time.sleep(0.005)


def test_two_workers_find_the_pages_that_wget2_finds(site: NginxSite, tmp_path: Path) -> None:
    theirs = wget2(site, tmp_path / "wget2")
    with _crawl(site, tmp_path):
        pass
    titles, asked = _titles(tmp_path), site.page_uris(AGENT)
    assert len(theirs) > 500
    assert set(asked) == set(titles) == theirs
    assert len(asked) == len(theirs), "a page was fetched twice"
    assert titles == {uri: _title_by_lxml(site.file_of(uri)) for uri in theirs}


def test_a_killed_worker_costs_no_page_and_doubles_no_row(site: NginxSite, tmp_path: Path) -> None:
    theirs = wget2(site, tmp_path / "wget2")
    with _crawl(site, tmp_path) as process:
        _wait_for_pages(site, KILL_AT, process)
        victim = process_with_connection_to(site.port, below=process.pid)
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
    assert set(site.page_uris(AGENT)) == set(_titles(tmp_path)) == theirs
    assert _leases_lost(tmp_path), "the worker held no lease when it was killed"


def _leases_lost(folder: Path) -> list[dict[str, object]]:
    log = lines(folder / "crawls" / "site" / "log.jsonl")
    return [entry for entry in log if "lease" in str(entry.get("event")) and "lost" in str(entry.get("event"))]
