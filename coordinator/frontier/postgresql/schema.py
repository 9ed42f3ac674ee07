"""The tables of a crawl's schema, and the migrations from those of earlier versions.

    ledger   one row: format; epoch, heartbeat and address of the owner; number, crawl time and time of the last commit
    waiting  name, address, seen_at                      the coordinators that stand by
    tasks    id (the admission order), depth, ref, row   appended in order and never changed, but for a smaller depth
    states   id, row                                     the row of each task that has changed since it was admitted
    ready    queue, rank, id                             PENDING and due
    later    queue, not_before, id                       PENDING and waiting for the time of a retry
    leases, hosts, origins, traps, ...                   key, row; a table for each of the other kinds of rows
    residents kind, key, row                             rows of the resident kinds, apart from leases
    results  seq, task, row                              the committed log
    story    seq (the number of the commit), at, lines   every change of every task, a block for each commit
    links    seq, task, row                              all links of each page, if the job asks for them
    marks    sink, mark                                  how far each sink is
    meta     key, value                                  counts, the crawl's own numbers, kept values

A row of `tasks` is written once, at the admission; what becomes of the task is mostly one row of `states`, written when
it is settled: so no update leaves a dead row behind. Tables whose rows do change have pages that are half empty, where
PostgreSQL puts the next version of a row without touching an index.

`format` is the version of these tables. Older ones are migrated when a crawl is opened, in one transaction and under
the lock of its owner; newer ones are refused.
"""

from __future__ import annotations

from hashlib import blake2b

from crawlfleet.coordinator.core.kinds import KINDS
from crawlfleet.coordinator.core.rows import HostRow, LeaseRow, ResidentRow, StoreRow, TaskRow
from crawlfleet.coordinator.frontier.postgresql.connection import Connection, Place, mapped_errors
from crawlfleet.coordinator.frontier.versions import Key
from crawlfleet.shared.errors import UsageError

FORMAT = 1
#: A longer key is stored by its beginning and a hash: an index takes no entry of more than 2,704 bytes.
LONGEST_KEY_BYTES = 1_000
#: The depth of what nothing leads to is larger than any integer of 4 bytes, by one.
LARGEST_DEPTH = 2**31 - 1
_HASH_BYTES = 32

_CHANGING = "WITH (fillfactor = 50)"
# A row of meta changes with each commit: one that is less than a page is stored in place, not in pieces.
_FIRST = f"""
CREATE TABLE ledger (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), format integer NOT NULL, epoch bigint NOT NULL DEFAULT 0,
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(), owner text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '', owned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    commits bigint NOT NULL DEFAULT 0, crawl_s float8 NOT NULL DEFAULT 0,
    committed_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10);
CREATE TABLE waiting (name text PRIMARY KEY, address text NOT NULL, seen_at timestamptz NOT NULL);
CREATE TABLE tasks (id bigint PRIMARY KEY, depth integer NOT NULL, ref uuid NOT NULL, row bytea NOT NULL);
CREATE UNIQUE INDEX tasks_by_ref ON tasks (ref) INCLUDE (depth);
CREATE TABLE states (id bigint PRIMARY KEY, row bytea NOT NULL) WITH (fillfactor = 90);
CREATE TABLE ready (queue bytea, rank bigint, id bigint, PRIMARY KEY (queue, rank, id));
CREATE TABLE later (queue bytea, not_before float8, id bigint, PRIMARY KEY (queue, not_before, id));
CREATE TABLE hosts (key bytea PRIMARY KEY, active boolean NOT NULL, row bytea NOT NULL) {_CHANGING};
CREATE TABLE residents (kind text, key bytea, row bytea NOT NULL, PRIMARY KEY (kind, key)) {_CHANGING};
CREATE INDEX hosts_active ON hosts (key) WHERE active;
CREATE TABLE results (seq bigint PRIMARY KEY, task bigint NOT NULL UNIQUE, row bytea NOT NULL);
CREATE TABLE story (seq bigint PRIMARY KEY, at float8 NOT NULL, lines bytea NOT NULL);
CREATE TABLE links (seq bigint PRIMARY KEY, task bigint NOT NULL UNIQUE, row bytea NOT NULL);
CREATE TABLE marks (sink text PRIMARY KEY, mark bytea NOT NULL) {_CHANGING};
CREATE TABLE meta (key text PRIMARY KEY, value bytea NOT NULL) WITH (fillfactor = 50, toast_tuple_target = 8160);
INSERT INTO ledger (format) VALUES (1)
"""
# What makes the tables of a format of those of the one before.
_STEPS = {1: _FIRST}
_APART = (TaskRow, HostRow)
_THERE = """
SELECT count(*), coalesce(bool_or(relname = 'ledger'), false) FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = %s
"""


