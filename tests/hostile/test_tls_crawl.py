"""Whole crawls of hosts whose TLS is broken, by every fetch engine: each page has its own reason."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.reader import SqliteReader
from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.shared.messages import Kind
from tests.acceptance import crawls
from tests.site.authority import Authority, self_signed

pytestmark = pytest.mark.long

PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
GONE = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
PATIENCE_S = 100

# How each host fails, but for the first two. The address of a host follows from its place.
REASONS = {
    "good": "",
    "old sessions": "",
    "expired": "tls_expired",
    "not yet valid": "tls_expired",
    "for another address": "tls_wrong_host",
    "for a name": "tls_wrong_host",
    "of a stranger": "tls_untrusted",
    "self-signed": "tls_untrusted",
    "1.0 alone": "tls",
    "1.1 alone": "tls",
    "no cipher in common": "tls",
    "wants a name": "tls",
    "hangs in the handshake": "timeout_connect",
    "drips in the handshake": "timeout_connect",
    "hangs up": "tls",
    "plain": "tls",
    "alert": "tls",
    "cut in the head": "head_truncated",
    "silent behind the handshake": "timeout_first_byte",
}
JOB = """\
name: tls
seeds: {seeds}
scope: {{hosts: {hosts}}}
politeness:
  delay: 0s
  robots_wait: 0s
  robots_wait_last: 0s
  ignore_robots: {ignored}
