"""What the shared dict answers: a read-only view of the committed log, so what it shows never disappears."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from crawlfleet.coordinator.frontier.port import ResultLog
from crawlfleet.coordinator.results.rows import as_value
from crawlfleet.shared.messages import Kind, ResultPage, encode
from crawlfleet.shared.ranges import MOST
from crawlfleet.shared.web.url_policy import UrlPolicy
from crawlfleet.shared.web.urls import fingerprint

MAX_PAGE = 1_000
#: Results of more bytes together are read in several turns.
MAX_PAGE_BYTES = 4 * 1024 * 1024

_encode = msgspec.msgpack.Encoder().encode


class ResultsDict:
    """url -> value, for fetched pages. Any thread may call it. `last_read_at` is monotonic time."""

    def __init__(self, log: ResultLog, urls: UrlPolicy) -> None:
        self._log = log
        self._urls = urls
        self.last_read_at = 0.0

    def get(self, url: str) -> list[Any] | None:
        """Return `[value]`, or None if there is no result for the URL."""
        self.last_read_at = time.monotonic()
        result = self._log.result(self._ref(url))
        return None if result is None else [as_value(result.rows, result.seed_line)]

    def contains(self, url: str) -> bool:
        """Say whether there is a result for the URL."""
        return self._log.result(self._ref(url)) is not None

    def size(self) -> int:
        """Return how many results there are."""
        return self._log.result_count()

    def page(self, cursor: int, limit: int) -> bytes:
        """Return up to `limit` results from `cursor` on, fewer if they are large, as an encoded `ResultPage`."""
        self.last_read_at = time.monotonic()
        cursor = max(0, min(cursor, MOST))
        found = self._log.results(cursor, max(1, min(limit, MAX_PAGE)))
        results: list[tuple[str, msgspec.Raw]] = []
        room = MAX_PAGE_BYTES
        for result in found:
            value = msgspec.Raw(_encode(as_value(result.rows, result.seed_line)))
            room -= len(bytes(value))
            if results and room < 0:
                break
            results.append((result.url, value))
        return encode(ResultPage(results=tuple(results), cursor=cursor + len(results)))

    def _ref(self, url: str) -> bytes:
        return fingerprint(Kind.PAGE, "", self._urls.canonicalize(url) or url)
