"""Mutants of the database over PostgreSQL, found by seeds over a real server: see `mutants`."""

from __future__ import annotations

DATABASE = "coordinator/frontier/postgresql/database.py"
WRITING = "coordinator/frontier/postgresql/writing.py"
READING = "coordinator/frontier/postgresql/reading.py"
RESULTS = "coordinator/frontier/postgresql/results.py"
MARKS = "coordinator/frontier/postgresql/marks.py"
STATEMENTS = "coordinator/frontier/postgresql/statements.py"
PIPELINE = "coordinator/frontier/postgresql/pipeline.py"
SCHEMA = "coordinator/frontier/postgresql/schema.py"

# Why a mutant may live.
FOUND = "found by tests/conformance/test_postgresql_database.py"
OWN_ROW = f"a second lock: a task's own row has its depth; {FOUND}"
LATER_ALONE = f"needs a budget that is spent while all that is left waits for a time; {FOUND}"
CLOSED = f"a store whose commit has failed is closed; {FOUND}"

POSTGRESQL_MUTANTS: tuple[tuple[str, ...], ...] = (
    # The fence.
    (
        WRITING,
        "clock_timestamp() WHERE epoch = $1::int8 RETURNING 1)",
        "clock_timestamp() WHERE $1::int8 > 0 RETURNING 1)",
    ),
    (WRITING, "SELECT 1 / count(*) FROM mine", "SELECT count(*) FROM mine"),
    (DATABASE, "            return Conclusion.FENCED\n", "            return Conclusion.DONE\n"),
    (DATABASE, "            return Conclusion.UNKNOWN\n", "            return Conclusion.DONE\n"),
    (DATABASE, "        if reply.state:\n            raise failure(", "        if False:\n            raise failure("),
    (PIPELINE, "            elif result.status == ExecStatus.FATAL_ERROR", "            elif False"),
    # Numbers and time.
    (DATABASE, "SET epoch = epoch + 1,", "SET epoch = epoch,"),
    (DATABASE, "crawl_s = crawl_s + least(", "crawl_s = 0 * least("),
    (DATABASE, "extract(epoch FROM clock_timestamp() - committed_at)::float8, 0), %s)", "0, 0), %s)"),
    (DATABASE, "greatest(extract(epoch FROM clock_timestamp() - committed_at)::float8, 0)", "3600"),
    (WRITING, "commits = $2::int8, ", "commits = $2::int8 - $2::int8, "),
    (WRITING, "crawl_s = $3::float8, ", "crawl_s = $3::float8 - 1, "),
    (WRITING, "committed_at = clock_timestamp(),\n", "committed_at = committed_at,\n"),
    # What is not written.
    (WRITING, "calls = [*_of_tasks(batch), ", "calls = ["),
    (WRITING, "*_of_queues(batch), ", ""),
    (WRITING, "            calls += _of_rows(kind, new)\n", "            pass\n"),
    (WRITING, "    calls += _of_residents(", "    tuple("),
    (WRITING, "    calls += _of_meta(batch.meta)\n", ""),
    (WRITING, "    yield from _runs(_CHANGED, batch.changed", "    yield from _runs(_CHANGED, []"),
    (WRITING, "    if batch.lowered:\n", "    if False:\n", OWN_ROW),
    (WRITING, "        (_READY_GONE, batch.ready_gone, INT8),\n", ""),
    (WRITING, "        (_LATER_GONE, batch.later_gone, FLOAT8),\n", ""),
    (WRITING, "        (_LATER, batch.later, FLOAT8),\n", ""),
    (WRITING, "    if batch.story is not None:\n", "    if False:\n"),
    (WRITING, "    yield from _runs(_RESULTS, batch.results, _logged)\n", ""),
    (WRITING, "    if new.gone:\n", "    if False:\n"),
    (WRITING, "    if gone:\n", "    if False:\n"),
    (WRITING, "            run, size = [], 0\n", "            size = 0\n"),
    (WRITING, "    yield Call(taken, packed(*zip(*run, strict=True)))\n\n\ndef _check", "\n\ndef _check"),
    # What is not read.
    (READING, "coalesce((SELECT s.row FROM states s WHERE s.id = t.id), t.row)", "t.row"),
    (READING, "        found[LeaseRow] = self._session.values(Call(_LEASES))\n", ""),
    (READING, "        found[HostRow] = self._session.values(Call(_ACTIVE_HOSTS))\n", ""),
    (READING, "            found[_KINDS[table.decode()]].append(row)\n", "            pass\n"),
    (READING, "        return int8_in(self._session.values(Call(_LATER_COUNT))[0])\n", "        return 0\n"),
    (READING, "> (n.{place}, n.id) ORDER", ">= (n.{place}, n.id) ORDER"),
    (READING, "ORDER BY q.{place}, q.id LIMIT n.most", "ORDER BY q.{place} DESC, q.id LIMIT n.most"),
    (READING, "            first[queue].append(ReadyEntry(int8_in(rank), order, row))\n", "            pass\n"),
    (
        READING,
        "            waiting[queue].append(LaterEntry(float8_in(not_before), order, row))\n",
        "            pass\n",
    ),
    (READING, "in ready or later]", "in ready]", LATER_ALONE),
    (RESULTS, "cursor, cursor + limit, limit)]", "cursor + 1, cursor + limit, limit)]"),
    (MARKS, "DO UPDATE SET mark = EXCLUDED.mark", "DO UPDATE SET mark = marks.mark"),
    (STATEMENTS, "            self._names.clear()\n", "            pass\n", CLOSED),
    (SCHEMA, "    return min(depth, LARGEST_DEPTH)\n", "    return min(depth, 2)\n"),
)
