"""The proxy itself: each toxic does to a connection what its name says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.fault.toxic_proxy import (
    Bandwidth,
    Latency,
    LimitData,
    Partition,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
    ToxicProxy,
    hindering,
)

WORDS = bytes(range(200))


class EchoServer:
    """Sends back what it is sent, and notes the sizes in which that came."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.saw_end = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                self._echo(client)

    def _echo(self, client: socket.socket) -> None:
        try:
            while data := client.recv(65_536):
                self.sizes.append(len(data))
                client.sendall(data)
        except ConnectionError:
            pass
        self.saw_end.set()


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


def dial(proxy: ToxicProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 10)


def read(sock: socket.socket, size: int) -> bytes:
    """Read so many bytes, or what there is before the end."""
    got = b""
    while len(got) < size and (data := sock.recv(size - len(got))):
        got += data
    return got


def time_of_echo(echo: EchoServer, toxic: Toxic | None) -> float:
    """Return how long it takes to send the words and have them back."""
    with hindering(echo.port, toxic) as proxy, dial(proxy) as sock:
        began_at = time.monotonic()
        sock.sendall(WORDS)
        assert read(sock, len(WORDS)) == WORDS
        return time.monotonic() - began_at


def test_without_a_toxic_everything_passes(echo: EchoServer) -> None:
    assert time_of_echo(echo, None) < 5


def test_latency_delays_both_directions(echo: EchoServer) -> None:
    assert time_of_echo(echo, Latency(0.1)) >= 0.2


def test_bandwidth_bounds_the_bytes_a_second(echo: EchoServer) -> None:
    assert time_of_echo(echo, Bandwidth(2_000)) >= len(WORDS) / 2_000


def test_a_slicer_cuts_what_is_sent_and_loses_nothing(echo: EchoServer) -> None:
    assert time_of_echo(echo, Slicer(7, delay_s=0.002)) >= 0.05
    assert len(echo.sizes) > 1


def test_a_slow_close_is_heard_late(echo: EchoServer) -> None:
    with hindering(echo.port, SlowClose(0.2)) as proxy:
        sock = dial(proxy)
        sock.sendall(WORDS)
        assert read(sock, len(WORDS)) == WORDS
        closed_at = time.monotonic()
        sock.close()
        assert echo.saw_end.wait(10)

        assert time.monotonic() - closed_at >= 0.2


def test_a_black_hole_swallows_and_closes_when_its_time_is_over(echo: EchoServer) -> None:
    with hindering(echo.port, Timeout(0.1)) as proxy, dial(proxy) as sock:
        sock.sendall(WORDS)

        assert read(sock, 1) == b""
    assert echo.sizes == []


def test_a_reset_reaches_the_client_as_one(echo: EchoServer) -> None:
    with hindering(echo.port, ResetPeer(0.1)) as proxy, dial(proxy) as sock, pytest.raises(ConnectionResetError):
        sock.recv(1)


def test_a_limit_ends_the_connection_after_its_bytes(echo: EchoServer) -> None:
    with hindering(echo.port, LimitData(50)) as proxy, dial(proxy) as sock:
        sock.sendall(WORDS)

        assert len(read(sock, len(WORDS))) <= 50
        assert echo.saw_end.wait(10)
    assert sum(echo.sizes) == 50


def test_a_partition_holds_back_until_it_is_healed(echo: EchoServer) -> None:
    partition = Partition()
    with hindering(echo.port, partition) as proxy, dial(proxy) as sock:
        sock.sendall(WORDS)
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        partition.healed.set()
        sock.settimeout(10)

        assert read(sock, len(WORDS)) == WORDS
