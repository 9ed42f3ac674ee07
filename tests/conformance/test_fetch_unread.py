"""Of a body that nobody wants no engine reads more than 64 KiB, and one that is broken off ends at once."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress

import pytest

from crawlfleet.shared.messages import TaskKey
from crawlfleet.worker.bodies import Bodies
from crawlfleet.worker.fetch.port import SPARE_BYTES, Fetcher, Headers, Wanted
from crawlfleet.worker.fetch.registry import engine_for, open_fetcher
from tests.conformance.fetch_limits import LIMIT
from tests.local import local_spec
from tests.site.hostile_site import HostileSite

BODY_BYTES = 1_000_000_000
# What is on its way in the buffers of both ends when a reader goes.
IN_FLIGHT_BYTES = 300_000


def reads_html(headers: Headers) -> bool:
    return headers.get("content-type") == "text/html"


UNREAD = Wanted(reads=reads_html)


class OneFile:
    """A server of one file for one request."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._thread = threading.Thread(target=self._serve)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve one request, and wait until its client has gone."""
        with self._listener:
            self._thread.start()
            yield
            self._thread.join(10)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        sock, _ = self._listener.accept()
        with sock, suppress(OSError):
            sock.recv(65_536)
            self._answer(sock)

    def _answer(self, sock: socket.socket) -> None:
        raise NotImplementedError


class LargeFile(OneFile):
    """A server of one large file, which counts the bytes that it could send."""

    def __init__(self, fields: bytes) -> None:
        super().__init__()
        self.sent = 0
        self._fields = fields
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)

    def _answer(self, sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n" + self._fields + b"\r\n\r\n")
        while self.sent < BODY_BYTES:
            self.sent += sock.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")


@pytest.mark.parametrize(
    "fields",
    [b"Content-Length: %d" % BODY_BYTES, b"Content-Length: %d" % (LIMIT - 1), b"Transfer-Encoding: chunked", b"A: b"],
    ids=["beyond the limit", "within the limit", "chunked", "until the end"],
)
def test_a_body_that_is_not_wanted_is_not_read_to_its_end(fetcher: Fetcher, fields: bytes) -> None:
    site = LargeFile(fields)
    with site.serving():
        fetched = fetcher.fetch(site.url, UNREAD)
    assert (fetched.status, fetched.failure, fetched.body, fetched.truncated) == (200, None, b"", False)
    assert fetched.headers["content-type"] == "video/mp4"
    assert site.sent < SPARE_BYTES + IN_FLIGHT_BYTES


def test_a_session_that_a_hook_has_prepared_reads_no_more(site: HostileSite) -> None:
    engine = engine_for(local_spec(max_size_bytes=LIMIT), lambda session: session.headers.update({"X-Key": "a"}))
    file = LargeFile(b"Transfer-Encoding: chunked")
    with closing(engine.open()) as fetcher:
        with file.serving():
            fetched = fetcher.fetch(file.url, UNREAD)
        assert (fetched.failure, fetched.body, file.sent < SPARE_BYTES + IN_FLIGHT_BYTES) == (None, b"", True)
        assert fetcher.fetch(site.origin + "/endless-body").reason == "body_too_large"


def test_a_short_one_leaves_its_connection_to_the_next_request(fetcher: Fetcher, site: HostileSite) -> None:
    for wanted in (UNREAD, UNREAD, Wanted()):
        fetched = fetcher.fetch(site.origin + "/1", wanted)
        assert (fetched.status, fetched.headers["content-type"]) == (200, "text/plain")
    assert (fetched.body, site.connections) == (b"hello hello hello", 1)


@pytest.mark.parametrize("path", ["/gzip-lie", "/chunk-cut", "/six-codings", "/bomb", "/reset-in-body"])
def test_what_is_not_wanted_may_be_broken_but_its_head_may_not(fetcher: Fetcher, site: HostileSite, path: str) -> None:
    fetched = fetcher.fetch(site.origin + path, UNREAD)
    assert fetched.reason == ("bad_encoding" if path == "/six-codings" else "")
    assert fetched.body == b""


def test_one_that_drips_ends_with_the_time_of_its_page_and_is_no_failure(hasty: Fetcher, site: HostileSite) -> None:
    fetched = hasty.fetch(site.origin + "/drip-body", UNREAD)
    assert (fetched.status, fetched.failure, fetched.body) == (200, None, b"")


class StalledFile(OneFile):
    """A server that sends the beginning of a file, and then waits until its client has gone."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = body

    def _answer(self, sock: socket.socket) -> None:
        length = 2 * len(self._body)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % length)
        sock.sendall(self._body)
        sock.recv(1)


def test_a_bomb_that_has_come_is_too_large_before_the_rest_comes(fetcher: Fetcher) -> None:
    site = StalledFile(gzip.compress(bytes(2 * LIMIT)))
    with site.serving():
        assert fetcher.fetch(site.url).reason == "body_too_large"


LARGE, SMALL = TaskKey(1, b"large"), TaskKey(1, b"small")


def bodies_of(most: int) -> Bodies:
    bodies = Bodies(lambda: None)
    bodies.most = most
    return bodies


def test_a_body_is_counted_as_it_comes_decoded_and_ends_at_once_when_it_is_broken_off(engine: str) -> None:
    bodies = bodies_of(1_000_000)
    body, other = bodies.begin(LARGE), bodies.begin(SMALL)
    # What unpacks to 800,000 bytes, though its end does not come.
    site = StalledFile(gzip.compress(bytes(800_000), compresslevel=0)[:-70_000])
    spec = local_spec(engine=engine, timeout_s=30)
    with ThreadPoolExecutor() as threads, site.serving(), closing(open_fetcher(spec)) as fetcher:
        fetched = threads.submit(fetcher.fetch, site.url, Wanted(body=body))
        give_up_at = time.monotonic() + 10
        while body.size < 600_000:
            assert time.monotonic() < give_up_at, f"{body.size} bytes are counted"
            threading.Event().wait(0.01)
        assert other.grow(500_000)
        fetched.result(5)
    assert (other.is_broken_off, body.is_broken_off, body.size < 800_000) == (False, True, True)


def test_a_body_that_is_broken_off_as_it_comes_is_not_read_to_its_end(fetcher: Fetcher, site: HostileSite) -> None:
    bodies = bodies_of(40_000)
    body, other = bodies.begin(LARGE), bodies.begin(SMALL)
    other.grow(1)
    fetcher.fetch(site.origin + "/interim-long", Wanted(body=body))
    assert bodies.keep(LARGE, 90_000) == body.size
    assert 40_000 <= body.size < 90_000
    assert fetcher.fetch(site.origin + "/ok").body == b"hello hello hello"


def test_the_only_body_is_read_whole_however_large_it_is(fetcher: Fetcher, site: HostileSite) -> None:
    bodies = bodies_of(40_000)
    fetched = fetcher.fetch(site.origin + "/interim-long", Wanted(body=bodies.begin(LARGE)))
    assert (bodies.keep(LARGE, len(fetched.body)), len(fetched.body)) == (0, 90_000)
