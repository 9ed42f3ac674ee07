"""Whole crawls of a site that leads inside by every route and in every spelling: nobody connects to what is there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.shared.web.urls import canonicalize
from tests.conformance.vectors import published
from tests.hostile.inner_aims import REFUSED, TARGETS, Aims, crawl, ends
from tests.site.address_ranges import EDGES
from tests.site.inner_hosts import NAMES, OTHERS, SPELLINGS
from tests.site.inner_listener import listening
from tests.site.leading_inside import inner_url, leading_inside
from tests.site.name_server import NameServer

SITE = "127.0.8.1"
# Where somebody listens: in the spellings, behind 0.0.0.0 and localhost, and at another port of the site's own address.
INNER = ("127.0.0.9", "127.0.0.1", "::1", SITE)
ENGINES = [entry.name for entry in FETCH_ENGINES.values() if entry.takes_addresses]


@pytest.mark.parametrize("engine", ENGINES)
def test_no_route_leads_inside(tmp_path: Path, engine: str) -> None:
    with leading_inside(SITE) as site, listening(*INNER) as inner:
        assert inner.is_reachable()
        aims = Aims(site, inner.port)
        site.links.append(aims.aim(SITE, "/other_port"))
        with NameServer(slow_s=0.5, records=aims.records) as names:
            out = crawl(tmp_path, aims.job(engine), names.address)
        assert inner.visitors() == []
    found = ends(tmp_path)
    assert {key: found.get(key) for key in aims.expected} == aims.expected, out


def test_as_many_are_tried_as_is_published() -> None:
    with leading_inside(SITE) as site:
        routes = {f"led inside by {route}": len(urls) for route, urls in Aims(site, 80).routes.items()}
    counts = {"edges of ranges": len(EDGES), "spellings of hosts": len(SPELLINGS) + len(OTHERS), **routes}
    counts["led inside by checks"] = len(TARGETS) + len(NAMES)
    assert {name: published(name) for name in counts} == {name: (count, count) for name, count in counts.items()}


def test_each_way_tries_at_least_150_spellings_and_as_many_as_is_published() -> None:
    with leading_inside(SITE) as site:
        routes = Aims(site, 80).routes
    ways = ("links", "redirects", "sitemaps", "lines of robots.txt", "redirected robots.txt")
    counts = {f"spellings by {way}": spellings_in(routes[way]) for way in ways}
    counts["addresses by answers of DNS"] = len(set(routes["answers of DNS"]))
    assert min(counts.values()) >= 150
    assert {name: published(name) for name in counts} == {name: (count, count) for name, count in counts.items()}


def spellings_in(urls: Iterable[str]) -> int:
    """Return how many different spellings of hosts are in the URLs of a way."""
    written = {inner_url(each, 80, "") for each in (*SPELLINGS, *OTHERS)}
    return sum(any(url.startswith(each) for url in urls) for each in written)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_check_of_an_external_link_leads_inside(tmp_path: Path, engine: str) -> None:
    with leading_inside(SITE) as site, listening(*INNER) as inner:
        assert inner.is_reachable()
        job = {
            "seeds": [f"{site.base}/"],
            "links": {"check_external": True},
            "politeness": {"delay": "0s", "adaptive": False},
            "fetch": {"engine": engine, "retries": 0},
        }
        site.links = [inner_url(host, inner.port, f"/{number}") for number, host in enumerate((*TARGETS, *NAMES))]
        with NameServer(records={"localhost": ("127.0.0.1", "::1")}) as names:
            out = crawl(tmp_path, job, names.address)
        assert inner.visitors() == []
    found = ends(tmp_path)
    checks = [canonicalize(link) for link in site.links]
    assert {found.get(("check", str(url))) for url in checks} == {REFUSED}, out
