"""The control port: the coordinator's end of the wire, as a `multiprocessing.managers.Server`.

Owns the accept loop, one thread for each connection, and the check of what may be called. It must not know what the
referents do. Unlike the standard server it looks up objects by fixed names and counts no references, sends no
traceback, cannot be stopped by a client, and continues when descriptors or threads run out.
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
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import AuthenticationError, managers
from typing import Any

from crawlfleet.shared.errors import CrawlfleetError, RemoteError, WireError
from crawlfleet.shared.wire.frames import Address, WireConnection, WireListener, greet_client, register_server
from crawlfleet.shared.wire.identity import Identity
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.shared.wire.machine import own_addresses
from crawlfleet.shared.wire.payload import ERROR, RETURN, Answer, refusal, refuse_odd

GREETING_LIMIT = 64
CONNECTION_LIMIT = 4096
# How long a connection may stay unauthenticated before it may be closed to make room for a new one.
GRACE_S = 0.2
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Connections accepted so far, refused so far by reason, and open now (authenticated or not)."""

    accepted: int
    refused: Mapping[str, int]
    open: int


def print_bug(error: BaseException) -> None:
    """Print an error in crawlfleet itself on stderr, with its traceback."""
    traceback.print_exception(error, file=sys.stderr)


class Reception:
    """The connections, and those among them that are not authenticated yet. Safe to use from any thread.

    Too many unauthenticated connections do not block new ones: the oldest of them is closed.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._greeting: dict[WireConnection, float] = {}
        self._open: dict[WireConnection, threading.Thread] = {}
        self._accepted = 0
        self._refused: Counter[str] = Counter()

    def enter(self, connection: WireConnection, thread: threading.Thread) -> bool:
        """Add a new connection as soon as there is room (within `GRACE_S`); return False if there are too many."""
        with self._changed:
            if len(self._open) >= CONNECTION_LIMIT:
                self._refused["full"] += 1
                return False
            while len(self._greeting) >= GREETING_LIMIT:
                self._make_room()
            self._greeting[connection] = time.monotonic()
            self._open[connection] = thread
            return True

    def _make_room(self) -> None:
        oldest, since = next(iter(self._greeting.items()))
        left_s = since + GRACE_S - time.monotonic()
        if left_s > 0:
            self._changed.wait(left_s)
            return
        del self._greeting[oldest]
        self._refused["evicted"] += 1
        oldest.abort()

    def let_in(self, connection: WireConnection) -> None:
        with self._changed:
            self._greeting.pop(connection, None)
            self._accepted += 1
            self._changed.notify()

    def turn_away(self, connection: WireConnection, reason: str) -> None:
        """Count a refusal, unless the connection is already counted as evicted."""
        with self._changed:
            if self._greeting.pop(connection, None) is not None:
                self._refused[reason] += 1
                self._changed.notify()

    def leave(self, connection: WireConnection) -> None:
        with self._changed:
            self._greeting.pop(connection, None)
            self._open.pop(connection, None)
            self._changed.notify()

    def count_refused(self, reason: str) -> None:
        with self._changed:
            self._refused[reason] += 1

    def connections(self) -> dict[WireConnection, threading.Thread]:
        with self._changed:
            return dict(self._open)

    def counters(self) -> Counters:
        with self._changed:
            return Counters(accepted=self._accepted, refused=dict(self._refused), open=len(self._open))


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
        self._reception = Reception()
        self._accepting = threading.Thread(target=self.accepter, name="control-port", daemon=True)
        self.id_to_obj = {self._ident(typeid): (referents[typeid], registry[typeid][1], {}) for typeid in referents}

    def start(self) -> None:
        """Start to accept connections, in a thread of its own."""
        self._accepting.start()

    def serve_forever(self) -> None:
        """Serve until `stop` is called; then return (the standard server would end the process)."""
        if not self._accepting.is_alive():
            self.start()
        self.stop_event.wait()

    def stop(self) -> None:
        """End the listener and all connections. Calls that are being served are answered, for up to two seconds."""
        self.stop_event.set()
        self.listener.close()
        connections = self._reception.connections()
        for connection in connections:
            connection.end_reading()
        _join((self._accepting, *connections.values()))
        for connection in connections:
            connection.abort()
        _join(connections.values())

    def join_token(self, addresses: Sequence[str] | None = None) -> JoinToken:
        """Return the token for workers, with these hosts, or with all hosts at which this server can be reached."""
        host, port = self.address
        own = own_addresses(ipv6=":" in host) if self._wildcard else (host,)
        return JoinToken(
            addresses=own if addresses is None else tuple(addresses),
            port=port,
            fingerprint=self._identity.fingerprint,
            secret=self._identity.secret,
        )

    @property
    def counters(self) -> Counters:
        return self._reception.counters()

    def accepter(self) -> None:
        """Accept until stopped, even if single connections fail."""
        while not self.stop_event.is_set():
            try:
                self._receive(self.listener.accept())
            except OSError as error:
                self._accept_failed(error)
            except Exception as error:  # noqa: BLE001 - top of a thread that must live on
                self._on_bug(error)
                self.stop_event.wait(_PAUSE_S)

    def _accept_failed(self, error: OSError) -> None:
        """Count the failure. Pause unless the client caused it: a waiting client would be tried again at once."""
        if self.stop_event.is_set():
            return
        if isinstance(error, ConnectionAbortedError):
            self._reception.count_refused("gone")
            return
        self._reception.count_refused("descriptors" if error.errno in _EXHAUSTED else "accept")
        self.stop_event.wait(_PAUSE_S)

    def _receive(self, connection: WireConnection) -> None:
        thread = threading.Thread(
            target=self.handle_request, args=(connection,), name="control-connection", daemon=True
        )
        if not self._reception.enter(connection, thread):
            connection.close()
            return
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            self._reception.turn_away(connection, "threads")
            self._reception.leave(connection)
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
            conn.close()

    def _greet(self, conn: WireConnection) -> bool:
        """Authenticate a client; after a failure send nothing, and count the reason."""
        try:
            greet_client(conn, self.authkey)
        except Exception as error:  # noqa: BLE001 - whatever a stranger sends ends here
            reason = next((reason for kind, reason in _GREETING_REASONS if isinstance(error, kind)), "garbage")
            self._reception.turn_away(conn, reason)
            return False
        self._reception.let_in(conn)
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
            except RemoteError as error:
                conn.send((ERROR, refusal(error)))
                continue
            self._send(conn, self._answer(function, method, args, kwds), method)

    def _find(self, ident: str | None, method: str) -> Callable[..., Any]:
        if ident not in self.id_to_obj:
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
