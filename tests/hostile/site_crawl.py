"""One real crawl of all that hostile hosts do, and what it came to.

    python -m tests.hostile.site_crawl [--engine curl] [--engine requests]

Every behaviour is met as a page behind a link, as a page behind a redirect from another host, as a link out of the
scope that is checked, as a sitemap and as a robots.txt. Beside them is an honest host. A chain of its pages keeps the
crawl from its end until the threads and descriptors of the processes have been counted; then as many of its pages are
asked for at once as a worker fetches, so that a thread that is lost is missed.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.reader import SqliteReader
from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.shared.messages import Kind
from tests.acceptance import crawls
from tests.acceptance.processes import end_with_descendants
from tests.hostile.site_behaviours import (
    BEHAVIOURS,
    FETCHED,
    HTML,
    REDIRECTED,
    TARGETS,
    as_robots,
    as_sitemap,
    is_final,
)
from tests.hostile.site_combinations import combinations
from tests.hostile.site_processes import Count, counts
from tests.hostile.site_server import HostileHosts, Meeting
from tests.site.hostile_site import Route, Visitor, reply, saying
from tests.site.robots_hosts import until

HONEST, LINKED, MOVED, REACHED, LISTED, MIXED, CHECKED = (f"127.0.60.{number}" for number in range(1, 8))
ROBOTS = {f"127.0.61.{number}": name for number, name in enumerate(BEHAVIOURS, start=1)}
HOSTS = (HONEST, LINKED, MOVED, REACHED, LISTED, MIXED, *ROBOTS)  # those of the scope
MIXES = dict(combinations())
# What is met behind a redirect of another host; one more redirect would shorten the chain of the last one.
MOVABLE = [name for name in BEHAVIOURS if name != "spin"]
THREADS = 24
HONEST_PAGES = 100
TIMEOUT_S, FIRST_BYTE_S = 10.0, 8.0
# The longest pause before a retry, and then some.
QUIET_S = 3.0
PATIENCE_S = 100.0
CHAIN_S = 0.2

JOB = """\
name: hostile
seeds: {seeds}
scope: {{hosts: {hosts}}}
politeness:
  delay: 0s
  per_host: 100
  adaptive: false
  patience: 0
  robots_wait: 0s
  robots_wait_last: 0s
  ignore_robots: {ignored}
links: {{check_external: true}}
fetch: {{engine: {engine}, retries: 1, timeout: {timeout}s, first_byte_timeout: {first_byte}s, max_size: 500KB,
  types: [text/html, text/plain], allow_private: [{checked}]}}
