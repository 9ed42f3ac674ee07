"""A worker of one's own: python examples/own_worker.py cf1:..."""

import sys
from contextlib import suppress

import requests
from bs4 import BeautifulSoup

from crawlfleet import JobFinished, connect

fleet = connect(sys.argv[1])
queue, results = fleet.Queue(), fleet.dict()
with suppress(JobFinished):
    while True:
        url = queue.get()
        soup = BeautifulSoup(requests.get(url, timeout=10).text, "lxml")
        for link in soup.find_all("a", href=True):
            with suppress(ValueError):  # out of the crawl's scope
                queue.put(link["href"])
        results[url] = {"title": soup.title.get_text() if soup.title else None}
        queue.task_done()
