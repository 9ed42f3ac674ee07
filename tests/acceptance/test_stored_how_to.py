"""The page about crawls that are kept in PostgreSQL, run from its own text against the demo shop and a real server."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from crawlfleet.demo.server import DemoSite
from crawlfleet.demo.shop import BOOKS
from tests.acceptance.crawls import run
from tests.site.postgresql_server import PostgresqlServer, programs

PAGE = (Path(__file__).parents[2] / "docs/how-to/keep-a-crawl-in-postgresql.md").read_text("utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"^```\w+ (\w+=[\w.]+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
ADDRESS = "postgresql://crawler@localhost/crawls"

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(300),
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]


@pytest.fixture
def address() -> Iterator[str]:
    with PostgresqlServer(syncs=True) as server:
        yield server.address()


@pytest.fixture
def folder(address: str, site: DemoSite, tmp_path: Path) -> Path:
    """Return a folder with the job of the page."""
    job = BLOCKS["job=shop"].replace("http://127.0.0.1:8765/", site.base).replace(ADDRESS, address)
    (tmp_path / "shop.yaml").write_text(job, encoding="utf-8")
    return tmp_path


def test_the_page_does_what_it_says(address: str, folder: Path) -> None:
    def does(block: str) -> str:
        """Run a command of the page; return what it says."""
        words = [
            word.replace(f"{ADDRESS}?", f"{address}&").replace(ADDRESS, address) for word in shlex.split(BLOCKS[block])
        ]
        done: subprocess.CompletedProcess[str] = run(folder, *words[1:])
        assert done.returncode == 0, done.stdout + done.stderr
        return " ".join(done.stdout.split())

    does("run=shop")
    rows = (folder / "crawls/shop/items.jsonl").read_bytes()
    assert len(rows.splitlines()) == len(BOOKS)
    assert not (folder / "crawls/shop/frontier.db").exists()
    assert address in (folder / "crawls/shop/frontier.json").read_text()
    does("verify=shop")
    assert "its files there are stale now" in does("run=elsewhere")
    assert (folder / "elsewhere/shop/items.jsonl").read_bytes() == rows
    assert "is stale" in does("verify=shop")
    does("run=small")
    does("move=there")
    assert not (folder / "crawls/small/frontier.db").exists()
    does("run=large")
    assert "left as it was, and marked as moved" in does("move=back")
    assert run(folder, "verify", "crawls/small").returncode == 0
    with psycopg.connect(address, autocommit=True) as db:
        db.execute("DROP SCHEMA crawl_small CASCADE")
    does("export=address")
    assert (folder / "rows.jsonl").read_bytes() == rows
    assert "the earlier run is now in" in does("run=fresh")
    with psycopg.connect(address) as db:
        (now,), (aside,) = db.execute(BLOCKS["query=crawls"].encode()).fetchall()
    with psycopg.connect(address) as db:
        db.execute("UPDATE crawl_shop.ledger SET commits = commits - 3")
    refused = run(folder, *shlex.split(BLOCKS["run=fresh"])[1:-1])
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert "has lost commits that were acknowledged, at least 3, and with them at least 0 results" in refused.stderr
    assert "The crawl goes on without them" in does("run=accepted")
    (moved,) = (folder / "crawls").glob("shop.*")
    assert (now, aside) == ("crawl_shop", f"crawl_{re.sub('[.-]', '_', moved.name)}")
    for crawl in ("crawls/shop", f"crawls/{moved.name}"):
        assert run(folder, "verify", crawl).returncode == 0


def test_a_program_reads_rows_from_the_database_while_it_crawls(address: str, site: DemoSite, tmp_path: Path) -> None:
    program = BLOCKS["crawl=python"].replace("http://127.0.0.1:8765/", site.base).replace(ADDRESS, address)
    (tmp_path / "program.py").write_text(program, encoding="utf-8")

    def rows() -> list[str]:
        done = subprocess.run(
            [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    first = rows()
    assert first
    assert rows() == first
    assert not (tmp_path / "crawls/from-python/frontier.db").exists()
    with psycopg.connect(address) as db:
        assert db.execute("SELECT count(*) FROM crawl_from_python.results").fetchone() == (len(first),)
