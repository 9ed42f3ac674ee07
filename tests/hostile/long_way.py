"""A client that is far away: in a network namespace of its own, behind two devices between which packets take long.

    unshare --net python -m tests.hostile.long_way TOKEN_FILE DESCRIPTOR ROUND_TRIP_MS TRIES

So the kernels' handshakes, acknowledgements and repeats take as long as over a line of that length. Each try joins as a
program does that is started; what is printed is how many seconds each took, in JSON.
"""

from __future__ import annotations

import fcntl
import heapq
import json
import os
import select
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.strangers import join_once
from crawlfleet.shared.wire.join_token import read_token

NEAR, FAR = "10.77.0.1", "10.77.0.2"
DEVICE = Path("/dev/net/tun")
LARGEST = 65_536
_SET_DEVICE, _TUN_WITHOUT_HEADER = 0x400454CA, 0x1001


def open_end(name: str, own: str, other: str) -> int:
    """Open one end of the way, in the namespace of this process; return the descriptor of its packets."""
    end = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, _SET_DEVICE, struct.pack("16sH", name.encode(), _TUN_WITHOUT_HEADER))
    for words in (("addr", "add", own, "peer", other, "dev", name), ("link", "set", name, "up")):
        subprocess.run(["ip", *words], check=True)
    return end


def carry(one: int, other: int, one_way_s: float) -> None:
    """Take packets from each end to the other one, for ever."""
    to = {one: other, other: one}
    on_the_way: list[tuple[float, int, bytes]] = []
    while True:
        left_s = max(0.0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
        ready, _, _ = select.select([one, other], [], [], left_s)
        for end in ready:
            heapq.heappush(on_the_way, (time.monotonic() + one_way_s, to[end], os.read(end, LARGEST)))
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            _, end, packet = heapq.heappop(on_the_way)
            os.write(end, packet)


def main() -> None:
    """Join again and again from far away."""
    token = read_token(Path(sys.argv[1]))
    token = replace(token, addresses=((NEAR, token.addresses[0][1]),))
    far = open_end("far", FAR, NEAR)
    one_way_s = float(sys.argv[3]) / 2_000
    threading.Thread(target=carry, args=(int(sys.argv[2]), far, one_way_s), daemon=True).start()
    print(json.dumps([join_once(token, f"far-{number}") for number in range(int(sys.argv[4]))]))


if __name__ == "__main__":
    main()
