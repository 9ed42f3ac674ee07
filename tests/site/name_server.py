"""A name server on loopback for names in `.test`, which answers as their second label says.

`a.quick.test` has an address, `a.slow.test` has it after a while, `a.dead.test` is never answered, `a.missing.test`
does not exist, `a.empty.test` has no address, `a.both.test` has one of each kind; for `a.broken.test` the server fails,
for `a.refused.test` it refuses. A name that begins with a number has the address of that host of
`benchmarks.many_hosts`. `records` may say of any name what it leads to.
"""

from __future__ import annotations

import heapq
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Mapping
from itertools import count
from typing import Any, Self

from benchmarks.many_hosts import host_name

A, CNAME, AAAA = 1, 5, 28
RCODES = {"broken": 2, "missing": 3, "refused": 5}
TTL_S = 60
BUFFER_BYTES = 8 * 1024 * 1024
_NUMBER = re.compile(r"\d+")


class NameServer:
    """The server, in a thread of its own; `questions` counts how often it was asked about each name.

    `records` has the addresses of a name, of both kinds, in their order. A text with a dot at its end is the name for
    which the one before stands (CNAME); what follows it is said of that name.
    """

    def __init__(
        self,
        slow_s: float = 3.0,
        address: str = "127.0.0.1",
        port: int = 0,
        records: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.questions: Counter[str] = Counter()
        self.records = dict(records or {})
        self._slow_s = slow_s
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._socket.bind((address, port))
        self.address = "{}:{}".format(*self._socket.getsockname())
        self._late: list[tuple[float, int, bytes, Any]] = []
        self._order = count()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="name server", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bell:
            bell.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._ending:
            self._socket.settimeout(max(0.0001, self._late[0][0] - time.monotonic()) if self._late else None)
            try:
                question, asker = self._socket.recvfrom(4096)
            except TimeoutError:
                pass
            else:
                if question:
                    self._take(question, asker)
            while self._late and self._late[0][0] <= time.monotonic():
                _, _, answer, asker = heapq.heappop(self._late)
                self._socket.sendto(answer, asker)

    def _take(self, question: bytes, asker: Any) -> None:
        labels, end = _labels(question)
        kind = labels[1] if len(labels) > 1 else ""
        name = ".".join(labels)
        self.questions[name] += 1
        if kind == "dead":
            return
        listed = self.records.get(name)
        answer = _answer(question, end, labels[0], kind) if listed is None else _told(question, end, name, listed)
        if kind == "slow":
            heapq.heappush(self._late, (time.monotonic() + self._slow_s, next(self._order), answer, asker))
        else:
            self._socket.sendto(answer, asker)


def _labels(question: bytes) -> tuple[list[str], int]:
    """Return the labels of the name that is asked for, and where the question ends."""
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode().lower())
        at += 1 + length
    return labels, at + 5


def _answer(question: bytes, end: int, label: str, kind: str) -> bytes:
    asked = question[end - 3]
    found = b""
    if kind in ("quick", "slow", "both") and asked == A:
        number = _NUMBER.match(label)
        found = socket.inet_aton(host_name(int(number[0])) if number else "127.0.0.1")
    elif kind == "both" and asked == AAAA:
        found = socket.inet_pton(socket.AF_INET6, "::1")
    record = b"\xc0\x0c" + struct.pack(">HHIH", asked, 1, TTL_S, len(found)) + found if found else b""
    head = struct.pack(">HHHHH", 0x8180 | RCODES.get(kind, 0), 1, bool(found), 0, 0)
    return question[:2] + head + question[12:end] + record


def _told(question: bytes, end: int, name: str, listed: tuple[str, ...]) -> bytes:
    """Answer with those of the listed addresses that are of the kind that is asked for, and the names on the way."""
    asked = question[end - 3]
    records = []
    for each in listed:
        kind, data = _data(each)
        if kind in (CNAME, asked):
            records.append(_encoded(name) + struct.pack(">HHIH", kind, 1, TTL_S, len(data)) + data)
        name = each.rstrip(".") if kind == CNAME else name
    head = struct.pack(">HHHHH", 0x8180, 1, len(records), 0, 0)
    return question[:2] + head + question[12:end] + b"".join(records)


def _data(listed: str) -> tuple[int, bytes]:
    if listed.endswith("."):
        return CNAME, _encoded(listed)
    if ":" in listed:
        return AAAA, socket.inet_pton(socket.AF_INET6, listed)
    return A, socket.inet_aton(listed)


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"
