"""What every fetch engine keeps to, against a server that breaks HTTP."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from crawlfleet.shared.brief import FetchSpec
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.messages import Outcome
from crawlfleet.worker.fetch.port import Fetched, Fetcher, Headers, Wanted
from crawlfleet.worker.fetch.registry import open_fetcher
from tests.conformance.fetch_limits import LIMIT, SHORT_S
from tests.hostile.site_processes import counts
from tests.local import local_spec
from tests.site.authority import self_signed
from tests.site.hostile_site import HostileSite


@pytest.fixture
def get(site: HostileSite, fetcher: Fetcher) -> Callable[[str], Fetched]:
    return lambda path: fetcher.fetch(site.origin + path)


Get = Callable[[str], Fetched]
TEXT = b"hello hello hello"


def test_an_answer_comes_whole(get: Get) -> None:
    fetched = get("/ok")
    assert (fetched.status, fetched.body, fetched.failure) == (200, b"hello hello hello", None)
    assert fetched.headers.get("CONTENT-TYPE") == "text/plain"
    assert fetched.headers.get_all("X-Two") == ("a", "b")
    assert 0 < fetched.elapsed_s < 10


def test_the_address_that_answered_is_reported(get: Get, fetcher: Fetcher) -> None:
    addresses = [get(path).remote_address for path in ("/ok", "/gzip", "/length-short", "/end")]
    assert addresses == ["127.0.0.1"] * 4
    assert fetcher.fetch(f"http://{'a' * 70}.invalid/").remote_address == ""


@pytest.mark.parametrize(
    "path",
    [
        "/gzip",
        "/x-gzip",
        "/deflate",
        "/two-codings",
        "/coding-none",
        "/unknown-coding",
        "/until-close",
        "/interim",
        "/line-feeds",
        "/no-phrase",
        "/length-listed",
        "/chunk-line-feeds",
        "/chunk-zeros",
        "/unknown-path",
    ],
)
def test_the_same_text_in_every_wrapping(get: Get, path: str) -> None:
    fetched = get(path)
    assert (fetched.status, fetched.body, fetched.reason) == (200, b"hello hello hello", "")


def test_chunks_are_joined(get: Get) -> None:
    assert get("/chunked").body == b"hello hello"


def test_a_length_beside_chunks_counts_for_nothing(get: Get) -> None:
    assert get("/chunked-with-length").body == b"hello"


def test_a_length_counts_beside_a_transfer_coding_that_is_none(hasty: Fetcher, site: HostileSite) -> None:
    fetched = hasty.fetch(site.origin + "/held-after-length")
    assert (fetched.status, fetched.body, fetched.reason) == (200, TEXT, "")


@pytest.mark.parametrize(
    ("path", "reason", "status"),
    [
        ("/head-cut", "head_truncated", 0),
        ("/head-cut-at-line", "head_truncated", 0),
        ("/head-cut-in-status", "reset", 0),
        ("/head-flood", "head_too_large", 0),
        ("/interim-flood", "head_too_large", 0),
        ("/no-status-line", "bad_status_line", 0),
        ("/icy", "bad_status_line", 0),
        ("/http-nine", "bad_status_line", 0),
        ("/status-words", "bad_status_line", 0),
        ("/head-nul", "bad_header", 0),
        ("/head-return", "bad_header", 0),
        ("/head-nonsense", "bad_header", 0),
        ("/redirect-two", "bad_header", 0),
        ("/head-line-long", "head_too_large", 0),
        ("/head-fields-many", "head_too_large", 0),
        ("/http-one-two", "bad_status_line", 0),
        ("/http-two", "bad_status_line", 0),
        ("/status-glued", "bad_status_line", 0),
        ("/status-099", "bad_status_line", 0),
        ("/status-2000", "bad_status_line", 0),
        ("/status-small", "bad_status_line", 0),
        ("/empty-line-first", "bad_status_line", 0),
        ("/length-plus", "bad_framing", 0),
        ("/length-empty", "bad_framing", 0),
        ("/length-huge", "bad_framing", 0),
        ("/coding-twice", "bad_framing", 0),
        ("/chunk-end-bad", "bad_framing", 200),
        ("/chunk-last-cut", "body_truncated", 200),
        ("/three-codings", "bad_encoding", 0),
        ("/length-twice", "bad_framing", 0),
        ("/length-negative", "bad_framing", 0),
        ("/length-word", "bad_framing", 0),
        ("/coding-strange", "bad_framing", 0),
        ("/chunk-size-bad", "bad_framing", 200),
        ("/chunk-size-negative", "bad_framing", 200),
        ("/chunk-size-endless", "bad_framing", 200),
        ("/chunk-cut", "body_truncated", 200),
        ("/chunk-cut-inside", "body_truncated", 200),
        ("/length-short", "body_truncated", 200),
        ("/gzip-lie", "bad_encoding", 200),
        ("/six-codings", "bad_encoding", 0),
        ("/end", "reset", 0),
        ("/reset", "reset", 0),
        ("/reset-in-body", "reset", 200),
    ],
)
def test_broken_http_is_a_failure_by_its_name(
    get: Get, path: str, reason: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    fetched = get(path)
    assert caplog.records == []
    assert (fetched.reason, fetched.failure) == (reason, Outcome.NETWORK_ERROR)
    assert (fetched.status, fetched.body) == (status, b"")
    assert fetched.detail


def test_a_head_is_as_large_as_the_job_allows_and_no_larger(engine: str, site: HostileSite) -> None:
    fields = (b"Content-Type: text/plain", b"X-Two: a", b"x-two: b", b"Content-Length: 17")
    size = len(b"\r\n".join((b"HTTP/1.1 200 OK", *fields, b"", b"")))
    for head_bytes, reason in ((size, ""), (size - 1, "head_too_large")):
        with closing(open_fetcher(local_spec(engine=engine, head_bytes=head_bytes))) as fetcher:
            fetched = fetcher.fetch(site.origin + "/ok")
            assert (fetched.reason, fetched.body) == (reason, b"" if reason else TEXT)


def test_trailer_fields_are_no_part_of_a_head(engine: str, site: HostileSite) -> None:
    size = len(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with closing(open_fetcher(local_spec(engine=engine, head_bytes=size))) as fetcher:
        fetched = fetcher.fetch(site.origin + "/chunked")
        assert (fetched.reason, fetched.body) == ("", b"hello hello")


@pytest.mark.parametrize("path", ["/bomb", "/big", "/endless-body"])
def test_a_body_over_the_limit_is_dropped(get: Get, path: str) -> None:
    fetched = get(path)
    assert (fetched.failure, fetched.reason) == (Outcome.TOO_LARGE, "body_too_large")
    assert (fetched.status, fetched.body) == (200, b"")


@pytest.mark.parametrize("path", ["/no-phrase-long", "/interim-long"])
def test_a_long_body_is_kept_whatever_its_head_begins_with(get: Get, path: str) -> None:
    fetched = get(path)
    assert (fetched.status, len(fetched.body), fetched.reason) == (200, 90_000, "")


@pytest.mark.parametrize(
    ("path", "byte"), [("/bomb", b"\0"), ("/big", b"\0"), ("/endless-body", b"x"), ("/length-short-big", b"x")]
)
@pytest.mark.parametrize("keep_bytes", [LIMIT // 10, LIMIT * 5])
def test_the_beginning_of_a_body_is_kept_where_that_is_enough(
    fetcher: Fetcher, site: HostileSite, path: str, byte: bytes, keep_bytes: int
) -> None:
    fetched = fetcher.fetch(site.origin + path, Wanted(keep_bytes))
    assert (fetched.failure, fetched.status, fetched.truncated) == (None, 200, True)
    assert fetched.body == byte * keep_bytes
    assert fetcher.fetch(site.origin + "/ok").status == 200


@pytest.mark.parametrize("path", ["/ok", "/gzip", "/until-close"])
def test_a_body_that_ends_before_that_is_whole(fetcher: Fetcher, site: HostileSite, path: str) -> None:
    size = len(b"hello hello hello")
    fetched = fetcher.fetch(site.origin + path, Wanted(size))
    assert (fetched.body, fetched.truncated) == (b"hello hello hello", False)
    fetched = fetcher.fetch(site.origin + path, Wanted(size - 1))
    assert (fetched.body, fetched.truncated) == (b"hello hello hell", True)


@pytest.mark.parametrize("path", ["/length-short", "/gzip-lie", "/chunk-cut", "/not-found"])
def test_a_beginning_that_is_broken_or_no_page_is_judged_like_a_whole_body(
    fetcher: Fetcher, site: HostileSite, path: str
) -> None:
    one, other = fetcher.fetch(site.origin + path, Wanted(1_000)), fetcher.fetch(site.origin + path)
    assert (one.failure, one.reason, one.status) == (other.failure, other.reason, other.status)
    assert not one.truncated


def test_a_body_of_exactly_the_limit_is_kept(engine: str, site: HostileSite) -> None:
    size = len(b"hello hello hello")
    for limit, failure in ((size, None), (size - 1, Outcome.TOO_LARGE)):
        with closing(open_fetcher(local_spec(engine=engine, max_size_bytes=limit))) as fetcher:
            assert fetcher.fetch(site.origin + "/gzip").failure is failure


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/length-short", b"half"),
        ("/gzip-short", b"hello hello hello"),
        ("/chunk-cut", b"hello"),
        ("/chunk-cut-inside", b"hello"),
        ("/chunk-last-cut", b"hello"),
    ],
)
def test_what_has_come_of_a_page_is_kept_and_noted_if_the_job_says_so(
    engine: str, site: HostileSite, path: str, body: bytes
) -> None:
    spec = local_spec(engine=engine, timeout_s=10, max_size_bytes=LIMIT, keep_truncated=True)
    with closing(open_fetcher(spec)) as fetcher:
        fetched = fetcher.fetch(site.origin + path)
        assert (fetched.status, fetched.failure, fetched.truncated) == (200, None, False)
        assert (fetched.body, fetched.notes) == (body, ("body_short",))
        # The rest of a robots.txt or a sitemap may matter.
        assert fetcher.fetch(site.origin + path, Wanted(1_000)).reason == "body_truncated"
        assert (fetcher.fetch(site.origin + "/ok").body, fetcher.fetch(site.origin + "/ok").notes) == (TEXT, ())


@pytest.mark.parametrize("path", ["/chunk-size-bad", "/gzip-lie", "/reset-in-body", "/length-short-big", "/drip-body"])
def test_what_is_broken_in_another_way_is_not_kept(engine: str, site: HostileSite, path: str) -> None:
    spec = local_spec(engine=engine, timeout_s=SHORT_S, max_size_bytes=LIMIT, keep_truncated=True)
    with closing(open_fetcher(spec)) as fetcher:
        fetched = fetcher.fetch(site.origin + path)
    assert fetched.failure is not None
    assert (fetched.body, fetched.notes) == (b"", ())


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/drip-head", "timeout_total"),
        ("/drip-body", "timeout_total"),
        ("/interim-drip", "timeout_total"),
        ("/silent", "timeout_first_byte"),
    ],
)
def test_the_deadline_ends_what_drips(hasty: Fetcher, site: HostileSite, path: str, reason: str) -> None:
    fetched = hasty.fetch(site.origin + path)
    assert (fetched.failure, fetched.reason) == (Outcome.NETWORK_ERROR, reason)
    assert SHORT_S <= fetched.elapsed_s < SHORT_S + 1


def test_an_answer_has_to_begin_in_its_time(engine: str, site: HostileSite) -> None:
    spec = local_spec(engine=engine, timeout_s=10, first_byte_timeout_s=SHORT_S)
    with closing(open_fetcher(spec)) as fetcher:
        for path in ("/silent", "/ok", "/silent"):
            fetched = fetcher.fetch(site.origin + path)
            if path == "/ok":
                assert fetched.status == 200
                continue
            assert (fetched.failure, fetched.reason) == (Outcome.NETWORK_ERROR, "timeout_first_byte")
            assert SHORT_S <= fetched.elapsed_s < SHORT_S + 1


def test_an_answer_that_has_begun_in_its_time_has_the_rest_of_the_whole(engine: str, site: HostileSite) -> None:
    spec = local_spec(engine=engine, timeout_s=4 * SHORT_S, first_byte_timeout_s=SHORT_S)
    with closing(open_fetcher(spec)) as fetcher:
        fetched = fetcher.fetch(site.origin + "/drip-body")
    assert fetched.reason == "timeout_total"
    assert 4 * SHORT_S <= fetched.elapsed_s < 4 * SHORT_S + 1


def test_a_connection_has_to_be_there_in_its_time(engine: str) -> None:
    spec = local_spec(engine=engine, timeout_s=10, connect_timeout_s=SHORT_S)
    with closing(open_fetcher(spec)) as fetcher, socket.create_server(("127.0.0.1", 0)) as listener:
        fetched = fetcher.fetch(f"https://127.0.0.1:{listener.getsockname()[1]}/")
    assert (fetched.failure, fetched.reason) == (Outcome.NETWORK_ERROR, "timeout_connect")
    assert SHORT_S <= fetched.elapsed_s < SHORT_S + 1


@pytest.mark.parametrize("path", ["/redirect-endless", "/drip-redirect", "/redirect-same-twice"])
def test_a_redirect_stands_whatever_its_body_does(hasty: Fetcher, site: HostileSite, path: str) -> None:
    fetched = hasty.fetch(site.origin + path)
    assert (fetched.status, fetched.headers.get("location"), fetched.failure) == (302, "/ok", None)
    assert fetched.elapsed_s < SHORT_S + 1


@pytest.mark.parametrize("path", ["/drip-redirect", "/redirect-endless", "/missing-big", "/drip-body"])
def test_a_connection_whose_answer_was_not_read_to_its_end_is_closed(
    hasty: Fetcher, site: HostileSite, path: str
) -> None:
    hasty.fetch(site.origin + path)
    assert counts(os.getpid(), site.port)[os.getpid()].connections == 0


@pytest.mark.parametrize(("path", "status"), [("/busy-cut", 503), ("/missing-big", 404)])
def test_an_error_stands_whatever_its_body_does(get: Get, path: str, status: int) -> None:
    fetched = get(path)
    assert (fetched.status, fetched.body, fetched.failure) == (status, b"", None)


def test_a_redirect_is_an_answer_and_is_not_followed(get: Get, site: HostileSite) -> None:
    fetched = get("/redirect")
    assert (fetched.status, fetched.headers.get("Location"), fetched.failure) == (301, "http://[::1", None)
    assert len(site.requests) == 1


def test_an_address_in_utf_8_is_read_as_such(get: Get) -> None:
    assert get("/redirect-utf8").headers["location"] == "/café"


@pytest.mark.parametrize(("path", "status"), [("/not-found", 404), ("/status-999", 999), ("/no-content", 204)])
def test_any_status_is_an_answer(get: Get, path: str, status: int) -> None:
    fetched = get(path)
    assert (fetched.status, fetched.failure) == (status, None)


def test_odd_fields_are_read(get: Get) -> None:
    assert get("/head-folded").headers.get("x-fold") == "one two"
    assert get("/head-8bit").headers.get("x-odd") == "\xe9\xff"


@pytest.mark.parametrize(
    "target", ["/a%7Eb~c", "/a%2Fb", "/a|b", "/it's", "/(x)!*$&+,;=:@", "/?q=a|b%7E'^`{}[]", "/a//b/?", "/%ZZ%"]
)
def test_the_address_is_sent_byte_for_byte(get: Get, site: HostileSite, target: str) -> None:
    get(target)
    lines = site.requests[0].split(b"\r\n")
    assert lines[0] == f"GET {target} HTTP/1.1".encode()
    assert [line for line in lines if line.lower().startswith(b"host:")] == [f"Host: 127.0.0.1:{site.port}".encode()]


def test_the_headers_of_the_spec_are_sent_and_can_be_decoded(engine: str, site: HostileSite) -> None:
    own = (("accept", "text/x"), ("X-Own", "1"), ("Accept-Encoding", "br"), ("Host", "elsewhere"))
    spec = local_spec(engine=engine, user_agent="bot/1", headers=own)
    with closing(open_fetcher(spec)) as fetcher:
        fetcher.fetch(site.origin + "/ok")
    sent = site.requests[0].lower()
    assert b"user-agent: bot/1\r\n" in sent
    assert b"x-own: 1\r\n" in sent
    assert sent.count(b"accept:") == 1
    assert b"accept: text/x\r\n" in sent
    assert b"elsewhere" not in sent
    assert sent.count(b"accept-encoding:") == 1
    assert b"accept-encoding: br\r\n" not in sent


def test_cookies_are_not_kept(get: Get, site: HostileSite) -> None:
    get("/cookie")
    get("/ok")
    assert b"cookie" not in site.requests[1].lower()


def test_a_connection_serves_many_requests(get: Get, site: HostileSite) -> None:
    for path in ("/ok", "/gzip", "/chunked", "/redirect", "/not-found", "/interim"):
        assert get(path).failure is None
    assert site.connections == 1


def test_an_idle_connection_that_was_closed_is_replaced(fetcher: Fetcher) -> None:
    with HostileSite(keep_alive=1) as site:
        assert [fetcher.fetch(site.origin + "/ok").status for _ in range(3)] == [200, 200, 200]
        assert len(site.requests) == 3


def test_a_server_that_only_ever_closes_is_asked_once(get: Get, site: HostileSite) -> None:
    assert get("/end").reason == "reset"
    assert len(site.requests) == 1


def test_a_broken_answer_does_not_spoil_the_next(get: Get) -> None:
    for path in ("/ok", "/length-short", "/ok", "/big", "/ok", "/head-cut", "/ok", "/gzip-lie", "/ok"):
        assert get(path).status in (0, 200)
    assert get("/ok").body == b"hello hello hello"


def test_the_environment_is_not_read(engine: str, site: HostileSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with closing(open_fetcher(local_spec(engine=engine))) as fetcher:
        assert fetcher.fetch(site.origin + "/ok").status == 200


def test_a_closed_port_is_reported(fetcher: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    fetched = fetcher.fetch(f"http://127.0.0.1:{port}/")
    assert (fetched.failure, fetched.reason, fetched.status) == (Outcome.NETWORK_ERROR, "connect", 0)
    assert "refused" in fetched.detail


def test_an_address_to_which_no_route_leads_is_reported(engine: str) -> None:
    with closing(open_fetcher(FetchSpec(engine=engine, allow_private=("224.0.0.0/4",)))) as fetcher:
        fetched = fetcher.fetch("http://224.0.0.1/")  # nobody can be connected with a whole group
    assert (fetched.failure, fetched.reason, fetched.remote_address) == (Outcome.NETWORK_ERROR, "no_route", "")
    assert "unreachable" in fetched.detail


def test_a_name_that_cannot_be_is_reported(fetcher: Fetcher) -> None:
    assert fetcher.fetch(f"http://{'a' * 70}.invalid/").reason == "dns_failed"


def test_plain_http_on_a_tls_port_is_reported(fetcher: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=_answer_in_plain, args=(listener,))
        answering.start()
        fetched = fetcher.fetch(f"https://127.0.0.1:{listener.getsockname()[1]}/")
        answering.join()
    assert (fetched.failure, fetched.reason) == (Outcome.NETWORK_ERROR, "tls")


def test_a_certificate_that_nobody_signed_is_refused(fetcher: Fetcher, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path / "own.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=_shake_hands, args=(listener, context))
        answering.start()
        fetched = fetcher.fetch(f"https://127.0.0.1:{listener.getsockname()[1]}/")
        answering.join()
    assert (fetched.failure, fetched.reason) == (Outcome.NETWORK_ERROR, "tls_untrusted")
    assert "certificate" in fetched.detail


def test_a_silent_tls_port_meets_the_deadline(hasty: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fetched = hasty.fetch(f"https://127.0.0.1:{listener.getsockname()[1]}/")
    assert fetched.reason == "timeout_connect"
    assert fetched.elapsed_s < SHORT_S + 1


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'smoke'.*auto, .*requests"):
        open_fetcher(local_spec(engine="smoke"))


def test_an_engine_that_is_not_installed_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "crawlfleet.worker.fetch.curl_multi", raising=False)
    monkeypatch.setitem(sys.modules, "pycurl", None)
    with pytest.raises(UsageError, match=r"pip install pycurl, or set fetch\.engine: requests"):
        open_fetcher(local_spec())


def test_headers_are_a_mapping_in_any_case() -> None:
    headers = Headers((("A", "1"), ("a", "2"), ("B", "3")))
    assert dict(headers) == {"a": "1", "b": "3"}
    assert ("A" in headers, headers["b"], headers.get("c", "none")) == (True, "3", "none")
    assert headers.get_all("a") == ("1", "2")


def _answer_in_plain(listener: socket.socket) -> None:
    sock, _ = listener.accept()
    with sock, suppress(OSError):
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(4096):
            pass


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    sock, _ = listener.accept()
    with suppress(OSError), context.wrap_socket(sock, server_side=True) as secured:
        secured.recv(4096)
