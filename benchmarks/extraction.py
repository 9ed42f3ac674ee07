"""What it costs a worker to read a page: CPU microseconds, by stage, over real pages on disk.

    python -m benchmarks.extraction [--site FOLDER ...] [--pages 1000] [--runs 5] [--engine ENGINE ...] [--profile]

Takes pages of a folder by a fixed chance, and has one thread read them as a parse thread does: `parse` is the tree
alone, `links` a job that follows every link and takes nothing, `default` a job without `items`, `rules` one with title,
h1 and the address of every link, `settle` the same up to the encoded report, `listed` that with the table of links,
`soup` a job whose hook takes title, h1 and the number of links of `page.soup`. Prints the best of the runs of each
page, what is above it is the machine's noise; several engines take turns at each page.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from crawlfleet.shared.brief import Brief, FieldRule, ItemRule, LinkSpec, ParseSpec, ScopeSpec
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.shared.messages import Kind, Task
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.extract.harvest import Parse
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.port import Source
from crawlfleet.worker.extract.registry import open_engine
from crawlfleet.worker.fetch.port import Fetched, Headers
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.pipeline import Pipeline

SITES = [Path("/usr/share/doc/postgresql-doc-15/html"), Path("/usr/share/doc/linux-doc/html")]
HOST = "docs.example"
HEADERS = Headers(
    (("Server", "nginx"), ("Date", "Mon, 01 Jan 2024 00:00:00 GMT"), ("Content-Type", "text/html"), ("ETag", '"x"'))
)
RULES = ItemRule(
    name="page",
    fields=(
        FieldRule(name="title", selector="title"),
        FieldRule(name="h1", selector="h1"),
        FieldRule(name="links", selector="a", take="attr", attr="href", many=True),
    ),
)
# A rule that matches nothing: rows cost nothing.
NOTHING = ItemRule(name="none", each="no-such-tag", fields=(FieldRule(name="x"),))
TASK = Task(ref=bytes(16), kind=Kind.PAGE, url=f"http://{HOST}/", depth=1)
ATTEMPT = Attempt(lease_id=1, host=HOST, task=TASK, started_at=0.0)

Stage = Callable[[Fetched], Any]


def read_pages(site: Path, number: int) -> list[Fetched]:
    """Read pages of a site, the same ones every time."""
    paths = sorted(path for path in site.rglob("*.html") if path.is_file())
    chosen = random.Random(1).sample(paths, min(number, len(paths)))
    return [
        Fetched(url=f"http://{HOST}/{path.relative_to(site)}", status=200, headers=HEADERS, body=path.read_bytes())
        for path in chosen
    ]


def stages(engine: str) -> dict[str, Stage]:
    """Make what is measured, each ready to read one page."""
    tree = open_engine(engine)

    def extractor(*items: ItemRule, listed: bool = False, hook: Parse | None = None) -> Extractor:
        scope, links, parse = ScopeSpec(hosts=(HOST,)), LinkSpec(listed=listed), ParseSpec(engine=engine)
        return Extractor(Brief(job="j", scope=scope, items=items, links=links, parse=parse), hook)

    whole = Pipeline(extractor=extractor(RULES), max_report_bytes=2**30)
    listing = Pipeline(extractor=extractor(RULES, listed=True), max_report_bytes=2**30)
    return {
        "parse": lambda fetched: tree.root(Source(fetched.body, fetched.headers.get("content-type", ""))),
        "links": extractor(NOTHING).extract,
        "default": extractor().extract,
        "rules": extractor(RULES).extract,
        "settle": partial(whole.settle, ATTEMPT),
        "listed": partial(listing.settle, ATTEMPT),
        "soup": extractor(hook=_titles).extract,
    }


def _titles(page: Page) -> dict[str, object]:
    soup = page.soup
    return {"title": str(soup.title), "h1": str(soup.h1), "links": len(soup.find_all("a", href=True))}


def costs_us(reads: Sequence[Stage], pages: list[Fetched], runs: int) -> list[float]:
    """Return for each way to read the CPU time of a page, of the quickest of its runs; the ways take turns at it."""
    best = [[float("inf")] * len(pages) for _ in reads]
    for _ in range(runs + 1):
        for number, page in enumerate(pages):
            for read, costs in zip(reads, best, strict=True):
                started = time.thread_time()
                read(page)
                costs[number] = min(costs[number], time.thread_time() - started)
    return [sum(costs) / len(pages) * 1e6 for costs in best]


def main() -> None:
    """Read every site at every stage, and print a table."""
    options = _parser().parse_args()
    ready = [stages(engine) for engine in options.engine]
    names = list(ready[0])
    print(f"{'site':<20}{'engine':<11}{'pages':>7}{'KB':>7}{'links':>7}" + "".join(f"{name:>10}" for name in names))
    for site in options.site:
        pages = read_pages(site, options.pages)
        if not pages:
            raise SystemExit(f"{site} has no pages")
        links = sum(len(ready[0]["links"](page).outlinks) for page in pages) / len(pages)
        kilobytes = sum(len(page.body) for page in pages) / len(pages) / 1e3
        costs = [costs_us([each[name] for each in ready], pages, options.runs) for name in names]
        for engine, row in zip(options.engine, zip(*costs, strict=True), strict=True):
            head = f"{site.parent.name[:19]:<20}{engine:<11}{len(pages):>7,}{kilobytes:>7.1f}{links:>7.0f}"
            print(head + "".join(f"{cost:>10.0f}" for cost in row), flush=True)
        if options.profile:
            _profile(ready[0]["settle"], pages)
    print("microseconds of CPU for each page; links: those that are left of a page, each once")


def _profile(read: Stage, pages: list[Fetched]) -> None:
    with cProfile.Profile() as profile:
        for page in pages:
            read(page)
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.extraction", description="What it costs to read a page."
    )
    parser.add_argument("--site", type=Path, nargs="+", default=SITES, help="folders of pages")
    parser.add_argument("--pages", type=int, default=1_000, help="how many of each")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--engine", choices=list(PARSE_ENGINES), nargs="+", default=[next(iter(PARSE_ENGINES))])
    parser.add_argument("--profile", action="store_true", help="tell what `settle` spends its time with")
    return parser


if __name__ == "__main__":
    main()
