"""What a field costs a worker: CPU microseconds for one value, by what it is and by how it is found.

    python -m benchmarks.fields [--runs 5] [--rows 300] [--engine ENGINE]

Reads a page of as many elements as there are rows, with one field of a kind, and with eleven of it: the difference is
ten fields in each row, without what a row costs anyway. Beside it stands what is paid once a page, whatever the number
of fields: the tree for XPath, the data of the page. Prints the best of the runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from crawlfleet.shared.brief import Brief, FieldRule, ItemRule, ParseSpec, ScopeSpec
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.registry import open_engine
from crawlfleet.worker.extract.sheet import Sheet
from crawlfleet.worker.fetch.port import Fetched, Headers

FIELDS = 10
HTML = Headers((("Content-Type", "text/html; charset=utf-8"),))
DATA = '{"@context": "https://schema.org", "@type": "Product", "name": "A", "offers": {"price": "12.50"}}'
MICRODATA = '<div itemscope itemtype="https://schema.org/Product"><b itemprop=name>A</b></div>'
HEAD = f'<meta property="og:title" content="A"><script type="application/ld+json">{DATA}</script>'


class Kind(NamedTuple):
    """A kind of field: what it is called, the markup of its value, and its rule."""

    name: str
    markup: str
    rule: dict[str, Any]


KINDS = (
    Kind("text", "In stock", {}),
    Kind("attr", "", {"take": "attr", "attr": "title"}),
    Kind("re", "In stock (22 available)", {"pattern": r"(\d+) available"}),
    Kind("int", "1,234", {"type": "int"}),
    Kind("float", "1,234.50", {"type": "float"}),
    Kind("decimal", "1,234.50", {"type": "decimal"}),
    Kind("bool", "yes", {"type": "bool"}),
    Kind("date, ISO 8601", "2024-05-06", {"type": "date"}),
    Kind("date, format", "06.05.2024", {"type": "date", "format": "%d.%m.%Y"}),
    Kind("date, English", "6 May 2024", {"type": "date"}),
    Kind("date, languages: [de]", "6. Mai 2024", {"type": "date", "languages": ("de",)}),
    Kind("datetime, ISO 8601", "2024-05-06T07:08:09Z", {"type": "datetime"}),
    Kind("url", "../a/b?c=d", {"type": "url"}),
    Kind("price", "£1,051.77", {"type": "price"}),
    Kind("int that is none", "sold out", {"type": "int"}),
    Kind("json", '{"a": [1, 2, {"b": null}]}', {"type": "json"}),
    Kind("html", "a <b>b</b>", {"take": "html"}),
    Kind("markdown", "a <b>b</b>", {"take": "markdown"}),
    Kind("xpath", "a <b>b</b>", {"by": "xpath", "selector": "b/text()"}),
    Kind("jsonld", "", {"by": "jsonld", "selector": "Product.offers.price"}),
    Kind("microdata", "", {"by": "microdata", "selector": "Product.name"}),
    Kind("opengraph", "", {"by": "opengraph", "selector": "title"}),
)


def page(kind: Kind, rows: int) -> Fetched:
    """Return a page with a value in each of its rows."""
    body = "".join(f'<p class=row title="a">{kind.markup}</p>' for _ in range(rows))
    return Fetched(url="http://h.test/x/", status=200, headers=HTML, body=f"{HEAD}{MICRODATA}{body}".encode())


def field_us(kind: Kind, rows: int, engine: str, runs: int) -> float:
    """Return the CPU time of one field of one row."""
    fetched = page(kind, rows)
    few, many = (_best_s(_extractor(kind, number, engine), fetched, runs) for number in (1, 1 + FIELDS))
    return (many - few) / (FIELDS * rows) * 1e6


def _extractor(kind: Kind, number: int, engine: str) -> Extractor:
    rules = tuple(FieldRule(name=f"f{place}", **kind.rule) for place in range(number))
    items = (ItemRule(name="row", each="p.row", fields=rules),)
    return Extractor(Brief(job="j", scope=ScopeSpec(), items=items, follow=(), parse=ParseSpec(engine=engine)))


def _best_s(extractor: Extractor, fetched: Fetched, runs: int) -> float:
    times = []
    for _ in range(runs + 1):
        started = time.thread_time()
        extractor.extract(fetched)
        times.append(time.thread_time() - started)
    return min(times[1:])


def once_us(engine: str, elements: int, runs: int) -> Iterator[tuple[str, float]]:
    """Yield what is made of a page at the first use: its name, and its CPU time."""
    fetched = page(Kind("text", "a <b>b</b>", {}), elements // 2)
    for name in ("tree", "linked_data", "microdata", "open_graph"):
        times = []
        for _ in range(runs):
            sheet = Sheet(Page(fetched, engine=open_engine(engine)))
            assert sheet.page.root is not None
            started = time.thread_time()
            getattr(sheet, name)
            times.append(time.thread_time() - started)
        yield name, min(times) * 1e6


def main() -> None:
    """Measure each kind of field, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fields", description="What a field costs.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--engine", choices=sorted(PARSE_ENGINES), default=next(iter(PARSE_ENGINES)))
    options = parser.parse_args()
    print(f"{'field':<24}{'µs':>9}")
    for kind in KINDS:
        print(f"{kind.name:<24}{field_us(kind, options.rows, options.engine, options.runs):>9.1f}", flush=True)
    print(f"once a page of {2 * options.rows:,} elements:")
    for name, cost in once_us(options.engine, 2 * options.rows, options.runs):
        print(f"{name:<24}{cost:>9.0f}", flush=True)


if __name__ == "__main__":
    main()
