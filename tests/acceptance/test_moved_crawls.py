"""A crawl that moves while it is half done, and moves back, gives the rows of one that never moved: by commands."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlfleet.demo.server import DemoSite
from tests.acceptance.crawls import assert_refused, lines, run, start
from tests.site.postgresql_server import PostgresqlServer, programs

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(300),
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]
PATIENCE_S = 60


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with PostgresqlServer(syncs=True) as server:
        yield server.address()


def write_job(folder: Path, base: str, delay: str) -> None:
    (folder / "shop.yaml").write_text(
        f"name: shop\nseeds: ['{base}']\npoliteness: {{delay: {delay}, adaptive: false}}\n"
        'items:\n  - name: page\n    fields: {title: "title::text"}\n'
        "sinks: [items.jsonl, pages.csv]\n"
    )


def rows_in(folder: Path) -> list[str]:
    return sorted(str(row) for row in lines(folder / "crawls/shop/items.jsonl"))


def crawl_some(folder: Path, rows: int, *words: str) -> bytes:
    """Crawl until there are so many rows, and interrupt that; return the rows."""
    items = folder / "crawls/shop/items.jsonl"
    crawl = start(folder, "run", "shop.yaml", "--workers", "1", *words)
    try:
        until = time.monotonic() + PATIENCE_S
        while not items.exists() or items.read_bytes().count(b"\n") < rows:
            assert crawl.poll() is None, (folder / "out.txt").read_text()
            assert time.monotonic() < until, (folder / "out.txt").read_text()
            time.sleep(0.02)
        crawl.send_signal(signal.SIGINT)
        assert crawl.wait(PATIENCE_S) == 130, (folder / "out.txt").read_text()
    finally:
        crawl.kill()
        crawl.wait()
    return items.read_bytes()


def test_a_crawl_moves_there_and_back_while_it_is_half_done(address: str, site: DemoSite, tmp_path: Path) -> None:
    for name in ("moved", "stayed"):
        (tmp_path / name).mkdir()
        write_job(tmp_path / name, site.base, "0s" if name == "stayed" else "40ms")
    folder, stayed = tmp_path / "moved", tmp_path / "stayed"
    assert run(stayed, "run", "shop.yaml", "--workers", "1").returncode == 0
    first = crawl_some(folder, 4)
    moved = run(folder, "migrate", "crawls/shop", address)
    assert moved.returncode == 0, moved.stdout + moved.stderr
    assert f"go on with it by `frontier: {address}` in its job" in " ".join(moved.stdout.split())
    assert_refused(run(folder, "run", "shop.yaml"), 2, f"--frontier '{address}'")
    second = crawl_some(folder, first.count(b"\n") + 4, "--frontier", address)
    assert second.startswith(first)
    assert run(folder, "verify", "crawls/shop").returncode == 0
    back = run(folder, "migrate", "crawls/shop", "sqlite")
    assert back.returncode == 0, back.stdout + back.stderr
    assert_refused(run(folder, "run", "shop.yaml", "--frontier", address), 2, "--frontier 'sqlite'")
    elsewhere = ("--frontier", address, "--crawls", "elsewhere")
    assert_refused(run(folder, "run", "shop.yaml", *elsewhere), 2, "has moved to the folder")
    anew = run(folder, "run", "shop.yaml", *elsewhere, "--fresh", "--pages", "2", "--workers", "1")
    assert anew.returncode == 0, anew.stdout + anew.stderr
    done = run(folder, "run", "shop.yaml", "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "crawls/shop/items.jsonl").read_bytes().startswith(second)
    assert rows_in(folder) == rows_in(stayed)
    csv = [(each / "crawls/shop/pages.csv").read_text().splitlines() for each in (folder, stayed)]
    assert sorted(csv[0]) == sorted(csv[1])
    assert run(folder, "verify", "crawls/shop").returncode == 0


def test_what_cannot_be_moved_is_refused_in_a_sentence(address: str, site: DemoSite, tmp_path: Path) -> None:
    write_job(tmp_path, site.base, "0s")
    assert run(tmp_path, "run", "shop.yaml", "--workers", "1", "--pages", "3").returncode == 0
    for words, said in {
        ("crawls/none", address): "holds no crawl that can be read",
        ("crawls/shop", "sqlite"): "already: name another place",
        ("crawls/shop", "memory"): "is no place for a crawl",
        ("crawls/shop", "mysql://host/database"): "no store is at such an address",
        ("crawls/shop", "postgresql://me:hunter2@host/database"): "has a password",
        ("crawls/shop", f"{address}&port=1"): "cannot connect to the database",
    }.items():
        done = run(tmp_path, "migrate", *words)
        assert_refused(done, 2, said)
        assert "hunter2" not in done.stdout + done.stderr
    assert run(tmp_path, "verify", "crawls/shop").returncode == 0
