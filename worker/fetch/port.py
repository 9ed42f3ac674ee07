"""The port to HTTP: what a fetch returns, and what an engine must do.

It names no HTTP library. Misbehaviour of the web is a value here (`Fetched.failure` and `.reason`), never an exception.

The reasons of failures are those in `shared.reasons` up to BODY_TOO_LARGE, and INTERNAL_ERROR. The reason of a timeout
says in which phase the exchange was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from errno import ECONNREFUSED
from typing import Any, NamedTuple, Protocol

import msgspec

from crawlfleet.shared.brief import FetchSpec
from crawlfleet.shared.messages import Outcome
from crawlfleet.shared.reasons import Reason

DEFAULT_USER_AGENT = "crawlfleet"
ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
# How much of a body is read if only the head matters, so that the connection can serve another request. Of a longer
# one no more is read, and the connection is closed.
SPARE_BYTES = 64 * 1024


class Headers(Mapping[str, str]):
    """The header fields of an answer, in order of arrival, with repeats; names are case-insensitive.

    As a mapping it holds the first value of each name, in lower case; `get_all` returns every value.
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

    `failure` is None if a complete answer arrived, of any `status`. Otherwise `reason` names the error, `detail`
    describes it, the body is empty, and `status` is 0 unless a complete head had arrived.
    `body` is decoded (no Content-Encoding is left); `truncated` says that it is the beginning of a longer one. Outside
    of 2xx, and of a body that is not wanted, only the head matters: a long or broken body is left out, without a
    failure. `elapsed_s` is how long it took, without what the engine needed for others meanwhile. `remote_address` is
    the IP address of the connection, or an empty string. `notes` say what was unusual (`shared.notes`).
    `first_addresses` are told in the report: see `Report`.
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
    notes: tuple[str, ...] = ()
    first_addresses: tuple[str, ...] | None = None


class Counted(Protocol):
    """Counts a body as it comes, and may break it off: then the engine ends the exchange, however it does.

    `on_break` is for the engine to set: it is called when the body is broken off because of others. Any thread may call
    it, also one that fetches; it must not block.
    """

    on_break: Callable[[], None]

    def grow(self, count: int, /) -> bool:
        """Count so many decoded bytes; False if the body is broken off."""

    def whole(self) -> None:
        """Break the body off no more: the exchange has ended."""


class Wanted(NamedTuple):
    """What is wanted of an answer, and how it is asked for.

    With `keep_bytes` the beginning of a body is enough: at most that many decoded bytes are read, instead of the limit
    of size. The rest is not read, and may be broken. `by_head`: the request is a HEAD, no body is read, and the
    connection serves no other request, since a server may send one all the same. `bare`: without the job's header
    fields. `inside` and `first` say which private addresses it may lead to: see `Task`. `reads` says by the fields of a
    2xx answer whether its body is wanted; None if any is. `body` counts the bytes that come.
    """

    keep_bytes: int | None = None
    by_head: bool = False
    bare: bool = False
    inside: tuple[str, ...] = ()
    first: bool = False
    reads: Callable[[Headers], bool] | None = None
    body: Counted | None = None

    def wants(self, status: int, headers: Headers) -> bool:
        """Say whether the body of an answer with this head is wanted."""
        return 200 <= status <= 299 and (self.reads is None or self.reads(headers))


WHOLE = Wanted()


class Name(NamedTuple):
    """What is known about a host name: its addresses, the best one first, or a reason why there are none.

    `kept_until` is until when it may be used, by the monotonic clock.
    """

    addresses: tuple[str, ...]
    reason: str = ""
    detail: str = ""
    kept_until: float = 0.0


class Resolver(Protocol):
    """Resolves names. Any thread may call it; it does not block."""

    def known(self, host: str, /) -> Name | None:
        """Return what is known about a name now; of an address, itself."""

    def ask(self, host: str, on_name: Callable[[str, Name], None], /) -> None:
        """Look a name up, and pass the answer to a function, which another thread calls."""


class Fetcher(Protocol):
    """An engine with its connections, used by one thread."""

    def fetch(self, url: str, wanted: Wanted = WHOLE) -> Fetched:
        """Ask for a canonical URL within the limits; follow no redirect; raise no exception for errors of the web."""

    def close(self) -> None:
        """Close every connection."""


class ManyFetcher(Fetcher, Protocol):
    """An engine that runs many exchanges at once in one thread."""

    def start(self, url: str, wanted: Wanted, mark: Any, /) -> None:
        """Begin a `fetch`; `wait` returns its answer with the mark."""

    def wait(self, timeout_s: float | None, /) -> list[tuple[Any, Fetched]]:
        """Run exchanges until some have ended, `timeout_s` is over, or another thread calls `wake`."""

    def wake(self) -> None:
        """Make `wait` return. Any thread may call this."""


@dataclass(frozen=True, slots=True)
class FetchEngine:
    """An engine configured for a job. `open` returns a `ManyFetcher` if `many_at_once`, else a `Fetcher`.

    `names` resolves the names of hosts before an exchange with them begins; None if the engine does all that itself.
    All pages from the begin of their fetch to a parse thread may take `bytes_between`. `fetches` are made at once, and
    up to `most_fetches` if most of the hosts do not answer.
    """

    open: Callable[[], Any]
    many_at_once: bool = False
    fetches: int = 16
    names: Resolver | None = None
    bytes_between: int = 64 * 1024 * 1024
    most_fetches: int = 0


# A hook's function that configures each `requests.Session` before its use.
Prepare = Callable[[Any], None]


def request_headers(spec: FetchSpec, *, bare: bool = False, own: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """Return the header fields of every request, except those that engines set themselves, or those of a bare one.

    `own` are those of its origin. Of several with one name the last one counts.
    """
    headers = {"User-Agent": spec.user_agent or DEFAULT_USER_AGENT, "Accept": ACCEPT}
    for name, value in () if bare else (*spec.headers, *own):
        headers = {key: kept for key, kept in headers.items() if key.lower() != name.lower()}
        headers[name] = value
    fixed = {"host", "accept-encoding", "content-length", "transfer-encoding", "connection"}
    return {name: value for name, value in headers.items() if name.lower() not in fixed}


def most_in_transit(limit: int) -> int:
    """Return how many bytes a body may have in transit: a longer one cannot be short enough once decoded."""
    return limit + limit // 8 + 4096


def unresolved(url: str, name: Name) -> Fetched:
    """Return how the fetch of a page ends whose host has no address."""
    return Fetched(url=url, failure=Outcome.NETWORK_ERROR, reason=name.reason, detail=name.detail)


def refusal_of(errno: int) -> Reason:
    """Return why there is no connection, by the error that the system told: the server's refusal, or no way to it."""
    return Reason.CONNECT if errno == ECONNREFUSED else Reason.NO_ROUTE


def host_of(url: str) -> str:
    """Return the host of a canonical URL, without port and brackets: a name or an address."""
    start = url.index("//") + 2
    authority = url[start : url.index("/", start)]
    return authority[1 : authority.index("]")] if authority.startswith("[") else authority.partition(":")[0]


def is_address(host: str) -> bool:
    """Say whether the host of a canonical URL is an address."""
    return ":" in host or host.rpartition(".")[2].isdigit()
