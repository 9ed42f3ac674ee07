"""What every fetch engine keeps to about names: the resolver's addresses, its reasons, and its time."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.shared.messages import Outcome
from crawlfleet.worker.fetch.names import SERVERS_VARIABLE
from crawlfleet.worker.fetch.registry import open_fetcher
from tests.local import local_spec
from tests.site.authority import Authority
from tests.site.name_server import NameServer

PATIENCE_S = 20.0
SHORT_S = 0.5


@pytest.fixture(params=[entry.name for entry in FETCH_ENGINES.values() if entry.takes_addresses])
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    with NameServer(slow_s=2 * SHORT_S) as server:
        monkeypatch.setenv(SERVERS_VARIABLE, server.address)
        yield server


@contextmanager
def echo(certificate: Path | None = None) -> Iterator[tuple[int, list[str]]]:
    """Answer with the Host field; the list has the name that each TLS connection asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    asked: list[str] = []
    context.sni_callback = lambda _sock, name, _context: asked.append(name)
    if certificate is not None:
        context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, context if certificate else None))
        thread.start()
        try:
            yield listener.getsockname()[1], asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            plain, _ = listener.accept()
            with suppress(OSError), context.wrap_socket(plain, server_side=True) if context else plain as sock:
                head = sock.recv(65536)
                host = head.partition(b"\r\nHost: ")[2].partition(b"\r\n")[0]
                length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(host)
                sock.sendall(b"HTTP/1.1 200 OK\r\n" + length + host)


@pytest.mark.parametrize("host", ["a.quick.test", "a.slow.test", "a.both.test", "a.quick.test.", "localhost"])
def test_a_page_is_asked_of_the_address_by_the_name(engine: str, names: NameServer, host: str) -> None:
    with closing(open_fetcher(local_spec(engine=engine))) as fetcher, echo() as (port, _):
        for _ in range(2):
            fetched = fetcher.fetch(f"http://{host}:{port}/")
            assert (fetched.body.decode(), fetched.reason) == (f"{host}:{port}", "")
            assert fetched.remote_address == "127.0.0.1"
    # Each kind of address once, or as often as c-ares sends a question whose answer takes long.
    assert names.questions[host.rstrip(".")] <= 20


def test_the_time_of_a_name_is_not_that_of_the_exchange(engine: str, names: NameServer) -> None:
    spec = local_spec(engine=engine, dns_timeout_s=PATIENCE_S, timeout_s=SHORT_S, connect_timeout_s=SHORT_S)
    with closing(open_fetcher(spec)) as fetcher, echo() as (port, _):
        fetched = fetcher.fetch(f"http://a.slow.test:{port}/")
    assert (fetched.status, fetched.reason) == (200, "")
    assert 0 < fetched.elapsed_s < 2 * SHORT_S
    assert names.questions["a.slow.test"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("missing", "dns_failed"), ("empty", "dns_failed"), ("broken", "dns_unavailable"), ("dead", "dns_timeout")],
)
@pytest.mark.usefixtures("names")
def test_a_name_without_an_address_has_its_reason(engine: str, kind: str, reason: str) -> None:
    with closing(open_fetcher(local_spec(engine=engine, dns_timeout_s=SHORT_S))) as fetcher:
        fetched = fetcher.fetch(f"http://a.{kind}.test/")
        again = fetcher.fetch(f"https://a.{kind}.test/")
    assert (fetched.failure, fetched.reason, fetched.remote_address) == (Outcome.NETWORK_ERROR, reason, "")
    assert fetched.detail
    assert (again.reason, again.elapsed_s) == (reason, 0.0)


@pytest.mark.usefixtures("names")
def test_a_server_is_told_its_name_and_its_certificate_must_have_it(engine: str, tmp_path: Path) -> None:
    authority = Authority()
    spec = local_spec(engine=engine, ca_pem=authority.pem)
    good = authority.sign(tmp_path / "good.pem", name="a.quick.test")
    with closing(open_fetcher(spec)) as fetcher, echo(good) as (port, asked):
        assert fetcher.fetch(f"https://a.quick.test:{port}/").body.decode() == f"a.quick.test:{port}"
        assert fetcher.fetch(f"https://b.quick.test:{port}/").reason == "tls_wrong_host"
        assert asked == ["a.quick.test", "b.quick.test"]


@pytest.mark.usefixtures("names")
def test_no_engine_starts_threads_for_names(engine: str) -> None:
    with closing(open_fetcher(local_spec(engine=engine))) as fetcher, echo() as (port, _):
        fetcher.fetch(f"http://a.quick.test:{port}/")
        threads = len(os.listdir("/proc/self/task"))
        for number in range(50):
            assert fetcher.fetch(f"http://b{number}.quick.test:{port}/").status == 200
            assert len(os.listdir("/proc/self/task")) <= threads
