"""A program that asks for pages, to be killed: prints the path of each page as its rows come, then `done`.

python -m tests.fault.pool_program JOIN_FILE VERB URL ...
"""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from crawlfleet import Fleet, Pool, Rows, connect


def rows_by(verb: str, fleet: Fleet, pool: Pool, urls: Sequence[str]) -> Iterator[Rows]:
    """Yield the rows of all pages, got by one verb."""
    match verb:
        case "map":
            yield from pool.map(urls)
        case "map_async":
            yield from pool.map_async(urls).get()
        case "imap":
            yield from pool.imap(urls)
        case "imap_unordered":
            yield from pool.imap_unordered(urls)
        case "starmap":
            yield from pool.starmap([(url, {"priority": number % 3}) for number, url in enumerate(urls)])
        case "apply":
            yield from map(pool.apply, urls)
        case "apply_async":
            yield from [result.get() for result in [pool.apply_async(url) for url in urls]]
        case "submit":
            futures = [fleet.submit(url) for url in urls]
            yield from (future.result() for future in concurrent.futures.as_completed(futures))
        case "executor's map":
            yield from fleet.map(urls)


VERBS = (
    *("map", "map_async", "imap", "imap_unordered", "starmap", "apply", "apply_async", "submit", "executor's map"),
)


def main() -> None:
    """Ask, and tell."""
    join, verb, *urls = sys.argv[1:]
    with connect(Path(join)) as fleet, fleet.Pool() as pool:
        print("open", flush=True)
        for rows in rows_by(verb, fleet, pool, urls):
            print(rows[0]["title"], flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    main()
