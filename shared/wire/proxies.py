"""The proxies of a coordinator's shared objects: what each method takes and returns, as messages.

They own nothing but the form of calls: `wire.manager` makes them over its connections.
"""

from __future__ import annotations

from multiprocessing import managers
from typing import TYPE_CHECKING, Any, ClassVar

from crawlfleet.shared.messages import ExchangeAnswer, ExchangeRequest, Hello, ResultPage, Welcome, decode, encode
from crawlfleet.shared.objects import Collected, ObjectCall, ObjectReply
from crawlfleet.shared.pools import AskReply, AskRequest, CancelReply, CancelRequest, SettledPage
from crawlfleet.shared.status import Status

if TYPE_CHECKING:
    from crawlfleet.shared.wire.manager import FleetManager

#: The part of the lease time for which a coordinator may be silent during a call. A session that says nothing for the
#: whole of it is lost, and has to reach another coordinator before.
CALL_PART = 0.45


class FleetProxy(managers.BaseProxy):
    """A coordinator's shared object, as a client sees it. Any thread may use it: each has its own connection.

    Any call may raise `Unreachable` (the connection is lost; the next call connects again), `RemoteError` or another
    error of crawlfleet (the coordinator refuses), `TypeError` or `ValueError` (an argument cannot be sent),
    `WireError` (it is too large). It can be passed to a child process that is being started, but cannot be pickled
    otherwise.
    """

    typeid: ClassVar[str]

    def __init__(self, token: managers.Token, manager: FleetManager, names: tuple[str, ...] = ()) -> None:
        super().__init__(token, manager.serializer, manager=manager, authkey=manager.token.secret, incref=False)
        self._fleet = manager
        self._names = names

    def __str__(self) -> str:
        return repr(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._fleet.rebuilding(type(self), self._names)

    def _callmethod(self, methodname: str, args: tuple[Any, ...] = (), _kwds: object = None) -> Any:
        return self._fleet.call(self.typeid, methodname, self._names + tuple(args))

    def _poll_s(self, timeout_s: float) -> float:
        """Return how long a call may wait at the coordinator: one that says nothing for longer is given up."""
        return min(timeout_s, self._fleet.timeout_s / 2)

    def _incref(self) -> None:
        """Do nothing: the objects live as long as the server. Also called after a fork."""


class QueueProxy(FleetProxy):
    """The job's task queue."""

    typeid = "Queue"

    def hello(self, hello: Hello) -> Welcome:
        """Open a session; raise `VersionError` if the two sides speak different versions."""
        welcome = decode(self._callmethod("hello", (encode(hello),)), Welcome)
        self._fleet.endpoints.silence_s = CALL_PART * welcome.lease_s
        self._fleet.endpoints.learn(welcome.addresses)
        return welcome

    def exchange(self, request: ExchangeRequest) -> ExchangeAnswer:
        """Report, renew and ask for work; answered at once."""
        answer = decode(self._callmethod("exchange", (encode(request),)), ExchangeAnswer)
        if answer.addresses is not None:
            self._fleet.endpoints.learn(answer.addresses)
        return answer

    def goodbye(self, session: str) -> None:
        """Close a session: what it holds returns to the queue."""
        self._callmethod("goodbye", (session,))

    def put(self, url: str) -> str:
        """Admit a URL; return the name of the rule that refuses it, empty if it is admitted or already known."""
        rule: str = self._callmethod("put", (url,))
        return rule

    def size(self) -> int:
        """Return how many tasks are not final."""
        count: int = self._callmethod("size")
        return count


class DictProxy(FleetProxy):
    """The job's results, by canonical URL."""

    typeid = "dict"

    def get(self, url: str) -> list[Any] | None:
        """Return `[value]` of a page, or None if there is no result for it."""
        found: list[Any] | None = self._callmethod("get", (url,))
        return found

    def contains(self, url: str) -> bool:
        known: bool = self._callmethod("contains", (url,))
        return known

    def size(self) -> int:
        """Return how many pages have a result."""
        count: int = self._callmethod("size")
        return count

    def page(self, cursor: int, limit: int) -> ResultPage:
        """Return up to `limit` results after `cursor` (0: from the start), in the order of their commit."""
        return decode(self._callmethod("page", (cursor, limit)), ResultPage)


class ObjectsProxy(FleetProxy):
    """The named objects of the fleet, of all kinds."""

    typeid = "Objects"

    def call(self, call: ObjectCall) -> ObjectReply:
        """Call a method of an object; the answer may be that the call waits."""
        return decode(self._callmethod("call", (encode(call),)), ObjectReply)

    def collect(self, session: str, after: int, timeout_s: float) -> Collected:
        """Return answers to calls that have waited, as soon as there are any beyond the cursor `after`.

        It may return none before `timeout_s` is over.
        """
        return decode(self._callmethod("collect", (session, after, self._poll_s(timeout_s))), Collected)


class PoolsProxy(FleetProxy):
    """The pages that programs ask for."""

    typeid = "Pools"

    def ask(self, request: AskRequest) -> AskReply:
        """Ask for pages; answered at once. Raise `Unreachable` if the session is not known."""
        return decode(self._callmethod("ask", (encode(request),)), AskReply)

    def cancel(self, request: CancelRequest) -> CancelReply:
        """Take asks back."""
        return decode(self._callmethod("cancel", (encode(request),)), CancelReply)

    def close(self, session: str, pool: int) -> None:
        """Close a pool of a session, whether it is open or not. Asks that are open stay open."""
        self._callmethod("close", (session, pool))

    def collect(self, session: str, after: int, timeout_s: float) -> SettledPage:
        """Return answers to asks, as soon as there are any beyond the cursor `after`; those up to it are forgotten.

        It may return none before `timeout_s` is over.
        """
        return decode(self._callmethod("collect", (session, after, self._poll_s(timeout_s))), SettledPage)


class ControlProxy(FleetProxy):
    """The coordinator itself."""

    typeid = "Control"

    def status(self) -> Status:
        return decode(self._callmethod("status"), Status)

    def stop(self) -> None:
        """Ask the coordinator to end the crawl."""
        self._callmethod("stop")
