"""What only the curl engine has: many exchanges at once, and a sleep that costs nothing whatever is open."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from crawlfleet.shared.messages import Outcome
from crawlfleet.worker.fetch import curl_handle, curl_multi
from crawlfleet.worker.fetch.curl_answer import read_head
from crawlfleet.worker.fetch.curl_multi import CurlFetcher
from crawlfleet.worker.fetch.port import WHOLE
from tests.local import local_spec
from tests.site.hostile_site import HostileSite

PATIENCE_S = 10.0
IDLE_S = 0.5


@pytest.fixture
def site() -> Iterator[HostileSite]:
    with HostileSite() as running:
        yield running


@pytest.fixture
def fetcher() -> Iterator[CurlFetcher]:
    with closing(CurlFetcher(local_spec(timeout_s=PATIENCE_S))) as opened:
        yield opened


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Open so many descriptors that every new one is past what select() can hold."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2_000:
        pytest.skip(f"only {hard} descriptors may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2_000), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1_500)]
    try:
        assert max(opened) > 1_023
        yield
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_exchanges_are_under_way_at_the_same_time_and_come_back_with_their_marks(
    fetcher: CurlFetcher, site: HostileSite
) -> None:
    paths = {f"/{number}": 200 for number in range(40)} | {"/not-found": 404, "/redirect": 301, "/end": 0}
    for path in paths:
        fetcher.start(site.origin + path, WHOLE, path)
    statuses: dict[object, int] = {}
    while len(statuses) < len(paths):
        statuses |= {path: fetched.status for path, fetched in fetcher.wait(PATIENCE_S)}
    assert statuses == paths


def test_a_server_that_has_closed_every_idle_connection_is_asked_over_a_new_one(fetcher: CurlFetcher) -> None:
    with HostileSite(keep_alive=1) as site:
        for number in range(12):
            fetcher.start(f"{site.origin}/{number}", WHOLE, number)
        ended = 0
        while ended < 12:
            ended += len(fetcher.wait(PATIENCE_S))
        assert site.connections == 12
        assert [fetcher.fetch(site.origin + "/ok").status for _ in range(3)] == [200] * 3
        assert len(site.requests) == 15


def test_a_host_is_not_blamed_for_what_the_thread_needed_for_others(fetcher: CurlFetcher, site: HostileSite) -> None:
    assert fetcher.fetch(site.origin + "/ok").status == 200
    fetcher.start(site.origin + "/ok", WHOLE, "answers")
    time.sleep(0.5)  # the thread unpacks bodies
    began_at = time.monotonic()
    ((_, fetched),) = fetcher.wait(PATIENCE_S)
    assert fetched.elapsed_s <= time.monotonic() - began_at + curl_multi.UNNOTICED_S + 0.1


def test_a_wait_ends_when_another_thread_says_so_or_its_time_is_over(fetcher: CurlFetcher) -> None:
    threading.Timer(0.05, fetcher.wake).start()
    began_at = time.monotonic()
    assert fetcher.wait(None) == []
    assert time.monotonic() - began_at < PATIENCE_S
    assert fetcher.wait(0.01) == []


@pytest.mark.usefixtures("many_descriptors")
def test_waiting_costs_nothing_with_1500_descriptors_open(site: HostileSite) -> None:
    with closing(CurlFetcher(local_spec(timeout_s=PATIENCE_S))) as fetcher:
        assert fetcher.fetch(site.origin + "/ok").status == 200
        fetcher.start(site.origin + "/silent", WHOLE, "silent")
        fetcher.wait(0.05)
        spent_s = time.thread_time()
        assert fetcher.wait(IDLE_S) == []
        assert time.thread_time() - spent_s < IDLE_S / 20


def test_a_fetcher_is_closed_in_the_middle_of_its_work(site: HostileSite) -> None:
    before = len(os.listdir("/proc/self/fd"))
    fetcher = CurlFetcher(local_spec(timeout_s=PATIENCE_S))
    for _ in range(5):
        fetcher.start(site.origin + "/silent", WHOLE, None)
    fetcher.wait(0.05)
    fetcher.close()
    fetcher.wake()
    # The site's own ends are still open.
    assert len(os.listdir("/proc/self/fd")) <= before + 5


def test_a_bug_is_a_failure_that_names_its_type_and_ends_no_other_exchange(
    fetcher: CurlFetcher, site: HostileSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    with monkeypatch.context() as patch:
        patch.setattr(curl_handle, "read_head", broken)
        fetched = fetcher.fetch(site.origin + "/ok")
    assert (fetched.failure, fetched.detail) == (Outcome.INTERNAL_ERROR, "ZeroDivisionError: oh")
    assert fetcher.fetch(site.origin + "/ok").status == 200


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ((b"HTTP/1.1 200\r\n", b"\r\n"), 200),
        ((b"HTTP/2 103 \r\n", b"link: </a>\r\n", b"\r\n", b"HTTP/2 200 \r\n", b"\r\n"), 200),
        ((b"HTTP/1.1 100 Continue\r\n", b"\r\n", b"HTTP/1.1 404 No\r\n", b"\r\n"), 404),
        ((b"HTTP/1.1 301 Moved\r\n", b"HTTP/a: b\r\n", b"\r\n"), 301),
    ],
)
def test_the_status_is_that_of_the_final_head(lines: tuple[bytes, ...], status: int) -> None:
    head = read_head(lines, most_bytes=10_000)
    assert head is not None
    assert head.status == status


def test_a_handle_that_rests_keeps_nothing_of_its_last_page(fetcher: CurlFetcher, site: HostileSite) -> None:
    assert fetcher.fetch(site.origin + "/no-phrase-long").status == 200
    (handle,) = fetcher._idle
    assert (handle.blocks, handle.lines, handle.mark) == ([], [], None)
