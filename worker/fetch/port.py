"""The port to HTTP: what a fetch gives back, and what an engine must do.

It names no HTTP library. The web's misbehaviour is a value here (`Fetched.failure` and `.reason`), never an exception.

The reasons of a failure are those in `shared.reasons` up to BODY_TOO_LARGE, and INTERNAL_ERROR. The reason of a timeout
tells how far the exchange had come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from crawlfleet.shared.messages import FetchSpec, Outcome

DEFAULT_USER_AGENT = "crawlfleet"
ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
# How much of a body is kept where the head is the answer. It is read, so that the connection can serve another request;
# of a longer one an engine may read more, up to what a page may have.
SPARE_BYTES = 64 * 1024


class Headers(Mapping[str, str]):
    """The header fields of an answer: names in any case, in the order of their arrival, repeats kept.

    As a mapping it holds the first value of each name (names in lower case); `get_all` has every one.
    """

    __slots__ = ("_values", "pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs = tuple(pairs)
        self._values: dict[str, str] = {}
        for name, value in self.pairs:
            self._values.setdefault(name.lower(), value)

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __repr__(self) -> str:
        return f"Headers({self.pairs!r})"

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return every value of a field, in order."""
        name = name.lower()
        return tuple(value for key, value in self.pairs if key.lower() == name)


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """How one request ended.

    `failure` None means that an answer arrived whole, whatever its `status`. Otherwise `reason` names what went
    wrong, `detail` says it in words, the body is empty, and `status` is 0 unless a head had arrived whole.
    `body` is decoded (no Content-Encoding left); `truncated` says that it is the beginning of a longer one. Outside of
    2xx the head is the answer: a body that is long or broken is left out, and is no failure. `remote_address` is the IP
    address that was connected to, "" if none was.
    """

    url: str
    status: int = 0
    headers: Headers = msgspec.field(default_factory=Headers)
    body: bytes = b""
    failure: Outcome | None = None
    reason: str = ""
    detail: str = ""
    elapsed_s: float = 0.0
    remote_address: str = ""
    truncated: bool = False


class Fetcher(Protocol):
    """An engine with its connections. It belongs to one thread."""

    def fetch(self, url: str, keep_bytes: int | None = None) -> Fetched:
        """GET a canonical URL within the limits; follow no redirect, raise nothing for what the web does.

        With `keep_bytes` the beginning of a body is enough: that many decoded bytes are read at most, in place of the
        limit of size, and what follows them is left unread and may be broken.
        """
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class ManyFetcher(Fetcher, Protocol):
    """An engine that carries out many exchanges at once, in the one thread that it belongs to."""

    def start(self, url: str, keep_bytes: int | None, mark: Any, /) -> None:
        """Begin what `fetch` does; `wait` gives the answer back with the mark."""
        ...

    def wait(self, timeout_s: float | None, /) -> list[tuple[Any, Fetched]]:
        """Carry exchanges on until some have ended, the time is over, or another thread calls `wake`."""
        ...

    def wake(self) -> None:
        """Let `wait` return; for any thread."""
        ...


@dataclass(frozen=True, slots=True)
class FetchEngine:
    """An engine made ready for a job: `open` gives a `ManyFetcher` if it carries out `many_at_once`, else a `Fetcher`.

    `fetches` is how many exchanges a worker has under way by default.
    """

    open: Callable[[], Any]
    many_at_once: bool = False
    fetches: int = 16


# What a hook does to each `requests.Session` before it is used.
Prepare = Callable[[Any], None]


def request_headers(spec: FetchSpec) -> dict[str, str]:
    """Return the header fields of every request but those that each engine sets itself."""
    headers = {"User-Agent": spec.user_agent or DEFAULT_USER_AGENT, "Accept": ACCEPT}
    own = {name.lower() for name in headers}
    for name, value in spec.headers:
        if name.lower() in own:
            headers = {key: kept for key, kept in headers.items() if key.lower() != name.lower()}
        headers[name] = value
    fixed = {"host", "accept-encoding", "content-length", "transfer-encoding", "connection"}
    return {name: value for name, value in headers.items() if name.lower() not in fixed}
