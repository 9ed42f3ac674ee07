"""A user's own worker: python examples/own_worker.py cf2:..."""

import sys
from contextlib import suppress

import requests
from bs4 import BeautifulSoup

from crawlfleet import JobFinished, connect

with connect(sys.argv[1]) as fleet, suppress(JobFinished):
    queue, results = fleet.Queue(), fleet.dict()
    while True:
        url = queue.get()
        try:
            response = requests.get(url, timeout=10)
        except requests.RequestException as error:
            queue.task_failed(type(error).__name__)
            continue
        if not response.ok:
            queue.task_failed(f"http_{response.status_code}", again=response.status_code >= 500)
            continue
        soup = BeautifulSoup(response.content, "lxml")
        for link in soup.find_all("a", href=True):
            with suppress(ValueError):  # out of the crawl's scope
                queue.put(str(link["href"]))
        results[url] = {"title": soup.title.get_text() if soup.title else None}
        queue.task_done()