"""


class Seen(NamedTuple):
    """How a page ended, and how often it was asked for."""

    verdict: str
    asked: int


@dataclass(frozen=True, kw_only=True)
class Crawled:
    """What a crawl came to: pages and sitemaps by `KIND HOST/TARGET`, and what its processes held before and after.

    `methods` are those of all requests, by host and target; `met` is how many honest pages were open at once at last;
    `overshoot_s` by how much the longest visit was longer than its deadline.
    """

    engine: str
    code: int
    printed: str
    folder: Path
    expected: dict[str, Seen]
    seen: dict[str, Seen]
    before: dict[int, Count]
    after: dict[int, Count]
    methods: dict[tuple[str, str], list[str]]
    met: int
    overshoot_s: float
    took_s: float

    def odd(self) -> dict[str, tuple[Seen | None, Seen | None]]:
        """Return what is not as expected, and what it is: a page may be asked for less often, if a machine is slow."""
        names = sorted(self.expected | self.seen)
        pairs = {name: (self.expected.get(name), self.seen.get(name)) for name in names}
        return {name: pair for name, pair in pairs.items() if not _fits(*pair)}


def _fits(expected: Seen | None, seen: Seen | None) -> bool:
    if expected is None or seen is None:
        return False
    return expected.verdict == seen.verdict and bool(expected.asked) <= seen.asked <= expected.asked


def _anchors(*addresses: str) -> Route:
    body = "".join(f'<a href="{address}">x</a>' for address in addresses)
    return saying(reply(b"200 OK", HTML, body=body.encode()))


class _Plan:
    """What each host does, and when the crawl may come to its end."""

    def __init__(self) -> None:
        self.meeting = Meeting(THREADS - 1, FIRST_BYTE_S * 0.7)
        self.is_counted = threading.Event()
        self.port = 0

    def route_of(self, address: str, target: str) -> Route:
        name = target.removeprefix("/")
        if target == "/robots.txt":
            behaviour = BEHAVIOURS.get(ROBOTS.get(address, ""))
            return behaviour.route if behaviour else saying(reply(b"404 Not Found"))
        if address == HONEST:
            return self._honest(name)
        if address == MOVED and name.startswith("from/"):
            location = f"http://{REACHED}:{self.port}/{name.removeprefix('from/')}"
            return saying(reply(b"302 Found", b"Location: " + location.encode()))
        behaviour = MIXES.get(name) or BEHAVIOURS.get(name) or TARGETS.get(name)
        return behaviour.route if behaviour else saying(reply(b"200 OK", HTML, body=b"<title>home</title>"))

    def _honest(self, name: str) -> Route:
        kind, _, number = name.partition("/")
        if kind == "late":
            return self._meet
        if kind == "chain":
            time.sleep(CHAIN_S)
            after = [f"/late/{place}" for place in range(THREADS - 1)]
            return _anchors(*(after if self.is_counted.is_set() else [f"/chain/{int(number) + 1}"]))
        return _anchors("/chain/0", *(f"/early/{place}" for place in range(HONEST_PAGES)), *self._hostile())

    def _meet(self, visitor: Visitor) -> None:
        self.meeting.join()
        visitor.say(reply(b"200 OK", HTML, body=b"<title>honest</title>"))

    def _hostile(self) -> Iterator[str]:
        yield from (f"http://{LINKED}:{self.port}/{name}" for name in BEHAVIOURS)
        yield from (f"http://{MOVED}:{self.port}/from/{name}" for name in MOVABLE)
        yield from (f"http://{MIXED}:{self.port}/{name}" for name in MIXES)
        yield from (f"http://{CHECKED}:{self.port}/{name}" for name in (*BEHAVIOURS, *MIXES))


def _expected() -> Iterator[tuple[str, Seen]]:
    def seen(verdict: str) -> Seen:
        return Seen(verdict, 1 if is_final(verdict) else 2)

    for host in (HONEST, LINKED, MOVED, REACHED, MIXED):
        yield f"page {host}/", Seen(FETCHED, 1)
    yield from ((f"page {HONEST}/early/{place}", Seen(FETCHED, 1)) for place in range(HONEST_PAGES))
    yield from ((f"page {HONEST}/late/{place}", Seen(FETCHED, 1)) for place in range(THREADS - 1))
    for name, (_, verdict, _) in (BEHAVIOURS | TARGETS).items():
        yield f"page {LINKED}/{name}", seen(verdict)
        if not name.startswith("spin"):
            yield f"page {REACHED}/{name}", seen(verdict)
        yield f"sitemap {LISTED}/{name}", seen(as_sitemap(name, verdict))
    for name, each in (BEHAVIOURS | TARGETS | MIXES).items():
        yield f"check {CHECKED}/{name}", _checked(each.of_check)
    yield from ((f"page {MOVED}/from/{name}", Seen(REDIRECTED, 1)) for name in MOVABLE)
    yield from ((f"page {MIXED}/{name}", seen(each.verdict)) for name, each in MIXES.items())
    for host, name in ROBOTS.items():
        verdict = as_robots(BEHAVIOURS[name].verdict)
        yield f"page {host}/", Seen(verdict, int(verdict == FETCHED))


def _checked(verdict: str) -> Seen:
    """Return how often a check asks: once by HEAD, and after an error by GET, as often as for a page."""
    if verdict in (FETCHED, REDIRECTED, "redirect_loop", "too_many_redirects"):
        return Seen(verdict, 1)
    return Seen(verdict, 2 if is_final(verdict) else 3)


def crawl(folder: Path, engine: str) -> Crawled:
    """Crawl the hosts by the command line, with one worker; `folder` is empty."""
    plan = _Plan()
    started = time.monotonic()
    with HostileHosts((*HOSTS, CHECKED), plan.route_of, passing="/chain/") as hosts:
        plan.port = hosts.port
        process = crawls.start(
            folder, "run", _job(folder, engine, hosts.port), "--workers", "1", "--threads", str(THREADS)
        )
        try:
            until(lambda: hosts.asked[HONEST, "/chain/3"] > 0, PATIENCE_S)
            before = counts(process.pid, hosts.port)
            until(lambda: hosts.is_quiet(QUIET_S), PATIENCE_S)
            after = counts(process.pid, hosts.port)
            plan.is_counted.set()
            code = process.wait(PATIENCE_S)
        finally:
            end_with_descendants(process)
    return Crawled(
        engine=engine,
        code=code,
        printed=(folder / "out.txt").read_text(),
        folder=folder / "crawls" / "hostile",
        expected=dict(_expected()),
        seen=dict(_seen(folder / "crawls" / "hostile", hosts)),
        before=before,
        after=after,
        methods=dict(hosts.methods),
        met=plan.meeting.most,
        overshoot_s=max(stay.seconds for stay in hosts.stays) - TIMEOUT_S,
        took_s=time.monotonic() - started,
    )


def _job(folder: Path, engine: str, port: int) -> Path:
    pages = [f"http://{host}:{port}/" for host in (HONEST, LINKED, MOVED, REACHED, MIXED, *ROBOTS)]
    seeds = [*pages, *(f"{{sitemap: http://{LISTED}:{port}/{name}}}" for name in BEHAVIOURS)]
    path = folder / "hostile.yaml"
    path.write_text(
        JOB.format(
            seeds="".join(f"\n  - {seed}" for seed in seeds),
            hosts=[*HOSTS],
            ignored="".join(f"\n    - {{host: {host}, reason: a test}}" for host in HOSTS if host not in ROBOTS),
            engine=engine,
            checked=CHECKED,
            timeout=TIMEOUT_S,
            first_byte=FIRST_BYTE_S,
        )
    )
    return path


def _seen(folder: Path, hosts: HostileHosts) -> Iterator[tuple[str, Seen]]:
    """Yield all that is known or was asked for, but for robots.txt and the chain, whose length says nothing."""
    asked = hosts.asked.copy()
    with closing(SqliteReader(folder / FRONTIER)) as reader:
        tasks = [task for _, _, task in reader.tasks() if task.kind is not Kind.ROBOTS]
    for task in tasks:
        host, slash, target = task.url.removeprefix("http://").partition("/")
        address = host.partition(":")[0]
        if not target.startswith("chain/"):
            yield f"{task.kind.value} {address}/{target}", Seen(task.verdict, asked.pop((address, slash + target), 0))
    for (address, target), times in asked.items():
        if not target.startswith(("/chain/", "/robots.txt")) and address not in ROBOTS:
            yield f"unknown {address}{target}", Seen("", times)


def main() -> None:
    """Crawl with some engines, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.site_crawl", description="Crawl hostile hosts.")
    parser.add_argument("--engine", choices=list(FETCH_ENGINES), action="append")
    for engine in parser.parse_args().engine or list(FETCH_ENGINES):
        with tempfile.TemporaryDirectory(prefix="crawlfleet-") as folder:
            found = crawl(Path(folder), engine)
        odd = found.odd()
        for name, (expected, seen) in odd.items():
            print(f"  {name}: expected {expected}, seen {seen}")
        print(
            f"{engine}: {len(found.expected) - len(odd)} of {len(found.expected)} as expected, "
            f"overshoot {found.overshoot_s:.2f} s, met {found.met}, {found.took_s:.0f} s, exit {found.code}"
        )
        for pid, count in found.after.items():
            print(f"  process {pid}: before {found.before.get(pid)}, after {count}")


if __name__ == "__main__":
    main()
