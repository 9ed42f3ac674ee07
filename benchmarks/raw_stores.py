"""What store technologies cost by themselves, for rows and keys of the frontier's size.

    python benchmarks/raw_stores.py FOLDER ROWS [TECHNOLOGY ...]

Each technology runs in a process of its own: it is filled with `ROWS` rows of `ROW_BYTES` under random 16-byte keys,
then takes commits of the shape that 64 settled pages have: `LOOKUPS` of keys anywhere, `WRITES` rows new and as many
changed. Needs the packages `rocksdict` and `lmdb`, which the crawler itself does not use.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

ROW_BYTES = 250
PER_FILL = 5_000
COMMITS = 300
LOOKUPS = 320
WRITES = 64
_NAMES = b"version ref kind page url origin http://www.host.test host www.host.test queue depth order state " * 2
Rows = Sequence[tuple[int, bytes, bytes]]


class Raw(Protocol):
    """One technology: rows by key. A row also has a number, in the order of admission."""

    def find(self, keys: Sequence[bytes]) -> int:
        """Read rows; return how many there were."""
        ...

    def write(self, new: Rows, changed: Rows) -> None:
        """Write rows and commit."""
        ...

    def close(self) -> None:
        """Close the files."""
        ...


class SqliteByNumber:
    """Rows in the order of admission, and an index of keys: the frontier's layout."""

    schema = "CREATE TABLE t (id INTEGER PRIMARY KEY, ref BLOB, row BLOB); CREATE UNIQUE INDEX i ON t (ref);"
    update = "UPDATE t SET row = ?3 WHERE id = ?1 AND ref = ?2"

    def __init__(self, folder: Path) -> None:
        fresh = not (folder / "raw.db").exists()
        self._db = sqlite3.connect(folder / "raw.db", isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536;")
        self._db.execute("PRAGMA wal_autocheckpoint = 8000")
        if fresh:
            self._db.executescript(self.schema)

    def find(self, keys: Sequence[bytes]) -> int:
        marks = ",".join("?" * len(keys))
        return len(self._db.execute(f"SELECT row FROM t WHERE ref IN ({marks})", keys).fetchall())

    def write(self, new: Rows, changed: Rows) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO t VALUES (?, ?, ?)", new)
        self._db.executemany(self.update, changed)
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


class SqliteByKey(SqliteByNumber):
    """Rows in a tree by key: no second tree, but every write lands anywhere."""

    schema = "CREATE TABLE t (id INTEGER, ref BLOB PRIMARY KEY, row BLOB) WITHOUT ROWID;"


class Rocks:
    """RocksDB: sorted runs, merged in the background."""

    def __init__(self, folder: Path) -> None:
        from rocksdict import BlockBasedOptions, Cache, Options, Rdict

        options = Options(raw_mode=True)
        options.create_if_missing(True)
        blocks = BlockBasedOptions()
        blocks.set_block_cache(Cache(64 * 1024 * 1024))
        blocks.set_bloom_filter(10, False)
        options.set_block_based_table_factory(blocks)
        self._db = Rdict(str(folder / "rocks"), options)

    def find(self, keys: Sequence[bytes]) -> int:
        return sum(row is not None for row in self._db[list(keys)])

    def write(self, new: Rows, changed: Rows) -> None:
        from rocksdict import WriteBatch

        batch = WriteBatch(raw_mode=True)
        for _, key, row in (*new, *changed):
            batch.put(key, row)
        self._db.write(batch)

    def close(self) -> None:
        self._db.close()


class Lmdb:
    """LMDB: one copy-on-write tree in mapped memory. Not synced, as SQLite's log is not at each commit."""

    def __init__(self, folder: Path) -> None:
        import lmdb

        self._db = lmdb.open(str(folder / "lmdb"), map_size=64 << 30, sync=False, metasync=False)

    def find(self, keys: Sequence[bytes]) -> int:
        with self._db.begin() as look:
            return sum(look.get(key) is not None for key in keys)

    def write(self, new: Rows, changed: Rows) -> None:
        with self._db.begin(write=True) as change, change.cursor() as cursor:
            cursor.putmulti(sorted((key, row) for _, key, row in (*new, *changed)))

    def close(self) -> None:
        self._db.sync(True)
        self._db.close()


TECHNOLOGIES: dict[str, type[Any]] = {
    "sqlite": SqliteByNumber,
    "sqlite-by-key": SqliteByKey,
    "rocksdict": Rocks,
    "lmdb": Lmdb,
}


class Phase:
    """What one kind of work took: wall time of each call, and CPU time, over all threads, of all calls."""

    def __init__(self) -> None:
        self.walls_s: list[float] = []
        self._cpu_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure while the block runs."""
        began, cpu = time.perf_counter(), time.process_time()
        yield
        self.walls_s.append(time.perf_counter() - began)
        self._cpu_s += time.process_time() - cpu

    def us(self, number: int) -> str:
        """Return the CPU and the wall time of each of so many pieces of work, in microseconds."""
        return f"{self._cpu_s / number * 1e6:.1f} / {sum(self.walls_s) / number * 1e6:.1f}"


def measure(technology: str, folder: Path, rows: int) -> dict[str, float | str]:
    """Fill one technology and drive it; return its figures (`_us`: CPU / wall time of one row)."""
    raw: Raw = TECHNOLOGIES[technology](folder)
    filling = Phase()
    for first in range(0, rows, PER_FILL):
        new = _rows(range(first, min(rows, first + PER_FILL)))
        with filling.running():
            raw.write(new, ())
    finding, writing = _drive(raw, rows)
    raw.close()
    reopening = Phase()
    with reopening.running():
        raw = TECHNOLOGIES[technology](folder)
        raw.find([_key(1)])
    raw.close()
    return {
        "technology": technology,
        "rows": rows,
        "fill_us": filling.us(rows),
        "lookup_us": finding.us(COMMITS * LOOKUPS),
        "write_us": writing.us(COMMITS * WRITES * 2),
        "commit_p99_ms": round(sorted(writing.walls_s)[int(COMMITS * 0.99)] * 1e3, 1),
        "private_mb": _private_mb(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "disk_mb": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) >> 20,
        "reopen_s": round(reopening.walls_s[0], 3),
    }


def _drive(raw: Raw, rows: int) -> tuple[Phase, Phase]:
    chance = random.Random(rows)
    finding, writing = Phase(), Phase()
    for first in range(rows, rows + COMMITS * WRITES, WRITES):
        keys = [_key(chance.randrange(rows)) for _ in range(LOOKUPS)]
        new, old = _rows(range(first, first + WRITES)), _rows(range(first - rows, first - rows + WRITES))
        with finding.running():
            found = raw.find(keys)
        with writing.running():
            raw.write(new, old)
        assert found >= len(set(keys)), "a row is missing"
    return finding, writing


def _key(number: int) -> bytes:
    return blake2b(number.to_bytes(8, "big"), digest_size=16).digest()


def _rows(numbers: range) -> Rows:
    return [(number, key, _row(number, key)) for number in numbers for key in [_key(number)]]


def _row(number: int, key: bytes) -> bytes:
    """Return something about as dense as a task's row: its key, its address, and names that all rows have."""
    address = f"http://www.host.test/section-{number % 37}/an-article-of-some-length-{number}.html"
    return (key + address.encode() + _NAMES)[:ROW_BYTES]


def _private_mb() -> int:
    """Return the memory that is this process's own: the pages of mapped files are not."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) // 1024


def main() -> None:
    """Run every technology in turn; print a line of JSON for each."""
    parser = argparse.ArgumentParser(description="What store technologies cost by themselves.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("rows", type=float)
    parser.add_argument("technology", nargs="*", default=list(TECHNOLOGIES))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    for name in asked.technology:
        folder = asked.folder / f"{name}-{int(asked.rows)}"
        folder.mkdir(parents=True, exist_ok=asked.inside)
        if asked.inside:
            print(json.dumps(measure(name, folder, int(asked.rows))), flush=True)
        else:
            again = [sys.executable, __file__, str(asked.folder), str(asked.rows), name, "--inside"]
            subprocess.run(again, check=True)


if __name__ == "__main__":
    main()
