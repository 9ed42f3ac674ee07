"""Outlinks packed: canonical URLs, a line each, compressed. They contain no line breaks (WHATWG URL, 4.4)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

#: No more than this is unpacked.
MAX_BYTES = 32 * 1024 * 1024
_FAST = 1


def pack(urls: Iterable[str]) -> bytes:
    """Pack URLs; none become no bytes."""
    text = "\n".join(urls)
    return zlib.compress(text.encode(), _FAST) if text else b""


def unpack(data: bytes, limit: int) -> list[str]:
    """Return the first `limit` of packed URLs; of data that is damaged, what can be read of it."""
    if not data:
        return []
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(data, MAX_BYTES)
    except zlib.error:
        return []
    lines = text.decode("utf-8", "replace").split("\n", limit)
    if unpacking.unconsumed_tail:
        lines.pop()  # it may be cut
    return lines[:limit]
