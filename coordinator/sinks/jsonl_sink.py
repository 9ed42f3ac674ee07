"""JSON Lines: one row a line, UTF-8, fields in the order of their rule (https://jsonlines.org)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from shared.errors import CrawlFailed


class JsonlSink:
    """A file of rows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encode = msgspec.json.Encoder().encode
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
        except OSError as error:
            raise CrawlFailed(f"cannot write {path}: {error.strerror}; choose another folder with --crawls") from error

    def write(self, rows: Iterable[dict[str, Any]]) -> int:
        lines = [self._encode(row) + b"\n" for row in rows]
        self._do(lambda: self._file.write(b"".join(lines)))
        return len(lines)

    def flush(self) -> None:
        self._do(self._file.flush)

    def close(self) -> None:
        self._do(self._file.close)

    def _do(self, step: Any) -> None:
        try:
            step()
        except OSError as error:
            raise CrawlFailed(f"cannot write {self._path}: {error.strerror}") from error
