"""The manager: the coordinator's shared objects, by name, for any machine.

A real `multiprocessing` `BaseManager`: `FleetManager.serving(...)` has the server, `FleetManager.joining(token)`
the proxies (`wire.proxies`). Owns the list of methods that may be called, and the mapping of a lost connection to
`Unreachable`. It must not decide anything about a crawl.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import types
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import ProcessError, context, managers, util
from multiprocessing.managers import dispatch  # type: ignore[attr-defined]  # not in typeshed
from typing import Any, ClassVar, NoReturn, TypeVar

from crawlfleet.shared.errors import NotOwner, Unreachable
from crawlfleet.shared.wire.binding import Address, shown_address
from crawlfleet.shared.wire.control_port import FleetServer, OnBug, print_bug
from crawlfleet.shared.wire.endpoints import Endpoints
from crawlfleet.shared.wire.frames import WireConnection, register_client, register_server
from crawlfleet.shared.wire.identity import Identity
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.shared.wire.payload import RETURN
from crawlfleet.shared.wire.proxies import ControlProxy, DictProxy, FleetProxy, ObjectsProxy, PoolsProxy, QueueProxy

#: How long a coordinator may be silent during a call, as long as its lease time is not known.
CALL_S = 10.0

EXPOSED: dict[str, frozenset[str]] = {
    "Queue": frozenset({"hello", "exchange", "goodbye", "put", "size"}),
    "dict": frozenset({"get", "contains", "size", "page"}),
    "Objects": frozenset({"call", "collect"}),
    "Pools": frozenset({"ask", "cancel", "close", "collect"}),
    "Control": frozenset({"status", "stop"}),
}

P = TypeVar("P", bound=FleetProxy)
R = TypeVar("R")


class FleetManager(managers.BaseManager):
    """Shares a coordinator's objects. Created by `serving` at the coordinator and by `joining` anywhere else."""

    token: JoinToken
    endpoints: Endpoints
    _serve: functools.partial[FleetServer]
    _local: util.ForkAwareLocal | types.SimpleNamespace

    # Attributes of the standard class that its type information omits.
    _address: Address
    _authkey: bytes
    _timeout_s: float
    _serializer: str
    _Client: Callable[..., WireConnection]
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
    def joining(cls, token: JoinToken, timeout_s: float = CALL_S, endpoints: Endpoints | None = None) -> FleetManager:
        """Prepare to use a coordinator's objects. One that is silent for `timeout_s` during a call is given up.

        `endpoints` is what is known already of the token's addresses.
        """
        manager = cls(token.addresses[0], token.secret, register_client(token.fingerprint))
        manager.token = token
        manager._timeout_s = timeout_s
        manager.endpoints = endpoints or Endpoints(token.addresses)
        manager._local = util.ForkAwareLocal()
        return manager

    def for_all_threads(self) -> FleetManager:
        """Return a manager with one connection for all threads; its calls must not overlap."""
        manager = FleetManager.joining(self.token, self._timeout_s, self.endpoints)
        manager._local = types.SimpleNamespace()
        return manager

    def get_server(self) -> FleetServer:
        """Bind the address and return the server; raise `UsageError` if it cannot be bound."""
        return self._serve()

    def start(self, *_args: object, **_kwds: object) -> NoReturn:
        """Refuse: a coordinator is a process of its own, and its server is started with `get_server`."""
        raise ProcessError("a fleet's manager starts no process: serve with get_server().start()")

    def connect(self) -> None:
        """Find the coordinator at one of the addresses: see `Endpoints.search`.

        Raise `Unreachable` if none answers, `JoinError` if another server answers or the secret is refused.
        """
        self._ask("dummy")

    def disconnect(self) -> None:
        """Close the calling thread's connection; its next call connects again."""
        connection: WireConnection | None = self._local.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def call(self, typeid: str, method: str, args: tuple[Any, ...]) -> Any:
        """Call a method of a shared object over the calling thread's connection: see `FleetProxy`."""
        connection = self._connection()
        connection.within(self.timeout_s, of_silence=True)
        frame = connection.pack((f"{typeid}:{self._local.incarnation}", method, args, {}))
        kind, result = self._trip(connection, frame)
        if kind == RETURN:
            return result
        if isinstance(result, NotOwner):
            self.endpoints.note_failure(self._local.place)
            self.disconnect()
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
    def timeout_s(self) -> float:
        """How long the coordinator may be silent during a call."""
        return min(self._timeout_s, self.endpoints.silence_s)

    @property
    def place(self) -> Address:
        """The coordinator's address: where it was found last, or the first of the token."""
        return self._address

    def rebuilding(self, kind: type[P], names: tuple[str, ...]) -> tuple[Any, ...]:
        """Return how to make a proxy anew in the child process that it is passed to; raise `TypeError` elsewhere."""
        require_spawning()
        return _rebuild, (kind, *self.as_arguments(), names)

    def as_arguments(self) -> tuple[JoinToken, tuple[Address, ...], float]:
        """Return that of which `joined` makes such a manager in a child process."""
        return self.token, self.endpoints.in_order(), self.timeout_s

    @property
    def serializer(self) -> str:
        return self._serializer

    def _ask(self, method: str, *args: str) -> Any:
        """Call the server itself, over a connection of its own."""

        def ask(address: Address, limit_s: float) -> Any:
            connection = self._Client(address, authkey=self._authkey, limit_s=limit_s)
            try:
                with _lost_is_unreachable(address):
                    return dispatch(connection, None, method, args)
            finally:
                connection.close()

        return self._search(ask)

    def _search(self, attempt: Callable[[Address, float], R]) -> R:
        """Do something at the first address that serves, and remember that."""

        def try_at(address: Address, limit_s: float) -> tuple[Address, R]:
            return address, attempt(address, limit_s)

        self._address, found = self.endpoints.search(try_at)
        return found

    def _proxy(self, kind: type[P], *names: str) -> P:
        """Check that the coordinator shares such an object, and return a proxy of it."""
        ident, _ = self._ask("create", kind.typeid)
        return kind(managers.Token(kind.typeid, self._address, ident), self, names)

    def _connection(self) -> WireConnection:
        connection: WireConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            return connection
        connection, self._local.place, self._local.incarnation = self._search(self._begin)
        self._local.connection = connection
        return connection

    def _begin(self, address: Address, limit_s: float) -> tuple[WireConnection, Address, str]:
        """Open a connection for calls of proxies."""
        connection = self._Client(address, authkey=self._authkey, limit_s=limit_s)
        try:
            with _lost_is_unreachable(address):
                name = multiprocessing.current_process().name
                return connection, address, dispatch(connection, None, "accept_connection", (name,))
        except BaseException:
            connection.close()
            raise

    def _trip(self, connection: WireConnection, frame: bytes) -> Any:
        """Send one frame and receive one; a connection on which that was interrupted is never used again."""
        place: Address = self._local.place
        try:
            with _lost_is_unreachable(place):
                connection.write(frame)
                return connection.recv()
        except BaseException as error:
            if isinstance(error.__cause__, TimeoutError):  # whoever is silent is tried last
                self.endpoints.note_failure(place)
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
        raise Unreachable(f"lost the coordinator at {shown_address(address)}: {error}") from error


def _rebuild(
    kind: type[P], token: JoinToken, addresses: tuple[Address, ...], timeout_s: float, names: tuple[str, ...]
) -> P:
    """Recreate a proxy in the child process that it was passed to."""
    manager = joined(token, addresses, timeout_s)
    return kind(managers.Token(kind.typeid, manager.address, kind.typeid), manager, names)


@functools.lru_cache(maxsize=8)
def joined(token: JoinToken, addresses: tuple[Address, ...], timeout_s: float) -> FleetManager:
    """Return one manager, and so one connection for each thread, for all proxies that a child received."""
    manager = FleetManager.joining(token, timeout_s, Endpoints(addresses))
    manager._address = addresses[0]
    return manager
