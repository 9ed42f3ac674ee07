"""Whole crawls with tables of URLs and links, over loopback, as the command line runs them."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import crawls
from tests.local import LOCAL
from tests.site.linked_hosts import linked_hosts
from tests.site.small_site import Moved, Page, SmallSite, page, serving

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "find-broken-links.md"
FAST = "politeness: {delay: 0s, per_host: 16}\n"
HOOK = """
def parse(page):
    if page.url.endswith("2"):
        raise ValueError("never")
    yield {"title": page.title}
"""
LEFT = 300
TABLES = "tables: {urls: about/urls.jsonl, links: links.jsonl, broken: broken.jsonl}\n"


@pytest.fixture
def site() -> Iterator[SmallSite]:
    """Serve a start page with an old link, one to a redirect that leads to it, and one to a page that leads back."""
    pages: dict[str, Page] = {
        "/": '<a href="/gone">An old page</a> <a href="/moved" rel=next>moved</a> <a href="/2">two</a>',
        "/moved": Moved("/gone"),
        "/2": page("two", "/", "http://elsewhere.invalid/"),
    }
    with serving(pages) as served:
        yield served


def write(folder: Path, site: SmallSite, more: str) -> Path:
    path = folder / "links.yaml"
    path.write_text(f"name: links\nseeds: [{site.base}/]\n{FAST}{more}")
    return path


def run(folder: Path, job: Path) -> str:
    """Run a job to its end; return what is printed."""
    done = crawls.run(folder, "run", job, "--workers", "1", timeout_s=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(folder: Path, file: str) -> list[dict[str, Any]]:
    return crawls.lines(folder / "crawls" / "links" / file)


def test_broken_links_are_found_as_the_document_says(site: SmallSite, tmp_path: Path) -> None:
    text = HOW_TO.read_text(encoding="utf-8").replace("http://localhost:8765", site.base)
    (job,) = re.findall(r"```yaml job\n(.*?)```", text, re.DOTALL)
    (expected,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    (tmp_path / "links.yaml").write_text(job + FAST)
    crawl, export = re.findall(r"```sh\ncrawlfleet (.*?)\n```", text, re.DOTALL)
    done = crawls.run(tmp_path, *crawl.split(), timeout_s=110)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = crawls.run(tmp_path, *export.split()).stdout
    assert printed == (tmp_path / "crawls" / "links" / "broken.jsonl").read_text()
    assert printed.splitlines()[0] + "\n" == expected
    found = [(row["target"], row["final_url"], row["source"]) for row in rows(tmp_path, "broken.jsonl")]
    assert found == [
        (f"{site.base}/gone", f"{site.base}/gone", f"{site.base}/"),
        (f"{site.base}/moved", f"{site.base}/gone", f"{site.base}/"),
    ]


def test_tables_are_written_at_the_end_and_verified(site: SmallSite, tmp_path: Path) -> None:
    (tmp_path / "hook.py").write_text(HOOK)
    job = write(tmp_path, site, f"{TABLES}hooks: hook.py\n")
    printed = run(tmp_path, job)
    assert "table: crawls/links/links.jsonl" in printed
    base = site.base
    told = {row["url"]: row for row in rows(tmp_path, "about/urls.jsonl")}
    assert {url.removeprefix(base): (row["state"], row["status"]) for url, row in told.items()} == {
        "/": ("done", 200),
        "/robots.txt": ("done", 404),
        "/gone": ("failed", 404),
        "/moved": ("done", 302),
        "/2": ("failed", 200),
    }
    assert told[f"{base}/moved"]["final_url"] == f"{base}/gone"
    assert all(row["found_at"] <= row["fetched_at"] and row["worker"].endswith("/0") for row in told.values())
    # The hook of the second page fails; its links are there all the same.
    links = [(row["source"], row["target"], row["text"], row["why"]) for row in rows(tmp_path, "links.jsonl")]
    assert sorted(links) == [
        (f"{base}/", f"{base}/2", "two", None),
        (f"{base}/", f"{base}/gone", "An old page", None),
        (f"{base}/", f"{base}/moved", "moved", None),
        (f"{base}/2", f"{base}/", "/", None),
        (f"{base}/2", "http://elsewhere.invalid/", "http://elsewhere.invalid/", "host"),
    ]
    assert len(rows(tmp_path, "broken.jsonl")) == 2
    done = crawls.run(tmp_path, "verify", "crawls/links")
    assert done.returncode == 0, done.stdout
    assert "the links of each page are recorded" in done.stdout
    (tmp_path / "crawls" / "links" / "links.jsonl").unlink()
    run(tmp_path, job)
    assert len(rows(tmp_path, "links.jsonl")) == 5
    assert crawls.run(tmp_path, "verify", "crawls/links").returncode == 0


def test_broken_links_to_other_sites_are_in_the_table_if_they_are_checked(tmp_path: Path) -> None:
    with linked_hosts(2) as (home, other):
        home.has("/", f"{other.base}/good", f"{other.base}/gone", f"{other.base}/moved")
        other.has("/good")
        other.moves("/moved", f"{other.base}/gone")
        opened = f"fetch: {{allow_private: [{LOCAL[0]}]}}\n"
        for more, broken in ((opened, ()), (f"{opened}links: {{check_external: true}}\n", ("/gone", "/moved"))):
            folder = tmp_path / str(len(broken))
            folder.mkdir()
            job = folder / "links.yaml"
            job.write_text(f"name: links\nseeds: [{home.base}/]\n{FAST}{TABLES}{more}")
            run(folder, job)
            found = [(row["target"], row["final_url"], row["source"]) for row in rows(folder, "broken.jsonl")]
            assert found == [(f"{other.base}{path}", f"{other.base}/gone", f"{home.base}/") for path in broken]
            assert {(row["followed"], row["why"]) for row in rows(folder, "links.jsonl")} == {(False, "host")}
            assert crawls.run(folder, "verify", "crawls/links").returncode == 0


def test_a_crawl_that_is_stopped_writes_no_table_and_its_end_does(site: SmallSite, tmp_path: Path) -> None:
    job = write(tmp_path, site, TABLES)
    # A long way is left, so that the crawl cannot end before its worker has heard that it is stopped.
    site.pages |= {f"/{number}": page("more", f"/{number + 1}") for number in range(2, LEFT)}
    site.pages[f"/{LEFT}"] = page("last")
    site.hold("/2")
    process = crawls.start(tmp_path, "run", job, "--workers", "1")
    site.await_held()
    process.send_signal(signal.SIGINT)
    site.release()
    assert process.wait(60) == 130, (tmp_path / "out.txt").read_text()
    assert not list((tmp_path / "crawls" / "links").glob("*/urls.jsonl*"))
    assert not list((tmp_path / "crawls" / "links").glob("links.jsonl*"))
    run(tmp_path, job)
    assert len(rows(tmp_path, "links.jsonl")) == 3 + LEFT - 2
    assert crawls.run(tmp_path, "verify", "crawls/links").returncode == 0


def test_a_table_that_cannot_be_written_fails_the_run_by_name(site: SmallSite, tmp_path: Path) -> None:
    run(tmp_path, write(tmp_path, site, ""))
    (tmp_path / "crawls" / "links" / "links.jsonl.tmp").mkdir(parents=True)
    job = write(tmp_path, site, TABLES)
    done = crawls.run(tmp_path, "run", job, "--workers", "1", timeout_s=110)
    crawls.assert_refused(done, 1, "cannot write crawls/links/links.jsonl")
