"""Outlinks packed: canonical URLs, a line each; many of them compressed. URLs contain no line breaks (WHATWG, 4.4)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

#: No more than this is unpacked.
MAX_BYTES = 32 * 1024 * 1024
#: To compress less takes longer than it is worth: 20 µs, most of them for the compressor's own tables.
LEAST_COMPRESSED_BYTES = 2_048
# What begins so is not compressed; compressed data never does (RFC 1950, 2.2).
_PLAIN = b"\n"
_FAST = 1


def pack(urls: Iterable[str]) -> bytes:
    """Pack URLs; none become no bytes."""
    text = "\n".join(urls).encode()
    if len(text) < LEAST_COMPRESSED_BYTES:
        return _PLAIN + text if text else b""
    return zlib.compress(text, _FAST)


def unpack(data: bytes, limit: int) -> list[str]:
    """Return the first `limit` of packed URLs; of data that is damaged, what can be read of it."""
    if not data:
        return []
    if data.startswith(_PLAIN):
        text, is_cut = data[1 : MAX_BYTES + 1], len(data) > MAX_BYTES + 1
    else:
        unpacking = zlib.decompressobj()
        try:
            text = unpacking.decompress(data, MAX_BYTES)
        except zlib.error:
            return []
        is_cut = bool(unpacking.unconsumed_tail)
    lines = text.decode("utf-8", "replace").split("\n", limit)
    if is_cut:
        lines.pop()
    return lines[:limit]
