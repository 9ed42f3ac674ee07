"""Compressed files of others, bombs among them, as answers of a hostile site; none where there are no test vectors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.vectors import BESIDE
from tests.site.hostile_site import Route, reply, saying

# By their content coding: the files, and the verdict on each.
_FILES = {
    ("gzip", "body_too_large"): ("bomb-gzip.bin",),
    ("deflate", "body_too_large"): ("bomb-deflate.bin",),
    ("br", "body_too_large"): ("bomb-br.bin",),
    # What is cut before its checksum is read as browsers do.
    ("gzip", "fetched"): (
        *("html-gzip.bin", "truncated-crc-error-short.gz", "truncated-crc-error.gz", "unexpected-eof.gz"),
    ),
    ("deflate", "fetched"): ("html-rawdeflate.bin", "html-zlibdeflate.bin"),
    ("br", "fetched"): ("html-br.bin",),
    ("gzip, deflate", "fetched"): ("html-gzip-deflate.bin",),
    ("gzip, deflate, gzip", "bad_encoding"): ("html-gzip-deflate-gzip.bin",),
    ("zstd", "bad_encoding"): (
        *("bomb-zstd.bin", "html-zstd-static-content-size.bin", "html-zstd-static-no-content-size.bin"),
        "html-zstd-streaming-no-content-size.bin",
    ),
}  # fmt: skip


def packed() -> Iterator[tuple[str, Route, str]]:
    """Yield a name, an answer and its verdict for each file."""
    folder = Path(os.environ.get("CRAWLFLEET_VECTORS") or BESIDE) / "compressed"
    for (coding, verdict), names in _FILES.items() if folder.is_dir() else ():
        for name in names:
            fields = (b"Content-Type: text/plain", b"Content-Encoding: " + coding.encode())
            yield f"packed/{name}", saying(reply(b"200 OK", *fields, body=(folder / name).read_bytes())), verdict
