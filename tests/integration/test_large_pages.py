"""Pages that are too large together all come in the end, each once, and their worker stays small."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.integration.large_crawl import MIB, Crawled, crawl
from tests.site.large_pages import LargePages, serving

FILM_BYTES = 10**9
# What it takes to read some of 48 pages of 2 MiB at once, and what so many connections and threads take. Without a
# limit of the bodies the crawl takes more than twice as much.
READING_MIB = 48
# What the connection of the film may hold in its buffers when it ends, which `test_fetch_unread.py` looks at closely.
BUFFERED_BYTES = 8 * MIB


def check(found: Crawled, site: LargePages) -> None:
    """Every page is there, once, with nothing counted against it; those that went back were asked for once more."""
    wanted = {f"{site.base}/{path}" for path in ("", *range(site.pages))}
    assert Counter(row["page"] for row in found.rows) == dict.fromkeys(wanted, 1)
    summary = found.summary
    assert (summary["fetched"], summary["failed"], summary["retried"]) == (site.pages + 1, 0, {})
    assert summary["reasons"] == {"content_type": 1}
    pages = [hits for path, hits in site.hits.items() if path not in ("/", "/film", "/robots.txt")]
    assert (max(pages), sum(pages)) == (2, site.pages + found.returned)
    assert site.hits["/film"] == 1
    assert site.film_bytes < BUFFERED_BYTES


@pytest.mark.parametrize("engine", ["curl", "requests"])
def test_pages_that_are_too_large_together_are_fetched_one_by_one(tmp_path: Path, engine: str) -> None:
    with serving(pages=48, size_bytes=2 * MIB, film_bytes=FILM_BYTES) as site:
        found = crawl(tmp_path / "crawl", site, engine, bodies_mib=8)
    check(found, site)
    assert found.returned > 30
    assert found.peak_mib - found.first_mib < 8 + READING_MIB, found.peak_mib


@pytest.mark.long
def test_256_pages_of_10_mib_at_once_take_no_more_memory_than_the_job_allows(tmp_path: Path) -> None:
    with serving(pages=256, size_bytes=10 * MIB, film_bytes=FILM_BYTES) as site:
        found = crawl(tmp_path / "crawl", site, "curl", bodies_mib=32, timeout_s=300)
    check(found, site)
    assert found.returned > 200
    # Twice the bodies, what it takes to read some of them at once, and what 256 connections and threads take.
    assert found.peak_mib - found.first_mib < 2 * 32 + 8 * 10 + 64, found.peak_mib
