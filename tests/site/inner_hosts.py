"""Hosts of URLs that lead inside, as hostile pages write them: what may stand between `http://` and the path.

`SPELLINGS` are of one address, 127.0.0.9, also as an IPv4-mapped one; `OTHERS` have the canonical host of each.
"""

from __future__ import annotations

#: Characters to which the standard gives the meaning of those of ASCII.
_FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_BOLD = {code: code + 0x1D79E for code in range(0x30, 0x3A)}
_DOUBLE_STRUCK = {code: code + 0x1D7A8 for code in range(0x30, 0x3A)}

SPELLINGS = (
    *("127.0.0.9", "127.0.0.9.", "127.9", "127.0.9", "127.9.", "127.0.0.9:8080"),
    *("0x7f.0.0.9", "0x7f.9", "0x7f.0x0.0x0.0x9", "0x7f000009", "0X7F000009", "0x7f000009.", "0x0000000000007f000009"),
    *("2130706441", "2130706441.", "017700000011", "0000017700000011", "0177.0.0.011", "0177.9", "0177.0.011"),
    *("127.0.0.0x9", "127.0.0.011", "127.0x000009", "127.011", "0x7f.0.011", "000177.0.0.9"),
    *("127.0.0.9".translate(_FULL_WIDTH), "0x7f.9".translate(_FULL_WIDTH), "2130706441".translate(_FULL_WIDTH)),
    *("127。0。0。9", "127｡0｡0｡9", "127.9".translate(_BOLD), "127.0.0.9".translate(_DOUBLE_STRUCK)),
    *("①②⑦.⓪.⓪.⑨", "¹²⁷.⁰.⁰.⁹", "127.0.0.\u00ad9", "127.\u200b0.0.9", "127.0.0.9\u2060", "127.0.0.\ufe009"),
    *("%31%32%37.0.0.9", "127%2e0%2E0%2e9", "%30%78%37%66.9", "127.0.0.%39", "%EF%BC%91%EF%BC%92%EF%BC%97.9"),
    *("127\t.0.0.9", "127.0.\n0.9", "12\r7.9", "example.org@127.0.0.9", "example.org:80@127.9", "a:b@c@127.0.0.9"),
    *("127.0.0.9\\@example.org", "127.0.0.9#@example.org", "127.0.0.9?@example.org", "/127.0.0.9", "\\\\127.0.0.9"),
    *("[::ffff:127.0.0.9]", "[::ffff:7f00:9]", "[::FFFF:7F00:0009]", "[0:0:0:0:0:ffff:127.0.0.9]"),
    *("[0000:0000:0000:0000:0000:ffff:7f00:0009]", "[0::ffff:127.0.0.9]:8080", "example.org@[::ffff:7f00:9]"),
)

OTHERS = {
    **dict.fromkeys(("0", "0.", "00", "0x", "0x0", "0x.0x.0", "0.0", "0.0.0.0", "%30", "⓪", "0:8080"), "0.0.0.0"),
    **dict.fromkeys(("[::]", "[0:0::0]", "[0:0:0:0:0:0:0:0]", "[::0.0.0.0]", "[::0000]:8080"), "[::]"),
    **dict.fromkeys(("[::1]", "[0:0:0:0:0:0:0:1]", "[::0001]", "[0::1]", "[::0.0.0.1]", "[0:0::0:1]:8080"), "[::1]"),
    **dict.fromkeys(("1", "0.1", "0x1", "01", "0.0.0.1"), "0.0.0.1"),
    **dict.fromkeys(("10.1", "10.0x1", "0xa000001", "167772161", "012.0.0.1", "10.0.0.1."), "10.0.0.1"),
    **dict.fromkeys(("192.168.257", "0xc0a80101", "3232235777", "0300.0250.1.1"), "192.168.1.1"),
    **dict.fromkeys(("172.16.1", "0xac100001", "2886729729"), "172.16.0.1"),
    **dict.fromkeys(("169.254.169.254", "0xa9fea9fe", "2852039166", "169.16689662"), "169.254.169.254"),
    **dict.fromkeys(("169.254.43518", "169.254.169.254".translate(_FULL_WIDTH)), "169.254.169.254"),
    **dict.fromkeys(("0251.0376.0251.0376", "0xa9.0xfe.0xa9.0xfe", "①⑥⑨.254.①⑥⑨.254"), "169.254.169.254"),
    **dict.fromkeys(("100.100.100.200", "0x646464c8", "1684301000", "100.6579400"), "100.100.100.200"),
    **dict.fromkeys(("[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]"), "[::ffff:a9fe:a9fe]"),
    **dict.fromkeys(("[::127.0.0.9]", "[::7f00:9]"), "[::7f00:9]"),
    **dict.fromkeys(("[64:ff9b::127.0.0.9]", "[64:ff9b::7f00:9]", "[64:FF9B:0::7F00:9]"), "[64:ff9b::7f00:9]"),
    **dict.fromkeys(("[64:ff9b::169.254.169.254]", "[64:ff9b::a9fe:a9fe]"), "[64:ff9b::a9fe:a9fe]"),
    **dict.fromkeys(("[64:ff9b:1::7f00:9]", "[64:ff9b:1::127.0.0.9]"), "[64:ff9b:1::7f00:9]"),
    **dict.fromkeys(("[2002:7f00:9::]", "[2002:7f00:0009:0::0]"), "[2002:7f00:9::]"),
    "[2001:0:808:808::80ff:fff6]": "[2001:0:808:808::80ff:fff6]",  # Teredo, of 127.0.0.9
    "[2606:4700::5efe:127.0.0.9]": "[2606:4700::5efe:7f00:9]",  # ISATAP
    "[2606:4700::200:5efe:a00:1]": "[2606:4700::200:5efe:a00:1]",  # ISATAP
    **dict.fromkeys(("[::ffff:10.0.0.1]", "[::ffff:a00:1]", "[::FFFF:0A00:0001]"), "[::ffff:a00:1]"),
    "[2002:c0a8:101::1]": "[2002:c0a8:101::1]",
    "[::ffff:0:127.0.0.9]": "[::ffff:0:7f00:9]",
    **dict.fromkeys(("255.255.255.255", "4294967295", "0xffffffff", "0377.0377.0377.0377"), "255.255.255.255"),
    **dict.fromkeys(("224.0.0.1", "3758096385", "0xe0000001"), "224.0.0.1"),
    **{f"[{address}]": f"[{address}]" for address in ("fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1")},
    **{f"[{address}]": f"[{address}]" for address in ("2001:db8::1", "3fff::1", "5f00::1", "100::1", "fd20:ce::254")},
    **{address: address for address in ("168.63.129.16", "192.0.0.192", "172.31.255.255", "203.0.113.1")},
    **{address: address for address in ("100.64.0.1", "198.18.0.1", "192.0.0.1", "192.0.2.1", "240.0.0.1")},
}

#: Names that lead to this machine wherever they are known: what a page may write, and the canonical host.
NAMES = {
    **dict.fromkeys(("localhost", "LOCALHOST", "loc%61lhost", "ⓛocalhost", "lo\u00adcalhost"), "localhost"),
    "localhost".translate(_FULL_WIDTH): "localhost",
    **dict.fromkeys(("localhost.", "localhost%2e", "localhost。"), "localhost."),
}
