"""Crawl a whole site with Scrapy: title, h1 and number of links of each page, as JSON lines.

    python scrapy_site.py START OUT [--parts N --part K --starts FILE | --redis URL [--push]]

With `--part` the process takes those pages whose path has this CRC-32 modulo `--parts`; `--starts` lists all pages, so
that none is missed. With `--redis` it is one of several processes that share a queue by scrapy-redis (one of them
brings the first address), and it ends when that was empty for some seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

import redis
from scrapy import Spider
from scrapy.crawler import CrawlerProcess
from scrapy.http import Request, Response, TextResponse
from scrapy.linkextractors import LinkExtractor
from scrapy_redis.spiders import RedisSpider

IDLE_S = 5
STARTS_KEY = "site:start_urls"
SETTINGS: dict[str, Any] = {
    "CONCURRENT_REQUESTS": 32,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 32,
    "DOWNLOAD_DELAY": 0,
    "ROBOTSTXT_OBEY": True,
    "TELNETCONSOLE_ENABLED": False,
    "LOG_LEVEL": "ERROR",
}
SHARED_SETTINGS: dict[str, Any] = {
    "SCHEDULER": "scrapy_redis.scheduler.Scheduler",
    "DUPEFILTER_CLASS": "scrapy_redis.dupefilter.RFPDupeFilter",
    "REDIS_START_URLS_KEY": STARTS_KEY,
    # Otherwise the first process that ends would make the others forget what was fetched.
    "SCHEDULER_PERSIST": True,
    "MAX_IDLE_TIME_BEFORE_CLOSE": IDLE_S,
}


class PageMixin:
    """What both spiders do with a page: one item, and a request for each link of their part."""

    host = ""
    parts = 1
    part = 0

    def is_mine(self, url: str) -> bool:
        return self.parts == 1 or crc32(urlsplit(url).path.encode()) % self.parts == self.part

    def parse(self, response: Response, **_: Any) -> Iterator[Any]:
        if not isinstance(response, TextResponse):
            return
        yield {
            "url": response.url,
            "title": response.css("title::text").get(),
            "h1": response.xpath("string(//h1)").get(),
            "links": len(response.css("a[href]")),
        }
        for link in LINKS[self.host].extract_links(response):
            if self.is_mine(link.url):
                yield Request(link.url)


class SiteSpider(PageMixin, Spider):  # type: ignore[misc]  # not installed where types are checked
    """A spider of its own."""

    name = "site"
    starts: tuple[str, ...] = ()

    async def start(self) -> AsyncIterator[Request]:
        for url in self.starts:
            if self.is_mine(url):
                yield Request(url)


class SharedSpider(PageMixin, RedisSpider):  # type: ignore[misc]  # as above
    """One of several that share a queue."""

    name = "site"


LINKS: dict[str, LinkExtractor] = {}


def main() -> None:
    args = _parser().parse_args()
    host = urlsplit(args.start).netloc
    LINKS[host] = LinkExtractor(allow_domains=[host])
    settings = {**SETTINGS, "FEEDS": {str(args.out): {"format": "jsonlines"}}}
    if args.redis:
        client = _await_redis(args.redis)
        if args.push:
            client.lpush(STARTS_KEY, args.start)
        process = CrawlerProcess({**settings, **SHARED_SETTINGS, "REDIS_URL": args.redis})
        process.crawl(SharedSpider, host=host)
    else:
        starts = tuple(args.starts.read_text().split()) if args.starts else (args.start,)
        process = CrawlerProcess(settings)
        process.crawl(SiteSpider, host=host, starts=starts, parts=args.parts, part=args.part)
    process.start()


def _await_redis(url: str) -> redis.Redis:
    client = redis.Redis.from_url(url)
    until = time.monotonic() + 10
    while True:
        try:
            client.ping()
        except redis.ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return client


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("start")
    parser.add_argument("out", type=Path)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--starts", type=Path)
    parser.add_argument("--redis")
    parser.add_argument("--push", action="store_true")
    return parser


if __name__ == "__main__":
    main()
