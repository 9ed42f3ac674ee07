"""Tests that run where every address is reachable: `test_open_network.py` runs them, in a network of their own.

The site is at a public address. Whatever connects to any other one, or to another port of it, is noticed.
"""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from crawlfleet.worker.fetch.names import SERVERS_VARIABLE
from tests.hostile.inner_aims import ADDRESSES, FETCHED, PRIVATE, REFUSED, Aims, crawl, ends
from tests.hostile.test_inner_routes import ENGINES
from tests.site.inner_listener import listening
from tests.site.leading_inside import SITEMAP, leading_inside, origin_name
from tests.site.name_server import NameServer
from tests.site.robots_hosts import until

PUBLIC = "93.184.215.14"
EVERYWHERE = ("0.0.0.0", "::")
INNER_PORT = 8080
#: Where somebody listens at the port of the site.
BESIDE = ("127.0.0.9", "10.0.0.1", "169.254.169.254", "::1", "fd00::1")
MIXED = (("127.0.0.9", PUBLIC), (PUBLIC, "127.0.0.9"), ("::1", "fd00::1", PUBLIC), (PUBLIC, *BESIDE), (*BESIDE, PUBLIC))
#: The name server that resolv.conf names.
SERVER = ("127.0.0.53", 53)

pytestmark = pytest.mark.timeout(200)


@pytest.fixture(autouse=True)
def _by_resolv_conf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SERVERS_VARIABLE, raising=False)


def is_open(address: str) -> bool:
    with suppress(OSError), closing(socket.create_connection((address, INNER_PORT), 5)):
        return True
    return False


def test_without_a_guard_nearly_every_address_could_be_connected_to() -> None:
    with listening(*EVERYWHERE, port=INNER_PORT) as inner:
        opened = [address for address in ADDRESSES if is_open(address)]
        assert len(inner.visitors()) == len(opened)
    closed = set(ADDRESSES) - set(opened)
    assert len(opened) > 100
    assert all(address.startswith(("fe", "ff", "127.255", "2", "5f")) for address in closed), closed


@pytest.mark.parametrize("engine", ENGINES)
def test_no_route_leads_from_a_public_site_inside(tmp_path: Path, engine: str) -> None:
    with leading_inside(PUBLIC, 80) as site, listening(*EVERYWHERE, port=INNER_PORT) as inner:
        aims = Aims(site, INNER_PORT)
        with NameServer(0.5, *SERVER, records=aims.records):
            out = crawl(tmp_path, aims.job(engine))
        assert inner.visitors() == []
    found = ends(tmp_path)
    assert {key: found.get(key) for key in aims.expected} == aims.expected, out


@pytest.mark.parametrize("engine", ENGINES)
def test_a_name_with_public_and_private_addresses_leads_to_the_public_ones_alone(tmp_path: Path, engine: str) -> None:
    ways = ("link", "redirect", "listed", "map", "rules")
    names = {way: [f"{way}{number}.both.test" for number in range(len(MIXED))] for way in ways}
    origins = [origin_name(number) for number in range(len(MIXED))]
    records = {name: mixed for each in names.values() for name, mixed in zip(each, MIXED, strict=True)}
    job = {
        "seeds": [
            "http://public.test/",
            {"sitemap": f"http://public.test{SITEMAP}"},
            *map("http://{}/".format, origins),
        ],
        "scope": {"hosts": "any", "pages": 100, "sitemaps": True},
        "politeness": {"delay": "0s", "robots_wait": "0s"},
        "fetch": {"engine": engine, "retries": 0},
    }
    with leading_inside(PUBLIC, 80) as site, listening(*BESIDE, port=80) as inner:
        assert inner.is_reachable()
        site.links = [f"http://{name}/" for name in names["link"]]
        site.moved = [f"http://{name}/" for name in names["redirect"]]
        site.listed = [f"http://{name}/" for name in names["listed"]]
        site.sitemaps = [f"http://{name}{SITEMAP}" for name in names["map"]]
        site.robots = [f"http://{name}/rules" for name in names["rules"]]
        public = dict.fromkeys(("public.test", *origins), (PUBLIC,))
        with NameServer(0.5, *SERVER, records=records | public) as server:
            out = crawl(tmp_path, job)
        assert server.questions.keys() >= records.keys()
        assert inner.visitors() == []
    found = ends(tmp_path)
    pages = (*site.links, *site.moved, *site.listed, *map("http://{}/".format, origins))
    assert {found["page", page] for page in pages} == {FETCHED}, out
    assert {found["sitemap", url] for url in site.sitemaps} == {FETCHED}, out
    assert {found["robots", url] for url in site.robots} == {FETCHED}, out


