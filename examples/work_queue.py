"""A queue of work of one's own.

Ask for squares:          python examples/work_queue.py cf2:... 1 2 3
Work, on any machine:     python examples/work_queue.py cf2:...
If a worker dies, the number that it had taken comes back.
"""

import sys
from contextlib import suppress
from queue import Empty

from crawlfleet import connect

with connect(sys.argv[1]) as fleet:
    numbers, squares = fleet.JoinableQueue("numbers"), fleet.dict("squares")
    for number in map(int, sys.argv[2:]):
        numbers.put(number)
    if len(sys.argv) > 2:
        numbers.join()
        print({number: squares[number] for number in map(int, sys.argv[2:])})
        sys.exit()
    with suppress(Empty):
        while True:
            number = numbers.get(timeout=10)
            squares[number] = number * number
            numbers.task_done()
