"""The addresses that a coordinator advertises: hosts, with a port where it is another one than its own."""

from __future__ import annotations

import pytest

from crawlfleet.commands.coordinator import parse_advertised
from crawlfleet.errors import UsageError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("crawl.example.org", ("crawl.example.org", 0)),
        ("crawl.example.org:7320", ("crawl.example.org", 7320)),
        ("10.0.0.7:1", ("10.0.0.7", 1)),
        ("::1", ("::1", 0)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:7320", ("2001:db8::1", 7320)),
    ],
)
def test_an_advertised_address_has_a_host_and_maybe_a_port(text: str, address: tuple[str, int]) -> None:
    assert parse_advertised(text) == address


@pytest.mark.parametrize("text", ["", ":", ":7320", "a:", "a:0", "a:70000", "a:b", "a b", "[::1", "[]:1", "h" * 254])
def test_what_is_no_address_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="expected HOST or HOST:PORT") as caught:
        parse_advertised(text)
    assert "\n" not in str(caught.value)
