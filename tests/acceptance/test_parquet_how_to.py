"""The page about Parquet and DuckDB, run from its own text against the demo shop."""

from __future__ import annotations

import re
import shlex
import threading
from collections import Counter
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from crawlfleet.demo.server import DemoSite
from crawlfleet.demo.shop import BOOKS
from tests.acceptance.crawls import run

PAGE = (Path(__file__).parents[2] / "docs/how-to/write-parquet-and-duckdb.md").read_text("utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"^```\w+ (\w+=[\w.]+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture
def crawled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run the job of the page; return the folder that it was run in."""
    monkeypatch.chdir(tmp_path)
    site = DemoSite("127.0.0.1", 0, slow_s=0.0)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    job = BLOCKS["job=shop"].replace("http://127.0.0.1:8765/", site.base)
    (tmp_path / "shop.yaml").write_text(job, encoding="utf-8")
    try:
        done = run(tmp_path, "run", "shop.yaml", "--workers", "1")
    finally:
        site.shutdown()
        site.server_close()
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path


def test_the_questions_of_the_page_are_answered(crawled: Path) -> None:
    by_author = Counter(book.author for book in BOOKS)
    with duckdb.connect() as db:
        rows = db.execute(BLOCKS["file=books.parquet"]).fetchall()
    assert [(author, books) for author, books, *_ in rows] == sorted(
        by_author.items(), key=lambda each: (-each[1], each[0])
    )[:3]
    for author, books, price, currency in rows:
        assert currency == "£"
        assert price == pytest.approx(sum(book.price for book in BOOKS if book.author == author) / books / 100)
    with duckdb.connect(crawled / "crawls/shop/books.duckdb", read_only=True) as db:
        tags = db.execute(BLOCKS["file=books.duckdb"]).fetchall()
    assert dict(tags) == Counter(tag for book in BOOKS for tag in book.tags)
    assert run(crawled, "verify", "crawls/shop").returncode == 0


def test_the_export_of_the_page_has_the_same_rows(crawled: Path) -> None:
    words = shlex.split(BLOCKS["export=shop"])
    assert run(crawled, *words[1:]).returncode == 0
    first, second = (pq.read_table(path).sort_by("url") for path in ("crawls/shop/books.parquet", "shop.parquet"))
    assert first.num_rows == len(BOOKS)
    assert first.equals(second)
