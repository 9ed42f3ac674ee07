"""The page about a site to Parquet by one command, run from its own text against the demo site."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
import yaml

from crawlfleet.demo.server import DemoSite
from tests.acceptance.crawls import lines, run

pytestmark = pytest.mark.timeout(300)  # three runs, one after another

PAGE = (Path(__file__).parents[2] / "docs/how-to/crawl-a-site.md").read_text("utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"^```\w+ (\w+=[\w.]+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
SITE = "http://127.0.0.1:8765/"


def follow(block: str, site: DemoSite, folder: Path) -> subprocess.CompletedProcess[str]:
    """Type the command of a block."""
    command = BLOCKS[f"run={block}"].replace("\\\n", " ").replace(SITE, site.base)
    done = run(folder, *shlex.split(command)[1:])
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_page_is_as_it_says(site: DemoSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    follow("first", site, tmp_path)
    rows = pq.read_table("pages.parquet").to_pylist()
    assert len(rows) == 40
    with duckdb.connect() as db:
        answer = db.execute(BLOCKS["file=pages.parquet"]).fetchall()
    assert [depth for depth, *_ in answer] == [0, 1, 2]
    assert sum(pages for _, pages, *_ in answer) == 40

    again = follow("again", site, tmp_path)
    (moved,) = Path("crawls").glob("127-0-0-1.*")
    assert f"the earlier run is now in {moved}" in again.stdout
    assert pq.read_table(moved / "outputs" / "pages.parquet").to_pylist() == rows
    assert pq.read_table("pages.parquet").num_rows == 40
    saved = yaml.safe_load(Path("site.yaml").read_text("utf-8").replace(site.base, SITE))
    assert saved == yaml.safe_load(BLOCKS["job=site"])
    assert run(tmp_path, "check", "site.yaml").returncode == 0

    follow("other", site, tmp_path)
    with Path("lists.csv").open(newline="") as file:
        urls = [row["url"] for row in csv.DictReader(file)]
    assert urls == [row["url"] for row in lines(Path("lists.jsonl"))]
    assert len(urls) > 1
    assert not [url for url in urls if "/book/" in url or "/author/" in url]
