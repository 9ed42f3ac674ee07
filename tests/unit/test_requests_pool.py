"""What only the requests engine has: its session, and idle connections of a bounded number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
import requests

from crawlfleet.shared.messages import Outcome
from crawlfleet.worker.fetch import requests_pool
from crawlfleet.worker.fetch.connection import Limits, Watch, WatchedHTTP, WatchedHTTPS, open_connection
from crawlfleet.worker.fetch.requests_pool import THREADS, RequestsFetcher
from tests.local import local_spec
from tests.site.hostile_site import HostileSite


@pytest.fixture
def site() -> Iterator[HostileSite]:
    with HostileSite() as running:
        yield running


@pytest.fixture
def fetcher() -> Iterator[RequestsFetcher]:
    with closing(RequestsFetcher(local_spec(timeout_s=1.0, max_size_bytes=100_000))) as opened:
        yield opened


def test_the_session_goes_over_the_same_connections(fetcher: RequestsFetcher, site: HostileSite) -> None:
    fetcher.fetch(site.origin + "/ok")
    assert fetcher.session.get(site.origin + "/gzip").text == "hello hello hello"
    assert fetcher.session.head(site.origin + "/unknown").status_code == 200
    assert site.connections == 1


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/drip-body", "timeout_total"),
        ("/head-cut", "head_truncated"),
        ("/endless-body", "body_too_large"),
        ("/length-short-big", "body_too_large"),
        ("/bomb", "body_too_large"),
    ],
)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
def test_the_session_has_the_same_limits(
    fetcher: RequestsFetcher, site: HostileSite, path: str, reason: str, *, streams: bool
) -> None:
    for ask in (fetcher.session.get, fetcher.session.post):
        with pytest.raises(requests.ConnectionError, match=reason):
            ask(site.origin + path, stream=streams)


def test_the_session_keeps_no_cookies(fetcher: RequestsFetcher, site: HostileSite) -> None:
    fetcher.session.get(site.origin + "/cookie")
    fetcher.session.get(site.origin + "/ok")
    assert b"cookie" not in site.requests[1].lower()


def test_the_connection_that_was_used_longest_ago_is_closed(
    fetcher: RequestsFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher._adapter, "_all_idle", 2 * THREADS)
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(HostileSite()) for _ in range(3))
        for site in (first, second, first, third, first, second):
            assert fetcher.fetch(site.origin + "/ok").status == 200
        assert (first.connections, second.connections, third.connections) == (1, 2, 1)


def test_more_fetchers_than_usual_keep_fewer_idle_connections_each(
    fetcher: RequestsFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher._adapter, "_all_idle", 2 * THREADS)
    with ExitStack() as stack:
        first, second = (stack.enter_context(HostileSite()) for _ in range(2))
        others = [stack.enter_context(closing(RequestsFetcher(local_spec()))) for _ in range(THREADS)]
        for site in (first, second, first):
            assert fetcher.fetch(site.origin + "/ok").status == 200
        assert (first.connections, second.connections) == (2, 1)
        for other in others:
            other.close()
        for site in (second, first, second):
            assert fetcher.fetch(site.origin + "/ok").status == 200
        assert (first.connections, second.connections) == (2, 2)


@pytest.mark.parametrize(
    ("origin", "host", "port", "kind"),
    [
        ("http://h.example", "h.example", 80, WatchedHTTP),
        ("https://h.example", "h.example", 443, WatchedHTTPS),
        ("http://h.example:81", "h.example", 81, WatchedHTTP),
        ("http://[::1]", "::1", 80, WatchedHTTP),
        ("https://[::1]:444", "::1", 444, WatchedHTTPS),
    ],
)
def test_an_origin_names_host_and_port(origin: str, host: str, port: int, kind: type) -> None:
    limits = Limits(connect_s=1.0, first_byte_s=1.0, total_s=1.0, head_bytes=10_000)
    connection = open_connection(origin, Watch(limits), tuple)
    assert (connection.host, connection.port, type(connection)) == (host, port, kind)


def test_a_bug_is_a_failure_that_names_its_type(
    fetcher: RequestsFetcher, site: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> bytes:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(requests_pool, "_read_body", broken)
    fetched = fetcher.fetch(site.origin + "/ok")
    assert (fetched.failure, fetched.detail) == (Outcome.INTERNAL_ERROR, "ZeroDivisionError: oh")
