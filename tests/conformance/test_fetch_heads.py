"""What every fetch engine keeps to when only the head of an answer is wanted: by HEAD, or by a GET that is not read."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing

import pytest

from crawlfleet.shared.brief import SiteSpec
from crawlfleet.shared.messages import Outcome
from crawlfleet.worker.fetch.port import Fetched, Fetcher, Wanted
from crawlfleet.worker.fetch.registry import engine_for, open_fetcher
from tests.local import local_spec
from tests.site.hostile_site import HostileSite

BY_HEAD, UNREAD = Wanted(0, by_head=True), Wanted(0)


@pytest.fixture
def head(site: HostileSite, fetcher: Fetcher) -> Callable[[str], Fetched]:
    return lambda path: fetcher.fetch(site.origin + path, BY_HEAD)


Head = Callable[[str], Fetched]

# The head of each is sound, and what comes after it must not be looked at: a server should send nothing there.
SOUND = (
    *("/ok", "/gzip", "/two-codings", "/chunked", "/chunked-with-length", "/until-close", "/interim", "/line-feeds"),
    *("/bomb", "/big", "/endless-body", "/length-short", "/length-short-big", "/gzip-lie", "/unknown-coding"),
    *("/chunk-size-bad", "/chunk-size-endless", "/chunk-cut", "/length-twice-same", "/reset-in-body"),
)


@pytest.mark.parametrize("path", SOUND)
def test_a_head_stands_whatever_body_is_sent_after_it(head: Head, path: str) -> None:
    fetched = head(path)
    assert (fetched.status, fetched.failure, fetched.reason, fetched.body) == (200, None, "", b"")
    assert fetched.remote_address == "127.0.0.1"


def test_the_request_is_a_head_with_the_address_byte_for_byte(head: Head, site: HostileSite) -> None:
    head("/a|b?q='%7e")
    assert site.requests[0].startswith(b"HEAD /a|b?q='%7e HTTP/1.1\r\n")
    assert b"\r\nAccept-Encoding: " in site.requests[0]
    assert len(site.requests) == 1


def test_the_fields_of_a_head_are_read(head: Head) -> None:
    fetched = head("/ok")
    assert fetched.headers.get("content-type") == "text/plain"
    assert fetched.headers.get("content-length") == "17"
    assert fetched.headers.get_all("X-Two") == ("a", "b")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/head-cut", "head_truncated"),
        ("/head-cut-in-status", "reset"),
        ("/head-flood", "head_too_large"),
        ("/no-status-line", "bad_status_line"),
        ("/head-nul", "bad_header"),
        ("/head-nonsense", "bad_header"),
        ("/redirect-two", "bad_header"),
        ("/length-twice", "bad_framing"),
        ("/length-negative", "bad_framing"),
        ("/length-word", "bad_framing"),
        ("/length-huge", "bad_framing"),
        ("/coding-strange", "bad_framing"),
        ("/three-codings", "bad_encoding"),
        ("/end", "reset"),
        ("/reset", "reset"),
    ],
)
def test_a_head_that_is_broken_fails_by_the_name_that_it_has_for_a_page(
    head: Head, site: HostileSite, path: str, reason: str
) -> None:
    fetched = head(path)
    assert (fetched.failure, fetched.reason, fetched.status) == (Outcome.NETWORK_ERROR, reason, 0)
    assert len(site.requests) == 1


@pytest.mark.parametrize("path", ["/drip-body", "/endless-body", "/drip-redirect", "/redirect-endless"])
def test_a_head_is_there_before_a_body_that_takes_its_time(hasty: Fetcher, site: HostileSite, path: str) -> None:
    fetched = hasty.fetch(site.origin + path, BY_HEAD)
    assert (fetched.failure, fetched.status in (200, 302)) == (None, True)


@pytest.mark.parametrize(("path", "reason"), [("/drip-head", "timeout_total"), ("/silent", "timeout_first_byte")])
def test_a_head_has_to_be_there_in_its_time(hasty: Fetcher, site: HostileSite, path: str, reason: str) -> None:
    fetched = hasty.fetch(site.origin + path, BY_HEAD)
    assert (fetched.failure, fetched.reason) == (Outcome.NETWORK_ERROR, reason)


@pytest.mark.parametrize(
    ("path", "status"), [("/redirect", 301), ("/not-found", 404), ("/missing-big", 404), ("/no-content", 204)]
)
def test_any_status_is_an_answer_to_a_head(head: Head, path: str, status: int) -> None:
    fetched = head(path)
    assert (fetched.status, fetched.failure, fetched.body) == (status, None, b"")


@pytest.mark.parametrize("path", ["/ok", "/not-found", "/chunked"])
def test_a_body_sent_after_a_head_spoils_no_other_answer(fetcher: Fetcher, site: HostileSite, path: str) -> None:
    for _ in range(3):
        assert fetcher.fetch(site.origin + path, BY_HEAD).failure is None
        fetched = fetcher.fetch(site.origin + "/gzip")
        assert (fetched.status, fetched.body) == (200, b"hello hello hello")
    assert [request.split(b" ", 1)[0] for request in site.requests] == [b"HEAD", b"GET"] * 3


def test_pages_share_a_connection_before_and_after_a_head(fetcher: Fetcher, site: HostileSite) -> None:
    for wanted in (Wanted(), Wanted(), BY_HEAD, Wanted(), Wanted()):
        assert fetcher.fetch(site.origin + "/ok", wanted).status == 200
    assert site.connections == 2


@pytest.mark.parametrize("path", ["/ok", "/big", "/endless-body", "/length-short-big", "/until-close", "/chunked"])
def test_a_body_that_is_not_wanted_is_not_read(fetcher: Fetcher, site: HostileSite, path: str) -> None:
    fetched = fetcher.fetch(site.origin + path, UNREAD)
    assert (fetched.status, fetched.failure, fetched.body) == (200, None, b"")
    assert fetched.truncated
    assert site.requests[0].startswith(b"GET ")


@pytest.mark.parametrize("wanted", [BY_HEAD, UNREAD], ids=["head", "get"])
def test_a_bare_request_has_no_field_of_the_job(engine: str, site: HostileSite, wanted: Wanted) -> None:
    own = (("Authorization", "Bearer secret"), ("Accept", "text/x"), ("Cookie", "a=b"))
    spec = local_spec(engine=engine, user_agent="bot/1", headers=own)
    with closing(open_fetcher(spec)) as fetcher:
        for is_bare in (True, False, True):
            fetcher.fetch(site.origin + "/ok", wanted._replace(bare=is_bare))
    for sent, is_bare in zip(site.requests, (True, False, True), strict=True):
        lower = sent.lower()
        assert (b"secret" not in lower, b"cookie" not in lower, b"text/x" not in lower) == (is_bare,) * 3
        assert b"user-agent: bot/1\r\n" in lower
        assert lower.count(b"\r\naccept: ") == 1


def test_a_bare_request_has_nothing_of_a_session_that_a_hook_prepared(site: HostileSite) -> None:
    engine = engine_for(local_spec(), lambda session: session.headers.update({"X-Key": "secret"}))
    with closing(engine.open()) as fetcher:
        fetcher.fetch(site.origin + "/ok", BY_HEAD._replace(bare=True))
        fetcher.fetch(site.origin + "/ok", BY_HEAD)
    assert [b"secret" in sent for sent in site.requests] == [False, True]


def test_a_site_alone_gets_its_own_fields(engine: str, site: HostileSite) -> None:
    here, elsewhere = site.origin, site.origin.replace("127.0.0.1", "localhost")
    sites = (
        SiteSpec(origins=(here,), headers=(("Authorization", "canary-1"), ("Accept", "text/own"))),
        SiteSpec(origins=("https://127.0.0.1", f"http://*.1:{here.rpartition(':')[2]}"), headers=(("X", "canary-2"),)),
        SiteSpec(origins=("http://127.0.0.1:1", here.replace("http:", "https:")), headers=(("X", "canary-3"),)),
        SiteSpec(origins=(here,), headers=(("authorization", "canary-4"),)),
    )
    with closing(open_fetcher(local_spec(engine=engine, headers=(("X-All", "all"),), sites=sites))) as fetcher:
        for origin, is_bare in ((here, False), (elsewhere, False), (here, True), (here, False), (elsewhere, False)):
            assert fetcher.fetch(f"{origin}/ok", Wanted(bare=is_bare)).status == 200
    own = [sorted(re.findall(rb"canary-[0-9]|text/own|X-All", sent)) for sent in site.requests]
    mine, others = [b"X-All", b"canary-2", b"canary-4", b"text/own"], [b"X-All"]
    assert own == [mine, others, [], mine, others]
