"""Crawl a whole site with Scrapy: five fields of each page, as JSON lines.

python scrapy_fields.py START OUT
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from scrapy import Spider
from scrapy.crawler import CrawlerProcess
from scrapy.http import Request, Response, TextResponse
from scrapy.linkextractors import LinkExtractor

SETTINGS: dict[str, Any] = {
    "CONCURRENT_REQUESTS": 32,
    "CONCURRENT_REQUESTS_PER_DOMAIN": 32,
    "DOWNLOAD_DELAY": 0,
    "ROBOTSTXT_OBEY": True,
    "TELNETCONSOLE_ENABLED": False,
    "LOG_LEVEL": "ERROR",
}


class FieldSpider(Spider):  # type: ignore[misc]  # not installed where types are checked
    """Takes five fields of each page."""

    name = "fields"

    def __init__(self, start: str) -> None:
        super().__init__()
        self.start_urls = [start]
        self._links = LinkExtractor(allow_domains=[urlsplit(start).netloc])

    def parse(self, response: Response, **_: Any) -> Iterator[Any]:
        if not isinstance(response, TextResponse):
            return
        number, first = response.css("h1").re_first(r"(\d+(?:\.\d+)?)"), response.css("a::attr(href)").get()
        yield {
            "url": response.url,
            "title": response.css("title::text").get(),
            "heading": response.xpath("normalize-space(//h1)").get(),
            "sections": [" ".join("".join(each.css("::text").getall()).split()) for each in response.css("h2")],
            "number": float(number) if number else None,
            "first": response.urljoin(first) if first else None,
        }
        for link in self._links.extract_links(response):
            yield Request(link.url)


if __name__ == "__main__":
    process = CrawlerProcess({**SETTINGS, "FEEDS": {sys.argv[2]: {"format": "jsonlines"}}})
    process.crawl(FieldSpider, start=sys.argv[1])
    process.start()
