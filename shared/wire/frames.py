"""The wire: frames of msgpack over TLS, with the interface that `multiprocessing.managers` requires of a serializer.

Theory of operation. A connection opens with a TLS 1.3 handshake. The client compares the SHA-256 of the
server's certificate with the one in its join token before it sends anything more; then the two sides prove to
each other that they know the secret, with the standard HMAC challenge of `multiprocessing.connection` (which alone
is not bound to the channel and answers any challenge, hence TLS first). Until then a connection has a deadline and
may transport only small frames. A frame is its length (4 bytes, big-endian) and as many bytes of msgpack. Lengths
are checked before memory is allocated, for sending and for receiving.

Owns connections. It does not know tasks, typeids or messages, and never unpickles anything.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import hmac
import os
import socket
import ssl
import time
from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import answer_challenge, deliver_challenge
from multiprocessing.managers import listener_client  # type: ignore[attr-defined]  # not in typeshed
from typing import Any

from crawlfleet.shared.errors import JoinError, Unreachable, UsageError, WireError
from crawlfleet.shared.wire.identity import Identity
from crawlfleet.shared.wire.payload import dumps, loads_answer, loads_request

FRAME_LIMIT = 16 * 1024 * 1024
#: Of answers, which may have all rows of a page: `limits.report_bytes` is 256 MiB at most.
ANSWER_LIMIT = 288 * 1024 * 1024
GREETING_FRAME_LIMIT = 1024
GREETING_S = 5.0
BACKLOG = 128

_HEADER_BYTES = 4
_MAX_PORT = 65_535
_READ_BYTES = 64 * 1024
_WRITE_BYTES = 64 * 1024
# A deadline is met but for this factor of the time that is left: setting a timeout costs a system call.
_TOLERANCE = 1.01
_TLS_HANDSHAKE = b"\x16"
# A half-open connection is noticed within half a minute on either side.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)

Address = tuple[str, int]


class _Socket(socket.socket):
    """A socket that is closed when it is garbage: the connection of a proxy ends with the thread that made it."""

    def __del__(self) -> None:
        self.close()


class WireConnection:
    """One TLS connection that transports frames; it takes over a connected socket.

    The TLS object stands beside the socket and not around it, which takes fewer system calls.

    Belongs to one thread at a time; only `abort` may be called from another. Reading and writing raise
    `EOFError` or `OSError` when the other side is gone, `TimeoutError` past the deadline, `WireError` for a
    frame over the limit.
    """

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, loads: Callable[[bytes], Any], *, is_server: bool = False
    ) -> None:
        self._sock = _Socket(sock.family, sock.type, sock.proto, sock.detach())
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_side=is_server)
        self._loads = loads
        self._is_server = is_server
        self._limit = self._send_limit = GREETING_FRAME_LIMIT
        self._deadline: float | None = None
        # The socket's own timeout.
        self._armed_s: float | None = None
        self._buffer = bytearray()
        self.within(GREETING_S)

    def within(self, seconds: float | None) -> None:
        """Limit the time of all following operations together to `seconds` from now; None removes the limit."""
        if seconds is None:
            self._sock.settimeout(None)
            self._armed_s = None
        self._deadline = None if seconds is None else time.monotonic() + seconds

    def trust(self) -> None:
        """Allow frames of full size, because the other side is authenticated."""
        self._limit, self._send_limit = FRAME_LIMIT, ANSWER_LIMIT
        if not self._is_server:
            self._limit, self._send_limit = ANSWER_LIMIT, FRAME_LIMIT

    def refuse_plain(self) -> None:
        """Raise `WireError` if the client's first byte does not begin a TLS handshake, before anything is sent."""
        self._arm()
        first = self._sock.recv(1, socket.MSG_PEEK)
        if not first:
            raise EOFError
        if first != _TLS_HANDSHAKE:
            raise WireError("the other side does not speak TLS")

    def handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._receive_more()
            except ssl.SSLEOFError:
                raise  # nobody is there who could be told; and whoever ended the connection is to see just that
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush()  # the alert, which says why
                raise
            else:
                self._flush()
                return

    def fingerprint(self) -> bytes:
        """Return the SHA-256 of the certificate whose key the other side has."""
        return hashlib.sha256(self._tls.getpeercert(binary_form=True) or b"").digest()

    def pack(self, value: object) -> bytes:
        """Return the frame of a value; raise `TypeError`, `ValueError` or `WireError` if it cannot be sent."""
        return self._frame(dumps(value))

    def write(self, frame: bytes) -> None:
        """Send a frame made by `pack`: header and body in one write, unless it is large."""
        if len(frame) <= _WRITE_BYTES:
            self._tls.write(frame)
            self._flush()
            return
        view = memoryview(frame)
        for start in range(0, len(frame), _WRITE_BYTES):
            self._tls.write(view[start : start + _WRITE_BYTES])
            self._flush()

    def send(self, value: object) -> None:
        self.write(self.pack(value))

    def send_bytes(self, body: bytes) -> None:
        self.write(self._frame(body))

    def recv(self) -> Any:
        return self._loads(self.recv_bytes())

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        limit = self._limit if maxlength is None else min(maxlength, self._limit)
        self._fill(_HEADER_BYTES)
        end = _HEADER_BYTES + int.from_bytes(self._buffer[:_HEADER_BYTES])
        if end > _HEADER_BYTES + limit:
            raise WireError(f"a frame of {end - _HEADER_BYTES} bytes came, where {limit} are allowed")
        self._fill(end)
        body = bytes(memoryview(self._buffer)[_HEADER_BYTES:end])
        del self._buffer[:end]
        return body

    def abort(self) -> None:
        """End the connection from another thread: the thread that uses it gets an error, and closes it."""
        with contextlib.suppress(OSError):  # gone already
            self._sock.shutdown(socket.SHUT_RDWR)

    def end_reading(self) -> None:
        """Let nothing more come in, from another thread: who reads gets `EOFError`, who writes may go on."""
        with contextlib.suppress(OSError):  # gone already
            self._sock.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        self._sock.close()

    def _frame(self, body: bytes) -> bytes:
        if len(body) > self._send_limit:
            raise WireError(f"a message of {len(body)} bytes cannot be sent: {self._send_limit} are allowed")
        return len(body).to_bytes(_HEADER_BYTES) + body

    def _fill(self, size: int) -> None:
        """Read until the buffer has `size` bytes; it grows only by the bytes that have been received."""
        while len(self._buffer) < size:
            if not self._received.pending and not self._tls.pending():
                self._receive_more()  # without it the next line would find that out by an exception, which costs more
            try:
                chunk = self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                self._receive_more()
                continue
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                chunk = b""
            if not chunk:
                raise EOFError("the other side closed the connection")
            self._buffer += chunk

    def _flush(self) -> None:
        """Send what the TLS object has to send."""
        data = self._to_send.read()
        if data:
            self._arm()
            self._sock.sendall(data)

    def _receive_more(self) -> None:
        """Wait until there is more for the TLS object to read."""
        self._arm()
        data = self._sock.recv(_READ_BYTES)
        if data:
            self._received.write(data)
        else:
            self._received.write_eof()

    def _arm(self) -> None:
        if self._deadline is None:
            return
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no answer in time")
        if self._armed_s is None or not left_s <= self._armed_s <= _TOLERANCE * left_s:
            self._sock.settimeout(left_s)
            self._armed_s = left_s


