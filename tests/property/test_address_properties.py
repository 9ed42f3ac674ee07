"""What holds for every address, and for every text that may stand for a host."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import example, given, settings
from hypothesis import strategies as st

from crawlfleet.shared.web.addresses import Nets, Reach, literal_of, reach_of
from crawlfleet.shared.web.urls import canonicalize, is_canonical, parts
from tests.site.address_ranges import EDGES

_SEVERITY = tuple(Reach).index
_NUMBER = st.one_of(
    st.integers(0, 2**33).map(str),
    st.integers(0, 2**33).map(hex),
    st.integers(0, 2**33).map("0{:o}".format),
    st.sampled_from(["127", "0", "\uff11\uff12\uff17", "①", "%31", "0x", "", "::ffff", "7f00", "::"]),
)
_DOT = st.sampled_from([".", ".", "。", "%2e", ":", ""])
_NUMBERS = st.lists(st.tuples(_NUMBER, _DOT).map("".join), min_size=1, max_size=8).map("".join)
_HOSTS = st.one_of(
    _NUMBERS,
    _NUMBERS.map("[{}]".format),
    st.ip_addresses().map(lambda address: f"[{address}]" if address.version == 6 else str(address)),
    st.text("0123456789abcdefxX.:[]%@\\/?#\t \uff11\uff12\uff17①。\uff0e", max_size=24),
)
_IPV4 = st.one_of(st.ip_addresses(v=4), st.sampled_from([ip_address(each) for each in EDGES if ":" not in each]))


@settings(deadline=None)
@given(_HOSTS)
@example("127.1")
@example("[::ffff:1.2]")
def test_every_host_is_judged_or_is_a_name_that_nobody_takes_for_an_address(host: str) -> None:
    url = canonicalize(f"http://{host}/")
    if url is None:
        return
    assert is_canonical(url)
    found = parts(url).host
    literal = literal_of(found)
    if literal is not None:
        assert str(ip_address(literal)) == str(ip_address(found.strip("[]")))
        assert reach_of(literal) in Reach
    else:
        assert not _is_numeric(found)


def _is_numeric(name: str) -> bool:
    """Say whether the system's own reader of addresses takes a name for one, however it is written."""
    try:
        socket.getaddrinfo(name, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return False
    return True


@settings(deadline=None)
@given(_IPV4, st.integers(0, 2**64 - 1), st.integers(0, 2**16 - 1))
def test_no_address_reaches_further_than_the_one_in_it(inner: IPv4Address, rest: int, bits: int) -> None:
    number, reach = int(inner), reach_of(str(inner))
    assert reach_of(str(IPv6Address(0xFFFF << 32 | number))) is reach
    containing = {
        "NAT64": 0x64FF9B << 96 | number,
        "6to4": 0x2002 << 112 | number << 80 | bits << 64 | rest,
        "Teredo, by its server": 0x20010000 << 96 | number << 64 | rest,
        "Teredo, by its client": 0x20010000 << 96 | 0x08080808 << 64 | (rest >> 32) << 32 | (number ^ 0xFFFFFFFF),
        "ISATAP": 0x2606 << 112 | bits << 64 | 0x00005EFE << 32 | number,
    }
    for name, address in containing.items():
        found = reach_of(str(IPv6Address(address)))
        assert _SEVERITY(found) >= _SEVERITY(reach), name
    assert reach_of(str(IPv6Address(containing["NAT64"]))) is reach


@settings(deadline=None)
@given(st.one_of(st.ip_addresses(), _IPV4))
@example(IPv6Address("::ffff:0:0"))
def test_an_address_opens_itself_and_what_is_written_otherwise(address: IPv4Address | IPv6Address) -> None:
    text = str(address)
    assert Nets([text]).covers("a.test", text)
    if isinstance(address, IPv4Address):
        assert Nets([text]).covers("a.test", f"::ffff:{text}")
    if isinstance(address, IPv4Address) or address.ipv4_mapped is None:
        assert Nets([f"{text}/{address.max_prefixlen}"]).covers("a.test", text)
