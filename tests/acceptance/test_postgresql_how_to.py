"""The page about PostgreSQL, run from its own text against the demo shop and a real server."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from crawlfleet.demo.server import DemoSite
from crawlfleet.demo.shop import BOOKS
from tests.acceptance.crawls import assert_refused, run
from tests.site.postgresql_server import PostgresqlServer, programs

PAGE = (Path(__file__).parents[2] / "docs/how-to/write-into-postgresql.md").read_text("utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"^```\w+ (\w+=[\w.]+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
ADDRESS = "postgresql://localhost/shop"

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]


@pytest.fixture
def address() -> Iterator[str]:
    with PostgresqlServer() as server:
        yield server.address()


def test_the_page_does_what_it_says(address: str, site: DemoSite, tmp_path: Path) -> None:
    job = BLOCKS["job=shop"].replace("http://127.0.0.1:8765/", site.base).replace(ADDRESS, address)
    (tmp_path / "shop.yaml").write_text(job, encoding="utf-8")
    done = run(tmp_path, "run", "shop.yaml", "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"items: {address}" in done.stdout.replace("\n", "")
    with psycopg.connect(address) as db:
        authors = db.execute(BLOCKS["query=authors"]).fetchall()
        tags = db.execute(BLOCKS["query=tags"]).fetchall()
    most = sorted(Counter(book.author for book in BOOKS).items(), key=lambda each: (-each[1], each[0]))[:3]
    assert authors == [
        (author, books, sum(Decimal(book.price) for book in BOOKS if book.author == author) / 100, "£")
        for author, books in most
    ]
    assert dict(tags) == Counter(tag for book in BOOKS for tag in book.tags)
    proof = run(tmp_path, "verify", "crawls/shop")
    assert proof.returncode == 0, proof.stdout
    words = [word.replace(ADDRESS, address) for word in shlex.split(BLOCKS["export=shop"])]
    assert run(tmp_path, *words[1:]).returncode == 0
    with psycopg.connect(address) as db:
        assert db.execute("SELECT count(*) FROM public.book").fetchall() == [(len(BOOKS),)]
    assert_refused(run(tmp_path, *words[1:]), 2, "has the rows of this crawl already", "--overwrite")
    again = run(tmp_path, "run", "shop.yaml", "--fresh")
    assert_refused(again, 2, "exists already and is not this crawl's")
