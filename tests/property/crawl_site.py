"""A small web for simulated crawls: which pages there are, where they lead, and what a crawl of it must fetch."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

import msgspec

from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Kind, Outcome, Report, SitemapEntry, Task
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.urls import canonicalize, origin, parts

HOSTS = ("a.test", "b.test", "c.test")
ADDRESSES = ("10.0.0.1", "10.0.0.1", "10.0.0.2")
OUTSIDE = "http://elsewhere.test/"
NOT_CANONICAL = "http://A.test:80/x/../p0#top"
CRAWL_DELAY_S = 3.0
MAP = "http://b.test/sitemap.xml"
PART_ENTRIES = 2


class Robots(Enum):
    """What a host answers for its robots.txt."""

    NONE = "none"
    RULES = "rules"
    SLOW = "slow"
    MOVED = "moved"
    BROKEN = "broken"
    DEADLY = "deadly"


@dataclass(frozen=True, kw_only=True)
class SitePage:
    """One page: its host, its links by number, where it redirects to, and whether it kills who fetches it."""

    host: int = 0
    links: tuple[int, ...] = ()
    moved_to: int | None = None
    private: bool = False
    deadly: bool = False


@dataclass(frozen=True)
class Site:
    """Pages by number, each host's robots.txt, what a sitemap lists, which is reported in parts, and the pages that
    lines of a seeds file name; none of the two if that is nothing."""

    pages: tuple[SitePage, ...]
    robots: tuple[Robots, Robots, Robots]
    listed: tuple[int, ...] = ()
    given: tuple[int, ...] = ()

    def url(self, number: int) -> str:
        """Return the address of a page."""
        number %= len(self.pages)
        page = self.pages[number]
        return f"http://{HOSTS[page.host]}/{'private/' if page.private else ''}p{number}"

    def page(self, url: str) -> SitePage:
        """Return the page at an address."""
        return self.pages[int(url.rpartition("/p")[2])]

    def seeds(self) -> tuple[str, ...]:
        """Return where a crawl begins."""
        return tuple(dict.fromkeys((self.url(0), self.url(1))))

    def lines(self, number: int) -> list[tuple[str, SeedLine]]:
        """Return the first lines of the seeds file, so many."""
        urls = map(self.url, self.given[:number])
        return [(url, SeedLine(f"{url}#{place}", {"place": str(place)})) for place, url in enumerate(urls)]

    def maps(self) -> tuple[str, ...]:
        """Return the sitemap that the job names."""
        return (MAP,) if self.listed else ()

    def entries(self) -> tuple[str, ...]:
        """Return the pages that the sitemap lists."""
        return tuple(dict.fromkeys(self.url(number) for number in self.listed))

    def ahead(self, report: Report, task: Task) -> tuple[Report, ...]:
        """Return the parts that go ahead of the last report of a sitemap."""
        if task.kind is not Kind.SITEMAP or report.outcome is not Outcome.FETCHED:
            return ()
        parts = self._parts()[:-1]
        return tuple(_report(report.lease, task, Outcome.FETCHED, 200, entries=part, more=True) for part in parts)

    def _parts(self) -> list[tuple[SitemapEntry, ...]]:
        entries = tuple(SitemapEntry(url, number % 3) for number, url in enumerate(self.entries()))
        return [entries[start : start + PART_ENTRIES] for start in range(0, len(entries), PART_ENTRIES)]

    def scope(self) -> ScopeSpec:
        """Return a scope that holds the whole site."""
        return ScopeSpec(hosts=HOSTS)

    def is_deadly(self, task: Task) -> bool:
        """Say whether whoever fetches this dies of it."""
        if task.kind is Kind.ROBOTS:
            is_file = task.url.endswith("/robots.txt") and _is_here(task)
            return is_file and self.robots[_host(task.url)] is Robots.DEADLY
        return task.kind is Kind.PAGE and self.page(task.url).deadly

    def answer(self, lease: int, task: Task) -> Report:
        """Return the report of an honest worker."""
        if not _is_here(task):  # a forged link that leads out is checked like others
            return _report(lease, task, Outcome.HTTP_ERROR, 404)
        host = HOSTS.index(parts(task.url).host)
        spent = {"size_bytes": len(task.url), "cpu_s": 0.25 * len(task.url), "lookup_s": 0.5 * (host == 1)}
        return msgspec.structs.replace(self._answer(lease, task), address=ADDRESSES[host], **spent)

    def _answer(self, lease: int, task: Task) -> Report:
        if task.kind is Kind.ROBOTS:
            return self._robots(lease, task)
        if task.kind is Kind.SITEMAP:
            return _report(lease, task, Outcome.FETCHED, 200, entries=self._parts()[-1])
        page = self.page(task.url)
        if task.kind is Kind.CHECK and (is_gone(task) or (refuses_head(task) and not task.by_get)):
            return _report(lease, task, Outcome.HTTP_ERROR, 404 if is_gone(task) else 405)
        if page.moved_to is not None:
            return _report(lease, task, Outcome.REDIRECTED, 301, location=self.url(page.moved_to))
        outlinks = self.outlinks(task.url) if task.kind is Kind.PAGE else ()
        return _report(lease, task, Outcome.FETCHED, 200, outlinks=outlinks)

    def outlinks(self, url: str) -> tuple[str, ...]:
        """Return where a page links to."""
        return tuple(dict.fromkeys(self.url(number) for number in self.page(url).links))

    def has(self, url: str) -> bool:
        """Say whether an address is that of a page here."""
        return any(url == self.url(number) for number in range(len(self.pages)))

    def leads_of(self, urls: Collection[str]) -> set[str]:
        """Return pages, and those that they redirect to one after another."""
        found: set[str] = set()
        left = list(urls)
        while left:
            url = left.pop()
            target = self.page(url).moved_to
            if url not in found and target is not None:
                left.append(self.url(target))
            found.add(url)
        return found

    def reached(
        self, failed: Collection[str], refused: Collection[str], depth: int | None, more: Collection[str] = ()
    ) -> dict[str, int]:
        """Return the pages that every crawl fetches, with their depths; without those that redirect, that end as
        `failed`, and that are `refused`.

        Breadth first; a redirect costs no depth. What failed or is refused leads nowhere. `more` are the pages
        that the crawl begins with besides its seeds: those of the sitemap, and those that are asked for as seeds.
        """
        best: dict[str, int] = {}
        found = deque((url, 0) for url in (*self.seeds(), *more))
        fetched: dict[str, int] = {}
        while found:
            url, far = found.popleft()
            if (depth is not None and far > depth) or best.get(url, far + 1) <= far or url in refused:
                continue
            best[url] = far
            if url in failed:
                continue
            target = self.page(url).moved_to
            if target is not None:
                found.appendleft((self.url(target), far))
                continue
            fetched[url] = far
            found.extend((link, far + 1) for link in self.outlinks(url))
        return fetched

    def _robots(self, lease: int, task: Task) -> Report:
        host = _host(task.url)
        if not task.url.endswith("/robots.txt"):
            return _report(lease, task, Outcome.FETCHED, 200, body=b"User-agent: *\nDisallow: /private/\n")
        match self.robots[host]:
            case Robots.NONE:
                return _report(lease, task, Outcome.HTTP_ERROR, 404)
            case Robots.RULES:
                return _report(lease, task, Outcome.FETCHED, 200, body=b"User-agent: *\nDisallow: /private/\n")
            case Robots.SLOW:
                body = f"User-agent: *\nCrawl-delay: {CRAWL_DELAY_S:g}\n".encode()
                return _report(lease, task, Outcome.FETCHED, 200, body=body)
            case Robots.MOVED:
                target = f"http://{HOSTS[(host + 1) % len(HOSTS)]}/rules.txt"
                return _report(lease, task, Outcome.REDIRECTED, 302, location=target)
            case Robots.BROKEN | Robots.DEADLY:
                return _report(lease, task, Outcome.HTTP_ERROR, 500)


def _is_here(task: Task) -> bool:
    return parts(task.url).host in HOSTS


def refuses_head(task: Task) -> bool:
    """Say whether the server of a check knows no HEAD."""
    return task.ref[0] % 3 == 0


def is_gone(task: Task) -> bool:
    """Say whether a check finds nothing, though a page may be there later."""
    return task.ref[1] % 4 == 0


def _host(url: str) -> int:
    return HOSTS.index(origin(url).removeprefix("http://"))


MISFORTUNES: dict[str, dict[str, object]] = {
    "refused": {"outcome": Outcome.NETWORK_ERROR},
    "missing": {"outcome": Outcome.HTTP_ERROR, "status": 404},
    "busy": {"outcome": Outcome.HTTP_ERROR, "status": 503, "retry_after_s": 6.0},
    "too many": {"outcome": Outcome.HTTP_ERROR, "status": 429},
    "large": {"outcome": Outcome.TOO_LARGE, "status": 200},
    "bad hook": {"outcome": Outcome.EXTRACT_ERROR, "status": 200},
    "unwanted type": {"outcome": Outcome.DENIED, "status": 200, "reason": Reason.CONTENT_TYPE},
    "unasked 304": {"outcome": Outcome.NOT_MODIFIED, "status": 304},
}


def misfortune(name: str, honest: Report) -> Report:
    """Return what a worker reports if this happens to it in place of what the site would have answered."""
    listed: dict[str, object] = {
        "lease": honest.lease,
        "ref": honest.ref,
        "reason": name.replace(" ", "_"),
        **MISFORTUNES[name],
    }
    if name in ("bad hook", "unwanted type") and (
        honest.outcome is not Outcome.FETCHED or honest.body or honest.entries
    ):
        return honest  # a hook sees only pages, and only of pages the type is asked
    if name == "bad hook":
        listed["outlinks"] = honest.outlinks
    return Report(**listed)  # type: ignore[arg-type]  # the table above fits the fields


def lie(honest: Report) -> Report:
    """Return a report with links that no honest worker sends: out of scope, and not canonical."""
    assert canonicalize(NOT_CANONICAL) != NOT_CANONICAL
    return _with_links(honest, (OUTSIDE, NOT_CANONICAL, "nonsense", *honest.outlinks))


def _with_links(report: Report, outlinks: tuple[str, ...]) -> Report:
    return Report(lease=report.lease, ref=report.ref, outcome=report.outcome, status=report.status, outlinks=outlinks)


def _report(
    lease: int,
    task: Task,
    outcome: Outcome,
    status: int,
    outlinks: tuple[str, ...] = (),
    location: str = "",
    body: bytes = b"",
    entries: tuple[SitemapEntry, ...] = (),
    more: bool = False,
) -> Report:
    return Report(
        lease=lease,
        ref=task.ref,
        outcome=outcome,
        status=status,
        outlinks=outlinks,
        location=location,
        body=body,
        entries=entries,
        more=more,
    )
