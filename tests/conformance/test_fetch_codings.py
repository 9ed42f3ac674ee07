"""What servers make of content codings, for every kind of task, over every fetch engine."""

from __future__ import annotations

import gzip
import random
import zlib
from itertools import pairwise

import brotli
import pytest

from crawlfleet.shared.messages import Outcome
from crawlfleet.worker.fetch.coding import OFFERED, decoded, decoder_of
from crawlfleet.worker.fetch.port import WHOLE, Fetched, Fetcher, Headers, Wanted
from tests.conformance.fetch_limits import LIMIT
from tests.site.hostile_site import ROUTES, HostileSite, reply, saying

SMALL = b"<!doctype html><title>seen</title><a href=/next>on</a>"
LARGE = random.Random(1).randbytes(LIMIT // 4).hex().encode()
# As a page, a robots.txt and a sitemap are asked for.
TASKS = {"page": WHOLE, "robots": Wanted(LIMIT), "sitemap": Wanted(100 * LIMIT)}


def packed(data: bytes) -> bytes:
    """Compress data, always to the same bytes: names of tests have them."""
    return gzip.compress(data, mtime=0)


def _raw_deflate(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(data) + deflate.flush()


def _damaged(data: bytes) -> bytes:
    return data[:5_000] + b"x" * 100 + data[5_100:]


CODERS = {"gzip": packed, "x-gzip": packed, "deflate": zlib.compress, "br": brotli.compress}
RESTS = (b"\n", b"\x1f", b"\x1f\x8b", b"\x1f\x8b\x08 and so on", b"<!-- cached -->" * 100)


@pytest.fixture(params=sorted(TASKS))
def wanted(request: pytest.FixtureRequest) -> Wanted:
    found: Wanted = TASKS[request.param]
    return found


def fetch(
    fetcher: Fetcher, site: HostileSite, wanted: Wanted, patch: pytest.MonkeyPatch, coding: str, body: bytes
) -> Fetched:
    patch.setitem(ROUTES, b"/coded", saying(reply(b"200 OK", b"Content-Encoding: " + coding.encode(), body=body)))
    return fetcher.fetch(site.origin + "/coded", wanted)


@pytest.mark.parametrize("coding", sorted(CODERS))
@pytest.mark.parametrize("rest", RESTS, ids=range(len(RESTS)))
def test_what_follows_the_end_of_a_coded_body_is_ignored(
    fetcher: Fetcher, site: HostileSite, wanted: Wanted, monkeypatch: pytest.MonkeyPatch, coding: str, rest: bytes
) -> None:
    for body in (SMALL, LARGE):
        fetched = fetch(fetcher, site, wanted, monkeypatch, coding, CODERS[coding](body) + rest)
        assert (fetched.failure, fetched.reason, fetched.truncated) == (None, "", False)
        assert fetched.body == body


@pytest.mark.parametrize("rest", [b"", *RESTS], ids=range(len(RESTS) + 1))
def test_the_members_of_a_gzip_body_are_joined(
    fetcher: Fetcher, site: HostileSite, wanted: Wanted, monkeypatch: pytest.MonkeyPatch, rest: bytes
) -> None:
    members = b"".join(map(packed, (SMALL, b"", LARGE, SMALL)))
    assert fetch(fetcher, site, wanted, monkeypatch, "gzip", members + rest).body == SMALL + LARGE + SMALL


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("deflate", _raw_deflate(SMALL)),
        ("gzip", zlib.compress(SMALL)),
        ("deflate, gzip", packed(zlib.compress(SMALL) + b"rest") + b"rest"),
        ("br, gzip", packed(brotli.compress(SMALL) + b"rest") + b"rest"),
        ("none, gzip", packed(SMALL)),
        ("identity", SMALL),
        ("gzip", b""),
    ],
)
def test_a_body_is_read_as_it_is_meant(
    fetcher: Fetcher, site: HostileSite, wanted: Wanted, monkeypatch: pytest.MonkeyPatch, coding: str, data: bytes
) -> None:
    fetched = fetch(fetcher, site, wanted, monkeypatch, coding, data)
    assert (fetched.reason, fetched.body) == ("", SMALL if data else b"")


@pytest.mark.parametrize(
    "coding", ["utf-8", "UTF-8", "text/html", "gzip;q=1", "gzip, utf-8", "binary", "aws-chunked", "bzip2", '"gzip"']
)
def test_a_word_that_is_no_coding_leaves_the_body_as_it_is(
    fetcher: Fetcher, site: HostileSite, wanted: Wanted, monkeypatch: pytest.MonkeyPatch, coding: str
) -> None:
    for body in (SMALL, packed(SMALL)):
        fetched = fetch(fetcher, site, wanted, monkeypatch, coding, body)
        assert (fetched.failure, fetched.body) == (None, body)


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", SMALL),
        ("br", SMALL),
        ("deflate", packed(SMALL)),
        ("gzip", _damaged(packed(LARGE))),
        ("gzip", packed(SMALL)[:-8] + b"no sum.."),
        ("gzip", packed(SMALL) + _damaged(packed(LARGE))),
        ("deflate", zlib.compress(SMALL)[:-4] + b"no s"),
        ("deflate, gzip", packed(SMALL)),
        ("zstd", SMALL),
        ("compress", SMALL),
        ("gzip, zstd", SMALL),
    ],
)
def test_a_broken_body_is_a_failure_by_its_name(
    fetcher: Fetcher, site: HostileSite, wanted: Wanted, monkeypatch: pytest.MonkeyPatch, coding: str, data: bytes
) -> None:
    fetched = fetch(fetcher, site, wanted, monkeypatch, coding, data)
    assert (fetched.failure, fetched.reason, fetched.status) == (Outcome.NETWORK_ERROR, "bad_encoding", 200)
    assert fetched.body == b""
    assert fetched.detail
    assert fetcher.fetch(site.origin + "/ok", wanted).body == b"hello hello hello"


@pytest.mark.parametrize("status", [b"302 Found", b"404 Not Found"])
def test_a_broken_body_of_no_page_is_left_out(
    fetcher: Fetcher, site: HostileSite, wanted: Wanted, monkeypatch: pytest.MonkeyPatch, status: bytes
) -> None:
    monkeypatch.setitem(ROUTES, b"/no", saying(reply(status, b"Content-Encoding: gzip", body=b"this is no gzip")))
    fetched = fetcher.fetch(site.origin + "/no", wanted)
    assert (fetched.status, fetched.failure, fetched.body) == (int(status[:3]), None, b"")


def test_every_engine_offers_the_same_codings(fetcher: Fetcher, site: HostileSite) -> None:
    fetcher.fetch(site.origin + "/ok")
    lines = [line for line in site.requests[0].split(b"\r\n") if line.lower().startswith(b"accept-encoding:")]
    assert [line.partition(b": ")[2] for line in lines] == [OFFERED.encode()]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "deflate, gzip"])
@pytest.mark.parametrize("rest", [b"", *RESTS], ids=range(len(RESTS) + 1))
def test_it_does_not_matter_where_a_body_is_cut_into_blocks(coding: str, rest: bytes) -> None:
    data = SMALL
    for name in coding.split(", "):
        data = CODERS[name](data)
    data += rest
    headers = Headers((("Content-Encoding", coding),))
    for size in (1, 2, 3, 7, len(data) - len(rest) - 1, len(data) - len(rest), len(data)):
        blocks = [data[begin:end] for begin, end in pairwise([*range(0, len(data), size), len(data)])]
        assert decoded(blocks, decoder_of(headers), len(SMALL)) == SMALL
        assert decoded(blocks, decoder_of(headers), len(SMALL) - 1) is None
