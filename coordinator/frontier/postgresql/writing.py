"""What a batch becomes: one call for each table, over arrays of its columns, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from crawlfleet.coordinator.core.rows import HostRow, StoreRow
from crawlfleet.coordinator.frontier.durable.batch import Batch, NewRows, kept_key
from crawlfleet.coordinator.frontier.postgresql.arrays import (
    BOOL,
    FLOAT8,
    INT4,
    INT8,
    byteas,
    float8,
    int8,
    plain,
    texts,
    uuids,
)
from crawlfleet.coordinator.frontier.postgresql.schema import is_among_residents, stored_depth, stored_key, table_of
from crawlfleet.coordinator.frontier.postgresql.statements import Call, Statement, statement
from crawlfleet.shared.errors import CrawlFailed

#: One call has so many bytes of rows at most, or one row: an array of PostgreSQL has less than 1 GB.
CALL_BYTES = 32 * 1024 * 1024
LONGEST_ROW_BYTES = 2**30 - 2**20

# A look-up by key for each element, whatever the planner knows of the table: OFFSET 0 keeps it from another order.
_FOUND = "CROSS JOIN LATERAL (SELECT ctid FROM {table} t WHERE {where} OFFSET 0) f"
_BORN = statement(
    "born",
    """INSERT INTO tasks (id, depth, ref, row)
    SELECT * FROM unnest($1::int8[], $2::int4[], $3::uuid[], $4::bytea[])""",
)
_LOWERED = statement(
    "lowered",
    f"""UPDATE tasks SET depth = u.depth
    FROM (SELECT f.ctid AS at, n.depth FROM unnest($1::int8[], $2::int4[]) AS n (id, depth)
        {_FOUND.format(table="tasks", where="t.id = n.id")}) u
    WHERE tasks.ctid = u.at""",
)
_STORY = statement("story", "INSERT INTO story (seq, at, lines) VALUES ($1::int8, $2::float8, $3::bytea)")
_RESULTS = statement(
    "results", "INSERT INTO results (seq, task, row) SELECT * FROM unnest($1::int8[], $2::int8[], $3::bytea[])"
)
_LINKS = statement(
    "links",
    """INSERT INTO links (seq, task, row) SELECT * FROM unnest($1::int8[], $2::int8[], $3::bytea[])
    ON CONFLICT (task) DO UPDATE SET seq = EXCLUDED.seq, row = EXCLUDED.row""",
)
# It fails if there is no row, and with it the transaction: another owner has numbered its opening. It comes last, since
# from here on a next owner would have to wait for this one.
_COMMITTED = statement(
    "committed",
    """WITH mine AS (UPDATE ledger SET commits = $2::int8, crawl_s = $3::float8, committed_at = clock_timestamp(),
        heartbeat_at = clock_timestamp() WHERE epoch = $1::int8 RETURNING 1)
    SELECT 1 / count(*) FROM mine""",
)
_STILL_MINE = statement(
    "still_mine",
    """WITH mine AS (UPDATE ledger SET heartbeat_at = clock_timestamp() WHERE epoch = $1::int8 RETURNING 1)
    SELECT 1 / count(*) FROM mine""",
)
#: The SQLSTATE of that failure, a division by zero: no other statement of a transaction divides.
FENCED_STATE = "22012"


def _put(table: str, *columns: str, keys: int = 1) -> Statement:
    """Return the statement that puts rows in the place of those with their key: so many of the columns, `name:type`.

    Each key is looked up once. An insertion with ON CONFLICT would write more into the log: it locks a row before it
    changes it, and inserts twice.
    """
    names, types = zip(*(column.split(":") for column in columns), strict=True)
    listed = ", ".join(names)
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, 1))
    where = " AND ".join(f"t.{name} = a.{name}" for name in names[:keys])
    changed = ", ".join(f"{name} = n.{name}" for name in names[keys:])
    text = f"""
    WITH n AS MATERIALIZED (
        SELECT a.*, (SELECT t.ctid FROM {table} t WHERE {where}) AS at FROM unnest({arrays}) AS a ({listed})),
    changed AS (UPDATE {table} o SET {changed} FROM n WHERE o.ctid = n.at)
    INSERT INTO {table} ({listed}) SELECT {listed} FROM n WHERE at IS NULL"""
    return statement(f"put_{table}", text)


def _enter(table: str, place: str, kind: str) -> Statement:
    """Return the statement that adds entries to queues, those that are not there."""
    text = f"""
    INSERT INTO {table} (queue, {place}, id)
    SELECT * FROM unnest($1::bytea[], $2::{kind}[], $3::int8[]) AS n (queue, {place}, id)
    WHERE (SELECT true FROM {table} t WHERE (t.queue, t.{place}, t.id) = (n.queue, n.{place}, n.id)) IS NULL"""
    return statement(f"enter_{table}", text)


def _leave(table: str, place: str, kind: str) -> Statement:
    """Return the statement that removes entries from queues."""
    found = _FOUND.format(table=table, where=f"t.queue = n.queue AND t.{place} = n.{place} AND t.id = n.id")
    text = f"""
    DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT f.ctid
        FROM unnest($1::bytea[], $2::{kind}[], $3::int8[]) AS n (queue, {place}, id) {found}))"""
    return statement(f"leave_{table}", text)


_CHANGED = _put("states", "id:int8", "row:bytea")
_HOSTS = _put("hosts", "key:bytea", "active:bool", "row:bytea")
_META = _put("meta", "key:text", "value:bytea")
_RESIDENTS = _put("residents", "kind:text", "key:bytea", "row:bytea", keys=2)
_RESIDENTS_GONE = statement(
    "remove_residents",
    f"""DELETE FROM residents WHERE ctid = ANY(ARRAY(SELECT f.ctid FROM unnest($1::text[], $2::bytea[]) AS n (kind, key)
        {_FOUND.format(table="residents", where="t.kind = n.kind AND t.key = n.key")}))""",
)
_READY, _LATER = _enter("ready", "rank", "int8"), _enter("later", "not_before", "float8")
_READY_GONE, _LATER_GONE = _leave("ready", "rank", "int8"), _leave("later", "not_before", "float8")


@cache
def _put_rows(table: str) -> Statement:
    return _put(table, "key:bytea", "row:bytea")


@cache
def _remove_rows(table: str) -> Statement:
    return statement(f"remove_{table}", f"DELETE FROM {table} WHERE key = ANY($1::bytea[])")


def calls_of(batch: Batch, epoch: int, at: float, links: int) -> list[Call]:
    """Return the transaction of a batch: of the owner `epoch`, at a Unix time, where so many links are there."""
    calls = [*_of_tasks(batch), *_of_queues(batch), *_of_logs(batch, at, links)]
    for kind, new in batch.rows.items():
        if not is_among_residents(kind):
            calls += _of_rows(kind, new)
    calls += _of_residents({table_of(kind): new for kind, new in batch.rows.items() if is_among_residents(kind)})
    calls += _of_meta(batch.meta)
    calls.append(Call(_COMMITTED, (int8(epoch), int8(batch.number), float8(batch.at))))
    return calls


def call_of_block(seq: int, at: float, lines: bytes) -> Call:
    """Return the call that writes a block of the story."""
    _check(lines)
    return Call(_STORY, (int8(seq), float8(at), lines))


def calls_to_keep(key: str, value: bytes, epoch: int) -> list[Call]:
    """Return the transaction that keeps one value."""
    return [*_of_meta([(kept_key(key), value)]), still_mine(epoch)]


def still_mine(epoch: int) -> Call:
    """Return the call by which the owner of this epoch says that it is there; it fails with `FENCED_STATE` if another
    one has the crawl."""
    return Call(_STILL_MINE, (int8(epoch),))


def _of_tasks(batch: Batch) -> Iterator[Call]:
    yield from _runs(
        _BORN,
        batch.born,
        lambda ids, refs, depths, rows: (
            plain(INT8, ids),
            plain(INT4, [stored_depth(depth) for depth in depths]),
            uuids(refs),
            byteas(rows),
        ),
    )
    yield from _runs(_CHANGED, batch.changed, lambda ids, rows: (plain(INT8, ids), byteas(rows)))
    if batch.lowered:
        ids, depths = zip(*batch.lowered, strict=True)
        yield Call(_LOWERED, (plain(INT8, ids), plain(INT4, [stored_depth(depth) for depth in depths])))


def _of_queues(batch: Batch) -> Iterator[Call]:
    for taken, entries, kind in (
        (_READY_GONE, batch.ready_gone, INT8),
        (_LATER_GONE, batch.later_gone, FLOAT8),
        (_READY, batch.ready, INT8),
        (_LATER, batch.later, FLOAT8),
    ):
        if entries:
            queues, places, ids = zip(*entries, strict=True)
            keys = byteas([stored_key(queue) for queue in queues])
            yield Call(taken, (keys, plain(kind, places), plain(INT8, ids)))


def _of_logs(batch: Batch, at: float, links: int) -> Iterator[Call]:
    if batch.story is not None:
        yield call_of_block(batch.number, at, batch.story)
    yield from _runs(_RESULTS, batch.results, _logged)
    numbered = [(links + number, task, row) for number, (task, row) in enumerate(batch.links, 1)]
    yield from _runs(_LINKS, numbered, _logged)


def _of_rows(kind: type[StoreRow], new: NewRows) -> Iterator[Call]:
    if new.gone:
        yield Call(_remove_rows(table_of(kind)), (byteas([stored_key(key) for key in new.gone]),))
    if kind is HostRow:
        yield from _runs(
            _HOSTS,
            new.values,
            lambda keys, active, rows: (
                byteas([stored_key(key) for key in keys]),
                plain(BOOL, active),
                byteas(rows),
            ),
        )
    else:
        yield from _runs(
            _put_rows(table_of(kind)),
            new.values,
            lambda keys, rows: (byteas([stored_key(key) for key in keys]), byteas(rows)),
        )


def _of_residents(kinds: Mapping[str, NewRows]) -> Iterator[Call]:
    gone = [(kind, stored_key(key)) for kind, new in kinds.items() for key in new.gone]
    if gone:
        names, keys = zip(*gone, strict=True)
        yield Call(_RESIDENTS_GONE, (texts(names), byteas(keys)))
    put = [(kind, stored_key(key), row) for kind, new in kinds.items() for key, row in new.values]
    yield from _runs(_RESIDENTS, put, lambda names, keys, rows: (texts(names), byteas(keys), byteas(rows)))


def _of_meta(values: Sequence[tuple[str, bytes]]) -> Iterator[Call]:
    yield from _runs(_META, values, lambda keys, data: (texts(keys), byteas(data)))


def _logged(seqs: Any, tasks: Any, rows: Any) -> tuple[bytes, ...]:
    return plain(INT8, seqs), plain(INT8, tasks), byteas(rows)


def _runs(
    taken: Statement, rows: Sequence[tuple[Any, ...]], packed: Callable[..., tuple[bytes, ...]]
) -> Iterator[Call]:
    """Yield calls of a statement over rows, each of which ends with its encoded row; few large ones at once."""
    if not rows:
        return
    if sum(len(row[-1]) for row in rows) <= CALL_BYTES:
        yield Call(taken, packed(*zip(*rows, strict=True)))
        return
    run: list[tuple[Any, ...]] = []
    size = 0
    for row in rows:
        _check(row[-1])
        if run and size + len(row[-1]) > CALL_BYTES:
            yield Call(taken, packed(*zip(*run, strict=True)))
            run, size = [], 0
        run.append(row)
        size += len(row[-1])
    yield Call(taken, packed(*zip(*run, strict=True)))


def _check(row: bytes) -> None:
    if len(row) > LONGEST_ROW_BYTES:
        raise CrawlFailed(f"a row of the crawl has {len(row) >> 20} MB, and PostgreSQL stores 1,023 MB at most")
