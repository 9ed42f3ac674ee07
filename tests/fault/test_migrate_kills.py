"""A move that is killed at any step: until the last one the crawl is where it was; the same command starts over."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from crawlfleet.coordinator.frontier.registry import stored_in
from crawlfleet.coordinator.frontier.sqlite.marks import MARKS
from crawlfleet.coordinator.offline.migrate import migrate
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.shared.errors import UsageError
from tests.moved_crawls import digest_at, half_done
from tests.site.postgresql_server import PostgresqlServer, programs

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(120),
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]

# A process that ends itself by SIGKILL before or after a call of a function.
DYING = """
import os, signal, sys
from importlib import import_module
from pathlib import Path
from crawlfleet.coordinator.offline import migrate
module, owner, name, when, number, folder, to = sys.argv[1:]
place = import_module(f"crawlfleet.coordinator.{module}")
place = getattr(place, owner) if owner else place
whole, left = getattr(place, name), [int(number)]
def dying(*arguments):
    left[0] -= 1
    if when == "before" and not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    found = whole(*arguments)
    if when == "after" and not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
setattr(place, name, dying)
migrate.migrate(Path(folder), to, lambda *_: None)
"""
TARGETS = {"there": ("postgresql", "Postgresql"), "back": ("sqlite", "Sqlite")}
# Of each step: the end of a class's name, or nothing; its method, when it dies, and at which call.
STEPS = {
    "in the first portion": ("Target", "write", "after", "1"),
    "among the rows": ("Target", "write", "before", "4"),
    "in the story": ("Target", "write_blocks", "after", "1"),
    "before the end of the copy": ("Target", "finish", "before", "1"),
    "after the copy": ("Target", "finish", "after", "1"),
    "before it is proved": ("Copying", "read_draft", "before", "1"),
    "before it counts": ("Copying", "publish", "before", "1"),
    "when it is there": ("Copying", "publish", "after", "1"),
}
_names = (f"killed{number}" for number in count())


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer(syncs=True) as running:
        yield running


def dies(folder: Path, to: str, *step: str) -> None:
    done = subprocess.run([sys.executable, "-c", DYING, *step, str(folder), to], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def quiet(_what: str, _rows: int, _of: int) -> None:
    pass


def test_a_move_that_is_killed_when_its_file_has_another_name_has_happened(
    server: PostgresqlServer, tmp_path: Path
) -> None:
    folder = half_done(tmp_path / next(_names))
    dies(folder, server.address(), "frontier.sqlite.copying", "", "sync_folder", "after", "1")
    there = stored_in(folder)
    assert there is not None
    assert there.at is not None
    assert (folder / MARKS).exists()  # only the last files were not renamed
    assert verify(folder).holds
    there.open(power=False).close()
    migrate(folder, "sqlite", quiet)
    assert verify(folder).holds


def test_a_move_that_is_killed_between_its_files_has_not_happened(server: PostgresqlServer, tmp_path: Path) -> None:
    folder = half_done(tmp_path / next(_names))
    migrate(folder, server.address(), quiet)
    old = stored_in(folder)
    assert old is not None
    before = digest_at(old)
    dies(folder, "sqlite", "frontier.sqlite.copying", "Path", "rename", "after", "1")
    assert (folder / MARKS).exists()
    assert stored_in(folder) == old
    assert list(before.differences(digest_at(old))) == []
    migrate(folder, "sqlite", quiet)
    assert verify(folder).holds


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("way", TARGETS)
def test_a_move_that_is_killed_starts_over_and_the_crawl_is_in_one_place(
    server: PostgresqlServer, tmp_path: Path, way: str, step: str
) -> None:
    folder = half_done(tmp_path / next(_names))
    to = server.address()
    if way == "back":
        migrate(folder, to, quiet)
        to = "sqlite"
    old = stored_in(folder)
    assert old is not None
    before = digest_at(old)
    package, prefix = TARGETS[way]
    owner, *rest = STEPS[step]
    dies(folder, to, f"frontier.{package}.copying", f"{prefix}{owner}", *rest)
    has_moved = (way, step) == ("back", "when it is there")
    now = stored_in(folder)
    assert now is not None
    assert (now == old) is not has_moved
    assert verify(folder).holds
    assert has_moved or list(before.differences(digest_at(old))) == []
    migrate(folder, to, quiet)
    there = stored_in(folder)
    assert there is not None
    assert there.at != old.at
    assert verify(folder).holds
    assert not list(folder.glob("*.draft"))
    if old.at is not None:
        with pytest.raises(UsageError, match="has moved to"):
            old._replace(folder=None).open(power=False)
    there.open(power=False).close()


def test_a_move_that_is_killed_when_the_address_is_kept_has_not_happened(
    server: PostgresqlServer, tmp_path: Path
) -> None:
    folder = half_done(tmp_path / next(_names))
    old = stored_in(folder)
    dies(folder, server.address(), "offline.migrate", "", "keep_address", "after", "1")
    assert stored_in(folder) == old
    assert verify(folder).holds
    migrate(folder, server.address(), quiet)
    assert stored_in(folder) != old
    assert verify(folder).holds
