"""The web of rules, crawled by every engine: what each of its parts must come to, whatever fetches and reads it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from crawlfleet.coordinator.core.rows import TaskRow
from crawlfleet.coordinator.frontier.sqlite.reader import SqliteReader
from crawlfleet.shared.engines import FETCH_ENGINES, PARSE_ENGINES
from crawlfleet.shared.messages import Kind
from crawlfleet.shared.web.urls import parts
from tests.acceptance import crawls
from tests.conformance.vectors import published
from tests.local import LOCAL
from tests.site.rule_site import ADDRESSES, RULES, Request, home, serving_rules
from tests.site.rules.rule import HERE, End, Rule

ENGINES = [("curl", "turbohtml"), ("requests", "turbohtml"), ("curl", "lexbor"), ("curl", "bs4")]
PATIENCE_S = 110

JOB = """\
name: rules
seeds: {seeds}
scope: {{hosts: {hosts}}}
politeness: {{delay: 0s, per_host: 16, adaptive: false, patience: 1, robots_wait: 0s, user_agent: rulebot/1.0}}
fetch: {{engine: {fetch}, retries: 1, timeout: 4s, first_byte_timeout: 3s, max_size: 500KB, allow_private: [{opened}]}}
parse: {{engine: {parse}}}
links: {{assets: true}}
"""


class Seen(NamedTuple):
    """A page as the crawl knows it, and how often the site was asked for it."""

    state: str
    verdict: str
    asked: int


@dataclass(frozen=True, kw_only=True)
class Crawled:
    """What a crawl came to. Addresses have `@PORT` for the port of the site."""

    tasks: dict[str, TaskRow]
    rows: dict[str, list[dict[str, Any]]]
    hops: dict[str, tuple[str, ...]]
    requests: list[Request]
    robots: Counter[str]

    def seen(self) -> dict[str, Seen]:
        """Return all pages and sitemaps by their address, and what was asked for without being known."""
        asked = Counter(f"http://{request.address}:@PORT{request.target}" for request in self.requests)
        known = {url: Seen(task.state.value, task.verdict, asked.pop(url, 0)) for url, task in self.tasks.items()}
        return known | {url: Seen("unknown", "", times) for url, times in asked.items()}


def crawl(folder: Path, fetch: str, parse: str) -> Crawled:
    """Crawl the whole site by the command line."""
    with serving_rules() as site:
        job = folder / "rules.yaml"
        seeds = "".join(f"\n  - {seed}" for seed in site.seeds())
        job.write_text(JOB.format(seeds=seeds, hosts=[*ADDRESSES], fetch=fetch, parse=parse, opened=LOCAL[0]))
        done = crawls.run(folder, "run", job, "--workers", "2", timeout_s=PATIENCE_S)
        requests, port = list(site.requests), f":{site.port}"
    assert done.returncode == 0, done.stdout + done.stderr
    return _read(folder / "crawls" / "rules", requests, port)


def _read(folder: Path, requests: list[Request], port: str) -> Crawled:
    def plain(value: Any) -> Any:
        return value.replace(port, ":@PORT") if isinstance(value, str) else value

    rows: dict[str, list[dict[str, Any]]] = {}
    for row in crawls.lines(folder / "items.jsonl"):
        rows.setdefault(plain(row["url"]), []).append({name: plain(value) for name, value in row.items()})
    reader = SqliteReader(folder / "frontier.db")
    tasks = {plain(task.url): task for _, _, task in reader.tasks() if task.kind is not Kind.ROBOTS}
    hops = {plain(result.url): tuple(map(plain, result.hops)) for _, result in reader.results()}
    reader.close()
    robots = Counter(request.address for request in requests if request.target == "/robots.txt")
    asked = [request for request in requests if request.target != "/robots.txt"]
    return Crawled(tasks=tasks, rows=rows, hops=hops, requests=asked, robots=robots)


class Crawls:
    """A crawl for each pair of engines, made when it is asked for first."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self.made: dict[tuple[str, str], tuple[Path, Crawled]] = {}

    def by(self, fetch: str, parse: str) -> tuple[Path, Crawled]:
        if (fetch, parse) not in self.made:
            folder = self._factory.mktemp(f"{fetch}-{parse}")
            self.made[fetch, parse] = folder, crawl(folder, fetch, parse)
        return self.made[fetch, parse]


