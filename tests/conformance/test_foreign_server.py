"""What every fetch engine makes of httpbin, a server that is not ours: codings, redirects, statuses, streams, drips."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.worker.fetch.port import Fetched
from crawlfleet.worker.fetch.registry import open_fetcher
from tests.local import local_spec

httpbin = pytest.importorskip("httpbin", reason="httpbin is not installed: make install")
LIMIT = 100_000

Get = Callable[[str], Fetched]


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, httpbin.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=sorted(FETCH_ENGINES))
def get(request: pytest.FixtureRequest, origin: str) -> Iterator[Get]:
    spec = local_spec(engine=request.param, timeout_s=5, max_size_bytes=LIMIT, user_agent="crawlfleet-test/1")
    with closing(open_fetcher(spec)) as fetcher:
        yield lambda path: fetcher.fetch(origin + path)


def data(fetched: Fetched) -> Any:
    assert (fetched.failure, fetched.status) == (None, 200), fetched
    return json.loads(fetched.body)


def test_what_is_sent_is_what_the_server_reads(get: Get, origin: str) -> None:
    echoed = data(get("/get?a=1&b=%C3%BC"))
    assert echoed["args"] == {"a": "1", "b": "ü"}
    assert echoed["url"] == f"{origin}/get?a=1&b=ü"
    assert echoed["headers"]["User-Agent"] == "crawlfleet-test/1"
    assert echoed["headers"]["Host"] == origin.removeprefix("http://")


@pytest.mark.parametrize(("path", "mark"), [("/gzip", "gzipped"), ("/deflate", "deflated")])
def test_codings_are_undone(get: Get, path: str, mark: str) -> None:
    assert data(get(path))[mark] is True


def test_a_coding_is_undone_if_it_was_offered_and_else_told(get: Get) -> None:
    offered = data(get("/get"))["headers"]["Accept-Encoding"]
    answer = get("/brotli")
    if "br" in offered.replace(" ", "").split(","):
        assert data(answer)["brotli"] is True
    else:
        assert answer.reason == "bad_encoding"


def test_utf_8_arrives_byte_for_byte(get: Get) -> None:
    assert "∮ E⋅da = Q" in get("/encoding/utf8").body.decode()


@pytest.mark.parametrize("status", [200, 204, 301, 304, 400, 404, 418, 429, 500, 503])
def test_statuses_are_told_as_they_are(get: Get, status: int) -> None:
    answer = get(f"/status/{status}")
    assert (answer.failure, answer.status) == (None, status)


def test_a_chain_of_redirects_is_given_hop_by_hop(get: Get, origin: str) -> None:
    path, hops = "/relative-redirect/3", 0
    while (answer := get(path)).status == 302:
        path, hops = answer.headers["location"].removeprefix(origin), hops + 1
    assert (hops, answer.status, path) == (3, 200, "/get")


def test_fields_that_come_twice_are_kept(get: Get) -> None:
    assert get("/response-headers?X-A=1&X-A=2").headers.get_all("X-A") == ("1", "2")


def test_bytes_streams_and_drips_come_whole(get: Get) -> None:
    assert get("/bytes/1000?seed=7").body == get("/bytes/1000?seed=7").body
    assert len(get("/stream-bytes/5000?seed=7&chunk_size=100").body) == 5_000
    assert len(get("/stream/20").body.splitlines()) == 20
    assert len(get("/drip?numbytes=10&duration=1").body) == 10


def test_a_body_past_the_limit_ends_as_too_large(get: Get) -> None:
    assert get("/stream-bytes/101000").reason == "body_too_large"


def test_a_server_that_takes_longer_than_allowed_ends_as_a_timeout(origin: str) -> None:
    for engine in sorted(FETCH_ENGINES):
        with closing(open_fetcher(local_spec(engine=engine, timeout_s=0.3, max_size_bytes=LIMIT))) as fetcher:
            assert fetcher.fetch(f"{origin}/delay/2").reason == "timeout_first_byte", engine
            assert fetcher.fetch(f"{origin}/drip?numbytes=10&duration=2").reason == "timeout_total", engine
