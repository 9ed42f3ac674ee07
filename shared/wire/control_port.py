"""The control port: the coordinator's end of the wire, as a `multiprocessing.managers.Server`.

Owns one thread for those who are not greeted yet (see `lobby`), one for each other connection, and the check of what
may be called. It must not know what the referents do. Unlike the standard server it looks up objects by fixed names and
counts no references, sends no traceback, cannot be stopped by a client, and continues when descriptors or threads run
out.
"""

from __future__ import annotations

import errno
import functools
import secrets
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing import AuthenticationError, managers
from typing import Any

from crawlfleet.shared.errors import CrawlfleetError, NotOwner, RemoteError, WireError
from crawlfleet.shared.wire.binding import Address, shown_address
from crawlfleet.shared.wire.frames import WireConnection, WireListener, greet_client, register_server
from crawlfleet.shared.wire.identity import Identity
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.shared.wire.lobby import Lobby
from crawlfleet.shared.wire.machine import own_addresses
from crawlfleet.shared.wire.payload import ERROR, RETURN, Answer, refusal, refuse_odd
from crawlfleet.shared.wire.reception import Counters, Reception

STOP_S = 2.0

_PAUSE_S = 0.05
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_REFUSALS = (CrawlfleetError, ValueError, KeyError, TypeError)
# Why an opening failed; the first matching entry counts.
_GREETING_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "deadline"),
    (AuthenticationError, "secret"),
    (ssl.SSLEOFError, "gone"),
    (ssl.SSLError, "handshake"),
    (WireError, "garbage"),
    (AssertionError, "garbage"),
    (EOFError, "gone"),
    (OSError, "gone"),
)

OnBug = Callable[[BaseException], None]


def print_bug(error: BaseException) -> None:
    """Print an error in crawlfleet itself on stderr, with its traceback."""
    traceback.print_exception(error, file=sys.stderr)


def _join(threads: Iterable[threading.Thread]) -> None:
    """Wait up to two seconds for other threads."""
    until = time.monotonic() + STOP_S
    for thread in threads:
        if thread.is_alive() and thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))


