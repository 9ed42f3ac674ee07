"""How much memory a worker takes, and how long, for large pages that all come at once, by `limits.bodies`.

    python -m benchmarks.large_bodies [--pages 256] [--mib 10] [--bodies 32 256] [--engines curl requests]

Each run is `crawlfleet run --workers 1` over a site that sends no page whole before all of them have been asked for.
The largest resident size of the worker (VmHWM) is what its hook reads after each page.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.integration.large_crawl import MIB, crawl
from tests.site.large_pages import serving


def main() -> None:
    """Measure each engine with each limit, and print a row of a table for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=256)
    parser.add_argument("--mib", type=int, default=10, help="how large a page is")
    parser.add_argument("--bodies", type=int, nargs="+", default=[32, 256], help="limits.bodies, in MiB")
    parser.add_argument("--engines", nargs="+", default=["curl", "requests"])
    options = parser.parse_args()
    print("| engine | `limits.bodies` | fetched twice | before, MiB | at most, MiB | seconds |")
    print("|---|---|---|---|---|---|")
    for engine in options.engines:
        for bodies_mib in options.bodies:
            with (
                tempfile.TemporaryDirectory() as folder,
                serving(pages=options.pages, size_bytes=options.mib * MIB, film_bytes=10**9) as site,
            ):
                began_at = time.monotonic()
                found = crawl(Path(folder) / "crawl", site, engine, bodies_mib, timeout_s=1_800)
                took_s = time.monotonic() - began_at
            figures = f"{found.returned} | {found.first_mib:.0f} | {found.peak_mib:.0f} | {took_s:.0f}"
            print(f"| {engine} | {bodies_mib} MiB | {figures} |", flush=True)


if __name__ == "__main__":
    main()
