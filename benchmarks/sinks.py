"""What each kind of sinks costs a row: CPU of this process, and time, from results to a whole output.

    python -m benchmarks.sinks [--pages N] [--rows N] [--only NAME ...] [--folder FOLDER]

Runs over the tables of kinds. The rows have eight fields of several types. PostgreSQL is a server of its own, as the
tests start it (Debian's package); rows are posted to a program in another process; objects are files behind `file://`.
What is missing is named and left out. Times with a server depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.results.columns import Column, Layout, Table
from crawlfleet.coordinator.sinks.follower import BATCH
from crawlfleet.coordinator.sinks.outputs import Output, outputs_at, outputs_in
from crawlfleet.coordinator.sinks.registry import SINKS
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.field_types import DATE, DATETIME, FLOAT, INT, PRICE, URL
from crawlfleet.shared.messages import Row
from tests.site.postgresql_server import PostgresqlServer, programs
from tests.unit.test_webhook import Receiver

COLUMNS = (
    Column("url", URL),
    Column("title"),
    Column("n", INT),
    Column("share", FLOAT),
    Column("price", PRICE),
    Column("day", DATE),
    Column("at", DATETIME),
    Column("tags", many=True),
)
LAYOUT = Layout((Table("thing", COLUMNS),))


def results(pages: int, rows: int) -> list[Result]:
    """Return the results of pages with so many rows each."""
    return [
        Result(
            ref=page.to_bytes(16, "big"), url=f"https://shop.example.org/{page}", status=200, depth=1,
            content_type="text/html", size_bytes=1, elapsed_s=0.1, at=float(page), hops=(),
            rows=tuple(Row(item="thing", index=0, fields=_fields(page, place)) for place in range(rows)),
        )
        for page in range(pages)
    ]  # fmt: skip


def measure(output: Output, log: list[Result]) -> tuple[float, float]:
    """Write a log to an output in batches, as the crawl does; return microseconds of CPU, and of time, for each row."""
    cpu, began = time.process_time(), time.perf_counter()
    with closing(output.open(None, power=False)) as sink:
        for start in range(0, len(log), BATCH):
            sink.write(log[start : start + BATCH])
        sink.finish()
    rows = sum(len(each.rows) for each in log)
    return (time.process_time() - cpu) / rows * 1e6, (time.perf_counter() - began) / rows * 1e6


def main() -> None:
    """Measure each kind, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=5_000, help="how many pages (default: 5,000)")
    parser.add_argument("--rows", type=int, default=10, help="how many rows a page has (default: 10)")
    parser.add_argument("--only", nargs="*", help="endings, or the beginnings of addresses")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where files go")
    args = parser.parse_args()
    log = results(args.pages, args.rows)
    folder = Path(tempfile.mkdtemp(prefix="crawlfleet-sinks-", dir=args.folder))
    print(f"{args.pages * args.rows:,} rows of {args.pages:,} pages\n")
    print("| kind | CPU, µs a row | time, µs a row |\n|---|---:|---:|")
    try:
        with ExitStack() as opened:
            for name, output in _outputs(folder, opened):
                if args.only is None or any(name.startswith(each) for each in args.only):
                    _print(name, output, log)
    finally:
        shutil.rmtree(folder)


def _print(name: str, output: Output, log: list[Result]) -> None:
    try:
        cpu, wall = measure(output, log)
    except UsageError as error:
        print(f"| `{name}` | {error} | |")
    else:
        print(f"| `{name}` | {cpu:.1f} | {wall:.1f} |", flush=True)


def _outputs(folder: Path, opened: ExitStack) -> Iterator[tuple[str, Output]]:
    for ending, entry in SINKS.items():
        yield ending, next(outputs_in(folder / f"items{ending}", entry, LAYOUT, {}))
    if programs() is None:
        print("| `postgresql` | PostgreSQL is not installed | |")
    else:
        yield "postgresql", _at(opened.enter_context(PostgresqlServer()).address(), folder)
    ours, theirs = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(target=_receive, args=(theirs,), daemon=True)
    receiver.start()
    opened.callback(receiver.terminate)
    yield "https", _at(ours.recv(), folder)
    yield "file", _at(f"file://{folder}/out/items.csv", folder)


def _at(address: str, folder: Path) -> Output:
    return next(outputs_at(address, folder, LAYOUT, {"crawl": "bench"}))


def _receive(pipe: Any) -> None:
    receiver = Receiver()
    pipe.send(receiver.address)
    receiver.serve_forever()


def _fields(page: int, place: int) -> dict[str, Any]:
    return {
        "title": f"The {place} thing of page {page}, as it is called there",
        "n": page * 100 + place,
        "share": page / (place + 1),
        "price": {"amount": f"{page}.{place:02}", "currency": "EUR"},
        "day": "2026-01-31",
        "at": "2026-01-31T12:00:00+01:00",
        "tags": ["one", "other", "ü"],
    }


if __name__ == "__main__":
    main()
