"""What every fetch engine keeps to over TLS: whom it trusts, what it calls a certificate that does not hold."""

from __future__ import annotations

import gzip
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

from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.shared.messages import Outcome
from crawlfleet.worker.fetch.port import Fetched
from crawlfleet.worker.fetch.registry import open_fetcher
from tests.local import local_spec
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
    with closing(open_fetcher(local_spec(engine=engine, timeout_s=PATIENCE_S, ca_pem=authority.pem))) as fetcher:
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
        closing(open_fetcher(local_spec(engine=engine, timeout_s=PATIENCE_S))) as fetcher,
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


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
_GZIPPED = gzip.compress(b"hello")
# What a server says before its end: what becomes of it in plain text, and what is noted if TLS has no farewell.
SAID: dict[str, tuple[bytes, int, bytes, str, bool]] = {
    "until the end": (_HEAD + b"\r\nhello", 200, b"hello", "", True),
    "nothing until the end": (_HEAD + b"\r\n", 200, b"", "", True),
    "in HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nhello", 200, b"hello", "", True),
    "coded until the end": (_HEAD + b"Content-Encoding: gzip\r\n\r\n" + _GZIPPED, 200, b"hello", "", True),
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\nhello", 302, b"hello", "", True),
    "an error": (b"HTTP/1.1 404 Not Found\r\n\r\nhello", 404, b"hello", "", True),
    "all of its length": (_HEAD + b"Content-Length: 5\r\n\r\nhello", 200, b"hello", "", False),
    "not all of its length": (_HEAD + b"Content-Length: 9\r\n\r\nhello", 200, b"", "body_truncated", False),
    "an error cut": (b"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\nhello", 404, b"", "", False),
    "all chunks": (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, b"hello", "", False),
    "some chunks": (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 200, b"", "body_truncated", False),
    "a part of the head": (_HEAD, 0, b"", "head_truncated", False),
    "a part of a line": (_HEAD[:-9], 0, b"", "head_truncated", False),
    "a part of the first line": (b"HTTP/1.1 20", 0, b"", "reset", False),
    "nothing": (b"", 0, b"", "reset", False),
    "HTTP/2 in words": (b"HTTP/2 200 OK\r\nContent-Length: 5\r\n\r\nhello", 0, b"", "bad_status_line", False),
    "HTTP/2 without a phrase": (b"HTTP/2 200 \r\nContent-Length: 5\r\n\r\nhello", 0, b"", "bad_status_line", False),
}


@pytest.mark.parametrize("said", sorted(SAID))
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("farewell", [True, False])
def test_a_connection_that_ends_without_a_farewell_ends_as_in_plain_text(
    get: Callable[[str], Fetched],
    authority: Authority,
    tmp_path: Path,
    said: str,
    version: ssl.TLSVersion,
    farewell: bool,
) -> None:
    answer, status, body, reason, is_noted = SAID[said]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.sign(tmp_path / "good.pem"))
    context.maximum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_say_and_end, args=(listener, context, answer, farewell))
        thread.start()
        fetched = get(f"https://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()
    assert (fetched.status, fetched.body, fetched.reason) == (status, body, reason)
    assert fetched.notes == (("tls_cut",) if is_noted and not farewell else ())


def _say_and_end(listener: socket.socket, context: ssl.SSLContext, answer: bytes, farewell: bool) -> None:
    sock, _ = listener.accept()
    with suppress(OSError), context.wrap_socket(sock, server_side=True) as secured:
        secured.recv(65536)
        secured.sendall(answer)
        if not farewell:
            socket.socket.shutdown(secured, socket.SHUT_WR)
            return
        secured.settimeout(0.1)  # a client that keeps the connection does not answer the farewell
        secured.unwrap()


def test_curl_goes_on_with_tls_sessions(authority: Authority, tmp_path: Path) -> None:
    spec = local_spec(engine="curl", timeout_s=PATIENCE_S, ca_pem=authority.pem)
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


@contextmanager
def renegotiating(certificate: Path) -> Iterator[tuple[str, list[bytes]]]:
    """Serve a page over TLS 1.2, with another handshake between request and answer; the list has what was printed."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(certificate), "-tls1_2", "-crlf"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, bufsize=0, **pipes) as server:  # type: ignore[call-overload]  # by name
        said: list[bytes] = []
        answering = threading.Thread(target=_renegotiate, args=(server, said))
        answering.start()
        try:
            yield f"https://127.0.0.1:{port}/", said
        finally:
            server.kill()
            answering.join()


def _renegotiate(server: subprocess.Popen[bytes], said: list[bytes]) -> None:
    assert server.stdin is not None
    assert server.stdout is not None
    # Each of these lines is a command or a text of its own, and is read by itself.
    steps = {
        b"Accept-Encoding": b"R\n",
        b"SSL_do_handshake -> ": b"HTTP/1.1 200 OK\nContent-Length: 5\nConnection: close\n\nhello\n",
    }
    for line in server.stdout:
        said.append(line)
        for word, answer in steps.items():
            if word in line:
                server.stdin.write(answer)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_server_may_shake_hands_again_before_it_answers(engine: str, authority: Authority, tmp_path: Path) -> None:
    spec = local_spec(engine=engine, timeout_s=PATIENCE_S, ca_pem=authority.pem)
    with closing(open_fetcher(spec)) as fetcher, renegotiating(authority.sign(tmp_path / "host.pem")) as (url, said):
        fetched = fetcher.fetch(url)
        while fetched.reason == "connect":  # it is only just starting
            fetched = fetcher.fetch(url)
    assert (fetched.status, fetched.body, fetched.reason) == (200, b"hello", "")
    assert [line for line in said if line.startswith(b"SSL_do_handshake -> 1")]
