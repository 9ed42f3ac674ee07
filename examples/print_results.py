"""Print the results of a running crawl once it has ended: python examples/print_results.py cf2:..."""

import sys

from crawlfleet import connect

with connect(sys.argv[1]) as fleet:
    queue, results = fleet.Queue(), fleet.dict()
    queue.join()
    for url, value in results.items():
        print(url, value)
