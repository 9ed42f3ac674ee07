"""Whole crawls by sitemaps, over loopback, as the command line runs them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.shared.engines import FETCH_ENGINES
from tests.acceptance import crawls
from tests.site.small_site import SmallSite, page, serving

FAST = "politeness: {delay: 0s, per_host: 16}\n"


def write(folder: Path, seeds: str, more: str = "") -> Path:
    path = folder / "maps.yaml"
    path.write_text(f"name: maps\nseeds:\n{seeds}{FAST}{more}")
    return path


def crawl(folder: Path, job: Path, code: int = 0) -> dict[str, Any]:
    """Run a job to its end; return its summary."""
    done = crawls.run(folder, "run", job, "--workers", "1", timeout_s=110)
    assert done.returncode == code, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads((folder / "crawls" / "maps" / "summary.json").read_text())
    return summary


def rows(folder: Path) -> list[str]:
    """Return the paths of the pages that gave a row, sorted."""
    found = crawls.lines(folder / "crawls" / "maps" / "items.jsonl")
    return sorted("/" + row["url"].split("/", 3)[3] for row in found)


def verified(folder: Path) -> None:
    done = crawls.run(folder, "verify", "crawls/maps")
    assert done.returncode == 0, done.stdout


def listing(site: SmallSite, *paths: str, root: str = "urlset", entry: str = "url") -> bytes:
    entries = "".join(f"<{entry}><loc>{site.base}{path}</loc></{entry}>" for path in paths)
    return f'<{root} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}</{root}>'.encode()


def add_maps(site: SmallSite) -> None:
    """Add an index, which names itself too, of every form of sitemap, and pages that only these lead to."""
    site.pages |= {f"/p/{number}": page(f"page {number}") for number in range(6)}
    site.pages |= {
        "/index.xml": listing(
            site, "/index.xml", "/packed.xml.gz", "/list.txt", "/feed", root="sitemapindex", entry="sitemap"
        ),
        "/packed.xml.gz": gzip.compress(listing(site, "/p/0", "/p/1")),
        "/list.txt": f"\ufeff{site.base}/p/2\r\n{site.base}/p/3\r\n",
        "/feed": f"<rss><channel><item><link>{site.base}/p/4</link></item></channel></rss>",
        "/robots.txt": f"User-agent: nobody\nDisallow: /\nsitemap: {site.base}/index.xml\n",
        "/": page("home", "/p/5"),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_a_crawl_goes_by_sitemaps_alone(folder: Path) -> None:
    with serving({}) as site:
        add_maps(site)
        summary = crawl(folder, write(folder, f"  - sitemap: {site.base}/index.xml\n"))
        assert [site.hits(path) for path in ("/robots.txt", "/index.xml", "/packed.xml.gz", "/feed")] == [1, 1, 1, 1]
    assert rows(folder) == [f"/p/{number}" for number in range(5)]
    assert (summary["fetched"], summary["discovered"]) == (5, 5)
    verified(folder)


@pytest.mark.parametrize(
    ("more", "expected"),
    [("", ["/", "/p/5"]), ("scope: {sitemaps: true}\n", ["/", *(f"/p/{number}" for number in range(6))])],
)
def test_the_sitemaps_of_robots_txt_are_read_when_the_job_asks_for_them(
    folder: Path, more: str, expected: list[str]
) -> None:
    with serving({}) as site:
        add_maps(site)
        crawl(folder, write(folder, f"  - {site.base}/\n", more))
    assert rows(folder) == expected
    verified(folder)


@pytest.mark.parametrize("engine", sorted(FETCH_ENGINES))
def test_of_a_sitemap_with_sixty_thousand_addresses_the_first_fifty_thousand_count(engine: str, folder: Path) -> None:
    with serving({}) as site:
        site.pages["/map.xml"] = listing(site, *(f"/p/{number}" for number in range(60_000)))
        site.pages |= {f"/p/{number}": page("page") for number in range(60_000)}
        more = f"scope: {{pages: 20}}\nfetch: {{engine: {engine}}}\n"
        summary = crawl(folder, write(folder, f"  - sitemap: {site.base}/map.xml\n", more))
    assert (summary["fetched"], summary["discovered"], summary["dropped"]) == (20, 50_000, 49_980)
    longer = "it is longer than the protocol allows: the first 50,000 entries were read"
    assert summary["sitemaps_short_named"] == [f"{site.base}/map.xml ({longer})"]
    verified(folder)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('<!DOCTYPE x [<!ENTITY l "ha">]><urlset><url><loc>&l;</loc></url></urlset>', "sitemap_broken"),
        (gzip.compress(b"\0" * (60 * 1024 * 1024)), "sitemap_broken"),
        (None, "http_404"),
    ],
    ids=["entities", "bomb", "missing"],
)
def test_a_sitemap_that_gives_nothing_fails_the_crawl_and_is_named_in_the_log(
    folder: Path, body: str | bytes | None, reason: str
) -> None:
    with serving({} if body is None else {"/map.xml": body}) as site:
        summary = crawl(folder, write(folder, f"  - sitemap: {site.base}/map.xml\n"), code=1)
        events = crawls.lines(folder / "crawls" / "maps" / "log.jsonl")
        assert any(e.get("url") == f"{site.base}/map.xml" and e.get("reason") == reason for e in events)
    assert summary["ended"] == "failed"
    verified(folder)
