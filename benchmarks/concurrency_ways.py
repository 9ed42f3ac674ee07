"""The ways that every tutorial on concurrency compares, each as short as it is there: fetch pages, take their links.

    python -m benchmarks.concurrency_ways WAY BASE PAGES

Prints how many links were found, and how many seconds passed from the first request to the last result; what the
interpreter and the imports take is not in there, what a pool takes to start is.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import requests
from bs4 import BeautifulSoup

from benchmarks.slow_site import page_path

THREADS = 50
PROCESSES = 10


def craw(url: str) -> str:
    return requests.get(url, timeout=30).text


def parse(html: str) -> list[tuple[str, str]]:
    links = BeautifulSoup(html, "lxml").select("article.product h3 > a")
    return [(str(link["href"]), link.get_text()) for link in links]


def craw_and_parse(url: str) -> list[tuple[str, str]]:
    return parse(craw(url))


def by_loop(urls: list[str]) -> int:
    return sum(len(craw_and_parse(url)) for url in urls)


def by_pool(open_pool: Callable[[], Executor], urls: list[str]) -> int:
    with open_pool() as pool:
        return sum(len(found) for found in pool.map(craw_and_parse, urls))


def processes(method: str) -> Executor:
    return ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context(method))


def by_asyncio(urls: list[str]) -> int:
    import aiohttp

    async def craw_all() -> list[str]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=len(urls))) as session:

            async def craw_one(url: str) -> str:
                async with session.get(url) as answer:
                    text: str = await answer.text()
                    return text

            return await asyncio.gather(*map(craw_one, urls))

    return sum(len(parse(html)) for html in asyncio.run(craw_all()))


WAYS: dict[str, Callable[[list[str]], int]] = {
    "loop": by_loop,
    f"thread pool ({THREADS})": partial(by_pool, partial(ThreadPoolExecutor, THREADS)),
    **{
        f"process pool ({PROCESSES}, {method})": partial(by_pool, partial(processes, method))
        for method in ("spawn", "forkserver", "fork")
    },
    "asyncio (aiohttp)": by_asyncio,
}


def main() -> None:
    way, base, pages = sys.argv[1:]
    urls = [base.rstrip("/") + page_path(number) for number in range(1, int(pages) + 1)]
    if "aiohttp" in way:
        import aiohttp  # noqa: F401  what it takes to import is not measured
    began = time.perf_counter()
    found = WAYS[way](urls)
    print(found, time.perf_counter() - began)


if __name__ == "__main__":
    main()
