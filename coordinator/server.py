"""The objects that the manager's server exposes: the task queue, the results, locks, values, and the controls.

Each method takes and returns plain values, checks its arguments, and calls the service through its loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.results.results_dict import ResultsDict
from crawlfleet.shared.messages import ExchangeRequest, Hello, decode, encode
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.status import Status


class TaskQueue:
    """`Queue`: tasks out as leases, reports in."""

    def __init__(self, service: Service, loop: Loop) -> None:
        self._service = service
        self._loop = loop

    def hello(self, message: bytes) -> bytes:
        """Open a session."""
        hello = decode(message, Hello)
        return encode(self._loop.call(lambda now: self._service.hello(hello, now)))

    def exchange(self, message: bytes) -> bytes:
        """Serve one exchange of a session."""
        request = decode(message, ExchangeRequest)
        return encode(self._loop.call(lambda now: self._service.exchange(request, now)))

    def goodbye(self, session: str) -> None:
        """Close a session."""
        self._loop.call(lambda now: self._service.goodbye(_text(session), now))

    def put(self, url: str) -> str:
        """Admit a URL; return the name of the rule that refuses it, or an empty string."""
        address = self._service.urls.canonicalize(_text(url))
        refusal = Reason.NOT_HTTP if address is None else self._loop.call(lambda now: self._service.put(address, now))
        return str(refusal)  # plain text may travel, a member of an enum may not

    def size(self) -> int:
        """Return how many tasks are not final."""
        return self._loop.call(lambda _now: self._service.open_tasks())


class LockReferent:
    """`Lock`: locks by name."""

    def __init__(self, service: Service, loop: Loop) -> None:
        self._service = service
        self._loop = loop

    def acquire(self, name: str, owner: str) -> int:
        """Try to take a lock; return a fencing number, or 0."""
        return self._loop.ask(lambda _now: self._service.acquire(_text(name), _text(owner)))

    def release(self, name: str, owner: str) -> None:
        """Free a lock."""
        self._loop.ask(lambda _now: self._service.locks.release(_text(name), _text(owner)))


class ValueReferent:
    """`Value`: numbers by name."""

    def __init__(self, service: Service, loop: Loop) -> None:
        self._values = service.values
        self._loop = loop

    def get(self, name: str) -> int | float:
        """Return a number."""
        return self._loop.ask(lambda _now: self._values.get(_text(name)))

    def set(self, name: str, number: int | float) -> None:
        """Set a number."""
        self._loop.ask(lambda _now: self._values.set(_text(name), number))

    def add(self, name: str, number: int | float) -> int | float:
        """Add to a number; return the sum."""
        return self._loop.ask(lambda _now: self._values.add(_text(name), number))


class Control:
    """`Control`: the status of the crawl, and its stop."""

    def __init__(self, status: Callable[[], Status], stop: Callable[[], None]) -> None:
        self._status = status
        self._stop = stop

    def status(self) -> bytes:
        """Return an encoded `Status`."""
        return encode(self._status())

    def stop(self) -> None:
        """Ask the coordinator to stop."""
        self._stop()


def referents(service: Service, loop: Loop, results: ResultsDict, control: Control) -> Mapping[str, object]:
    """Return the server's objects by the names of their types."""
    return {
        "Queue": TaskQueue(service, loop),
        "dict": results,
        "Lock": LockReferent(service, loop),
        "Value": ValueReferent(service, loop),
        "Control": control,
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, not {type(value).__name__}")
    return value
