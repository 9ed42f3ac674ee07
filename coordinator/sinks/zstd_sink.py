"""Lines that are compressed with Zstandard."""

from __future__ import annotations

import zstandard

from crawlfleet.coordinator.sinks.compressed import CompressedLines, Compression, Decompressor
from crawlfleet.coordinator.sinks.csv_sink import CommaLines, TabLines
from crawlfleet.coordinator.sinks.jsonl_sink import JsonLines
from crawlfleet.coordinator.sinks.port import Shape

LEVEL = 3


def _compress(lines: bytes) -> bytes:
    return zstandard.ZstdCompressor(LEVEL, write_checksum=True).compress(lines)


def _decompressor() -> Decompressor:
    return zstandard.ZstdDecompressor().decompressobj()


ZSTD = Compression(b"\x28\xb5\x2f\xfd", _compress, _decompressor, zstandard.ZstdError)


def json_lines(shape: Shape) -> CompressedLines:
    """Return the kind of `.jsonl.zst`."""
    return CompressedLines(JsonLines(shape), ZSTD)


def comma_lines(shape: Shape) -> CompressedLines:
    """Return the kind of `.csv.zst`."""
    return CompressedLines(CommaLines(shape), ZSTD)


def tab_lines(shape: Shape) -> CompressedLines:
    """Return the kind of `.tsv.zst`."""
    return CompressedLines(TabLines(shape), ZSTD)
