"""Registrable domains, without a network."""

from __future__ import annotations

import subprocess
import sys

import pytest

from crawlfleet.shared.web.domains import registrable_domain


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("www.example.org", "example.org"),
        ("example.org", "example.org"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("a.b.github.io", "b.github.io"),
        ("www.xn--r8jz45g.jp", "xn--r8jz45g.jp"),
        ("a.b.shop.localhost", "shop.localhost"),
        ("localhost", "localhost"),
        ("a.b.rack2", "b.rack2"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("www.example.org.", "example.org"),
    ],
)
def test_the_domain_is_what_somebody_registered(host: str, domain: str) -> None:
    assert registrable_domain(host) == domain


_WITNESS = """
import os, sys
from crawlfleet.shared.web.domains import registrable_domain
seen = []
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT

def watch(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "os.mkdir", "os.rename")):
        seen.append((event, arguments))
    if event == "open" and arguments[2] and arguments[2] & WRITES:
        seen.append((event, arguments))

sys.addaudithook(watch)
assert registrable_domain("www.example.co.uk") == "example.co.uk"
assert not seen, seen
"""


def test_no_network_is_used_and_nothing_is_written() -> None:
    command = [sys.executable, "-B", "-c", _WITNESS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
