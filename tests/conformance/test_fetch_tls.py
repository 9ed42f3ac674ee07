"""What every fetch engine keeps to over TLS: whom it trusts, what it calls a certificate that does not hold."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crawlfleet.shared.brief import FetchSpec
from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.shared.messages import Outcome
from crawlfleet.worker.fetch.port import Fetched
from crawlfleet.worker.fetch.registry import open_fetcher
from tests.site.authority import Authority

PATIENCE_S = 10.0


@pytest.fixture(params=sorted(FETCH_ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def get(engine: str, authority: Authority) -> Iterator[Callable[[str], Fetched]]:
    with closing(open_fetcher(FetchSpec(engine=engine, timeout_s=PATIENCE_S, ca_pem=authority.pem))) as fetcher:
        yield fetcher.fetch


@contextmanager
def serving(certificate: Path) -> Iterator[tuple[str, list[bool]]]:
    """Serve one short page over TLS; the list tells of each connection whether it went on with an earlier session."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    resumed: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, context, resumed))
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}/", resumed
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, context: ssl.SSLContext, resumed: list[bool]) -> None:
    with suppress(OSError):
        while True:
            sock, _ = listener.accept()
            with suppress(OSError), context.wrap_socket(sock, server_side=True) as secured:
                resumed.append(bool(secured.session_reused))
                secured.recv(65536)
                secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")


def test_a_page_comes_over_tls_from_whom_the_job_trusts(
    get: Callable[[str], Fetched], authority: Authority, tmp_path: Path
) -> None:
    with serving(authority.sign(tmp_path / "good.pem")) as (url, _):
        fetched = get(url)
    assert (fetched.status, fetched.body, fetched.failure, fetched.detail) == (200, b"hello", None, "")
    assert fetched.remote_address == "127.0.0.1"


def test_the_usual_authorities_do_not_trust_it(engine: str, authority: Authority, tmp_path: Path) -> None:
    with (
        serving(authority.sign(tmp_path / "good.pem")) as (url, _),
        closing(open_fetcher(FetchSpec(engine=engine, timeout_s=PATIENCE_S))) as fetcher,
    ):
        fetched = fetcher.fetch(url)
    assert (fetched.failure, fetched.reason, fetched.status) == (Outcome.NETWORK_ERROR, "tls_untrusted", 0)


def test_what_is_wrong_with_a_certificate_is_told_by_its_name(
    get: Callable[[str], Fetched], authority: Authority, tmp_path: Path
) -> None:
    expired = authority.sign(tmp_path / "expired.pem", until=datetime(2021, 1, 1, tzinfo=UTC))
    others = authority.sign(tmp_path / "others.pem", address="127.0.0.99")
    strangers = Authority().sign(tmp_path / "strangers.pem")
    wrong = {expired: "tls_expired", others: "tls_wrong_host", strangers: "tls_untrusted"}
    for certificate, reason in wrong.items():
        with serving(certificate) as (url, _):
            fetched = get(url)
        assert (fetched.failure, fetched.reason, fetched.status) == (Outcome.NETWORK_ERROR, reason, 0)
        assert fetched.detail


def test_a_connection_that_is_cut_in_the_handshake_is_a_failure_of_tls(get: Callable[[str], Fetched]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_hang_up, args=(listener,))
        thread.start()
        fetched = get(f"https://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()
    assert (fetched.failure, fetched.reason) == (Outcome.NETWORK_ERROR, "tls")


def _hang_up(listener: socket.socket) -> None:
    sock, _ = listener.accept()
    sock.close()


def test_curl_goes_on_with_tls_sessions(authority: Authority, tmp_path: Path) -> None:
    spec = FetchSpec(engine="curl", timeout_s=PATIENCE_S, ca_pem=authority.pem)
    with serving(authority.sign(tmp_path / "good.pem")) as (url, resumed), closing(open_fetcher(spec)) as fetcher:
        assert [fetcher.fetch(url).status for _ in range(3)] == [200, 200, 200]
    assert resumed == [False, True, True]


NGINX = """\
daemon off; pid {folder}/pid; error_log {folder}/error;
events {{}}
http {{
  access_log {folder}/access; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
  fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port} ssl http2; ssl_certificate {pem}; ssl_certificate_key {pem};
    location / {{ default_type text/plain; return 200 "$server_protocol $request_uri"; }}
  }}
}}
"""


@contextmanager
def nginx(certificate: Path, folder: Path) -> Iterator[str]:
    """Let nginx tell, over HTTP/2 or 1.1, in which protocol it was asked for what."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, descriptor = listener.getsockname()[1], listener.fileno()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, pem=certificate))
        command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        # It takes over the socket that listens already: nobody has to wait for it.
        environment = {**os.environ, "NGINX": f"{descriptor};"}
        process = subprocess.Popen(command, env=environment, pass_fds=[descriptor], stderr=subprocess.DEVNULL)
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)


@pytest.mark.server
def test_http_2_is_spoken_where_the_engine_can_and_the_address_goes_byte_for_byte(
    engine: str, get: Callable[[str], Fetched], authority: Authority, tmp_path: Path
) -> None:
    protocol = {"curl": "HTTP/2.0", "requests": "HTTP/1.1"}[engine]
    with nginx(authority.sign(tmp_path / "good.pem"), tmp_path) as origin:
        for target in ("/", "/a|b%7E'{}[]?q=^`|&%2f;", "/a//b/?"):
            fetched = get(origin + target)
            assert (fetched.status, fetched.body.decode()) == (200, f"{protocol} {target}")
            assert fetched.headers.get("Content-Type") == "text/plain"
