"""A user's own consumer, for a running crawl: python examples/own_consumer.py cf1:..."""

import sys

from crawlfleet import connect

with connect(sys.argv[1]) as fleet:
    queue, results = fleet.Queue(), fleet.dict()
    queue.join()
    for url, value in results.items():
        print(url, value)
