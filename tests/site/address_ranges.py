"""Ranges of addresses and how far they reach, by the registries of IANA: a table apart from that of the product."""

from __future__ import annotations

from ipaddress import ip_address

from crawlfleet.shared.web.addresses import Reach

PUBLIC, PRIVATE, METADATA, NEVER = Reach

#: First and last address of a range, how far they reach, and how far the addresses before and after it do.
RANGES = [
    ("0.0.0.0", "0.255.255.255", NEVER, None, PUBLIC),
    ("10.0.0.0", "10.255.255.255", PRIVATE, PUBLIC, PUBLIC),
    ("100.64.0.0", "100.127.255.255", PRIVATE, PUBLIC, PUBLIC),
    ("100.100.100.200", "100.100.100.200", METADATA, PRIVATE, PRIVATE),
    ("127.0.0.0", "127.255.255.255", PRIVATE, PUBLIC, PUBLIC),
    ("168.63.129.16", "168.63.129.16", METADATA, PUBLIC, PUBLIC),
    ("169.254.0.0", "169.254.255.255", METADATA, PUBLIC, PUBLIC),
    ("172.16.0.0", "172.31.255.255", PRIVATE, PUBLIC, PUBLIC),
    ("192.0.0.0", "192.0.0.255", PRIVATE, PUBLIC, PUBLIC),
    ("192.0.0.9", "192.0.0.10", PUBLIC, PRIVATE, PRIVATE),
    ("192.0.0.192", "192.0.0.192", METADATA, PRIVATE, PRIVATE),
    ("192.0.2.0", "192.0.2.255", PRIVATE, PUBLIC, PUBLIC),
    ("192.31.196.0", "192.31.196.255", PUBLIC, PUBLIC, PUBLIC),
    ("192.52.193.0", "192.52.193.255", PUBLIC, PUBLIC, PUBLIC),
    ("192.88.99.0", "192.88.99.255", NEVER, PUBLIC, PUBLIC),
    ("192.168.0.0", "192.168.255.255", PRIVATE, PUBLIC, PUBLIC),
    ("192.175.48.0", "192.175.48.255", PUBLIC, PUBLIC, PUBLIC),
    ("198.18.0.0", "198.19.255.255", PRIVATE, PUBLIC, PUBLIC),
    ("198.51.100.0", "198.51.100.255", PRIVATE, PUBLIC, PUBLIC),
    ("203.0.113.0", "203.0.113.255", PRIVATE, PUBLIC, PUBLIC),
    ("224.0.0.0", "239.255.255.255", NEVER, PUBLIC, NEVER),
    ("240.0.0.0", "255.255.255.255", NEVER, NEVER, None),
    ("::", "::", NEVER, None, PRIVATE),
    ("::1", "::1", PRIVATE, NEVER, NEVER),
    ("::2", "::fffe:ffff:ffff", NEVER, PRIVATE, NEVER),
    ("64:ff9b::808:808", "64:ff9b::808:808", PUBLIC, PUBLIC, PUBLIC),
    ("64:ff9b::", "64:ff9b::ff:ffff", NEVER, NEVER, PUBLIC),
    ("64:ff9b::f000:0", "64:ff9b::ffff:ffff", NEVER, NEVER, NEVER),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", PRIVATE, NEVER, NEVER),
    ("100::", "100::ffff:ffff:ffff:ffff", NEVER, NEVER, NEVER),
    ("100:0:0:1::", "100::1:ffff:ffff:ffff:ffff", NEVER, NEVER, NEVER),
    ("2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUBLIC, NEVER, NEVER),
    ("2001:1::", "2001:1::", PRIVATE, NEVER, PUBLIC),
    ("2001:1::1", "2001:1::3", PUBLIC, PRIVATE, PRIVATE),
    ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", PRIVATE, PRIVATE, PRIVATE),
    ("2001:3::", "2001:3:ffff:ffff:ffff:ffff:ffff:ffff", PUBLIC, PRIVATE, PRIVATE),
    ("2001:4:112::", "2001:4:112:ffff:ffff:ffff:ffff:ffff", PUBLIC, PRIVATE, PRIVATE),
    ("2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff", NEVER, PRIVATE, PUBLIC),
    ("2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", PUBLIC, NEVER, PUBLIC),
    ("2001:30::", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", PUBLIC, PUBLIC, PRIVATE),
    ("2001:40::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE, PUBLIC, PUBLIC),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE, PUBLIC, PUBLIC),
    ("2002:808:808::", "2002:808:808:ffff:ffff:ffff:ffff:ffff", PUBLIC, PUBLIC, PUBLIC),
    ("2002:a00::", "2002:aff:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE, PUBLIC, PUBLIC),
    ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", PUBLIC, PUBLIC, PUBLIC),
    ("3ffe::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NEVER, PUBLIC, PRIVATE),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE, NEVER, PUBLIC),
    ("3fff:1000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUBLIC, PRIVATE, NEVER),
    ("4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NEVER, PUBLIC, PRIVATE),
    ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE, NEVER, NEVER),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE, NEVER, NEVER),
    ("fd00:42::42", "fd00:42::42", METADATA, PRIVATE, PRIVATE),
    ("fd00:100::100:200", "fd00:100::100:200", METADATA, PRIVATE, PRIVATE),
    ("fd00:a9fe:a9fe::1", "fd00:a9fe:a9fe::1", METADATA, PRIVATE, PRIVATE),
    ("fd00:c1::a9fe:a9fe", "fd00:c1::a9fe:a9fe", METADATA, PRIVATE, PRIVATE),
    ("fd00:ec2::", "fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff", METADATA, PRIVATE, PRIVATE),
    ("fd20:ce::254", "fd20:ce::254", METADATA, PRIVATE, PRIVATE),
    ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE, NEVER, PRIVATE),
    ("fe80::a9fe:a9fe", "fe80::a9fe:a9fe", METADATA, PRIVATE, PRIVATE),
    ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PRIVATE, PRIVATE, NEVER),
    ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NEVER, PRIVATE, None),
]
EDGES = {
    str(at): reach
    for first, last, within, before, after in RANGES
    for at, reach in (
        *([] if before is None else [(ip_address(first) - 1, before)]),
        (ip_address(first), within),
        *([] if first == last else [(ip_address(last), within)]),
        *([] if after is None else [(ip_address(last) + 1, after)]),
    )
}
#: The edges that no crawl may reach, as hosts of URLs.
INNER_EDGES = tuple(f"[{at}]" if ":" in at else at for at, reach in EDGES.items() if reach is not PUBLIC)
