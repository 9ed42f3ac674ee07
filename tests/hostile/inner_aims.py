"""Crawls of a site that leads inside by every route and in every spelling, and what must become of each URL."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from crawlfleet.shared.web.urls import canonicalize
from crawlfleet.worker.fetch.names import SERVERS_VARIABLE
from tests.acceptance.crawls import CRAWLFLEET, lines
from tests.site.address_ranges import INNER_EDGES
from tests.site.inner_hosts import NAMES, OTHERS, SPELLINGS
from tests.site.leading_inside import SITEMAP, LeadingInside, in_line, inner_url, origin_name

PATIENCE_S = 180
PRIVATE = "private_address"
TARGETS = (*SPELLINGS, *OTHERS, *INNER_EDGES)
ADDRESSES = tuple(dict.fromkeys(host.strip("[]") for host in (*OTHERS.values(), *INNER_EDGES)))


class Odd(NamedTuple):
    """What the look-up of a name gives (None: what the name says); the reasons of its page, and of its robots.txt."""

    listed: tuple[str, ...] | None
    page: str
    robots: str


ODD_NAMES = {
    "chain.odd1.test": Odd(("one.odd2.test.", "two.odd3.test.", "127.0.0.9"), PRIVATE, PRIVATE),
    "mixed.odd4.test": Odd(("127.0.0.9", "::1", "10.0.0.1", "fd00::1", "169.254.169.254"), PRIVATE, PRIVATE),
    "mapped.odd5.test": Odd(("::ffff:127.0.0.9", "::ffff:10.0.0.1"), PRIVATE, PRIVATE),
    "late.slow.test": Odd(("127.0.0.9", "::1"), PRIVATE, PRIVATE),
    "never.dead.test": Odd(None, "robots_unreachable", "dns_timeout"),
    "no.broken.test": Odd(None, "robots_unreachable", "dns_unavailable"),
    "no.missing.test": Odd(None, "dns_failed", "dns_failed"),
    "no.empty.test": Odd(None, "dns_failed", "dns_failed"),
    f"{'x' * 64}.odd6.test": Odd(None, "dns_failed", "dns_failed"),
    f"{'x' * 255}.odd7.test": Odd(None, "dns_failed", "dns_failed"),
}
#: The ways to such a name, and the kind of the task that leads there.
ODD_WAYS = {"link": "page", "redirect": "page", "listed": "page", "sitemap": "sitemap", "robots": "robots"}


class Ended(NamedTuple):
    """What became of a URL."""

    state: str
    reason: str | None = None


REFUSED = Ended("dropped", PRIVATE)
FETCHED = REDIRECTED = Ended("done")


def crawl(folder: Path, job: Mapping[str, object], name_server: str = "") -> str:
    """Run a job to its end by one worker, by a name server or that of resolv.conf; return what was printed."""
    path = folder / "inside.yaml"
    path.write_text(json.dumps({"name": "inside", "tables": {"urls": "urls.jsonl"}, **job}))
    done = subprocess.run(
        [*CRAWLFLEET, "run", path.name, "--workers", "1", "--accept-changes"],
        cwd=folder,
        env=os.environ | ({SERVERS_VARIABLE: name_server} if name_server else {}),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.stdout + done.stderr


def ends(folder: Path) -> dict[tuple[str, str], Ended]:
    """Return what became of each URL of a finished crawl, by kind and URL."""
    rows = lines(folder / "crawls" / "inside" / "urls.jsonl")
    return {(row["kind"], row["url"]): Ended(row["state"], row["reason"]) for row in rows}


class Aims:
    """What a site leads to, at one port of inner addresses; `expected` is what must become of each URL, by kind.

    `routes` are the URLs that each way leads to, by what it is called; `records` are names for a name server.
    """

    def __init__(self, site: LeadingInside, port: int) -> None:
        self._site = site
        self._port = port
        self.expected: dict[tuple[str, str], Ended] = {}
        fitting = in_line(TARGETS)
        words = [target for target in fitting if "\t" not in target]
        names = [f"dns.inner{number}.test" for number in range(len(ADDRESSES))]
        self.routes = {
            "links": [self.aim(host, f"/link/{number}") for number, host in enumerate((*TARGETS, *NAMES))],
            "redirects": [self.aim(host, f"/moved/{number}") for number, host in enumerate(fitting)],
            "sitemaps": [self.aim(host, f"/listed/{number}") for number, host in enumerate(TARGETS)],
            "lines of robots.txt": [self.aim(host, f"/map/{number}", "sitemap") for number, host in enumerate(words)],
            "redirected robots.txt": [
                self.aim(host, f"/robots/{number}", "robots") for number, host in enumerate(fitting)
            ],
            "answers of DNS": [self.aim(name, "/dns") for name in names],
            **{f"odd answers of DNS, {way}": self._odd(way, kind) for way, kind in ODD_WAYS.items()},
        }
        site.links = [*self.routes["links"], *self.routes["answers of DNS"], *self.routes["odd answers of DNS, link"]]
        site.moved = [*self.routes["redirects"], *self.routes["odd answers of DNS, redirect"]]
        site.listed = [*self.routes["sitemaps"], *self.routes["odd answers of DNS, listed"]]
        site.sitemaps = [*self.routes["lines of robots.txt"], *self.routes["odd answers of DNS, sitemap"]]
        site.robots = [*self.routes["redirected robots.txt"], *self.routes["odd answers of DNS, robots"]]
        origins = [origin_name(number) for number in range(len(site.robots))]
        self._origins = [f"{site.base_of(name)}/" for name in origins]
        self.expected |= {("page", url): REFUSED for url in self._origins}
        self._expect_odd_robots(site.robots)
        self.expected |= {("page", f"{site.base}/moved/{number}"): REDIRECTED for number in range(len(site.moved))}
        self.expected["page", f"{site.base}/"] = FETCHED
        self.records: dict[str, tuple[str, ...]] = {
            "localhost": ("127.0.0.1", "::1"),
            **dict(zip(names, ((address,) for address in ADDRESSES), strict=True)),
            **dict(_odd_records()),
            **dict.fromkeys(origins, (site.address,)),
        }

    def job(self, engine: str) -> dict[str, object]:
        """Return a job that follows them all."""
        return {
            "seeds": [f"{self._site.base}/", {"sitemap": f"{self._site.base}{SITEMAP}"}, *self._origins],
            "scope": {"hosts": "any", "pages": 100_000, "sitemaps": True},
            "politeness": {"delay": "0s", "adaptive": False, "robots_wait": "0s"},
            "fetch": {"engine": engine, "retries": 0, "dns_timeout": "4s", "timeout": "10s"},
        }

    def aim(self, host: str, path: str, kind: str = "page", reason: str = PRIVATE) -> str:
        """Return a URL that leads inside, and expect that it is not followed."""
        url = inner_url(host, self._port, path)
        canonical = canonicalize(url)
        assert canonical is not None
        self.expected[kind, canonical] = Ended("dropped", reason)
        return url

    def _odd(self, way: str, kind: str) -> list[str]:
        return [self.aim(f"{way}-{name}", "/odd", kind, found.page) for name, found in ODD_NAMES.items()]

    def _expect_odd_robots(self, robots: Sequence[str]) -> None:
        """Expect of the last ones, and of the pages that wait for them, what their names say."""
        places = range(len(robots) - len(ODD_NAMES), len(robots))
        for place, found in zip(places, ODD_NAMES.values(), strict=True):
            self.expected["robots", robots[place]] = Ended("done", found.robots)
            if found.robots != PRIVATE:
                self.expected["page", self._origins[place]] = Ended("dropped", "robots_unreachable")


def _odd_records() -> Iterator[tuple[str, tuple[str, ...]]]:
    for way in ODD_WAYS:
        yield from ((f"{way}-{name}", found.listed) for name, found in ODD_NAMES.items() if found.listed is not None)