class WireListener:
    """A listening socket. Its connections shake hands later, so that no client blocks `accept`."""

    def __init__(self, context: ssl.SSLContext, address: Address, backlog: int = BACKLOG) -> None:
        self._context = context
        self._socket = _bind(address, max(backlog, BACKLOG))
        self.address: Address = self._socket.getsockname()[:2]

    def accept(self) -> WireConnection:
        """Wait for a client; raise `ConnectionAbortedError` if it has gone again, `OSError` if accepting fails."""
        sock, _ = self._socket.accept()
        try:
            _keep_alive(sock)
            return WireConnection(sock, self._context, loads_request, is_server=True)
        except OSError as error:
            sock.close()
            raise ConnectionAbortedError("the client is gone") from error

    def close(self) -> None:
        """Stop listening; a thread that waits in `accept` gets an `OSError`."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # closed already
        finally:
            self._socket.close()


def greet_client(connection: WireConnection, secret: bytes) -> None:
    """Do the server's half of the opening. After any error, close the connection without an answer."""
    connection.refuse_plain()
    connection.handshake()
    deliver_challenge(connection, secret)  # type: ignore[arg-type]  # needs a part of it only
    answer_challenge(connection, secret)  # type: ignore[arg-type]  # likewise
    connection.trust()
    connection.within(None)


