"""What goes over the wire is the canonical URL, byte for byte, whatever the link and the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from crawlfleet.shared.brief import UrlSpec
from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.shared.web.url_policy import TRACKING, UrlPolicy
from crawlfleet.shared.web.urls import parts
from crawlfleet.worker.fetch.port import Fetcher
from crawlfleet.worker.fetch.registry import open_fetcher
from tests.local import local_spec
from tests.site.hostile_site import HostileSite

POLICIES = {
    "standard": UrlSpec(),
    "all": UrlSpec(drop_query=TRACKING, sort_query=True, strip_session_ids=True, index_pages=("index.html",)),
}
LINKS = (
    *("/%7E~", "/%7e", "/%2f%2F", "/a%2fb/c", "/%", "/%4", "/%zz", "/%%41", "/%00", "/|", "/'", '/"', "/{}", "/<>"),
    *("/`^", "/[x]", "/\\\\x", "/a\\b", "/ü/日本", "/\U0001f600", "/a b", "/;p=1;q", "/a;jsessionid=1", "/@:!$&()*+,="),
    *("//x//", "/./a", "/a/../b", "/%2e%2E/a", "/.%2e/a", "/a/.", "/..", "/...", "/?", "/??", "/?a=b c", "/?a=b+c"),
    *("/?q='", '/?q="<>', "/?q=|\\^`{}[]", "/?%7e=%7E", "/?ü=ß", "/?a;b", "/?x=/../y", "/?x=http://h/?y", "/?a#b?c"),
    *(
        "/?b=1&a=2&utm_source=x",
        "/?&&=&",
        "/a?PHPSESSID=1",
        "/x/index.html?b&a",
        "/a\tb\nc",
        "/a/b/..//./c?d=./..",
        "/?%",
    ),
)


@pytest.fixture(params=sorted(FETCH_ENGINES))
def fetcher(request: pytest.FixtureRequest) -> Iterator[Fetcher]:
    with closing(open_fetcher(local_spec(engine=request.param, timeout_s=10))) as opened:
        yield opened


@pytest.mark.parametrize("spec", POLICIES.values(), ids=POLICIES)
def test_the_canonical_url_is_sent_as_it_is(fetcher: Fetcher, spec: UrlSpec) -> None:
    policy = UrlPolicy(spec)
    with HostileSite() as site:
        urls = [policy.canonicalize(link, site.origin + "/page") for link in LINKS]
        own = [url for url in urls if url is not None and url.startswith(site.origin + "/")]
        assert len(own) == len(LINKS) - 2, "//x// and \\\\x lead to another host"
        for url in own:
            fetcher.fetch(url)
        sent = [request.split(b"\r\n")[0] for request in site.requests]
    assert sent == [f"GET {parts(url).path} HTTP/1.1".encode() for url in own]
