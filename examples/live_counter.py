"""Count the pages of a crawl, and show the count while it grows.

A job names this file as its hook: `hooks: examples/live_counter.py`. To look at the count, from any machine:
python examples/live_counter.py cf2:...
"""

import sys
from collections.abc import Iterator
from contextlib import suppress

from crawlfleet import JobFinished, Page, connect


def parse(page: Page) -> Iterator[dict[str, object]]:
    yield {"item": "page", "number": page.fleet.Value("pages").add(1), "title": page.title}


if __name__ == "__main__":
    with connect(sys.argv[1]) as fleet, suppress(JobFinished):
        pages, never = fleet.Value("pages"), fleet.Event("never")
        while True:
            print(pages.get(), flush=True)
            never.wait(0.5)
