"""The addresses of this machine, where the kernel has no answer for some."""

from __future__ import annotations

import fcntl
import socket
from pathlib import Path

import pytest

from crawlfleet.shared.wire import machine


def test_a_machine_without_a_route_an_address_or_ipv6_has_its_loopback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_args: object) -> bytes:
        raise OSError("none")

    monkeypatch.setattr(socket.socket, "connect", fail)
    monkeypatch.setattr(fcntl, "ioctl", fail)
    monkeypatch.setattr(machine, "_IPV6_TABLE", tmp_path / "none")
    assert machine.own_addresses(ipv6=True) == ("127.0.0.1",)
