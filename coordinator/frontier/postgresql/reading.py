"""What a store reads of a crawl that it owns: one statement for many keys, or for many queues."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from crawlfleet.coordinator.core.kinds import KINDS
from crawlfleet.coordinator.core.rows import NOT_REACHED, HostRow, LeaseRow, StoreRow, TaskRow
from crawlfleet.coordinator.frontier.durable.batch import kept_key
from crawlfleet.coordinator.frontier.durable.database import LaterEntry, LaterPage, ReadyEntry, ReadyPage
from crawlfleet.coordinator.frontier.postgresql.arrays import (
    FLOAT8,
    INT4,
    INT8,
    UUID_BYTES,
    byteas,
    float8_in,
    int4_in,
    int8,
    int8_in,
    plain,
    uuids,
)
from crawlfleet.coordinator.frontier.postgresql.schema import (
    LARGEST_DEPTH,
    LONGEST_KEY_BYTES,
    is_among_residents,
    stored_key,
    table_of,
)
from crawlfleet.coordinator.frontier.postgresql.statements import Call, Session, Statement, statement
from crawlfleet.coordinator.frontier.stored_rows import task_in

# The row of a task t: that of its state, if it has changed. A subquery for each row is a look-up whatever the planner
# knows of the table.
TASK_ROW = "coalesce((SELECT s.row FROM states s WHERE s.id = t.id), t.row)"
_TASKS_BY_REF = statement("tasks_by_ref", f"SELECT {TASK_ROW} FROM tasks t WHERE ref = ANY($1::uuid[])")
_TASKS_BY_ID = statement("tasks_by_id", f"SELECT {TASK_ROW} FROM tasks t WHERE id = ANY($1::int8[])")
_DEPTHS = statement("depths", "SELECT ref, depth FROM tasks WHERE ref = ANY($1::uuid[])")
_WALK = statement("walk", f"SELECT {TASK_ROW} FROM tasks t WHERE id > $1::int8 ORDER BY id LIMIT $2::int8")
_KEPT = statement("kept", "SELECT value FROM meta WHERE key = convert_from($1::bytea, 'UTF8')")
_ALL_META = statement("all_meta", "SELECT convert_to(key, 'UTF8'), value FROM meta")
_LATER_COUNT = statement("later_count", "SELECT count(*) FROM later")
_LINKS_LAST = statement("links_last", "SELECT coalesce(max(seq), 0) FROM links")
_LEASES = statement("leases", "SELECT row FROM leases")
_RESIDENTS = statement("residents", "SELECT convert_to(kind, 'UTF8'), row FROM residents")
_RESIDENTS_OF = statement(
    "residents_of", "SELECT row FROM residents WHERE kind = convert_from($1::bytea, 'UTF8') AND key = ANY($2::bytea[])"
)
_ACTIVE_HOSTS = statement("active_hosts", "SELECT row FROM hosts WHERE active")
# The next queue in either table, again and again: each step is a look-up in an index.
_NEXT = "least((SELECT queue FROM ready WHERE queue > {0} ORDER BY queue LIMIT 1), " + (
    "(SELECT queue FROM later WHERE queue > {0} ORDER BY queue LIMIT 1))"
)
_QUEUES = statement(
    "queues",
    f"""WITH RECURSIVE q (queue, number) AS (
        SELECT {_NEXT.format("$1::bytea")}, 1::int8
        UNION ALL SELECT {_NEXT.format("q.queue")}, number + 1 FROM q WHERE queue IS NOT NULL AND number < $2::int8)
    SELECT queue FROM q WHERE queue IS NOT NULL ORDER BY number""",
)


_FIRST_OF = statement(
    "first_of_queue",
    f"""SELECT {TASK_ROW} FROM tasks t WHERE id = coalesce(
        (SELECT id FROM ready WHERE queue = $1::bytea LIMIT 1),
        (SELECT id FROM later WHERE queue = $1::bytea LIMIT 1))""",
)


@cache
def _rows_of(table: str) -> Statement:
    return statement(f"rows_of_{table}", f"SELECT row FROM {table} WHERE key = ANY($1::bytea[])")


def _page(table: str, place: str, kind: str) -> Statement:
    """Return the statement that reads a page of each of some queues."""
    text = f"""
    SELECT n.number, r.{place}, r.id, (SELECT {TASK_ROW} FROM tasks t WHERE t.id = r.id)
    FROM unnest($1::bytea[], $2::{kind}[], $3::int8[], $4::int4[]) WITH ORDINALITY
        AS n (queue, {place}, id, most, number)
    CROSS JOIN LATERAL (SELECT q.{place}, q.id FROM {table} q
        WHERE q.queue = n.queue AND (q.{place}, q.id) > (n.{place}, n.id) ORDER BY q.{place}, q.id LIMIT n.most) r
    ORDER BY n.number, r.{place}, r.id"""
    return statement(f"page_{table}", text)


def _some(table: str) -> Statement:
    text = f"SELECT (SELECT {TASK_ROW} FROM tasks t WHERE t.id = q.id) FROM (SELECT id FROM {table} LIMIT $1::int8) q"
    return statement(f"some_{table}", text)


_READY, _LATER = _page("ready", "rank", "int8"), _page("later", "not_before", "float8")
_SOME = tuple(map(_some, ("ready", "later")))

_KINDS = {table: kind for kind, table in KINDS.items()}


class Reads:
    """The reads of a crawl's owner, over a connection of their own."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def resident_rows(self) -> dict[type[StoreRow], list[bytes]]:
        """Return all rows of resident kinds, and of hosts those that are active."""
        found: defaultdict[type[StoreRow], list[bytes]] = defaultdict(list)
        for table, row in self._session.fetch(Call(_RESIDENTS)):
            found[_KINDS[table.decode()]].append(row)
        found[LeaseRow] = self._session.values(Call(_LEASES))
        found[HostRow] = self._session.values(Call(_ACTIVE_HOSTS))
        return found

    def meta(self) -> dict[str, bytes]:
        """Return all that is in `meta`, apart from kept values."""
        found = {key.decode(): value for key, value in self._session.fetch(Call(_ALL_META))}
        return {key: value for key, value in found.items() if not key.startswith(kept_key(""))}

    def later_count(self) -> int:
        """Return how many tasks wait for a time."""
        return int8_in(self._session.values(Call(_LATER_COUNT))[0])

    def last_link(self) -> int:
        """Return the largest place in the log of links."""
        return int8_in(self._session.values(Call(_LINKS_LAST))[0])

    def rows(self, kind: type[StoreRow], keys: Collection[Any]) -> Iterable[bytes]:
        """See the port."""
        if kind is TaskRow:
            return self._session.values(Call(_TASKS_BY_REF, (_refs(keys),)))
        table, stored = table_of(kind), byteas([stored_key(key) for key in keys])
        if is_among_residents(kind):
            return self._session.values(Call(_RESIDENTS_OF, (table.encode(), stored)))
        return self._session.values(Call(_rows_of(table), (stored,)))

    def tasks(self, orders: Collection[int]) -> Iterable[bytes]:
        """See the port."""
        return self._session.values(Call(_TASKS_BY_ID, (plain(INT8, tuple(orders)),)))

    def depths(self, refs: Collection[bytes]) -> dict[bytes, int]:
        """See the port."""
        found = ((ref, int4_in(depth)) for ref, depth in self._session.fetch(Call(_DEPTHS, (_refs(refs),))))
        return {ref: depth if depth < LARGEST_DEPTH else NOT_REACHED for ref, depth in found}

    def heads(
        self, ready: Mapping[str, ReadyPage], later: Mapping[str, LaterPage]
    ) -> tuple[dict[str, list[ReadyEntry]], dict[str, list[LaterEntry]]]:
        """See the port."""
        calls = [_call_of(_READY, INT8, ready)] if ready else []
        calls += [_call_of(_LATER, FLOAT8, later)] if later else []
        found = iter(self._session.fetch_each(*calls))
        first: defaultdict[str, list[ReadyEntry]] = defaultdict(list)
        for queue, rank, order, row in _entries(list(ready), next(found) if ready else ()):
            first[queue].append(ReadyEntry(int8_in(rank), order, row))
        waiting: defaultdict[str, list[LaterEntry]] = defaultdict(list)
        for queue, not_before, order, row in _entries(list(later), next(found) if later else ()):
            waiting[queue].append(LaterEntry(float8_in(not_before), order, row))
        return first, waiting

    def queues(self, after: str, limit: int) -> list[str]:
        """See the port."""
        found = self._session.values(Call(_QUEUES, (stored_key(after), int8(limit))))
        return [self.name_of(queue) for queue in found]

    def waiting(self, limit: int) -> Iterable[bytes]:
        """See the port."""
        ready, later = self._session.fetch_each(*(Call(some, (int8(limit),)) for some in _SOME))
        return [row for (row,) in ready or later]

    def walk(self, after: int, limit: int) -> Iterable[bytes]:
        """See the port."""
        return self._session.values(Call(_WALK, (int8(after), int8(limit))))

    def kept(self, key: str) -> bytes | None:
        """See the port."""
        found = self._session.values(Call(_KEPT, (kept_key(key).encode(),)))
        return found[0] if found else None

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def name_of(self, queue: bytes) -> str:
        """Return the name of a queue; of one with a long name, as a task in it has it."""
        if len(queue) <= LONGEST_KEY_BYTES:
            return queue.decode()
        (row,) = self._session.values(Call(_FIRST_OF, (queue,)))
        return task_in(row).queue


def _call_of(taken: Statement, kind: int, pages: Mapping[str, ReadyPage] | Mapping[str, LaterPage]) -> Call:
    """Return the call that reads pages; their places are of this type."""
    places, orders, limits = zip(*pages.values(), strict=True)
    keys = byteas([stored_key(queue) for queue in pages])
    return Call(taken, (keys, plain(kind, places), plain(INT8, orders), plain(INT4, limits)))


def _entries(queues: Sequence[str], rows: Iterable[tuple[bytes, ...]]) -> Iterator[tuple[str, bytes, int, bytes]]:
    """Yield the entries that were found in pages of queues: queue, place, order, row."""
    for number, place, order, row in rows:
        yield queues[int8_in(number) - 1], place, int8_in(order), row


def _refs(refs: Collection[bytes]) -> bytes:
    """Return fingerprints as a parameter. Anything of another length is no task's."""
    return uuids([ref for ref in refs if len(ref) == UUID_BYTES])
