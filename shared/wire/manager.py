"""The manager: the coordinator's shared objects, by name, for any machine.

A real `multiprocessing` `BaseManager`: `FleetManager.serving(...)` has the server, `FleetManager.joining(token)`
the proxies. Owns the list of methods that may be called, the types of the proxies, and the mapping of a lost
connection to `Unreachable`. It must not decide anything about a crawl.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import types
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import ProcessError, context, managers, util
from multiprocessing.managers import State, dispatch  # type: ignore[attr-defined]  # not in typeshed
from typing import Any, ClassVar, NoReturn, TypeVar

from crawlfleet.shared.errors import JoinError, Unreachable
from crawlfleet.shared.messages import ExchangeAnswer, ExchangeRequest, Hello, ResultPage, Welcome, decode, encode
from crawlfleet.shared.objects import Collected, ObjectCall, ObjectReply
from crawlfleet.shared.pools import AskReply, AskRequest, CancelReply, CancelRequest, SettledPage
from crawlfleet.shared.status import Status
from crawlfleet.shared.wire.control_port import FleetServer, OnBug, print_bug
from crawlfleet.shared.wire.frames import Address, WireConnection, register_client, register_server
from crawlfleet.shared.wire.identity import Identity
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.shared.wire.payload import RETURN

CALL_S = 30.0

EXPOSED: dict[str, frozenset[str]] = {
    "Queue": frozenset({"hello", "exchange", "goodbye", "put", "size"}),
    "dict": frozenset({"get", "contains", "size", "page"}),
    "Objects": frozenset({"call", "collect"}),
    "Pools": frozenset({"ask", "cancel", "close", "collect"}),
    "Control": frozenset({"status", "stop"}),
}

P = TypeVar("P", bound="FleetProxy")


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
        require_spawning()
        return _rebuild, (type(self), self._fleet.token, self._fleet.host, self._fleet.timeout_s, self._names)

    def _callmethod(self, methodname: str, args: tuple[Any, ...] = (), _kwds: object = None) -> Any:
        return self._fleet.call(self.typeid, methodname, self._names + tuple(args))

    def _incref(self) -> None:
        """Do nothing: the objects live as long as the server. Also called after a fork."""


class QueueProxy(FleetProxy):
    """The job's task queue."""

    typeid = "Queue"

    def hello(self, hello: Hello) -> Welcome:
        """Open a session; raise `VersionError` if the two sides speak different versions."""
        return decode(self._callmethod("hello", (encode(hello),)), Welcome)

    def exchange(self, request: ExchangeRequest) -> ExchangeAnswer:
        """Report, renew and ask for work; answered at once."""
        return decode(self._callmethod("exchange", (encode(request),)), ExchangeAnswer)

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
        """Return answers to calls that have waited, as soon as there are any beyond the cursor `after`."""
        return decode(self._callmethod("collect", (session, after, timeout_s)), Collected)


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
        """Return answers to asks, as soon as there are any beyond the cursor `after`; those up to it are forgotten."""
        return decode(self._callmethod("collect", (session, after, timeout_s)), SettledPage)


class ControlProxy(FleetProxy):
    """The coordinator itself."""

    typeid = "Control"

    def status(self) -> Status:
        return decode(self._callmethod("status"), Status)

    def stop(self) -> None:
        """Ask the coordinator to end the crawl."""
        self._callmethod("stop")


