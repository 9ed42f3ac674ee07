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
import functools
import hashlib
import hmac
import socket
import ssl
import time
from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import answer_challenge, deliver_challenge
from multiprocessing.managers import listener_client  # type: ignore[attr-defined]  # not in typeshed
from typing import Any

from crawlfleet.shared.errors import JoinError, Unreachable, WireError
from crawlfleet.shared.wire.binding import Address, Source, bind, open_socket, shown_address, source_of
from crawlfleet.shared.wire.contexts import client_context, server_context
from crawlfleet.shared.wire.deadline import Deadline
from crawlfleet.shared.wire.identity import Identity
from crawlfleet.shared.wire.intake import SMALL_BYTES, Intake
from crawlfleet.shared.wire.payload import dumps, loads_answer, loads_request

FRAME_LIMIT = 16 * 1024 * 1024
#: Of answers, which may have all rows of a page: `limits.report_bytes` is 256 MiB at most.
ANSWER_LIMIT = 288 * 1024 * 1024
GREETING_FRAME_LIMIT = 1024
#: Of the TLS record with which a client says hello; that of an honest one has 300 to 2,000 bytes.
HELLO_LIMIT = 4096
GREETING_S = 5.0
#: From its first bytes on, a request has to be there in this time: a client gives a call up after half of it.
REQUEST_S = 60.0
BACKLOG = 1024

_HEADER_BYTES = 4
_READ_BYTES = 64 * 1024
_GREETING_READ_BYTES = 4 * 1024
_WRITE_BYTES = 64 * 1024
_TLS_HANDSHAKE = 0x16
_RECORD_HEADER_BYTES = 5
# A half-open connection is noticed within half a minute on either side.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)


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
        self._context = context
        #: Made for the handshake, since it takes more memory than all the rest.
        self._tls: ssl.SSLObject
        self._hello = bytearray()
        self.source = Source("", "")  # at the server: see `source_of`
        self._loads = loads
        self._is_server = is_server
        self._limit = self._send_limit = GREETING_FRAME_LIMIT
        self._read_bytes = _GREETING_READ_BYTES  # so much memory is taken as long as a thread waits
        self._deadline = Deadline(self._sock)
        self._buffer = bytearray()
        # At the server, once the other side is authenticated; and how much of it the last frame takes.
        self._intake: Intake | None = None
        self._taken_bytes = 0
        self.within(GREETING_S)

    def within(self, seconds: float | None, *, of_silence: bool = False) -> None:
        """Limit the time of all following operations together to `seconds` from now; None removes the limit.

        `of_silence`: the time begins anew whenever bytes come or go, so that nothing large is cut that flows.
        """
        self._deadline.begin(seconds, of_silence=of_silence)

    def trust(self, intake: Intake | None = None) -> None:
        """Allow frames of full size, because the other side is authenticated; if they are large, `intake` has room."""
        self._intake = intake
        self._read_bytes = _READ_BYTES
        self._limit, self._send_limit = FRAME_LIMIT, ANSWER_LIMIT
        if not self._is_server:
            self._limit, self._send_limit = ANSWER_LIMIT, FRAME_LIMIT

    @property
    def is_overdue(self) -> bool:
        """Whether the time of its operations is over."""
        return self._deadline.is_over

    def fileno(self) -> int:
        return self._sock.fileno()

    def hear_hello(self) -> bool:
        """Take in what a client has sent; return whether its first TLS record is there as a whole. Never wait.

        Raise `WireError` as soon as it is none, before anything is sent.
        """
        data = self._sock.recv(_RECORD_HEADER_BYTES + HELLO_LIMIT - len(self._hello), socket.MSG_DONTWAIT)
        if not data:
            raise EOFError
        self._hello += data
        size = int.from_bytes(self._hello[_RECORD_HEADER_BYTES - 2 : _RECORD_HEADER_BYTES])
        if self._hello[0] != _TLS_HANDSHAKE or size > HELLO_LIMIT:
            raise WireError("the other side does not speak TLS")
        return len(self._hello) >= _RECORD_HEADER_BYTES + size

    def handshake(self) -> None:
        _keep_alive(self._sock)
        self._received.write(self._hello)
        self._hello.clear()
        self._tls = self._context.wrap_bio(self._received, self._to_send, server_side=self._is_server)
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
        self._leave_intake()  # who waits for a request has answered the last one
        self._fill(_HEADER_BYTES)
        end = _HEADER_BYTES + int.from_bytes(self._buffer[:_HEADER_BYTES])
        if end > _HEADER_BYTES + limit:
            raise WireError(f"a frame of {end - _HEADER_BYTES} bytes came, where {limit} are allowed")
        if self._intake is not None and len(self._buffer) < end:
            self._take_in(end, self._intake)
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
        self._leave_intake()
        self._sock.close()

    def _take_in(self, end: int, intake: Intake) -> None:
        """Read the rest of a request once there is room for it; raise `WireError` if it does not come in time."""
        self.within(REQUEST_S)
        try:
            if end > SMALL_BYTES:
                intake.take(end, REQUEST_S)
                self._taken_bytes = end
            self._fill(end)
        except TimeoutError as error:
            raise WireError(f"not all of a request of {end} bytes came within {REQUEST_S:g} s") from error
        self.within(None)

    def _leave_intake(self) -> None:
        if self._intake is not None and self._taken_bytes:
            self._intake.give_back(self._taken_bytes)
            self._taken_bytes = 0

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
                chunk = self._tls.read(self._read_bytes)
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
            self._deadline.arm()
            self._sock.sendall(data)
            self._deadline.note_progress()

    def _receive_more(self) -> None:
        """Wait until there is more for the TLS object to read."""
        self._deadline.arm()
        data = self._sock.recv(self._read_bytes)
        self._deadline.note_progress()
        if data:
            self._received.write(data)
        else:
            self._received.write_eof()