class FleetServer(managers.Server):
    """Serve fixed referents to everyone who has the join token. It listens as soon as it is constructed.

    Raise `UsageError` if the address cannot be bound. `start` serves in threads of its own, `serve_forever`
    until another thread calls `stop`.
    """

    # Attributes of the standard class that its type information omits.
    address: Address
    authkey: bytes
    registry: Mapping[str, Any]
    listener: WireListener

    public = ["accept_connection", "create", "dummy"]

    def __init__(
        self,
        registry: Mapping[str, Any],
        address: Address,
        identity: Identity,
        referents: Mapping[str, object],
        on_bug: OnBug = print_bug,
    ) -> None:
        super().__init__(dict(registry), address, identity.secret, register_server(identity))
        self.incarnation = secrets.token_hex(8)
        self.stop_event = threading.Event()
        self._identity = identity
        self._wildcard = address[0] in ("", "0.0.0.0", "::")
        self._on_bug = on_bug
        self._reception: Reception[WireConnection] = Reception()
        self._lobby = Lobby(self.listener, self._reception, self._begin)
        self._threads: dict[WireConnection, threading.Thread] = {}
        self._accepting = threading.Thread(target=self.accepter, name="control-port", daemon=True)
        self._owner: Callable[[], Address | None] | None = None
        self._ended: set[str] = set()
        self.share(referents)

    def share(self, referents: Mapping[str, object]) -> None:
        """Serve these objects, by the names of their types, from now on."""
        exposed = {typeid: self.registry[typeid][1] for typeid in referents}
        self.id_to_obj = {self._ident(typeid): (referents[typeid], exposed[typeid], {}) for typeid in referents}
        self._owner = None

    def stand_by(self, owner: Callable[[], Address | None]) -> None:
        """Refuse all calls as `NotOwner` from now on; `owner` says where the crawl's owner is, if that is known."""
        self._owner = owner
        self.id_to_obj = {}
        # What clients know of the incarnation that ends now is over.
        self._ended.add(self.incarnation)
        self.incarnation = secrets.token_hex(8)

    def start(self) -> None:
        """Start to accept connections, in a thread of its own, unless it does."""
        if self._accepting.ident is None:
            self._accepting.start()

    def serve_forever(self) -> None:
        """Serve until `stop` is called; then return (the standard server would end the process)."""
        self.start()
        self.stop_event.wait()

    def stop(self) -> None:
        """End the listener and all connections. Calls that are being served are answered, for up to two seconds."""
        self.stop_event.set()
        self.listener.end()
        if self._accepting.is_alive():
            self._accepting.join(STOP_S)
        self._lobby.close()
        self.listener.close()
        connections = dict(self._threads)
        for connection in connections:
            connection.end_reading()
        _join(connections.values())
        for connection in connections:
            connection.abort()
        _join(connections.values())

    @property
    def own_addresses(self) -> tuple[Address, ...]:
        """All addresses at which this server can be reached, best first."""
        host, port = self.address
        return tuple((each, port) for each in (own_addresses(ipv6=":" in host) if self._wildcard else (host,)))

    def place_among(self, addresses: Sequence[Address]) -> Address:
        """Return that of some addresses which is this server's own, or else one at which it listens."""
        own = self.own_addresses
        return next((each for each in addresses if each in own), own[0])

    def join_token(self, addresses: Sequence[Address] = ()) -> JoinToken:
        """Return the token for workers, with these addresses, or with all at which this server can be reached.

        One without a port (0) has that of this server.
        """
        own_port = self.address[1]
        return JoinToken(
            addresses=tuple(dict.fromkeys((host, port or own_port) for host, port in addresses or self.own_addresses)),
            fingerprint=self._identity.fingerprint,
            secret=self._identity.secret,
        )

    @property
    def counters(self) -> Counters:
        return self._reception.counters()

    def accepter(self) -> None:
        """Accept, and have clients greeted, until stopped, even if single connections fail."""
        while not self.stop_event.is_set():
            try:
                self._lobby.look()
            except OSError as error:
                self._accept_failed(error)
            except Exception as error:  # noqa: BLE001 - top of a thread that must live on
                self._on_bug(error)
                self.stop_event.wait(_PAUSE_S)

    def _accept_failed(self, error: OSError) -> None:
        """Count the failure. Pause if it would be the same at once, since the client still waits."""
        if self.stop_event.is_set():
            return
        if isinstance(error, ConnectionAbortedError):
            self._reception.count_refused("gone")
            return
        is_exhausted = error.errno in _EXHAUSTED
        if is_exhausted and self._lobby.make_room():
            return
        self._reception.count_refused("descriptors" if is_exhausted else "accept")
        self.stop_event.wait(_PAUSE_S)

    def _begin(self, connection: WireConnection) -> None:
        """Begin a connection's thread."""
        thread = threading.Thread(
            target=self.handle_request, args=(connection,), name="control-connection", daemon=True
        )
        self._threads[connection] = thread
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            self._reception.turn_away(connection, "threads")
            del self._threads[connection]
            connection.close()
            self.stop_event.wait(_PAUSE_S)

    def handle_request(self, conn: WireConnection) -> None:  # type: ignore[override]  # our own connections
        """Serve one connection from its first byte to its end."""
        try:
            if self._greet(conn):
                self._handle_request(conn)
        except WireError as error:
            self._reception.count_refused("protocol")
            self._say_last(conn, error)
        except (EOFError, OSError):
            return  # the client is gone: the normal end of a connection
        except Exception as error:  # noqa: BLE001 - top of a thread
            self._on_bug(error)
        finally:
            self._reception.leave(conn)
            del self._threads[conn]
            conn.close()

    def _greet(self, conn: WireConnection) -> bool:
        """Authenticate a client; after a failure send nothing, and count the reason."""
        try:
            greet_client(conn, self.authkey, self.listener.intake)
        except Exception as error:  # noqa: BLE001 - whatever a stranger sends ends here
            reason = next((reason for kind, reason in _GREETING_REASONS if isinstance(error, kind)), "garbage")
            self._reception.turn_away(conn, reason)
            return False
        self._reception.let_in(conn, time.monotonic())
        return True

    def _say_last(self, conn: WireConnection, error: WireError) -> None:
        try:
            conn.within(1.0)
            conn.send((ERROR, refusal(error)))
        except (EOFError, OSError):
            return  # the client did not wait for it

    def _handle_request(self, conn: WireConnection) -> None:
        """Answer the first request: a call to the server itself."""
        ident, name, args, kwds = conn.recv()
        if ident is not None or name not in self.public:
            conn.send((ERROR, ("UnknownMethod", f"the coordinator has no method {name[:64]!r}")))
            return
        try:
            self._refuse_unless_owner()
        except NotOwner as error:
            conn.send((ERROR, refusal(error)))
            return
        conn.send(self._answer(functools.partial(getattr(self, name), conn), name, args, kwds))
        if name == "accept_connection":
            self.serve_client(conn)

    def accept_connection(self, _c: object, _name: str) -> str:  # type: ignore[override]  # serves later
        """Return which incarnation of the server the client is connected to; calls of its proxies follow."""
        return self.incarnation

    def create(self, _c: object, typeid: str, /) -> tuple[str, tuple[str, ...]]:
        """Look up the only object of a type: return its ident, and the methods that may be called."""
        ident = self._ident(typeid)
        if ident not in self.id_to_obj:
            raise RemoteError("UnknownObject", f"the coordinator shares no {typeid[:64]!r}")
        return ident, tuple(sorted(self.id_to_obj[ident][1]))

    def incref(self, c: object, ident: str) -> None:
        """Do nothing: the objects live as long as the server."""

    def decref(self, c: object, ident: str) -> None:
        """Do nothing: the objects live as long as the server."""

    def serve_client(self, conn: WireConnection) -> None:  # type: ignore[override]  # our own connections
        """Answer the calls of one client's proxies until it is gone or the server stops."""
        while not self.stop_event.is_set():
            ident, method, args, kwds = conn.recv()
            try:
                function = self._find(ident, method)
            except (RemoteError, NotOwner) as error:
                conn.send((ERROR, refusal(error)))
                continue
            self._send(conn, self._answer(function, method, args, kwds), method)

    def _refuse_unless_owner(self) -> None:
        owner = self._owner
        if owner is not None:
            address = owner()
            raise NotOwner(shown_address(address) if address is not None else "")

    def _find(self, ident: str | None, method: str) -> Callable[..., Any]:
        self._refuse_unless_owner()
        if ident not in self.id_to_obj:
            if ident is not None and ident.rpartition(":")[2] in self._ended:
                raise NotOwner  # whoever has the crawl now must be greeted first
            raise RemoteError("UnknownObject", f"this incarnation shares no {str(ident)[:64]!r}")
        referent, exposed, _ = self.id_to_obj[ident]
        if method not in exposed:
            raise RemoteError("UnknownMethod", f"{type(referent).__name__} has no method {method[:64]!r}")
        function: Callable[..., Any] = getattr(referent, method)
        return function

    def _answer(self, function: Callable[..., Any], name: str, args: list[Any], kwds: dict[str, Any]) -> Answer:
        """Call a function, and return an answer: a value, a refusal, or a short error about a bug in crawlfleet."""
        try:
            refuse_odd(args)
            if kwds:
                raise TypeError(f"{name} takes no arguments by name")
            return RETURN, function(*args)
        except _REFUSALS as error:
            return ERROR, refusal(error)
        except Exception as error:  # noqa: BLE001 - a referent's bug must not end the connection
            return ERROR, self._own_bug(error, name)

    def _send(self, conn: WireConnection, answer: Answer, name: str) -> None:
        """Send an answer or, if it cannot be sent, the reason."""
        try:
            frame = conn.pack(answer)
        except WireError as error:
            frame = conn.pack((ERROR, refusal(error)))
        except (TypeError, ValueError) as error:
            frame = conn.pack((ERROR, self._own_bug(error, name)))
        conn.write(frame)

    def _own_bug(self, error: Exception, name: str) -> tuple[str, str]:
        self._on_bug(error)
        return "InternalError", f"{name} failed at the coordinator; its log says why"

    def _ident(self, typeid: str) -> str:
        return f"{typeid}:{self.incarnation}"
