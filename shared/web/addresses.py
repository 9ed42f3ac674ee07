"""How far an IP address reaches: whether anybody's crawl may connect to it, or only one whose job opens it. Pure.

The ranges are those of the IANA registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890 and its updates, as
of October 2025), with what RFC 4291 and RFC 5771 reserve besides. The most specific range counts. They are written out
since those of Python's `ipaddress`, which only parses here, differ from one version to the next.

An IPv6 address may contain an IPv4 address to which its packets go in the end. Both are judged, and the one that
reaches least counts. A translator whose prefix its operator has chosen (RFC 6052, section 2.2) looks like any network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from crawlfleet.shared.remembered import remembered
from crawlfleet.shared.web.urls import canonicalize, parts

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


class Reach(StrEnum):
    """How far an address reaches; what comes later in this list reaches less."""

    #: Anybody's, and reachable from anywhere, as far as anybody can know.
    PUBLIC = "public"
    #: Of this machine, or of a network that is not part of the public one.
    PRIVATE = "private"
    #: Where a cloud tells its machines their secrets, or link-local in IPv4, as most of these services are.
    METADATA = "metadata"
    #: No one server's: unspecified, multicast, broadcast, reserved.
    NEVER = "never"


_SEVERITY = tuple(Reach).index

_RANGES = {
    "0.0.0.0/0": Reach.PUBLIC,
    "0.0.0.0/8": Reach.NEVER,  # this network: RFC 791, section 3.2, and RFC 1122, section 3.2.1.3
    "10.0.0.0/8": Reach.PRIVATE,  # RFC 1918
    "100.64.0.0/10": Reach.PRIVATE,  # shared address space of carriers: RFC 6598
    "100.100.100.200/32": Reach.METADATA,  # Alibaba Cloud
    "127.0.0.0/8": Reach.PRIVATE,  # loopback: RFC 1122, section 3.2.1.3
    "168.63.129.16/32": Reach.METADATA,  # Azure
    "169.254.0.0/16": Reach.METADATA,  # link-local: RFC 3927
    "172.16.0.0/12": Reach.PRIVATE,  # RFC 1918
    "192.0.0.0/24": Reach.PRIVATE,  # protocol assignments: RFC 6890, section 2.1; RFC 7335, RFC 7600, RFC 8880
    "192.0.0.9/32": Reach.PUBLIC,  # anycast of the Port Control Protocol: RFC 7723
    "192.0.0.10/32": Reach.PUBLIC,  # anycast of TURN: RFC 8155
    "192.0.0.192/32": Reach.METADATA,  # Oracle Cloud
    "192.0.2.0/24": Reach.PRIVATE,  # documentation: RFC 5737
    "192.31.196.0/24": Reach.PUBLIC,  # AS112: RFC 7535
    "192.52.193.0/24": Reach.PUBLIC,  # automatic multicast tunneling: RFC 7450
    "192.88.99.0/24": Reach.NEVER,  # relays of 6to4, deprecated: RFC 7526, RFC 6751
    "192.168.0.0/16": Reach.PRIVATE,  # RFC 1918
    "192.175.48.0/24": Reach.PUBLIC,  # AS112: RFC 7534
    "198.18.0.0/15": Reach.PRIVATE,  # benchmarks: RFC 2544
    "198.51.100.0/24": Reach.PRIVATE,  # documentation: RFC 5737
    "203.0.113.0/24": Reach.PRIVATE,  # documentation: RFC 5737
    "224.0.0.0/4": Reach.NEVER,  # multicast: RFC 5771
    "240.0.0.0/4": Reach.NEVER,  # reserved: RFC 1112, section 4; broadcast: RFC 919, section 7, and RFC 8190
    "::/0": Reach.NEVER,  # not assigned, or deprecated, as IPv4-compatible addresses are: RFC 4291, section 2.4
    "::1/128": Reach.PRIVATE,  # loopback: RFC 4291, section 2.5.3
    "64:ff9b::/96": Reach.PUBLIC,  # translated to IPv4: RFC 6052
    "64:ff9b:1::/48": Reach.PRIVATE,  # translated to IPv4 in one network: RFC 8215
    "2000::/3": Reach.PUBLIC,  # global unicast: RFC 4291, section 2.4
    "2001::/23": Reach.PRIVATE,  # protocol assignments: RFC 2928
    "2001::/32": Reach.PUBLIC,  # Teredo: RFC 4380
    "2001:1::1/128": Reach.PUBLIC,  # anycast of the Port Control Protocol: RFC 7723
    "2001:1::2/128": Reach.PUBLIC,  # anycast of TURN: RFC 8155
    "2001:1::3/128": Reach.PUBLIC,  # anycast of service registration: RFC 9665
    "2001:2::/48": Reach.PRIVATE,  # benchmarks: RFC 5180
    "2001:3::/32": Reach.PUBLIC,  # automatic multicast tunneling: RFC 7450
    "2001:4:112::/48": Reach.PUBLIC,  # AS112: RFC 7535
    "2001:10::/28": Reach.NEVER,  # ORCHID, deprecated: RFC 4843
    "2001:20::/28": Reach.PUBLIC,  # ORCHIDv2: RFC 7343
    "2001:30::/28": Reach.PUBLIC,  # drones: RFC 9374
    "2001:db8::/32": Reach.PRIVATE,  # documentation: RFC 3849
    "2002::/16": Reach.PUBLIC,  # 6to4: RFC 3056
    "2620:4f:8000::/48": Reach.PUBLIC,  # AS112: RFC 7534
    "3ffe::/16": Reach.NEVER,  # 6bone, returned: RFC 3701
    "3fff::/20": Reach.PRIVATE,  # documentation: RFC 9637
    "5f00::/16": Reach.PRIVATE,  # segment routing: RFC 9602
    "fc00::/7": Reach.PRIVATE,  # unique local: RFC 4193
    "fd00:42::42/128": Reach.METADATA,  # Scaleway
    "fd00:100::100:200/128": Reach.METADATA,  # Alibaba Cloud
    "fd00:a9fe:a9fe::1/128": Reach.METADATA,  # Akamai
    "fd00:c1::a9fe:a9fe/128": Reach.METADATA,  # Oracle Cloud
    "fd00:ec2::/32": Reach.METADATA,  # Amazon
    "fd20:ce::254/128": Reach.METADATA,  # Google Cloud
    "fe80::/10": Reach.PRIVATE,  # link-local: RFC 4291, section 2.5.6
    "fe80::a9fe:a9fe/128": Reach.METADATA,  # Akamai, OpenStack
    "fec0::/10": Reach.PRIVATE,  # site-local, deprecated: RFC 3879
    # The discard-only 100::/64 (RFC 6666) and the dummy prefix 100:0:0:1::/64 (RFC 9780), addresses that are translated
    # (::ffff:0:0:0/96: RFC 2765) and multicast (ff00::/8: RFC 4291, section 2.7) are not in 2000::/3, either.
}

METADATA_NAMES = frozenset(
    {
        "instance-data",
        "instance-data.ec2.internal",
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
        "metadata.azure.internal",
        "metadata.tencentyun.com",
        "metadata.packet.net",
        "metadata.platformequinix.com",
        "api.metadata.cloud.ibm.com",
    }
)

_MAPPED = bytes.fromhex("00000000000000000000ffff")  # RFC 4291, section 2.5.5.2
_TRANSLATED = bytes.fromhex("0064ff9b0000000000000000")
_TRANSLATED_INSIDE = bytes.fromhex("0064ff9b0001")
_6TO4 = bytes.fromhex("2002")
_TEREDO = bytes.fromhex("20010000")
_ISATAP = (bytes.fromhex("00005efe"), bytes.fromhex("02005efe"))  # RFC 5214, section 6.1
# Where an IPv4 address is after a prefix of 48, 56, 64 and 96 bits: RFC 6052, section 2.2.
_LAYOUTS = ((6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12), (12, 13, 14, 15))

_ENTRY = re.compile(r"(?:\*\.)?[^\s/?#@\\:%\[\]*]+|[0-9A-Fa-f:.]+|\[[0-9A-Fa-f:.]+\]")


@remembered(8192)
def reach_of(address: str) -> Reach:
    """Return how far an address reaches: IPv4, or IPv6 without brackets, with or without a zone.

    Raise `ValueError` if it is no address as sockets and canonical URLs give it.
    """
    return max(map(_listed, _all_in(_parsed(address))), key=_SEVERITY)


def literal_of(host: str) -> str | None:
    """Return the address that the host of a canonical URL is, without brackets; None if it is a name."""
    if host.startswith("["):
        return host[1:-1]
    return host if host.rpartition(".")[2].isdecimal() else None


def is_metadata_name(host: str) -> bool:
    """Say whether the host of a canonical URL is a name by which clouds call a metadata service."""
    return host.rstrip(".") in METADATA_NAMES


class Nets:
    """Which addresses a job opens, by `fetch.allow_private`.

    An entry is a network or an address (it opens what is in it, metadata services and reserved addresses as well), or a
    host name, with `*.` before it for all names below it. A name opens private addresses to itself; those of metadata
    services only if it is listed itself and in `METADATA_NAMES`. Raise `ValueError` for any other entry.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        parsed = [_entry(entry) for entry in entries]
        self._networks = tuple(each for each in parsed if not isinstance(each, str))
        self._names = frozenset(each for each in parsed if isinstance(each, str))

    def covers(self, host: str, address: str) -> bool:
        """Say whether an entry opens an address that is not public to the host of a canonical URL."""
        parsed = _parsed(address)
        if self._has(parsed):
            return True
        closed = [each for each in _all_in(parsed) if _listed(each) is not Reach.PUBLIC]
        if closed and all(map(self._has, closed)):
            return True
        reach, name = reach_of(address), host.rstrip(".")
        if reach is Reach.METADATA:
            return name in METADATA_NAMES and name in self._names
        return reach is Reach.PRIVATE and self._names_host(name)

    def _has(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)

    def _names_host(self, name: str) -> bool:
        labels = name.split(".")
        above = (".".join(labels[start:]) for start in range(1, len(labels)))
        return name in self._names or any(f"*.{each}" in self._names for each in above)


