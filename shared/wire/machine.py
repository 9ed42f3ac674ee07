"""The addresses of this machine, from the kernel. It sends nothing and uses no name server."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from pathlib import Path

_SIOCGIFADDR = 0x8915
_IPV6_TABLE = Path("/proc/net/if_inet6")
# Reserved for documentation (RFC 5737, RFC 3849): routed like any other address, and nothing is sent there.
_FAR_AWAY = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def own_addresses(*, ipv6: bool = False) -> tuple[str, ...]:
    """Return the addresses at which others may reach this machine: that of the default route first, loopback last."""
    wanted = [family for family in (socket.AF_INET, socket.AF_INET6) if ipv6 or family == socket.AF_INET]
    found = [_towards(address, family) for family, address in _FAR_AWAY if family in wanted]
    found += [_address_of(name) for _, name in socket.if_nameindex()]
    found += _ipv6_addresses() if ipv6 else []
    parsed = [ipaddress.ip_address(address) for address in dict.fromkeys(found) if address]
    useful = [str(own) for own in parsed if not (own.is_loopback or own.is_link_local or own.is_unspecified)]
    return (*useful, "127.0.0.1")


def _towards(address: str, family: socket.AddressFamily) -> str:
    """Return the source address of packets to `address`; empty if there is no route."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((address, 9))
        except OSError:
            return ""
        return str(sock.getsockname()[0])


def _address_of(interface: str) -> str:
    """Return the IPv4 address of a network interface; empty if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            request = struct.pack("256s", interface.encode()[:15])
            answer = fcntl.ioctl(sock.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return ""
        return socket.inet_ntoa(answer[20:24])


def _ipv6_addresses() -> list[str]:
    try:
        lines = _IPV6_TABLE.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    return [str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))) for line in lines]
