"""Rows that are posted to an address as JSON, some at a time: each at least once, always with the same id.

The receiver has a batch once it answers 2xx. What it may not have got, since it or this process died, comes again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import requests

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.results.rows import flat_rows
from crawlfleet.coordinator.sinks.patience import Patience
from crawlfleet.coordinator.sinks.port import Rejected, Shape
from crawlfleet.shared.dates import timestamp_in_field
from crawlfleet.shared.errors import CrawlFailed

MAX_ROWS = 100
MAX_BYTES = 1024 * 1024  # a larger row goes by itself
TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 4_096
MAX_SHOWN_CHARS = 200
ID = "id"
_TOO_MANY = 429

_encode = msgspec.json.Encoder().encode


class Webhook:
    """The kind that posts rows to the address of its shape."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def open(self, path: Path, mark: Mark | None, *, power: bool) -> WebhookSink:  # noqa: ARG002  nothing is kept here
        """See the port. Nothing is sent yet."""
        return WebhookSink(self.shape, mark or Mark())

    def open_for_export(self, *, overwrite: bool) -> WebhookSink:  # noqa: ARG002  ids say what is the same
        """See the port. What the receiver has already comes again, with the same ids."""
        return WebhookSink(self.shape, Mark())

    def rows_of(self, result: Result) -> list[bytes]:
        """Return the rows of a result as they are sent."""
        return [_encode(row) for row in identified(result)]

    def rejects_of(self, result: Result) -> list[Rejected]:  # noqa: ARG002  JSON has a form for every row
        """See the port."""
        return []

    def remove(self, path: Path) -> None:
        """Do nothing: what was sent was sent."""

    def read(self, path: Path, *, whole: bool) -> Iterator[bytes]:  # noqa: ARG002  as said
        """Yield nothing: what was sent cannot be read back."""
        yield from ()


class WebhookSink:
    """Posts rows. `mark` says whose rows the receiver has."""

    def __init__(self, shape: Shape, mark: Mark) -> None:
        self.mark = mark
        self._address = shape.address
        self._head = b'{"crawl":' + _encode(shape.crawl) + b',"rows":['
        self._session = requests.Session()
        self._session.trust_env = False  # .netrc would replace a header field, and a proxy would see it
        self._session.headers.update({"Content-Type": "application/json", "User-Agent": "crawlfleet"})
        self._session.headers.update(dict(shape.headers))

    def restore(self, log: Iterator[Result], length: int) -> Mark:  # noqa: ARG002  nothing can be compared
        """See the port. Rows of results that a power cut has taken from the log come again when they are fetched."""
        self.mark = Mark(results=min(self.mark.results, length))
        return self.mark

    def write(self, results: Sequence[Result]) -> Mark:
        """See the port."""
        batch: list[bytes] = []
        size = 0
        for row in (_encode(row) for result in results for row in identified(result)):
            if batch and (len(batch) == MAX_ROWS or size + len(row) > MAX_BYTES):
                self._post(batch)
                batch, size = [], 0
            batch.append(row)
            size += len(row)
        if batch:
            self._post(batch)
        self.mark = Mark(results=self.mark.results + len(results))
        return self.mark

    def finish(self) -> None:
        """Do nothing: the receiver has all that was written."""

    def close(self) -> None:
        """See the port."""
        self._session.close()

    def _post(self, rows: Sequence[bytes]) -> None:
        """Post rows until they are taken; raise `CrawlFailed` if they are refused, or not taken for a while."""
        body = self._head + b",".join(rows) + b"]}"
        patience = Patience()
        while True:
            why, asked_s = self._attempt(body)
            if not why:
                return
            if not patience.pause(asked_s):
                raise CrawlFailed(f"cannot write {self._address}: {why}; the next run sends what is missing")

    def _attempt(self, body: bytes) -> tuple[str, float]:
        """Post once; return why it is to be tried again, and how long to wait for that at least; "" if it was taken."""
        try:
            answer = self._session.post(self._address, data=body, timeout=TIMEOUT_S, allow_redirects=False, stream=True)
        except (requests.ConnectionError, requests.Timeout) as error:
            return f"no answer ({type(error).__name__})", 0.0
        except (requests.RequestException, ValueError) as error:
            raise CrawlFailed(f"cannot write {self._address}: {type(error).__name__}; check the address") from error
        with closing(answer):
            status = answer.status_code
            if status // 100 == 2:
                return "", 0.0
            said = f"it answers {status} {_beginning(answer)}".strip()
            if status // 100 == 5 or status == _TOO_MANY:
                return said, _asked_s(answer.headers.get("Retry-After", ""))
        advice = "redirects are not followed: name the last address" if status // 100 == 3 else "run the job again"
        raise CrawlFailed(f"cannot write {self._address}: {said}; {advice}")


def identified(result: Result) -> Iterator[dict[str, Any]]:
    """Yield the rows of a result, each with its id first: a digest of its page and its place there.

    A row of no page, as tables have them, is known by what it says. A field of that name gets a `_`.
    """
    for place, row in enumerate(flat_rows(result)):
        said = _encode((result.ref, place) if result.ref else row)
        own = {_free(name, row) if name == ID else name: value for name, value in row.items()}
        yield {ID: blake2b(said, digest_size=16).hexdigest(), **own}


def _free(name: str, taken: dict[str, Any]) -> str:
    while name in taken:
        name += "_"
    return name


def _asked_s(retry_after: str) -> float:
    """Return how long a server asks to wait (RFC 9110); 0 if it does not say."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    until = timestamp_in_field(retry_after)
    return max(0.0, until - time.time()) if until is not None else 0.0


def _beginning(answer: requests.Response) -> str:
    """Return what an answer begins with, as a line."""
    try:
        data = next(answer.iter_content(MAX_ANSWER_BYTES), b"")
    except requests.RequestException:
        return ""
    text = " ".join(data.decode(errors="replace").split())[:MAX_SHOWN_CHARS]
    return "".join(char if char.isprintable() else "?" for char in text)
