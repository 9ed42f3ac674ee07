"""Crawls in PostgreSQL, by commands: no password is told or kept, and one coordinator at a time has a crawl."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from crawlfleet.coordinator.frontier.crawl_address import VARIABLE
from crawlfleet.coordinator.frontier.registry import place_for
from crawlfleet.demo.server import DemoSite
from tests.acceptance.crawls import assert_refused, run
from tests.site.postgresql_server import PostgresqlServer, programs

SECRET = "hunter2"

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(300),
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer(syncs=True) as running:
        yield running


@pytest.fixture
def job(tmp_path: Path, site: DemoSite) -> Path:
    (tmp_path / "shop.yaml").write_text(
        f"name: shop\nseeds: [{site.base}]\nscope: {{pages: 3}}\npoliteness: {{delay: 0s, adaptive: false}}\n"
    )
    return tmp_path


def test_a_password_in_the_environment_is_told_by_nothing(
    server: PostgresqlServer, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"{server.address()}&password={SECRET}")
    told = [
        run(job, "run", "shop.yaml", "--workers", "1"),
        run(job, "verify", "crawls/shop"),
        run(job, "check", "shop.yaml"),
    ]
    assert [done.returncode for done in told] == [0, 0, 0], told
    monkeypatch.setenv(VARIABLE, f"{server.address()}&port=1&password={SECRET}")
    told.append(run(job, "run", "shop.yaml", "--workers", "1"))
    assert_refused(told[-1], 2, "cannot connect to the database")
    assert not [done for done in told if SECRET in done.stdout + done.stderr]
    kept = [path for path in (job / "crawls").rglob("*") if path.is_file()]
    assert {"frontier.json", "log.jsonl", "summary.json"} < {path.name for path in kept}
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]
    with psycopg.connect(server.address()) as db:
        values = db.execute("SELECT value FROM crawl_shop.meta").fetchall()
    assert values
    assert not any(SECRET.encode() in value for (value,) in values)


def test_a_password_on_the_command_line_is_refused(server: PostgresqlServer, job: Path) -> None:
    address = f"{server.address()}&password={SECRET}"
    for words in (("run", "shop.yaml", "--frontier", address), ("verify", f"{address}&crawl=shop")):
        done = run(job, *words)
        assert_refused(done, 2, "has a password", "PGPASSWORD")
        assert SECRET not in done.stdout + done.stderr


def test_a_crawl_that_another_coordinator_has_is_refused(server: PostgresqlServer, job: Path) -> None:
    command = ("run", "shop.yaml", "--workers", "1", "--name", "owned", "--frontier", server.address())
    with closing(place_for("process", server.address(), "owned", job).open(power=False)):
        assert_refused(run(job, *command), 2, "is owned by another coordinator", "`crawlfleet coordinator` stands by")
    assert run(job, *command).returncode == 0
    with closing(place_for("process", server.address(), "owned", job).open(power=False)):
        assert_refused(run(job, *command, "--fresh"), 2, "is owned by another coordinator")
        assert_refused(run(job, "verify", "crawls/owned"), 2, "is in use by the coordinator")
    assert run(job, "verify", "crawls/owned").returncode == 0
