"""How far addresses reach, at the edges of every range and in every spelling; and what a job opens."""

from __future__ import annotations

import pytest

from crawlfleet.shared.web.addresses import METADATA_NAMES, Nets, Reach, is_metadata_name, literal_of, reach_of
from crawlfleet.shared.web.urls import canonicalize, parts
from tests.site.address_ranges import EDGES
from tests.site.inner_hosts import NAMES, OTHERS, SPELLINGS

PUBLIC, PRIVATE, METADATA, NEVER = Reach
CANONICAL = {
    **{spelling: "[::ffff:7f00:9]" if "[" in spelling else "127.0.0.9" for spelling in SPELLINGS},
    **OTHERS,
}


def test_there_are_enough_spellings_and_edges() -> None:
    assert len(CANONICAL) >= 150
    assert len(EDGES) >= 150


@pytest.mark.parametrize(("address", "reach"), EDGES.items())
def test_the_edges_of_a_range_reach_as_far_as_registered(address: str, reach: Reach) -> None:
    assert reach_of(address) is reach


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("::ffff:8.8.8.8", PUBLIC),
        ("::ffff:10.0.0.1", PRIVATE),
        ("::ffff:a9fe:a9fe", METADATA),
        ("::ffff:224.0.0.1", NEVER),
        ("::8.8.8.8", NEVER),
        ("64:ff9b::8.8.8.8", PUBLIC),
        ("64:ff9b::192.168.0.1", PRIVATE),
        ("64:ff9b::169.254.169.254", METADATA),
        ("64:ff9b::0.0.0.0", NEVER),
        ("64:ff9b:0:0:1::8.8.8.8", NEVER),
        ("64:ff9b:1::8.8.8.8", PRIVATE),
        ("64:ff9b:1:fffe::169.254.169.254", METADATA),
        ("64:ff9b:1:a9fe:a9:fe00::", METADATA),
        ("64:ff9b:1:aa9:fe:a9fe::", METADATA),
        ("64:ff9b:1:abcd:a9:fea9:fe00::", METADATA),
        ("2002:808:808::1", PUBLIC),
        ("2002:7f00:1::1", PRIVATE),
        ("2002:a9fe:a9fe::1", METADATA),
        ("2002:e000:1::1", NEVER),
        ("2001:0:808:808:0:0:f7f7:f7f7", PUBLIC),
        ("2001:0:7f00:1:0:0:f7f7:f7f7", PRIVATE),
        ("2001:0:808:808:0:0:80ff:fffe", PRIVATE),
        ("2001:0:808:808:0:0:5601:5601", METADATA),
        ("2606:4700::5efe:8.8.8.8", PUBLIC),
        ("2606:4700::5efe:10.0.0.1", PRIVATE),
        ("2606:4700::200:5efe:169.254.169.254", METADATA),
        ("2606:4700::100:5efe:10.0.0.1", PUBLIC),
        ("2002:808:808::5efe:127.0.0.1", PRIVATE),
        ("fe80::5efe:8.8.8.8", PRIVATE),
        ("fe80::1%eth0", PRIVATE),
        ("fe80::a9fe:a9fe%2", METADATA),
        ("2606:4700::1111", PUBLIC),
        ("2a00:1450:4001:80b::200e", PUBLIC),
    ],
)
def test_an_address_reaches_no_further_than_the_one_it_contains(address: str, reach: Reach) -> None:
    assert reach_of(address) is reach


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f.0.0.1", "0177.0.0.1", "[::1]", "1.2.3.4.5", "%eth0"])
def test_what_no_socket_returns_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        reach_of(text)


@pytest.mark.parametrize(("spelling", "host"), CANONICAL.items(), ids=[ascii(each) for each in CANONICAL])
def test_a_spelling_is_judged_as_the_address_that_the_standard_makes_of_it(spelling: str, host: str) -> None:
    url = canonicalize(f"http://{spelling}/a")
    assert url is not None
    assert parts(url).host == host
    literal = literal_of(host)
    assert literal is not None
    assert reach_of(literal) is not PUBLIC


@pytest.mark.parametrize("spelling", CANONICAL, ids=ascii)
def test_a_link_without_a_scheme_leads_to_the_same_address(spelling: str) -> None:
    assert canonicalize(f"//{spelling}/a", "http://example.org/b") == canonicalize(f"http://{spelling}/a")


@pytest.mark.parametrize(("spelling", "host"), NAMES.items(), ids=[ascii(each) for each in NAMES])
def test_a_name_is_no_literal(spelling: str, host: str) -> None:
    url = canonicalize(f"http://{spelling}/")
    assert url is not None
    assert parts(url).host == host
    assert literal_of(host) is None


@pytest.mark.parametrize(
    "host", ["example.org", "rack2", "a.rack2", "1.example", "xn--r8jz45g.jp", "0x7f.example", "."]
)
def test_names_with_numbers_are_names(host: str) -> None:
    assert literal_of(host) is None


@pytest.mark.parametrize("host", [*sorted(METADATA_NAMES), "metadata.google.internal."])
def test_names_of_metadata_services_are_known(host: str) -> None:
    assert is_metadata_name(host)
    assert canonicalize(f"http://{host}/") == f"http://{host}/"


@pytest.mark.parametrize("host", ["example.org", "metadata.example.org", "google.internal", "169.254.169.254"])
def test_other_names_are_of_no_metadata_service(host: str) -> None:
    assert not is_metadata_name(host)