def _entry(text: str) -> _Network | str:
    if "/" in text and "%" not in text:
        return _network(text)
    name = text.removeprefix("*.")
    written = f"[{name}]" if ":" in name and not name.startswith("[") else name
    url = canonicalize(f"http://{written}/") if _ENTRY.fullmatch(text) else None
    host = "" if url is None else parts(url).host.rstrip(".")
    literal = literal_of(host)
    if not host or (literal is not None and name != text):
        raise ValueError(f"{text!r} is no network, address or host name: write such as 10.1.0.0/16 or intranet.example")
    if literal is not None:
        return ip_network(_parsed(literal))
    return host if name == text else f"*.{host}"


def _network(text: str) -> _Network:
    try:
        network = ip_network(text, strict=False)
        written = ip_address(text.partition("/")[0])
    except ValueError as error:
        raise ValueError(f"{text!r} is no network: write one such as 10.1.0.0/16") from error
    address = _parsed(str(network.network_address))
    if address.version != network.version:
        network = ip_network((str(address), network.prefixlen - 96))
    if written != network.network_address:
        raise ValueError(f"{text!r} is not how that network is written: write {network}")
    return network


def _parsed(address: str) -> _Address:
    """Parse an address; one that is IPv4-mapped is the IPv4 address, to which sockets connect."""
    parsed = ip_address(address.partition("%")[0])
    packed = parsed.packed
    return IPv4Address(packed[12:]) if len(packed) > 4 and packed.startswith(_MAPPED) else parsed