def connect(pin: bytes, address: Address, authkey: bytes) -> WireConnection:
    """Open a connection to the coordinator whose certificate has the SHA-256 `pin`, within five seconds.

    Raise `Unreachable` if nothing answers now, `JoinError` if another coordinator answers or the secret is
    refused.
    """
    where = f"{address[0]}:{address[1]}"
    try:
        sock = socket.create_connection(address, GREETING_S)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"no coordinator answers at {where}: {error}") from error
    try:
        return _greet_server(sock, pin, authkey)
    except JoinError as error:
        raise JoinError(f"{where}: {error}") from error
    except (AuthenticationError, AssertionError) as error:
        raise JoinError(f"the coordinator at {where} refuses the token's secret: take a fresh token") from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError, TimeoutError, EOFError, ConnectionError) as error:
        raise Unreachable(f"the coordinator at {where} did not take the connection: {error}") from error
    except (ssl.SSLError, WireError) as error:
        raise JoinError(f"the server at {where} is not a crawlfleet coordinator: check the port") from error
    except OSError as error:
        raise Unreachable(f"the connection to {where} broke: {error}") from error


def _greet_server(sock: socket.socket, pin: bytes, secret: bytes) -> WireConnection:
    try:
        _keep_alive(sock)
        connection = WireConnection(sock, _client_context(), loads_answer)
    except BaseException:
        sock.close()
        raise
    try:
        connection.handshake()
        if not hmac.compare_digest(connection.fingerprint(), pin):
            raise JoinError(
                "this coordinator's certificate is not the token's: the token is of another crawl, is out of "
                "date, or someone stands in between; take a fresh one"
            )
        answer_challenge(connection, secret)  # type: ignore[arg-type]  # needs a part of it only
        deliver_challenge(connection, secret)  # type: ignore[arg-type]  # likewise
    except BaseException:
        connection.close()
        raise
    connection.trust()
    return connection


def serializer_name(fingerprint: bytes) -> str:
    """Return the name by which `multiprocessing` finds the wire of one coordinator identity."""
    return f"crawlfleet-{fingerprint.hex()}"


def register_client(fingerprint: bytes) -> str:
    """Register the client's side of an identity in `multiprocessing`; return the name of its serializer."""
    name = serializer_name(fingerprint)
    listener_client.setdefault(name, (_no_listener, functools.partial(connect, fingerprint)))
    return name


def register_server(identity: Identity) -> str:
    """Register both sides of an identity in `multiprocessing`; return the name of its serializer."""
    name = serializer_name(identity.fingerprint)
    listener = functools.partial(WireListener, _server_context(identity))
    listener_client[name] = (listener, functools.partial(connect, identity.fingerprint))
    return name


def _no_listener(address: Address, backlog: int = BACKLOG) -> WireListener:
    raise TypeError(f"cannot listen at {address} with {backlog} waiting: this process has no coordinator's key")


def _bind(address: Address, backlog: int) -> socket.socket:
    host, port = address
    if not 0 <= port <= _MAX_PORT:
        raise UsageError(f"there is no port {port}: ports are 0 (any free one) to {_MAX_PORT}")
    try:
        family = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        dual = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server((host, port), family=family, backlog=backlog, dualstack_ipv6=dual)
    except (OSError, UnicodeError) as error:
        raise UsageError(_why_not_bound(host, port, error)) from error


def _why_not_bound(host: str, port: int, error: Exception) -> str:
    reason = error.errno if isinstance(error, OSError) else None
    if reason == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: stop what listens there, or choose another (0 for a free one)"
    if reason == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine: choose one of its own, or 0.0.0.0 for all of them"
    if reason in (errno.EACCES, errno.EPERM):
        return f"port {port} may only be taken by root: choose a port from 1024 on"
    return f"cannot listen at {host}:{port} ({error}): choose another address"


def _keep_alive(sock: socket.socket) -> None:
    for level, option, value in _KEEPALIVE:
        sock.setsockopt(level, option, value)


def _server_context(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    # The ssl module loads keys only from files; this file is in memory and ends with its descriptor.
    descriptor = os.memfd_create("identity")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(identity.key + b"\n" + identity.certificate)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except ssl.SSLError as error:
        raise UsageError("the coordinator's key and certificate do not belong together: put both back") from error
    finally:
        os.close(descriptor)
    return context


@functools.cache
def _client_context() -> ssl.SSLContext:
    """Verify only the fingerprint (see `connect`): names and authorities are not used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
