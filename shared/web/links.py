"""Outlinks packed: canonical URLs, a line each; many of them compressed. URLs contain no line breaks (WHATWG, 4.4).

Very many are packed in runs, so that some of them can be read without the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec

from crawlfleet.shared.web.urls import LONGEST_URL_CHARS

#: No more than this is unpacked.
MAX_BYTES = 32 * 1024 * 1024
#: To compress less takes longer than it is worth: 20 µs, most of them for the compressor's own tables.
LEAST_COMPRESSED_BYTES = 2_048
#: A run has no more URLs, and ends when it has so many characters.
RUN = 10_000
RUN_CHARS = 4 * 1024 * 1024
#: What is read a few hundred at a time is packed in shorter runs: each reading unpacks a whole one, 0.3 µs a URL.
SHORT_RUN = 1_000
#: So many have more URLs than any job allows for a page.
MAX_RUNS = 20_000
# What begins so is not compressed, or is in runs; compressed data never does (RFC 1950, 2.2).
_PLAIN = b"\n"
_RUNS = b"\0"
_FAST = 1

# How many URLs a run has, and the URLs, packed.
_Run = tuple[Annotated[int, msgspec.Meta(ge=1, le=RUN)], bytes]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Annotated[list[_Run], msgspec.Meta(max_length=MAX_RUNS)]).decode


def pack(urls: Iterable[str], run: int = RUN) -> bytes:
    """Pack URLs, more than `run` of them in runs; none become no bytes."""
    runs = [(len(some), _pack(some)) for some in _split(urls, run)]
    if len(runs) > 1:
        return _RUNS + _encode(runs)
    return runs[0][1] if runs else b""


def _split(urls: Iterable[str], most: int) -> Iterator[list[str]]:
    run: list[str] = []
    chars = 0
    for url in urls:
        run.append(url)
        chars += len(url)
        if len(run) == most or chars >= RUN_CHARS:
            yield run
            run, chars = [], 0
    if run:
        yield run


def _pack(urls: list[str]) -> bytes:
    text = "\n".join(urls).encode()
    if len(text) < LEAST_COMPRESSED_BYTES:
        return _PLAIN + text if text else b""
    return zlib.compress(text, _FAST)


def unpack(data: bytes, limit: int) -> list[str]:
    """Return the first `limit` of packed URLs; of data that is damaged, what can be read of it.

    No more is unpacked than that many of the longest URLs take: a run of one may be made of megabytes.
    """
    most_bytes = min(MAX_BYTES, limit * (LONGEST_URL_CHARS + 1))
    if not data or not most_bytes:
        return []
    if data.startswith(_PLAIN):
        text, is_cut = data[1 : most_bytes + 1], len(data) > most_bytes + 1
    else:
        unpacking = zlib.decompressobj()
        try:
            text = unpacking.decompress(data, most_bytes)
        except zlib.error:
            return []
        is_cut = bool(unpacking.unconsumed_tail)
    lines = text.decode("utf-8", "replace").split("\n", limit)
    if is_cut:
        lines.pop()
    return lines[:limit]


def in_runs(data: bytes) -> bool:
    """Say whether packed URLs are so many that they are in runs."""
    return data.startswith(_RUNS)


class Packed:
    """Packed URLs, `number` of them, `limit` at most. Of damaged data `number` may be more than can be read."""

    def __init__(self, data: bytes, limit: int) -> None:
        self._runs: list[_Run] = []
        self._urls: list[str] = []
        if in_runs(data):
            try:
                self._runs = _decode(data[1:])
            except msgspec.DecodeError:
                self._runs = []
            self.number = min(limit, sum(number for number, _ in self._runs))
        else:
            self._urls = unpack(data, limit)
            self.number = len(self._urls)

    def some(self, first: int, most: int) -> list[str]:
        """Return up to `most` of the URLs, from a place on."""
        last = min(first + most, self.number)
        found = self._urls[first:last]
        for number, run in self._runs:
            if first < number and last > 0:
                found += unpack(run, number)[max(0, first) : last]
            first, last = first - number, last - number
        return found
