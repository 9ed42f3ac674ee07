"""Something that is done once, by whoever comes first: python examples/do_once.py cf2:...

Start it as often as you like, on any machine. If the first one dies before it is done, the next one does it.
"""

import sys

from crawlfleet import connect

with connect(sys.argv[1]) as fleet:
    done = fleet.dict("done")
    with fleet.Lock("squares"):
        if "squares" not in done:
            print("I do it")
            done["squares"] = [number * number for number in range(10)]
    print(done["squares"])
