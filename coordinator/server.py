"""The objects that the manager's server exposes: the task queue, the results, the named objects, and the controls.

Each method takes and returns plain values, checks its arguments, and calls the service through its loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from msgspec import convert
from msgspec.structs import replace

from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.pool_post import PoolPost
from crawlfleet.coordinator.conduct.post import Post
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.results.results_dict import ResultsDict
from crawlfleet.shared.messages import ExchangeAnswer, ExchangeRequest, Hello, Welcome, decode, encode
from crawlfleet.shared.objects import ObjectCall
from crawlfleet.shared.pools import AskRequest, CancelRequest
from crawlfleet.shared.ranges import Number, Seconds, SessionId
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.status import Status

A = TypeVar("A", Welcome, ExchangeAnswer)


class TaskQueue:
    """`Queue`: tasks out as leases, reports in."""

    def __init__(self, service: Service, loop: Loop) -> None:
        self._service = service
        self._loop = loop

    def hello(self, message: bytes) -> bytes:
        """Open a session."""
        hello = decode(message, Hello)
        return encode(self._loop.call(lambda now: self._named(hello.session, self._service.hello(hello, now))))

    def exchange(self, message: bytes) -> bytes:
        """Serve one exchange of a session."""
        request = decode(message, ExchangeRequest)
        size_bytes = len(message)
        answer = self._loop.call(
            lambda now: self._named(request.session, self._service.exchange(request, now, size_bytes))
        )
        return encode(answer)

    def goodbye(self, session: str) -> None:
        """Close a session."""
        name = _session(session)  # not in the loop, which an error would end
        self._loop.call(lambda now: self._service.goodbye(name, now))

    def put(self, url: str) -> str:
        """Admit a URL; return the name of the rule that refuses it, or an empty string."""
        address = self._service.urls.canonicalize(_text(url))
        refusal = Reason.NOT_HTTP if address is None else self._loop.call(lambda now: self._service.put(address, now))
        return str(refusal)  # plain text may travel, a member of an enum may not

    def size(self) -> int:
        """Return how many tasks are not final."""
        return self._loop.read(lambda _now: self._service.open_tasks())

    def _named(self, session: str, answer: A) -> A:
        """Return an answer that names the addresses of the crawl to a member which does not know them yet."""
        addresses = self._service.members.news_of_addresses(session)
        return answer if addresses is None else replace(answer, addresses=addresses)


class Objects:
    """`Objects`: the named objects of all kinds."""

    def __init__(self, service: Service, loop: Loop, post: Post) -> None:
        self._service = service
        self._loop = loop
        self._post = post

    def call(self, message: bytes) -> bytes:
        """Serve one call of an object. A call that waits is answered at once, too."""
        call = decode(message, ObjectCall)
        if call.number:
            reply = self._loop.call(lambda now: self._service.call_object(call, now, len(message)))
        else:
            reply = self._loop.read(lambda now: self._service.read_object(call, now))
        return encode(reply)

    def collect(self, session: str, after: int, timeout_s: float) -> bytes:
        """Return the answers of a session's calls that have waited, as soon as there are any."""
        return encode(self._loop.assured(self._post.collect(_session(session), _number(after), _seconds(timeout_s))))


class Pools:
    """`Pools`: the pages that programs ask for."""

    def __init__(self, service: Service, loop: Loop, post: PoolPost) -> None:
        self._service = service
        self._loop = loop
        self._post = post

    def ask(self, message: bytes) -> bytes:
        """Open a pool, and ask for pages."""
        request = decode(message, AskRequest)
        wishes = self._service.pools.wishes_of(request)
        return encode(self._loop.call(lambda now: self._service.pools.ask(request, now, wishes)))

    def cancel(self, message: bytes) -> bytes:
        """Take asks back."""
        request = decode(message, CancelRequest)
        return encode(self._loop.call(lambda now: self._service.pools.cancel(request, now)))

    def close(self, session: str, pool: int) -> None:
        """Close a pool."""
        name, number = _session(session), _number(pool)
        self._loop.call(lambda now: self._service.pools.close(name, number, now))

    def collect(self, session: str, after: int, timeout_s: float) -> bytes:
        """Return the answers to a session's asks, as soon as there are any."""
        return self._loop.assured(self._post.collect(_session(session), _number(after), _seconds(timeout_s)))


class SharedResults:
    """`dict`: the results, which are read past the loop. See `ResultsDict`."""

    def __init__(self, results: ResultsDict, loop: Loop) -> None:
        self._results = results
        self._loop = loop

    def get(self, url: str) -> list[Any] | None:
        """Return `[value]`, or None if there is no result for the URL."""
        return self._loop.assured(self._results.get(url))

    def contains(self, url: str) -> bool:
        """Say whether there is a result for the URL."""
        return self._loop.assured(self._results.contains(url))

    def size(self) -> int:
        """Return how many results there are."""
        return self._loop.assured(self._results.size())

    def page(self, cursor: int, limit: int) -> bytes:
        """Return some results from `cursor` on, as an encoded `ResultPage`."""
        return self._loop.assured(self._results.page(cursor, limit))


class Control:
    """`Control`: the status of the crawl, and its stop."""

    def __init__(self, loop: Loop, status: Callable[[], Status], stop: Callable[[], None]) -> None:
        self._loop = loop
        self._status = status
        self._stop = stop

    def status(self) -> bytes:
        """Return an encoded `Status`."""
        return encode(self._status())

    def stop(self) -> None:
        """Ask the coordinator to stop."""
        self._loop.assured(None)
        self._stop()


def referents(
    service: Service, loop: Loop, results: ResultsDict, post: Post, pool_post: PoolPost, control: Control
) -> Mapping[str, object]:
    """Return the server's objects by the names of their types."""
    return {
        "Queue": TaskQueue(service, loop),
        "dict": SharedResults(results, loop),
        "Objects": Objects(service, loop, post),
        "Pools": Pools(service, loop, pool_post),
        "Control": control,
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, not {type(value).__name__}")
    return value


def _session(value: object) -> str:
    """Return what may be the id of a session; raise `ValueError` (`msgspec.ValidationError`) for any other value."""
    session: str = convert(value, SessionId)
    return session


def _number(value: object) -> int:
    """Return a number that an argument may be; raise `ValueError` (`msgspec.ValidationError`) for any other value."""
    number: int = convert(value, Number)
    return number


def _seconds(value: object) -> float:
    """Return a duration that an argument may be; raise `ValueError` (`msgspec.ValidationError`) for any other value."""
    duration_s: float = convert(value, Seconds)
    return duration_s