@pytest.fixture(scope="module")
def all_crawls(tmp_path_factory: pytest.TempPathFactory) -> Crawls:
    return Crawls(tmp_path_factory)


@pytest.fixture(scope="module", params=ENGINES, ids="-".join)
def made(request: pytest.FixtureRequest, all_crawls: Crawls) -> tuple[Path, Crawled]:
    return all_crawls.by(*request.param)


@pytest.fixture(scope="module")
def crawled(made: tuple[Path, Crawled]) -> Crawled:
    return made[1]


def url(rule: Rule, page: str) -> str:
    return page if page.startswith("http://") else f"{home(rule)}{rule.path(page)}"


def is_of(rule: Rule, address: str) -> bool:
    return parts(address.replace("@PORT", "1")).path.startswith(rule.path(""))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule(crawled: Crawled, rule: Rule) -> None:
    seen = {address: End(*page) for address, page in crawled.seen().items() if is_of(rule, address)}
    assert seen == {url(rule, page): end for page, end in rule.ends.items()}, rule.says
    rows = {address: len(found) for address, found in crawled.rows.items() if is_of(rule, address)}
    fetched = {page for page, end in rule.ends.items() if end.verdict == "fetched"} - ({rule.sitemap} - {""})
    assert rows == {url(rule, page): 1 for page in fetched}, rule.says
    for page, fields in rule.rows.items():
        (row,) = crawled.rows[url(rule, page)]
        assert {name: row[name] for name in fields} == fields, rule.says
    for page, hops in rule.hops.items():
        assert crawled.hops[url(rule, page)] == tuple(url(rule, hop) for hop in hops), rule.says
    if rule.pause_s:
        first, second = (request.at for request in crawled.requests if is_of(rule, f"http://x{request.target}"))
        assert second - first >= rule.pause_s, rule.says


def test_nothing_else_is_known_or_asked_for(crawled: Crawled) -> None:
    pages = {url(rule, page) for rule in RULES for page in rule.ends}
    assert {*crawled.seen(), *crawled.rows} - pages == {f"{HERE}/"}


@pytest.mark.parametrize("engines", ENGINES, ids="-".join)
def test_so_many_rules_are_published(engines: tuple[str, str]) -> None:
    assert published(", ".join(engines)) == (len(RULES), len(RULES))


def test_every_engine_that_there_is_crawls() -> None:
    assert {fetch for fetch, _ in ENGINES} == set(FETCH_ENGINES)
    assert {parse for _, parse in ENGINES} == set(PARSE_ENGINES)


def test_all_engines_agree_on_every_page_and_row(all_crawls: Crawls) -> None:
    first, *others = [all_crawls.by(*engines)[1] for engines in ENGINES]
    for other in others:
        assert other.seen() == first.seen()
        assert other.rows == first.rows
        assert other.hops == first.hops


def test_nothing_is_asked_for_but_pages_and_nothing_is_given_away(crawled: Crawled) -> None:
    for request in crawled.requests:
        lines = request.head.split(b"\r\n")
        assert lines[0] == f"GET {request.target} HTTP/1.1".encode()
        names = {line.partition(b":")[0].lower() for line in lines[1:] if line}
        assert names <= {b"host", b"user-agent", b"accept", b"accept-encoding", b"connection"}


def test_robots_txt_is_asked_for_once_of_each_host(crawled: Crawled) -> None:
    assert crawled.robots == dict.fromkeys(ADDRESSES, 1)


def test_the_crawl_can_be_verified(made: tuple[Path, Crawled]) -> None:
    done = crawls.run(made[0], "verify", "crawls/rules")
    assert done.returncode == 0, done.stdout
