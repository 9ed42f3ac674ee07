"""Lines that are compressed with gzip, by the standard library."""

from __future__ import annotations

import zlib

from crawlfleet.coordinator.sinks.compressed import CompressedLines, Compression, Decompressor
from crawlfleet.coordinator.sinks.csv_sink import CommaLines, TabLines
from crawlfleet.coordinator.sinks.jsonl_sink import JsonLines
from crawlfleet.coordinator.sinks.port import Shape

LEVEL = 6
# zlib writes and reads the head and end of gzip.
WBITS = 31


def _compress(lines: bytes) -> bytes:
    return zlib.compress(lines, LEVEL, wbits=WBITS)


def _decompressor() -> Decompressor:
    return zlib.decompressobj(wbits=WBITS)


GZIP = Compression(b"\x1f\x8b\x08\x00", _compress, _decompressor, zlib.error)


def json_lines(shape: Shape) -> CompressedLines:
    """Return the kind of `.jsonl.gz`."""
    return CompressedLines(JsonLines(shape), GZIP)


def comma_lines(shape: Shape) -> CompressedLines:
    """Return the kind of `.csv.gz`."""
    return CompressedLines(CommaLines(shape), GZIP)


def tab_lines(shape: Shape) -> CompressedLines:
    """Return the kind of `.tsv.gz`."""
    return CompressedLines(TabLines(shape), GZIP)
