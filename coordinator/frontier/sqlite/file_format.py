"""The file of the durable store: its tables, and the migrations from the tables of earlier versions.

    tasks    id (the admission order), ref, depth, row   appended in order; only the index of refs is random, and it
                                                         holds which URLs are known, and their depths
    ready    queue, rank, id                             PENDING and due: what `ready` reads
    later    queue, not_before, id                       PENDING and waiting for the time of a retry
    leases, hosts, origins, traps, ...                   key, row; a table for each of the other `KINDS`
    results  seq, task, row                              the committed log
    story    seq, lines, at                              every change of every task, a block for each commit
    links    seq, task, row                              all links of each page, if the job asks for them
    segments id, more, owner, key, data                  large rows of other tables: see `segments`
    meta     the ledger, the counts, crawl time

`user_version` is the format of a file. An older one is migrated when the file is opened for writing, in one
transaction; a newer one is refused.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from crawlfleet.coordinator.core.kinds import KINDS
from crawlfleet.coordinator.core.rows import HostRow, OriginRow
from crawlfleet.coordinator.core.unit_rows import AskedDelayRow
from crawlfleet.coordinator.folder_sync import sync_folder
from crawlfleet.coordinator.frontier.sqlite.checkpointer import LONG_LOG_PAGES
from crawlfleet.coordinator.frontier.stored_rows import host_in, task_in
from crawlfleet.coordinator.frontier.story import EVENT_NUMBERS, encode_block
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.messages import Kind
from crawlfleet.shared.web.urls import host_key

FORMAT = 8
#: What can be read without a migration: `story` has no `at` in format 5, rows of units name their hosts before 7, and
#: before 8 no row is in segments, and no task or result has a line of a seeds file.
READABLE = (5, 6, 7, FORMAT)
TIMES_SINCE = 6
CACHE_KIB = 128 * 1024
LINES_PER_BLOCK = 1_000

_TASKS = "CREATE TABLE tasks (id INTEGER PRIMARY KEY, ref BLOB NOT NULL, depth INTEGER NOT NULL, row BLOB NOT NULL)"
_TASKS_BY_REF = "CREATE UNIQUE INDEX tasks_by_ref ON tasks (ref, depth)"
# Up to format 5.
_STORY = "CREATE TABLE story (seq INTEGER PRIMARY KEY, lines BLOB NOT NULL)"
_LINKS = "CREATE TABLE IF NOT EXISTS links (seq INTEGER PRIMARY KEY, task INTEGER NOT NULL UNIQUE, row BLOB NOT NULL)"
_SEGMENTS = """
CREATE TABLE IF NOT EXISTS segments
    (id INTEGER PRIMARY KEY, more INTEGER NOT NULL, owner TEXT, key, data BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS segments_by_owner ON segments (owner, key) WHERE owner IS NOT NULL;
"""
_STORY_WITH_TIMES = "ALTER TABLE story ADD COLUMN at REAL"
_SCHEMA = f"""
{_TASKS};
{_TASKS_BY_REF};
{_STORY};
{_STORY_WITH_TIMES};
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE ready (queue TEXT, rank INTEGER, id INTEGER, PRIMARY KEY (queue, rank, id)) WITHOUT ROWID;
CREATE TABLE later (queue TEXT, not_before REAL, id INTEGER, PRIMARY KEY (queue, not_before, id)) WITHOUT ROWID;
CREATE TABLE leases (key INTEGER PRIMARY KEY, row BLOB NOT NULL);
CREATE TABLE hosts (key TEXT PRIMARY KEY, active INTEGER NOT NULL, row BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX hosts_active ON hosts (active) WHERE active;
CREATE TABLE results (seq INTEGER PRIMARY KEY, task INTEGER NOT NULL, row BLOB NOT NULL);
CREATE UNIQUE INDEX results_by_task ON results (task);
"""

# The events of format 1 by their numbers there.
_EVENTS_1 = (
    *("admitted", "refused", "granted", "lost", "released", "retried", "fetched", "not_modified", "redirected"),
    *("judged", "gave_up", "poisoned", "revived", "lowered", "accepted"),
)
# Reasons of format 2 that have been renamed.
_RENAMED = {"budget": "budget_pages"}

_origin = msgspec.msgpack.Decoder(OriginRow).decode


def open_file(path: Path, *, power: bool) -> sqlite3.Connection:
    """Open a store's file for writing: create it, or migrate it if it is older; refuse a newer one.

    With `power` each commit waits until it is on disk.
    """
    # The job may have passwords in its headers. SQLite gives the files beside this one the same mode.
    with suppress(OSError):  # SQLite tells what is wrong
        path.touch(mode=0o600)
        path.chmod(0o600)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {'FULL' if power else 'NORMAL'}")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        db.execute(f"PRAGMA wal_autocheckpoint = {LONG_LOG_PAGES}")
        db.execute("PRAGMA secure_delete = OFF")  # it would write what a large row had once more, to remove it
        (found,) = db.execute("PRAGMA user_version").fetchone()
        if found == 0:
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {FORMAT}; COMMIT;")
            if power:
                sync_folder(path.parent)
        elif found != FORMAT:
            _migrate(db, path, found)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # all of the file may have been rewritten
        db.execute(_LINKS)
        db.executescript(_SEGMENTS)
        for table in KINDS.values():
            db.execute(f"CREATE TABLE IF NOT EXISTS {table} (key PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID")
    except BaseException:
        db.close()
        raise
    return db


def refuse_other_format(path: Path, found: int, accepted: Collection[int] = (FORMAT,)) -> None:
    """Raise `UsageError` unless a file has the format of this version, or another one that is accepted."""
    if found not in accepted:
        raise UsageError(
            f"{path} has format {found}, this version of crawlfleet reads format {FORMAT}: "
            + ("run the job again to bring it up to date" if found < FORMAT else "install the version that wrote it")
            + ", or start again with --fresh"
        )


def _migrate(db: sqlite3.Connection, path: Path, found: int) -> None:
    """Migrate an older file, format by format, in one transaction."""
    if found not in _STEPS:
        refuse_other_format(path, found)
    db.execute("BEGIN IMMEDIATE")
    for number in range(found, FORMAT):
        try:
            _STEPS[number](db)
        except (LookupError, msgspec.DecodeError, sqlite3.OperationalError) as error:
            raise UsageError(
                f"{path} is damaged ({error}): restore a copy, or start again with --fresh, which keeps it aside"
            ) from error
    db.execute(f"PRAGMA user_version = {FORMAT}")
    db.execute("COMMIT")


def _from_1(db: sqlite3.Connection) -> None:
    """Add depths to the index of fingerprints, replace depth by rank in queues, and store the story in blocks."""
    db.create_function("depth_of", 1, lambda row: task_in(row).depth, deterministic=True)
    db.execute("ALTER TABLE tasks RENAME TO tasks_1")
    db.execute(_TASKS)
    db.execute("INSERT INTO tasks SELECT id, ref, depth_of(row), row FROM tasks_1 ORDER BY id")
    db.execute("DROP TABLE tasks_1")
    db.execute(_TASKS_BY_REF)
    db.execute("ALTER TABLE ready RENAME COLUMN depth TO rank")
    db.execute("ALTER TABLE story RENAME TO story_1")
    db.execute(_STORY)
    lines = db.execute("SELECT task, event, lease, outlinks FROM story_1 ORDER BY seq")
    while some := lines.fetchmany(LINES_PER_BLOCK):
        block = [
            (task, EVENT_NUMBERS[_EVENTS_1[event]], lease, outlinks or b"") for task, event, lease, outlinks in some
        ]
        db.execute("INSERT INTO story (lines) VALUES (?)", (encode_block(block),))
    db.execute("DROP TABLE story_1")


def _from_2(db: sqlite3.Connection) -> None:
    """Replace the reason `budget` by the name of the budget that was spent."""
    for (kept,) in db.execute("SELECT value FROM meta WHERE key = 'verdicts'").fetchall():
        verdicts = msgspec.msgpack.decode(kept)
        if any(why in _RENAMED for _, why, _ in verdicts):
            renamed = [(state, _RENAMED.get(why, why), number) for state, why, number in verdicts]
            db.execute("UPDATE meta SET value = ? WHERE key = 'verdicts'", (msgspec.msgpack.encode(renamed),))
            db.create_function("renamed", 1, _renamed, deterministic=True)
            db.execute("UPDATE tasks SET row = renamed(row)")


def _from_3(db: sqlite3.Connection) -> None:
    """Rename the key column of every table of rows to `key`."""
    db.execute("ALTER TABLE leases RENAME COLUMN id TO key")
    db.execute("ALTER TABLE origins RENAME COLUMN origin TO key")


def _from_4(db: sqlite3.Connection) -> None:
    """Count the known URLs of each host."""
    tasks = (task_in(row) for (row,) in db.execute("SELECT row FROM tasks"))
    counted = Counter(task.host for task in tasks if task.kind is not Kind.ROBOTS)
    for key, known in counted.items():
        active, row = db.execute("SELECT active, row FROM hosts WHERE key = ?", (key,)).fetchone() or (0, None)
        host = HostRow(key=key, delay_s=0.0, asked_s=0.0) if row is None else host_in(row)
        encoded = msgspec.msgpack.encode(msgspec.structs.replace(host, known=known))
        db.execute("INSERT OR REPLACE INTO hosts VALUES (?, ?, ?)", (key, active, encoded))


def _from_5(db: sqlite3.Connection) -> None:
    """Let blocks of the story have a time; those that are there have none."""
    db.execute(_STORY_WITH_TIMES)


def _from_6(db: sqlite3.Connection) -> None:
    """Give the origins of a unit back to the hosts that joined it, and look at all of these again."""
    db.execute("CREATE TABLE IF NOT EXISTS asked_delays (key PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID")
    units = [host for (row,) in db.execute("SELECT row FROM hosts") if (host := host_in(row)).names]
    for unit in units:
        origins: defaultdict[str, list[str]] = defaultdict(list)
        for origin in unit.origins:
            origins[host_key(f"{origin}/")].append(origin)
        _put_host(db, unit, names=(), is_unit=True, origins=tuple(origins[unit.key]), ready_at=0.0)
        delays: Counter[float] = Counter()
        for name in unit.names:
            (row,) = db.execute("SELECT row FROM hosts WHERE key = ?", (name,)).fetchone() or (None,)
            if row is None:
                raise LookupError(f"the host {name} is not there")
            _put_host(db, host_in(row), unit=unit.key, origins=tuple(origins[name]), ready_at=0.0)
            delays.update(_asked_delay_s(db, origin) for origin in origins[name])
        for delay_s, files in delays.items():
            if delay_s > 0:
                asked = AskedDelayRow(unit=unit.key, delay_s=delay_s, files=files)
                db.execute("INSERT INTO asked_delays VALUES (?, ?)", (asked.key, msgspec.msgpack.encode(asked)))


def _from_7(db: sqlite3.Connection) -> None:
    """Let tasks and results have a line of a seeds file; those that are there have none.

    The table of rows in segments is made when it is missing.
    """
    db.execute("CREATE TABLE IF NOT EXISTS seed_lines (key PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID")


def _put_host(db: sqlite3.Connection, host: HostRow, **changed: Any) -> None:
    """Store an active host with other values."""
    encoded = msgspec.msgpack.encode(msgspec.structs.replace(host, **changed))
    db.execute("INSERT OR REPLACE INTO hosts VALUES (?, 1, ?)", (host.key, encoded))


def _asked_delay_s(db: sqlite3.Connection, origin: str) -> float:
    found = db.execute("SELECT row FROM origins WHERE key = ?", (origin,)).fetchone()
    return 0.0 if found is None else _origin(found[0]).asked_delay_s


def _renamed(row: bytes) -> bytes:
    """Return a task's row with its reason renamed."""
    task = task_in(row)
    if task.reason not in _RENAMED:
        return row
    return msgspec.msgpack.encode(msgspec.structs.replace(task, reason=_RENAMED[task.reason]))


_STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {
    1: _from_1,
    2: _from_2,
    3: _from_3,
    4: _from_4,
    5: _from_5,
    6: _from_6,
    7: _from_7,
}
