"""Whole crawls of hosts that do to a crawler whatever a server can do, by every fetch engine, in every kind of task."""

from __future__ import annotations

import pytest

from crawlfleet.shared.brief import LimitSpec
from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.worker.fetch.requests_pool import IDLE_CONNECTIONS
from tests.acceptance import crawls
from tests.conformance.vectors import published, vectors
from tests.hostile.site_behaviours import BEHAVIOURS
from tests.hostile.site_crawl import CHECKED, MIXES, THREADS, Crawled, crawl

pytestmark = pytest.mark.long

FEW_OTHERS = 16
FEW_MORE = 4
# As docs/reference/jobs.md says: `limits.bodies`, about as much again, and 100 MB. Sitemaps without end take that.
MOST_MEMORY_KB = (2 * LimitSpec().bodies_bytes + 100_000_000) // 1024


@pytest.fixture(scope="module", params=sorted(FETCH_ENGINES))
def crawled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Crawled:
    return crawl(tmp_path_factory.mktemp(request.param), request.param)


def test_the_crawl_ends_and_each_url_has_the_outcome_that_is_promised_for_it(crawled: Crawled) -> None:
    assert crawled.code == 0, crawled.printed
    assert crawled.odd() == {}
    assert len(crawled.expected) > 5 * len(BEHAVIOURS) + 2 * len(MIXES)


def test_a_check_asks_by_head_and_after_an_error_by_get_and_nothing_else_does(crawled: Crawled) -> None:
    checks = {target: asked for (host, target), asked in crawled.methods.items() if host == CHECKED}
    del checks["/robots.txt"]
    assert {(method, *set(others)) for method, *others in checks.values()} == {("HEAD",), ("HEAD", "GET")}
    others = [asked for (host, _), asked in crawled.methods.items() if host != CHECKED]
    assert {method for asked in others for method in asked} == {"GET"}


def test_no_thread_and_no_descriptor_is_lost(crawled: Crawled) -> None:
    assert crawled.after.keys() == crawled.before.keys(), "a process died"
    for pid, after in crawled.after.items():
        before = crawled.before[pid]
        assert after.threads <= max(before.threads, THREADS + FEW_OTHERS)
        assert after.others <= before.others + FEW_MORE
        assert after.connections <= 1  # that of the chain
        assert after.closed <= IDLE_CONNECTIONS * THREADS


def test_as_many_pages_as_ever_are_fetched_at_once(crawled: Crawled) -> None:
    assert crawled.met == THREADS - 1


def test_no_visit_lasts_longer_than_its_deadline(crawled: Crawled) -> None:
    assert crawled.overshoot_s < 1


def test_so_many_outcomes_are_published(crawled: Crawled) -> None:
    assert vectors("compressed").is_dir(), "some outcomes are those of its files"
    assert published(f"hostile hosts, {crawled.engine}") == (len(crawled.expected), len(crawled.expected))


def test_the_crawl_verifies(crawled: Crawled) -> None:
    done = crawls.run(crawled.folder.parent.parent, "verify", "crawls/hostile")
    assert done.returncode == 0, done.stdout


def test_bombs_are_given_up_and_take_no_memory(crawled: Crawled) -> None:
    assert vectors("compressed").is_dir()
    read = [name for name in crawled.seen if "/from/" not in name and not name.startswith("check ")]
    bombs = [name for name in read if "packed/bomb" in name and "zstd" not in name]
    ends = {crawled.seen[name].verdict for name in bombs}
    assert (len(bombs), ends) == (9, {"body_too_large", "sitemap_broken"})
    assert max(after.peak_kb for after in crawled.after.values()) < MOST_MEMORY_KB
