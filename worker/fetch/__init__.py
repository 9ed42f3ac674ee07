"""The port to HTTP: what a fetch gives back, what an engine must do, and which engines there are.

It names no HTTP library; an engine is one module of this package and one line in `FETCHERS`. The web's
misbehaviour is a value here (`Fetched.failure` and `.reason`), never an exception.

Reasons of a failure: `dns`, `connect`, `timeout_connect`, `tls`, `timeout_total`, `reset`, `bad_status_line`,
`head_truncated`, `head_too_large`, `bad_framing`, `body_truncated`, `bad_encoding`, `body_too_large`,
`internal`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol

from shared.errors import UsageError
from shared.messages import FetchSpec, Outcome


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """How one request ended.

    `failure` None means that an answer arrived whole, whatever its `status`. Otherwise `reason` names what went
    wrong, `detail` says it in words, the body is empty, and `status` is 0 unless a head had arrived whole.
    `body` is decoded (no Content-Encoding left). Outside of 2xx the head is the answer: a body that is long or broken
    is left out, and is no failure.
    """

    url: str
    status: int = 0
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    failure: Outcome | None = None
    reason: str = ""
    detail: str = ""
    elapsed_s: float = 0.0


class Fetcher(Protocol):
    """An engine with its connections. It belongs to one thread."""

    def fetch(self, url: str) -> Fetched:
        """GET a canonical URL within the limits; follow no redirect, raise nothing for what the web does."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


def _requests() -> Callable[[FetchSpec], Fetcher]:
    fetcher: Callable[[FetchSpec], Fetcher] = import_module("worker.fetch.requests_pool").RequestsFetcher
    return fetcher


FETCHERS: dict[str, Callable[[], Callable[[FetchSpec], Fetcher]]] = {"requests": _requests}
AUTO = "requests"


def open_fetcher(spec: FetchSpec) -> Fetcher:
    """Make a fetcher of the engine that the spec names; raise `UsageError` if there is none of that name."""
    name = AUTO if spec.engine == "auto" else spec.engine
    load = FETCHERS.get(name)
    if load is None:
        known = ", ".join(("auto", *FETCHERS))
        raise UsageError(f"there is no fetch engine {name!r}: set fetch.engine to one of {known}")
    return load()(spec)
