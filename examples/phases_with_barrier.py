"""Two phases with a barrier between them.

Start as many as the number says, on any machine: python examples/phases_with_barrier.py cf2:... 3
None begins with the second phase before all have ended the first.
"""

import os
import sys
from threading import BrokenBarrierError

from crawlfleet import connect

with connect(sys.argv[1]) as fleet:
    parts, barrier = fleet.list("parts"), fleet.Barrier("phases", parties=int(sys.argv[2]))
    parts.append(f"the part of process {os.getpid()}")
    try:
        place = barrier.wait()
    except BrokenBarrierError:
        sys.exit("another one died, or gave up, before its part was there")
    print(f"{place}: {len(parts)} parts are there")