def stored_key(key: Key) -> bytes:
    """Return the key of a row as tables have it. Those of a kind are of one type, so that none is taken for another."""
    if isinstance(key, int):
        return (key + 2**63).to_bytes(8)
    data = key.encode() if isinstance(key, str) else key
    if len(data) <= LONGEST_KEY_BYTES:
        return data
    return data[: LONGEST_KEY_BYTES + 1 - _HASH_BYTES] + blake2b(data, digest_size=_HASH_BYTES).digest()


def stored_depth(depth: int) -> int:
    """Return a depth as tables have it."""
    return min(depth, LARGEST_DEPTH)


def format_of(db: Connection, place: Place) -> int:
    """Return the format of a crawl's tables, 0 if there are none. Raises `UsageError` if the schema is another's."""
    number, has_ledger = db.execute(_THERE, (place.schema,)).fetchone() or (0, False)
    if has_ledger:
        (found,) = db.execute("SELECT format FROM ledger").fetchone() or (0,)
        return int(found)
    if number:
        raise UsageError(f"{place} exists already and is no crawl's: move it away, or name another schema")
    return 0


def bring_up_to_date(db: Connection, place: Place) -> None:
    """Create the tables of a crawl, or migrate them. The caller has the crawl's lock."""
    with mapped_errors(place, db), db.transaction():
        found = format_of(db, place)
        if found > FORMAT:
            refuse_other_format(found, place)
        if not found:
            _create_schema(db, place)
        for number in range(found, FORMAT):
            db.execute(_STEPS[number + 1])
        if 0 < found < FORMAT:
            db.execute("UPDATE ledger SET format = %s", (FORMAT,))
        for kind, table in KINDS.items():
            if kind not in _APART and not is_among_residents(kind):
                db.execute(
                    f"CREATE TABLE IF NOT EXISTS {table} (key bytea PRIMARY KEY, row bytea NOT NULL) {_CHANGING}"
                )


def rename_schema(db: Connection, place: Place, to: str) -> None:
    """Give a crawl's schema another name. Raises `UsageError` if there is none, or the name is taken."""
    refuse_other_format(format_of(db, place) and FORMAT, place)
    with db.transaction():
        if _has_schema(db, to):
            raise UsageError(f"{place} cannot be renamed: there is a schema {to} already")
        (rename,) = db.execute(
            "SELECT format('ALTER SCHEMA %%I RENAME TO %%I', %s::text, %s::text)", (place.schema, to)
        ).fetchone() or ("",)
        db.execute(rename)


def drop_schema(db: Connection, place: Place) -> None:
    """Remove a crawl with its schema, if it is there. The caller has the crawl's lock."""
    with mapped_errors(place, db):
        if format_of(db, place):
            (drop,) = db.execute("SELECT format('DROP SCHEMA %%I CASCADE', %s::text)", (place.schema,)).fetchone() or (
                "",
            )
            db.execute(drop)


def refuse_other_format(found: int, place: Place) -> None:
    """Raise `UsageError` unless tables have the format of this version."""
    if not found:
        raise UsageError(f"{place} holds no crawl: name the database and the schema of one")
    if found != FORMAT:
        raise UsageError(
            f"{place} has format {found}, this version of crawlfleet reads format {FORMAT}: "
            + ("run the job again to bring it up to date" if found < FORMAT else "install the version that wrote it")
            + ", or start again with --fresh"
        )


def is_among_residents(kind: type[StoreRow]) -> bool:
    """Say whether the rows of a kind are in `residents`. They are only read as a whole. Leases come and go too fast."""
    return issubclass(kind, ResidentRow) and kind is not LeaseRow


def table_of(kind: type[StoreRow]) -> str:
    """Return the name of the table of a kind of rows, or that of the kind in `residents`."""
    return KINDS[kind]


def _create_schema(db: Connection, place: Place) -> None:
    # Whoever may create no schema may be given an empty one.
    if not _has_schema(db, place.schema):
        (create,) = db.execute("SELECT 'CREATE SCHEMA ' || quote_ident(%s)", (place.schema,)).fetchone() or ("",)
        db.execute(create)


def _has_schema(db: Connection, schema: str) -> bool:
    return db.execute("SELECT FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone() is not None
