"""Strangers at a coordinator's port: what each kind of them does, without the token's secret.

    python -m benchmarks.stranger_kinds KIND --join FILE [--from 127.0.0.1] [--held 300]

Visits as fast as it can, with so many connections held open, until its standard input ends; then it prints how many
visits there were. From a network, such as 2001:db8::/48, it comes from another address of it each time.
"""

from __future__ import annotations

import argparse
import functools
import ipaddress
import socket
import ssl
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen
from typing import NamedTuple

from crawlfleet.shared.errors import JoinError, Unreachable
from crawlfleet.shared.wire.frames import connect
from crawlfleet.shared.wire.join_token import JoinToken, read_token

PATIENCE_S = 0.5
HELD = 300
# Of Linux; the socket module has no name for it.
IPV6_FREEBIND = 78
_random = Random(1)


class Held(NamedTuple):
    """A connection that stays open; `rest` is what its stranger still says, a byte a second."""

    sock: socket.socket
    rest: bytes = b""


class Door(NamedTuple):
    """Where a stranger goes, and from which address, or from which network."""

    token: JoinToken
    source: str

    def plain(self) -> socket.socket:
        """Return a TCP connection."""
        network = ipaddress.ip_network(self.source)
        sock = socket.socket(socket.AF_INET6 if network.version == 6 else socket.AF_INET)
        # Closing ends it with a RST: waiting ends of connections would take all ports of this machine.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.settimeout(PATIENCE_S)
        if network.version == 6:  # an address of which the system knows by a route alone
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        sock.bind((str(network[_random.randrange(network.num_addresses)]), 0))
        sock.connect(self.token.addresses[0])
        return sock