class FleetManager(managers.BaseManager):
    """Shares a coordinator's objects. Created by `serving` at the coordinator and by `joining` anywhere else."""

    token: JoinToken
    timeout_s: float
    _serve: functools.partial[FleetServer]
    _local: util.ForkAwareLocal | types.SimpleNamespace

    # Attributes of the standard class that its type information omits.
    _address: Address
    _authkey: bytes
    _serializer: str
    _state: Any
    _Client: Callable[..., WireConnection]
    _create: Callable[[str], tuple[managers.Token, tuple[str, ...]]]
    _registry: ClassVar[Mapping[str, tuple[None, frozenset[str], None, type[FleetProxy]]]] = {
        kind.typeid: (None, EXPOSED[kind.typeid], None, kind)
        for kind in (QueueProxy, DictProxy, ObjectsProxy, PoolsProxy, ControlProxy)
    }

    @classmethod
    def serving(
        cls,
        referents: Mapping[str, object],
        identity: Identity,
        host: str,
        port: int,
        on_bug: OnBug = print_bug,
    ) -> FleetManager:
        """Prepare to share `referents`, by typeid; `get_server` then binds the address.

        `on_bug` is called, in any thread, with exceptions of a referent that are not refusals.
        """
        manager = cls((host, port), identity.secret, register_server(identity))
        manager._serve = functools.partial(FleetServer, cls._registry, (host, port), identity, referents, on_bug)
        return manager

    @classmethod
    def joining(cls, token: JoinToken, timeout_s: float = CALL_S) -> FleetManager:
        """Prepare to use a coordinator's objects; no call takes longer than `timeout_s`."""
        address = (token.addresses[0], token.port)
        manager = cls(address, token.secret, register_client(token.fingerprint))
        manager.token = token
        manager.timeout_s = timeout_s
        manager._local = util.ForkAwareLocal()
        return manager

    def for_all_threads(self) -> FleetManager:
        """Return a manager with one connection for all threads; its calls must not overlap."""
        manager = FleetManager.joining(self.token, self.timeout_s)
        manager._local = types.SimpleNamespace()
        return manager

    def get_server(self) -> FleetServer:
        """Bind the address and return the server; raise `UsageError` if it cannot be bound."""
        return self._serve()

    def start(self, *_args: object, **_kwds: object) -> NoReturn:
        """Refuse: a coordinator is a process of its own, and its server is started with `get_server`."""
        raise ProcessError("a fleet's manager starts no process: serve with get_server().start()")

    def connect(self) -> None:
        """Find the coordinator at one of the token's addresses.

        Raise `Unreachable` if none answers, `JoinError` if another server answers or the secret is refused.
        """
        failures: list[JoinError | Unreachable] = []
        for host in self.token.addresses:
            try:
                self._try(host)
            except (JoinError, Unreachable) as error:
                failures.append(error)
            else:
                return
        # A private address may belong to another machine here, so another server there does not end the search.
        raise next((failure for failure in failures if isinstance(failure, JoinError)), failures[0])

    def disconnect(self) -> None:
        """Close the calling thread's connection; its next call connects again."""
        connection: WireConnection | None = self._local.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def call(self, typeid: str, method: str, args: tuple[Any, ...]) -> Any:
        """Call a method of a shared object over the calling thread's connection: see `FleetProxy`."""
        connection = self._connection()
        connection.within(self.timeout_s)
        frame = connection.pack((f"{typeid}:{self._local.incarnation}", method, args, {}))
        kind, result = self._trip(connection, frame)
        if kind == RETURN:
            return result
        try:
            raise result
        finally:
            del result  # it refers to this frame, which would keep the connection

    def Queue(self) -> QueueProxy:
        return self._proxy(QueueProxy)

    def dict(self) -> DictProxy:
        return self._proxy(DictProxy)

    def Objects(self) -> ObjectsProxy:
        return self._proxy(ObjectsProxy)

    def Pools(self) -> PoolsProxy:
        return self._proxy(PoolsProxy)

    def Control(self) -> ControlProxy:
        return self._proxy(ControlProxy)

    @property
    def host(self) -> str:
        """The coordinator's host: that of the last `connect`, or the first of the token."""
        return self._address[0]

    @property
    def serializer(self) -> str:
        return self._serializer

    def _try(self, host: str) -> None:
        address = (host, self.token.port)
        connection = self._Client(address, authkey=self._authkey)
        try:
            with _lost_is_unreachable(address):
                dispatch(connection, None, "dummy")
        finally:
            connection.close()
        self._address = address
        self._state.value = State.STARTED

    def _proxy(self, kind: type[P], *names: str) -> P:
        """Check that the coordinator shares such an object, and return a proxy of it."""
        with _lost_is_unreachable(self._address):
            token, _ = self._create(kind.typeid)
        return kind(token, self, names)

    def _connection(self) -> WireConnection:
        connection: WireConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            return connection
        connection = self._Client(self._address, authkey=self._authkey)
        with _lost_is_unreachable(self._address):
            name = multiprocessing.current_process().name
            self._local.incarnation = dispatch(connection, None, "accept_connection", (name,))
        self._local.connection = connection
        return connection

    def _trip(self, connection: WireConnection, frame: bytes) -> Any:
        """Send one frame and receive one; a connection on which that was interrupted is never used again."""
        try:
            with _lost_is_unreachable(self._address):
                connection.write(frame)
                return connection.recv()
        except BaseException:
            self.disconnect()
            raise


def require_spawning() -> None:
    """Raise `TypeError` unless what is pickled now is passed to a child process that is being started."""
    if context.get_spawning_popen() is None:
        raise TypeError("a proxy has the crawl's secret: it can be passed to a child process only when that starts")


@contextlib.contextmanager
def _lost_is_unreachable(address: Address) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise Unreachable(f"lost the coordinator at {address[0]}:{address[1]}: {error}") from error


def _rebuild(kind: type[P], token: JoinToken, host: str, timeout_s: float, names: tuple[str, ...]) -> P:
    """Recreate a proxy in the child process that it was passed to."""
    manager = joined(token, host, timeout_s)
    return kind(managers.Token(kind.typeid, manager.address, kind.typeid), manager, names)


@functools.lru_cache(maxsize=8)
def joined(token: JoinToken, host: str, timeout_s: float) -> FleetManager:
    """Return one manager, and so one connection for each thread, for all proxies that a child received."""
    manager = FleetManager.joining(token, timeout_s)
    manager._address = (host, token.port)
    manager._state.value = State.STARTED
    return manager
