"""Crawl a whole site with Crawlee, in memory: title, h1 and number of links of each page, as JSON lines.

python crawlee_site.py START OUT parsel|beautifulsoup
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

from crawlee import ConcurrencySettings, service_locator
from crawlee.crawlers import (
    BeautifulSoupCrawler,
    BeautifulSoupCrawlingContext,
    ParselCrawler,
    ParselCrawlingContext,
)
from crawlee.storage_clients import MemoryStorageClient

CONCURRENCY = ConcurrencySettings(min_concurrency=16, max_concurrency=32, desired_concurrency=32)


def options() -> dict[str, Any]:
    return {
        "concurrency_settings": CONCURRENCY,
        "configure_logging": False,
        "statistics_log_format": "inline",
        "max_request_retries": 1,
        "request_handler_timeout": timedelta(seconds=60),
        "respect_robots_txt_file": True,
    }


def parsel(out: TextIO) -> ParselCrawler:
    crawler = ParselCrawler(**options())

    @crawler.router.default_handler  # type: ignore[untyped-decorator]  # not installed where types are checked
    async def handle(context: ParselCrawlingContext) -> None:
        page = context.selector
        write(
            out,
            context.request.url,
            page.css("title::text").get(),
            page.xpath("string(//h1)").get(),
            len(page.css("a[href]")),
        )
        await context.enqueue_links(strategy="same-origin")

    return crawler


def beautifulsoup(out: TextIO) -> BeautifulSoupCrawler:
    crawler = BeautifulSoupCrawler(parser="lxml", **options())

    @crawler.router.default_handler  # type: ignore[untyped-decorator]  # not installed where types are checked
    async def handle(context: BeautifulSoupCrawlingContext) -> None:
        page = context.soup
        title = page.title.get_text() if page.title else None
        write(out, context.request.url, title, page.h1.get_text() if page.h1 else None, len(page.select("a[href]")))
        await context.enqueue_links(strategy="same-origin")

    return crawler


def write(out: TextIO, url: str, title: str | None, h1: str | None, links: int) -> None:
    out.write(json.dumps({"url": url, "title": title, "h1": h1, "links": links}) + "\n")


async def main() -> None:
    start, out, kind = sys.argv[1:]
    logging.getLogger().setLevel(logging.ERROR)
    service_locator.set_storage_client(MemoryStorageClient())
    with Path(out).open("w", encoding="utf-8") as file:
        crawler = {"parsel": parsel, "beautifulsoup": beautifulsoup}[kind](file)
        await crawler.run([start])


if __name__ == "__main__":
    asyncio.run(main())