@pytest.mark.parametrize("engine", ENGINES)
def test_a_seed_that_was_public_never_leads_inside(tmp_path: Path, engine: str) -> None:
    job = {
        "seeds": ["http://public.test/"],
        "politeness": {"delay": "0s", "robots_wait": "0s"},
        "fetch": {"engine": engine, "retries": 0},
    }
    with leading_inside(PUBLIC, 80) as site, listening(*BESIDE, port=80) as inner:
        assert inner.is_reachable()
        site.links = ["/later"]
        with NameServer(0.5, *SERVER, records={"public.test": (PUBLIC,)}) as names:
            crawl(tmp_path, job | {"scope": {"depth": 0}})
            names.records["public.test"] = BESIDE
            out = crawl(tmp_path, job | {"scope": {"depth": 1}})
        assert inner.visitors() == []
    found = ends(tmp_path)
    assert found["page", "http://public.test/"] == FETCHED, out
    assert found["page", "http://public.test/later"] == REFUSED, out


def test_a_name_that_leads_inside_by_its_next_answer_is_not_asked(tmp_path: Path) -> None:
    """An answer is kept for a minute: the second request to each host is due after that of the first has expired."""
    with leading_inside(PUBLIC, 80) as site, listening(*BESIDE, port=80) as inner, ThreadPoolExecutor() as pool:
        assert inner.is_reachable()
        site.moved = [f"http://moved.{engine}.test/" for engine in ENGINES]
        site.busy = {f"rules.{engine}.test" for engine in ENGINES}
        rebound = [f"{way}.{engine}.test" for way in ("page", "moved", "map", "rules") for engine in ENGINES]
        begin = [f"begin.{engine}.test" for engine in ENGINES]
        asked = {f"{name}/robots.txt" for name in rebound}
        asked |= {f"{name}/moved/{number}" for number, name in enumerate(begin)}
        with NameServer(0.5, *SERVER, records=dict.fromkeys((*rebound, *begin), (PUBLIC,))) as names:
            outs = {}
            for number, engine in enumerate(ENGINES):
                (tmp_path / engine).mkdir()
                outs[engine] = pool.submit(crawl, tmp_path / engine, rebinding_job(engine, number))
            until(lambda: set(site.asked) == asked)
            names.records |= dict.fromkeys(rebound, BESIDE)
            printed = {engine: out.result() for engine, out in outs.items()}
        assert inner.visitors() == []
    assert len(site.asked) == len(asked)
    for engine in ENGINES:
        found = ends(tmp_path / engine)
        for way in ("page", "moved", "rules"):
            assert found["page", f"http://{way}.{engine}.test/"] == REFUSED, printed[engine]
        assert found["sitemap", f"http://map.{engine}.test{SITEMAP}"] == REFUSED, printed[engine]
        assert found["robots", f"http://rules.{engine}.test/robots.txt"].reason == PRIVATE, printed[engine]


def rebinding_job(engine: str, number: int) -> dict[str, object]:
    """Return a job that asks each of its hosts twice: for robots.txt, and then for a page, a sitemap, or that again."""
    pages = (f"begin.{engine}.test/moved/{number}", f"page.{engine}.test/", f"rules.{engine}.test/")
    return {
        "seeds": [*map("http://{}".format, pages), {"sitemap": f"http://map.{engine}.test{SITEMAP}"}],
        "scope": {"hosts": "any", "pages": 100},
        "politeness": {
            "delay": "62s",
            "robots_wait": "0s",
            "ignore_robots": [{"host": f"begin.{engine}.test", "reason": "it redirects at once"}],
        },
        "fetch": {"engine": engine, "retries": 1},
    }