def _all_in(address: _Address) -> Iterator[_Address]:
    """Yield an address, and the IPv4 addresses in it."""
    yield address
    if isinstance(address, IPv6Address):
        yield from map(IPv4Address, _embedded(address.packed))


def _embedded(packed: bytes) -> Iterator[bytes]:
    if packed.startswith(_TRANSLATED):
        yield packed[12:]
    elif packed.startswith(_TRANSLATED_INSIDE):
        # It is private in any case; where the IPv4 address is in it only its network knows.
        found = (bytes(packed[at] for at in layout) for layout in _LAYOUTS)
        yield from (each for each in found if _listed(IPv4Address(each)) is Reach.METADATA)
    elif packed.startswith(_6TO4):
        yield packed[2:6]
    elif packed.startswith(_TEREDO):
        yield packed[4:8]  # the server
        yield bytes(255 - each for each in packed[12:])  # the client
    if packed[8:12] in _ISATAP:
        yield packed[12:]


def _listed(address: _Address) -> Reach:
    number = int(address)
    return next(reach for shift, start, reach in _TABLE[address.version] if number >> shift == start)


def _table(version: int) -> tuple[tuple[int, int, Reach], ...]:
    """Return the ranges of one version, specific ones first: bits to shift by, what is left, how far it reaches."""
    networks = ((ip_network(text), reach) for text, reach in _RANGES.items())
    rows = (
        (network.max_prefixlen - network.prefixlen, int(network.network_address), reach)
        for network, reach in networks
        if network.version == version
    )
    return tuple(sorted((shift, start >> shift, reach) for shift, start, reach in rows))


_TABLE = {version: _table(version) for version in (4, 6)}
