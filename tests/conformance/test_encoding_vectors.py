"""The encoding of pages against html5lib's cases, and coded bodies over every fetch engine."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import pytest

from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.shared.messages import Outcome
from crawlfleet.worker.extract.charset import declared_encoding, decode
from crawlfleet.worker.extract.encoding import FALLBACK, decoded, name_of
from crawlfleet.worker.fetch.port import Fetched
from crawlfleet.worker.fetch.registry import open_fetcher
from tests.conformance.vectors import published, vectors
from tests.local import local_spec
from tests.site.hostile_site import ROUTES, HostileSite, reply, saying

LIMIT = 1024 * 1024
_ROUTE = b"/vector"
_HTML = "html5lib-encoding/encoding"

READ = (None, "")
NOT_OFFERED = (Outcome.NETWORK_ERROR, "bad_encoding")
TOO_LARGE = (Outcome.TOO_LARGE, "body_too_large")

# File, its Content-Encoding, what becomes of it, and how many bytes are read.
CODED: list[tuple[str, str, tuple[Outcome | None, str], int]] = [
    ("html-gzip.bin", "gzip", READ, 74_837),
    ("html-rawdeflate.bin", "deflate", READ, 74_840),
    ("html-zlibdeflate.bin", "deflate", READ, 74_840),
    ("html-gzip-deflate.bin", "gzip, deflate", READ, 74_837),
    ("feed-sample1.xml.gz", "gzip", READ, 9_950),
    # Cut inside the coding, though whole by the length that was told: read as far as it goes, as browsers do.
    ("truncated-crc-error.gz", "gzip", READ, 25_542),
    ("truncated-crc-error-short.gz", "gzip", READ, 3_741),
    ("unexpected-eof.gz", "gzip", READ, 8_576),
    ("html-gzip-deflate-gzip.bin", "gzip, deflate, gzip", NOT_OFFERED, 0),
    ("feed-sample1.xml.bz2", "bzip2", READ, 1_430),
    ("html-br.bin", "br", READ, 74_837),
    ("html-zstd-static-content-size.bin", "zstd", NOT_OFFERED, 0),
    ("html-zstd-static-no-content-size.bin", "zstd", NOT_OFFERED, 0),
    ("html-zstd-streaming-no-content-size.bin", "zstd", NOT_OFFERED, 0),
    ("bomb-br.bin", "br", TOO_LARGE, 0),
    ("bomb-zstd.bin", "zstd", NOT_OFFERED, 0),
    ("bomb-gzip.bin", "gzip", TOO_LARGE, 0),
    ("bomb-deflate.bin", "deflate", TOO_LARGE, 0),
]


class Case(NamedTuple):
    """A page, and the encoding that it must be read in."""

    page: bytes
    encoding: str | None


def _cases(file: str) -> Iterator[Case]:
    for part in vectors(f"{_HTML}/{file}").read_bytes().split(b"#data\n")[1:]:
        page, _, label = part.rpartition(b"#encoding\n")
        yield Case(page.removesuffix(b"\n"), name_of(label.decode().partition("\n")[0]))


def _read_as(page: bytes) -> str:
    return declared_encoding(page, "")[0] or FALLBACK


def _agree(name: str, cases: list[Case]) -> list[Case]:
    """Return the cases that deviate; fail if there are more or fewer than the documents tell of."""
    wrong = [case for case in cases if _read_as(case.page) != case.encoding]
    assert published(name) == (len(cases), len(cases) - len(wrong)), wrong
    return wrong


@pytest.mark.parametrize("file", ["tests1.dat", "tests2.dat", "test-yahoo-jp.dat"])
def test_every_page_is_read_in_the_encoding_that_a_browser_takes(file: str) -> None:
    assert _agree(f"`{file}`", list(_cases(file))) == []


def test_what_a_script_would_write_declares_nothing() -> None:
    (page,) = _agree("`scripted/tests1.dat`", list(_cases("scripted/tests1.dat")))
    assert b"document.write" in page.page


def test_an_encoding_is_never_guessed_from_the_frequency_of_letters() -> None:
    page = vectors(f"{_HTML}/chardet/test_big5.txt").read_bytes()
    assert declared_encoding(page, "") == (None, 0)
    assert decode(page) == decoded(page, FALLBACK)
    assert "老子" in decode(page, "text/plain; charset=big5") or "章" in decode(page, "text/plain; charset=big5")


@pytest.fixture(params=sorted(FETCH_ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def site() -> Iterator[HostileSite]:
    with HostileSite() as running:
        yield running


def _fetch(site: HostileSite, engine: str, file: str, coding: str, patch: pytest.MonkeyPatch) -> Fetched:
    body = vectors(f"compressed/{file}").read_bytes()
    patch.setitem(ROUTES, _ROUTE, saying(reply(b"200 OK", b"Content-Encoding: " + coding.encode(), body=body)))
    with closing(open_fetcher(local_spec(engine=engine, timeout_s=10, max_size_bytes=LIMIT))) as fetcher:
        return fetcher.fetch(site.origin + "/vector")


@pytest.mark.parametrize(("file", "coding", "end", "size"), CODED)
def test_a_coded_body_is_read_or_refused_by_name(
    site: HostileSite,
    engine: str,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    coding: str,
    end: tuple[Outcome | None, str],
    size: int,
) -> None:
    fetched = _fetch(site, engine, file, coding, monkeypatch)
    assert ((fetched.failure, fetched.reason), len(fetched.body)) == (end, size)


@pytest.mark.parametrize(
    ("file", "coding"), [("bomb-gzip.bin", "gzip"), ("bomb-deflate.bin", "deflate"), ("bomb-br.bin", "br")]
)
def test_a_bomb_takes_no_more_memory_than_the_limit(
    site: HostileSite, engine: str, monkeypatch: pytest.MonkeyPatch, file: str, coding: str
) -> None:
    tracemalloc.start()
    try:
        fetched = _fetch(site, engine, file, coding, monkeypatch)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert fetched.failure is Outcome.TOO_LARGE
    assert peak < 2 * LIMIT


def test_the_data_really_has_bombs() -> None:
    data = vectors("compressed/bomb-gzip.bin").read_bytes()
    assert len(zlib.decompress(data, zlib.MAX_WBITS | 16)) > 10 * LIMIT


def test_a_file_that_is_compressed_itself_is_left_as_it_is(
    site: HostileSite, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = _fetch(site, engine, "feed-sample1.xml.gz", "identity", monkeypatch)
    assert fetched.body == vectors("compressed/feed-sample1.xml.gz").read_bytes()
