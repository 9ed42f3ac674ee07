"""Crawls that are killed by -9 while they write to PostgreSQL, to a program that takes rows, and to an address.

`verify`, which each run ends with, reads the database back.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.fault.torture import run_seed
from tests.site.postgresql_server import PostgresqlServer, programs
from tests.unit.test_webhook import Receiver

SEEDS = int(os.environ.get("CRAWLFLEET_TORTURE", "4"))
pytestmark = [
    pytest.mark.server,
    pytest.mark.long,
    pytest.mark.timeout(180),
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer() as running:
        yield running


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_row_is_there_once_and_came_at_least_once_whoever_dies(
    seed: int, server: PostgresqlServer, tmp_path: Path
) -> None:
    receiver = Receiver()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    address = f"file://{tmp_path}/out/items.csv"
    done = run_seed(seed, tmp_path, f"{{to: '{server.address()}', schema: s{seed}}}, '{receiver.address}', '{address}'")
    receiver.shutdown()
    receiver.server_close()
    assert done.is_clean, done
    rows = [json.loads(line) for line in next(tmp_path.rglob("items.jsonl")).read_text().splitlines()]
    wanted = Counter((row["url"], row["title"]) for row in rows)
    with psycopg.connect(server.address()) as db:
        assert Counter(db.execute(f"SELECT url, title FROM s{seed}.page").fetchall()) == wanted
    sent = {row["id"]: (row["url"], row["title"]) for row in receiver.rows}
    assert Counter(sent.values()) == wanted
    lines = (tmp_path / "out" / "items.csv").read_text().splitlines()
    assert len(lines) == len(rows) + 1
