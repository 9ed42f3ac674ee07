"""Traps: what is refused as part of one, that nothing else is, and that each names itself."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawlfleet.coordinator.core import traps
from crawlfleet.coordinator.core.policy import TrapLimits
from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Outcome
from tests.unit.core_crawl import CoreCrawl

SEED = "http://a.test/"
HEX = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("path", "is_trap"),
    [
        ("/a/a/a/a", True),
        ("/a/a/a/", False),
        ("/x/a/b/a/b/a/b/a/b/page.html", True),
        ("/x/a/b/a/b/a/b/page.html", False),
        ("/a/b/a/c/a/d/a/e/a/f", False),
        ("/" + "a/b/c/d/e/f/g/h/" * 4, True),
        ("/" + "a/b/c/d/e/f/g/h/i/" * 4, False),
        ("/////", True),
        ("//a//b", False),
        ("/" + "/".join(map(str, range(300))), False),
        ("/2024/01/01/1", False),
    ],
)
def test_a_sequence_that_follows_itself_too_often_is_a_trap(path: str, is_trap: bool) -> None:
    assert traps.repeats(path, 3) is is_trap


@pytest.mark.parametrize(
    ("path", "is_dated"),
    [
        ("/calendar/2031/4", True),
        ("/events/2031-04-17", True),
        ("/events/20310417", True),
        ("/?m=203104&month=4", True),
        ("/?start_date=17-04-2031", True),
        ("/item/2031", False),
        ("/item/203104", False),
        ("/item/12031/4", False),
        ("/item/2031/13", False),
        ("/?updated=yes", False),
        ("/?birthday=", False),
    ],
)
def test_dates_are_known_and_numbers_are_none(path: str, is_dated: bool) -> None:
    found = traps.patterns_of(f"http://h{path}")
    assert bool(found and found.calendar) is is_dated


@settings(deadline=None)
@given(st.lists(st.integers(0, 400), max_size=2_000))
def test_a_sketch_never_counts_too_high_and_too_low_only_by_its_share(seen: list[int]) -> None:
    sketch: dict[int, int] = {}
    for pattern in seen:
        sketch = traps.counted(sketch, pattern)
    assert len(sketch) <= traps.SKETCH
    for pattern, number in Counter(seen).items():
        assert number - len(seen) / traps.SKETCH <= sketch.get(pattern, 0) <= number


class Trapped:
    """A crawl with limits, whose seed has been fetched and led to some links."""

    def __init__(self, *links: str, seeds: tuple[str, ...] = (SEED,), **policy: Any) -> None:
        self.crawl = CoreCrawl(*seeds, per_host=8, **policy)
        self.crawl.hello("s")
        self.crawl.open_gates()
        lease, task = self.crawl.ask()[0]
        self.crawl.settle(lease, task, outlinks=links)

    def reasons(self) -> dict[str, int]:
        """Return how many pages are dropped, by reason."""
        verdicts = self.crawl.store.verdicts()
        return {reason: number for (state, reason), number in verdicts.items() if state is TaskState.DROPPED}

    def let_in(self) -> int:
        """Return how many pages wait."""
        return sum(row.state is TaskState.PENDING and row.kind == "page" for row in self.crawl.store.walk(0, 10_000))


def test_queries_are_counted_for_each_path() -> None:
    links = [f"{SEED}{path}?n={number}" for path in ("list", "other") for number in range(20)]
    crawl = Trapped(*links, *links, f"{SEED}list", traps=TrapLimits(query_variants=15))
    assert crawl.reasons() == {"trap_query": 10}
    assert crawl.let_in() == 31


def test_a_calendar_is_counted_as_one_pattern_and_dated_articles_are_not() -> None:
    days = [f"{SEED}calendar/{year}/{month}" for year in range(2000, 2005) for month in range(1, 13)]
    articles = [f"{SEED}2024/05/17/article-{'x' * number}" for number in range(40)]
    crawl = Trapped(*days, *articles, traps=TrapLimits(calendar=24))
    assert crawl.reasons() == {"trap_calendar": 36}
    assert crawl.let_in() == 24 + 40


@pytest.mark.parametrize("form", ["{0};jsessionid={1}", "{0}?PHPSESSID={1}", "{0}?a=1&sid=" + HEX[:-4] + "{1:04x}"])
def test_session_ids_are_counted_for_each_host_over_all_paths(form: str) -> None:
    links = [SEED + form.format(f"page{number}", number) for number in range(30)]
    crawl = Trapped(*links, f"{SEED}?sid=7", traps=TrapLimits(sessions=20))
    assert crawl.reasons() == {"trap_session": 10}


def test_subdomains_are_counted_for_each_domain_but_for_those_that_the_job_names() -> None:
    scope = ScopeSpec(hosts=("shop.test", "www.shop.test", "other.test"), subdomains=True)
    links = [f"http://s{number}.shop.test/{page}" for number in range(12) for page in "ab"]
    own = ["http://www.shop.test/", "http://x.other.test/"]
    crawl = Trapped(*links, *own, seeds=("http://shop.test/",), scope=scope, traps=TrapLimits(subdomains=10))
    assert crawl.reasons() == {"trap_subdomain": 4}
    assert crawl.let_in() == 22


def test_origins_at_ports_of_their_own_are_counted_like_subdomains() -> None:
    links = [f"http://a.test:{port}/{page}" for port in range(8001, 8013) for page in "ab"]
    crawl = Trapped(*links, "https://a.test/", traps=TrapLimits(subdomains=10))
    assert crawl.reasons() == {"trap_subdomain": 4}
    assert crawl.let_in() == 21


def test_a_seed_is_no_trap_and_a_redirect_may_lead_into_one() -> None:
    seed = f"{SEED}a/a/a/a/a"
    crawl = CoreCrawl(seed, f"{SEED}x", traps=TrapLimits(repetition=3))
    crawl.hello("s")
    crawl.open_gates()
    (lease, one), (_, two) = crawl.ask()
    assert one.url == seed
    crawl.settle(lease, one, outlinks=(f"{SEED}page",))
    crawl.settle(lease, two)
    ((lease, page),) = crawl.ask()
    crawl.settle(lease, page, outcome=Outcome.REDIRECTED, status=301, location=f"{SEED}b/b/b/b/b")
    assert crawl.task(f"{SEED}b/b/b/b/b").reason == "trap_repetition"


def test_what_was_let_in_stays_in_when_the_scope_is_judged_again() -> None:
    crawl = Trapped(*(f"{SEED}?n={number}" for number in range(5)), traps=TrapLimits(query_variants=3))
    crawl.crawl.judge_again()
    assert crawl.reasons() == {"trap_query": 2}
    assert crawl.let_in() == 3


def test_what_somebody_lists_is_no_trap_and_is_revived_if_it_was_taken_for_one() -> None:
    links = [f"{SEED}?n={number}" for number in range(5)]
    crawl = Trapped(*links, traps=TrapLimits(query_variants=3))
    assert crawl.reasons() == {"trap_query": 2}
    for url in (links[4], f"{SEED}?n=9", f"{SEED}a/a/a/a/a"):
        assert crawl.crawl.service.put(url, crawl.crawl.now) == ""
        assert crawl.crawl.task(url).state is TaskState.PENDING
    assert crawl.reasons() == {"trap_query": 1}


@pytest.mark.parametrize("path", ["/a?" + "?" * 8_000, "/a?" + "day" * 2_700, "/a?" + "&day" * 2_000])
def test_no_address_takes_long_to_be_looked_at(path: str) -> None:
    began = time.process_time()
    for _ in range(100):
        assert not traps._has_date(path)
    assert time.process_time() - began < 0.5