class WireListener:
    """A listening socket. Its connections shake hands later, so that no client blocks `accept`."""

    def __init__(self, context: ssl.SSLContext, address: Address, backlog: int = BACKLOG) -> None:
        self._context = context
        self.intake = Intake()
        self._socket = bind(address, max(backlog, BACKLOG))
        self.address: Address = self._socket.getsockname()[:2]

    def accept(self) -> WireConnection:
        """Wait for a client; raise `ConnectionAbortedError` if it has gone again, `OSError` if accepting fails."""
        sock, address = self._socket.accept()
        connection = WireConnection(sock, self._context, loads_request, is_server=True)
        connection.source = source_of(address[0])
        return connection

    def fileno(self) -> int:
        return self._socket.fileno()

    def never_wait(self) -> None:
        """Let `accept` raise `BlockingIOError` if nobody has come."""
        self._socket.setblocking(False)

    def end(self) -> None:
        """Stop listening; a thread that waits in `accept`, or for the descriptor, gets an `OSError`."""
        with contextlib.suppress(OSError):  # ended already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening, and close the socket."""
        self.end()
        self._socket.close()


def greet_client(connection: WireConnection, secret: bytes, intake: Intake | None = None) -> None:
    """Do the server's half of the opening. After any error, close the connection without an answer."""
    connection.handshake()
    deliver_challenge(connection, secret)  # type: ignore[arg-type]  # needs a part of it only
    answer_challenge(connection, secret)  # type: ignore[arg-type]  # likewise
    connection.trust(intake)
    connection.within(None)


def connect(pin: bytes, address: Address, authkey: bytes, limit_s: float = GREETING_S) -> WireConnection:
    """Open a connection to the coordinator whose certificate has the SHA-256 `pin`, within `limit_s`.

    Raise `Unreachable` if nothing answers now, `JoinError` if another coordinator answers or the secret is
    refused.
    """
    where = shown_address(address)
    give_up_at = time.monotonic() + limit_s
    try:
        sock = open_socket(address, limit_s)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"no coordinator answers at {where}: {error}") from error
    try:
        return _greet_server(sock, pin, authkey, give_up_at)
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


def _greet_server(sock: socket.socket, pin: bytes, secret: bytes, give_up_at: float) -> WireConnection:
    connection = WireConnection(sock, client_context(), loads_answer)
    connection.within(give_up_at - time.monotonic())
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
    listener = functools.partial(WireListener, server_context(identity))
    listener_client[name] = (listener, functools.partial(connect, identity.fingerprint))
    return name


def _no_listener(address: Address, backlog: int = BACKLOG) -> WireListener:
    raise TypeError(f"cannot listen at {address} with {backlog} waiting: this process has no coordinator's key")


def _keep_alive(sock: socket.socket) -> None:
    for level, option, value in _KEEPALIVE:
        sock.setsockopt(level, option, value)