class Tls:
    """A client's end of TLS, beside its socket."""

    def __init__(self, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = _context(newest).wrap_bio(self._received, self._to_send)

    def hello(self) -> bytes:
        """Return what a client says first."""
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._to_send.read()

    def shake_hands(self, sock: socket.socket) -> None:
        """Go through the handshake, and wait for the challenge."""
        sock.sendall(self.hello())
        while True:
            self._received.write(sock.recv(65_536) or b"\x15")
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sock.sendall(self._to_send.read())
            sock.recv(65_536)
            return

    def sealed(self, data: bytes) -> bytes:
        """Return bytes as they travel."""
        self._tls.write(data)
        return self._to_send.read()


@functools.cache
def _context(newest: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = newest
    return context


def silent(door: Door) -> Held | None:
    """Says nothing."""
    return Held(door.plain())


def slow_hello(door: Door) -> Held | None:
    """Says hello, a byte a second."""
    return Held(door.plain(), Tls().hello())


def half_way(door: Door) -> Held | None:
    """Says hello, and nothing after that."""
    sock = door.plain()
    sock.sendall(Tls().hello())
    return Held(sock)


def slow_proof(door: Door) -> Held | None:
    """Goes through the handshake, then answers the challenge, a byte a second."""
    sock, tls = door.plain(), Tls()
    tls.shake_hands(sock)
    return Held(sock, tls.sealed((52).to_bytes(4) + b"{sha256}" + bytes(44)))


def no_proof(door: Door) -> Held | None:
    """Goes through the handshake, and says nothing after that."""
    sock = door.plain()
    Tls().shake_hands(sock)
    return Held(sock)


def garbage(door: Door) -> Held | None:
    """Sends bytes that are no TLS."""
    sock = door.plain()
    sock.sendall(b"GET " + _random.randbytes(_random.randrange(2_000)))
    return Held(sock)


def broken_hello(door: Door) -> Held | None:
    """Says hello with some bytes changed."""
    sock, hello = door.plain(), bytearray(Tls().hello())
    for _ in range(_random.randrange(1, 9)):
        hello[_random.randrange(5, len(hello))] = _random.randrange(256)
    sock.sendall(hello)
    return Held(sock)


def huge_frame(door: Door) -> Held | None:
    """Goes through the handshake, and announces two gigabytes."""
    sock, tls = door.plain(), Tls()
    tls.shake_hands(sock)
    sock.sendall(tls.sealed((2**31).to_bytes(4)))
    return Held(sock)


def wrong_secret(door: Door) -> Held | None:
    """Has a token with another secret."""
    address = door.token.addresses[0]
    with suppress(JoinError, Unreachable):
        connect(door.token.fingerprint, address, bytes(32)).close()
    return None


def other_certificate(door: Door) -> Held | None:
    """Has a token of another coordinator: it goes once it has seen the certificate."""
    address = door.token.addresses[0]
    with suppress(JoinError, Unreachable):
        connect(bytes(32), address, door.token.secret).close()
    return None


def older_tls(door: Door) -> Held | None:
    """Speaks TLS 1.2 at most."""
    sock = door.plain()
    sock.sendall(Tls(ssl.TLSVersion.TLSv1_2).hello())
    return Held(sock)


def reset(door: Door) -> Held | None:
    """Ends its connection with a RST, in the middle of saying hello or after it."""
    sock, hello = door.plain(), Tls().hello()
    sock.sendall(hello[: _random.randrange(len(hello) + 1)])
    sock.close()
    return None


def half_closed(door: Door) -> Held | None:
    """Says no more than half a hello, and that nothing will follow."""
    sock, hello = door.plain(), Tls().hello()
    sock.sendall(hello[: _random.randrange(len(hello))])
    sock.shutdown(socket.SHUT_WR)
    return Held(sock)


KINDS: dict[str, Callable[[Door], Held | None]] = {
    kind.__name__: kind
    for kind in (
        silent,
        slow_hello,
        half_way,
        slow_proof,
        no_proof,
        garbage,
        broken_hello,
        huge_frame,
        wrong_secret,
        other_certificate,
        older_tls,
        reset,
        half_closed,
    )
}


@contextmanager
def flood(kind: str, join: Path, source: str = "127.0.0.1", held: int = HELD) -> Iterator[Callable[[], int]]:
    """Run a crowd of one kind in a process of its own; yield what ends it, and returns how many visits there were."""
    command = [sys.executable, "-m", "benchmarks.stranger_kinds", kind, "--join", str(join), "--from", source]
    with Popen([*command, "--held", str(held)], stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the first visit has been

        def end() -> int:
            said, _ = process.communicate("", 60)
            return int(said)

        try:
            yield end
        finally:
            process.kill()


def _visit_on(visit: Callable[[Door], Held | None], door: Door, most: int, is_over: threading.Event) -> int:
    """Visit until it is over; return how often."""
    held: deque[Held] = deque()
    visits, spoken_at = 0, time.monotonic()
    while not is_over.is_set():
        with suppress(OSError):
            one = visit(door)
            if one is not None:
                held.append(one)
        visits += 1
        if visits == 1:
            print("begun", flush=True)
        while len(held) > most:
            held.popleft().sock.close()
        if time.monotonic() > spoken_at + 1.0:
            spoken_at = time.monotonic()
            held = deque(_said_a_byte(each) for each in held)
    return visits


def _said_a_byte(held: Held) -> Held:
    with suppress(OSError):
        held.sock.send(held.rest[:1])
    return held._replace(rest=held.rest[1:])


def main() -> None:
    """Be a crowd of strangers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stranger_kinds", description="A crowd of strangers.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--join", type=Path, required=True, help="the coordinator's token; its secret is not used")
    parser.add_argument("--from", dest="source", default="127.0.0.1", help="the address, or network, to come from")
    parser.add_argument("--held", type=int, default=HELD, help="how many connections to hold open")
    asked = parser.parse_args()
    is_over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        is_over.set()

    threading.Thread(target=wait, daemon=True).start()
    print(_visit_on(KINDS[asked.kind], Door(read_token(asked.join), asked.source), asked.held, is_over), flush=True)


if __name__ == "__main__":
    main()
