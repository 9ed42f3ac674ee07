"""Addresses of the wire's sockets: where a coordinator listens, how it is reached, and where its clients come from."""

from __future__ import annotations

import errno
import functools
import ipaddress
import queue
import socket
import threading
import time
from typing import Any, NamedTuple

from msgspec import convert

from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.ranges import HostName, Port

Address = tuple[str, int]

_MAX_PORT = 65_535
# A socket with a timeout of 0 would not wait at all.
_LEAST_S = 0.001
_SHOWN = tuple[HostName, Port]
# Whoever has one IPv6 address has all of its network of 64 bits, and mostly that of 48 bits, too. Whoever has many IPv4
# addresses has mostly one network of 24 bits.
_SENDER_BITS = {4: 32, 6: 64}
_NETWORK_BITS = {4: 24, 6: 48}


class Source(NamedTuple):
    """Where a connection comes from: its sender, an IPv4 address or an IPv6 /64, and the network that this is in."""

    network: str
    sender: str


def bind(address: Address, backlog: int) -> socket.socket:
    """Return a socket that listens at an address; raise `UsageError` if that is impossible."""
    host, port = address
    if not 0 <= port <= _MAX_PORT:
        raise UsageError(f"there is no port {port}: ports are 0 (any free one) to {_MAX_PORT}")
    try:
        family = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        dual = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server((host, port), family=family, backlog=backlog, dualstack_ipv6=dual)
    except (OSError, UnicodeError) as error:
        raise UsageError(why_not_bound(host, port, error)) from error


def open_socket(address: Address, limit_s: float) -> socket.socket:
    """Connect to an address within a time, in which its name is looked up, too; raise `OSError` or `UnicodeError`.

    Where a name has several addresses, none takes the time of those after it.
    """
    give_up_at = time.monotonic() + limit_s
    places = _look_up(address, limit_s)
    failure = OSError("the name has no address")
    for left in range(len(places), 0, -1):
        family, kind, protocol, _, place = places[-left]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(_LEAST_S, (give_up_at - time.monotonic()) / left))
            sock.connect(place)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


def _look_up(address: Address, limit_s: float) -> list[Any]:
    """Return what `getaddrinfo` says. It may wait for name servers for long: it does so in a thread of its own."""
    host, port = address
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        pass  # a name
    answers: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="crawlfleet-look-up", daemon=True).start()
    try:
        found = answers.get(timeout=limit_s)
    except queue.Empty:
        raise TimeoutError("no name server answers in time") from None
    if isinstance(found, Exception):
        raise found
    return found


def shown_address(address: Address) -> str:
    """Return an address as texts have it: `HOST:PORT`, an IPv6 host in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address_of(text: str) -> Address | None:
    """Return the address that a text shows as `shown_address` does; None if it shows none."""
    host, _, port = text.rpartition(":")
    try:
        address: Address = convert((host.removeprefix("[").removesuffix("]"), int(port)), _SHOWN)
    except ValueError:  # `msgspec.ValidationError` is one
        return None
    return address


def why_not_bound(host: str, port: int, error: Exception) -> str:
    """Return why an address cannot be listened at, and what to do."""
    reason = error.errno if isinstance(error, OSError) else None
    if reason == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: stop what listens there, or choose another (0 for a free one)"
    if reason == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine: choose one of its own, or 0.0.0.0 for all of them"
    if reason in (errno.EACCES, errno.EPERM):
        return f"port {port} may only be taken by root: choose a port from 1024 on"
    return f"cannot listen at {host}:{port} ({error}): choose another address"


@functools.lru_cache(maxsize=1024)
def source_of(host: str) -> Source:
    """Return what connections from an address have in common with others of the same sender, and of its network."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    network, sender = (
        str(ipaddress.ip_network((address, bits[address.version]), strict=False))
        for bits in (_NETWORK_BITS, _SENDER_BITS)
    )
    return Source(network, sender.removesuffix("/32"))