def test_a_job_that_lists_nothing_opens_nothing() -> None:
    assert not any(Nets().covers("example.org", address) for address in ("127.0.0.1", "::1", "169.254.169.254"))


@pytest.mark.parametrize(
    ("entry", "host", "address"),
    [
        ("10.1.0.0/16", "a.test", "10.1.0.0"),
        ("10.1.0.0/16", "a.test", "10.1.255.255"),
        ("10.1.0.0/16", "10.1.2.3", "10.1.2.3"),
        ("10.1.0.0/16", "a.test", "::ffff:10.1.2.3"),
        ("10.1.0.0/16", "a.test", "64:ff9b::10.1.2.3"),
        ("10.1.0.0/16", "a.test", "2002:a01:203::1"),
        ("10.0.0.0/255.0.0.0", "a.test", "10.255.0.1"),
        ("0.0.0.0", "0.0.0.0", "0.0.0.0"),
        ("240.0.0.0/4", "a.test", "240.1.2.3"),
        ("169.254.169.254", "a.test", "169.254.169.254"),
        ("127.1", "a.test", "127.0.0.1"),
        ("::ffff:10.1.2.3", "a.test", "10.1.2.3"),
        ("::1", "[::1]", "::1"),
        ("[::1]", "[::1]", "::1"),
        ("fd00::/8", "a.test", "fd00:ec2::254"),
        ("fe80::/10", "a.test", "fe80::1%eth0"),
        ("64:ff9b:1::/48", "a.test", "64:ff9b:1::169.254.169.254"),
        ("2002::/16", "a.test", "2002:7f00:1::"),
        ("localhost", "localhost", "127.0.0.1"),
        ("localhost", "localhost.", "::1"),
        ("Intranet.Example.", "intranet.example", "10.1.2.3"),
        ("bücher.example", "xn--bcher-kva.example", "fd12::1"),
        ("*.intranet.example", "a.intranet.example", "10.1.2.3"),
        ("*.intranet.example", "b.a.intranet.example.", "10.1.2.3"),
        ("metadata.google.internal", "metadata.google.internal", "169.254.169.254"),
    ],
)
def test_an_entry_opens_what_it_names(entry: str, host: str, address: str) -> None:
    assert Nets([entry]).covers(host, address)
    assert Nets(["192.0.2.1", entry]).covers(host, address)


@pytest.mark.parametrize(
    ("entry", "host", "address"),
    [
        ("10.1.0.0/16", "a.test", "10.0.255.255"),
        ("10.1.0.0/16", "a.test", "10.2.0.0"),
        ("10.1.0.0/16", "a.test", "::10.1.2.3"),
        ("10.1.0.0/16", "a.test", "64:ff9b:1::10.1.2.3"),
        ("10.1.0.0/16", "a.test", "2002:a01:203::5efe:127.0.0.1"),
        ("0.0.0.0/0", "a.test", "::1"),
        ("::/0", "a.test", "::ffff:127.0.0.1"),
        ("10.1.0.0/16", "a.test", "8.8.8.8"),
        ("10.1.2.3", "a.test", "10.1.2.4"),
        ("intranet.example", "a.intranet.example", "10.1.2.3"),
        ("intranet.example", "10.1.2.3", "10.1.2.3"),
        ("intranet.example", "intranet.example", "169.254.169.254"),
        ("intranet.example", "intranet.example", "0.0.0.0"),
        ("*.intranet.example", "intranet.example", "10.1.2.3"),
        ("*.intranet.example", "aintranet.example", "10.1.2.3"),
        ("*.google.internal", "metadata.google.internal", "169.254.169.254"),
        ("metadata.google.internal", "metadata.google.internal", "0.0.0.0"),
    ],
)
def test_an_entry_opens_nothing_else(entry: str, host: str, address: str) -> None:
    assert not Nets([entry]).covers(host, address)


@pytest.mark.parametrize(
    "entry",
    [
        *("", ".", "*", "*.", "*.*.a", "a*", "a b", "a\tb", "u@h", "h:80", "[a]", "[::1", "::1]", "::g", "1.2.3.4.5"),
        *("*.10.0.0.1", "*.::1", "10.0.0.256", "fe80::1%eth0", "fe80::%eth0/64", "%61.example", "a?b", "a#b", "a\\b"),
    ],
    ids=ascii,
)
def test_an_entry_that_names_nothing_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"is no network, address or host name: write such as"):
        Nets([entry])


@pytest.mark.parametrize(
    "entry", ["10.0.0.0/33", "::/129", "http://10.1.2.3/", "a.example/8", "10.1/16", "/", "10.0.0.0/"]
)
def test_a_network_that_is_none_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"is no network: write one such as 10\.1\.0\.0/16"):
        Nets([entry])


@pytest.mark.parametrize(
    ("entry", "written"),
    [
        ("10.1.2.3/16", "10.1.0.0/16"),
        ("fd00::1/8", "fd00::/8"),
        ("::ffff:10.1.0.0/112", "10.1.0.0/16"),
        ("::ffff:10.1.2.3/112", "10.1.0.0/16"),
        ("::ffff:0:0/90", "::ffc0:0:0/90"),
    ],
)
def test_a_network_is_written_by_its_first_address(entry: str, written: str) -> None:
    with pytest.raises(ValueError, match=rf"is not how that network is written: write {written}$"):
        Nets([entry])