fetch: {{engine: {engine}, retries: 1, timeout: 3s, connect_timeout: 1s, first_byte_timeout: 1s, ca_file: ca.pem}}
"""

Serve = Callable[[socket.socket], None]


def _talk(context: ssl.SSLContext, *, head: bytes = b"") -> Serve:
    def serve(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as secured:
            request = secured.recv(65536)
            if head:
                secured.sendall(head)
                return
            secured.sendall(GONE if b" /robots.txt " in request else PAGE)

    return serve


def _wait(sock: socket.socket) -> None:
    while sock.recv(4096):
        pass


def _drip(sock: socket.socket) -> None:
    # The head of a record of 16,000 bytes, of which one comes at a time.
    sock.sendall(b"\x16\x03\x03\x3e\x80\x02\x00\x3e\x7c\x03\x03")
    while True:
        sock.sendall(b"x")
        threading.Event().wait(0.05)


def _silent(context: ssl.SSLContext) -> Serve:
    def serve(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as secured:
            while secured.recv(65536):
                pass

    return serve


def _context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def _old(certificate: Path, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = _context(certificate)
    # Whoever knows no better does not sign with SHA-256 either.
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version = context.maximum_version = version
    return context


def _servers(folder: Path, authority: Authority, addresses: dict[str, str]) -> list[tuple[str, Serve]]:
    def signed(host: str, by: Authority = authority, **how: Any) -> Path:
        return by.sign(folder / f"{host}.pem", **{"address": addresses[host], **how})

    own = Authority()
    itself = self_signed(folder / "self-signed.pem", addresses["self-signed"])
    few = _context(signed("no cipher in common"))
    few.maximum_version = ssl.TLSVersion.TLSv1_2
    few.set_ciphers("AES128-SHA")
    naming = _context(signed("wants a name"))
    # An address is no name that a client may send.
    naming.sni_callback = lambda _sock, name, _context: None if name else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    without = _context(signed("old sessions"))
    without.maximum_version = ssl.TLSVersion.TLSv1_2
    without.options |= ssl.OP_NO_TICKET
    soon = datetime(2120, 1, 1, tzinfo=UTC)
    servers = {
        "good": _talk(_context(signed("good"))),
        "old sessions": _talk(without),
        "expired": _talk(_context(signed("expired", until=datetime(2021, 1, 1, tzinfo=UTC)))),
        "not yet valid": _talk(_context(signed("not yet valid", since=soon, until=datetime(2121, 1, 1, tzinfo=UTC)))),
        "for another address": _talk(_context(signed("for another address", address="127.0.0.99"))),
        "for a name": _talk(_context(signed("for a name", name="h.test"))),
        "of a stranger": _talk(_context(signed("of a stranger", own))),
        "self-signed": _talk(_context(itself)),
        "1.0 alone": _talk(_old(signed("1.0 alone"), ssl.TLSVersion.TLSv1)),
        "1.1 alone": _talk(_old(signed("1.1 alone"), ssl.TLSVersion.TLSv1_1)),
        "no cipher in common": _talk(few),
        "wants a name": _talk(naming),
        "hangs in the handshake": _wait,
        "drips in the handshake": _drip,
        "hangs up": lambda sock: sock.close(),
        "plain": lambda sock: sock.sendall(GONE),
        "alert": lambda sock: sock.sendall(b"\x15\x03\x03\x00\x02\x02\x28"),
        "cut in the head": _talk(_context(signed("cut in the head")), head=b"HTTP/1.1 200 OK\r\nContent-"),
        "silent behind the handshake": _silent(_context(signed("silent behind the handshake"))),
    }
    return [(addresses[name], serve) for name, serve in servers.items()]


@contextmanager
def _serving(servers: Iterable[tuple[str, Serve]]) -> Iterator[int]:
    """Serve each at its address, all at one port."""
    with ExitStack() as stack:
        port = 0
        for address, serve in servers:
            listener = stack.enter_context(socket.create_server((address, port), backlog=64))
            port = listener.getsockname()[1]
            thread = threading.Thread(target=_accept, args=(listener, serve), daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
        yield port


def _accept(listener: socket.socket, serve: Serve) -> None:
    with suppress(OSError):
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_serve, args=(sock, serve), daemon=True).start()


def _serve(sock: socket.socket, serve: Serve) -> None:
    with sock, suppress(OSError):
        sock.settimeout(10)
        serve(sock)


def _without_robots(reason: str) -> tuple[str, str]:
    """Return how the page of a host ends whose robots.txt meets the same fault."""
    if not reason:
        return "done", "fetched"
    return "dropped", reason if reason.startswith("tls") else "robots_unreachable"


@pytest.mark.parametrize("engine", sorted(FETCH_ENGINES))
def test_each_host_whose_tls_is_broken_ends_by_its_own_reason(engine: str, tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_text(authority.pem)
    ignored, asked = ({name: f"127.0.{net}.{at}" for at, name in enumerate(REASONS, start=1)} for net in (62, 63))
    with ExitStack() as stack:
        servers = [
            (address, serve) for each in (ignored, asked) for address, serve in _servers(tmp_path, authority, each)
        ]
        port = stack.enter_context(_serving(servers))
        job = _job(tmp_path, engine, port, ignored.values(), asked.values())
        done = crawls.run(tmp_path, "run", job, "--workers", "1", timeout_s=PATIENCE_S)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    with closing(SqliteReader(tmp_path / "crawls" / "tls" / FRONTIER)) as reader:
        pages = {task.url: (task.state.value, task.verdict) for _, _, task in reader.tasks() if task.kind is Kind.PAGE}
    assert {name: pages[f"https://{address}:{port}/"] for name, address in ignored.items()} == {
        name: ("failed", reason) if reason else ("done", "fetched") for name, reason in REASONS.items()
    }
    assert {name: pages[f"https://{address}:{port}/"] for name, address in asked.items()} == {
        name: _without_robots(reason) for name, reason in REASONS.items()
    }


def _job(folder: Path, engine: str, port: int, ignored: Iterable[str], asked: Iterable[str]) -> Path:
    path = folder / "tls.yaml"
    hosts = [*ignored, *asked]
    path.write_text(
        JOB.format(
            seeds=[f"https://{address}:{port}/" for address in hosts],
            hosts=hosts,
            ignored="".join(f"\n    - {{host: {address}, reason: a test}}" for address in ignored),
            engine=engine,
        )
    )
    return path
