"""Known tasks are judged again a portion at a time: no call, and no commit, has to do with all of them."""

from __future__ import annotations

import os
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from crawlfleet.coordinator.app import Options, open_crawl
from crawlfleet.coordinator.conduct import again as again_module
from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.coordinator.crawl_folder import CrawlFolder
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.job.job import load
from crawlfleet.coordinator.job.source import JobSource
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Outcome
from tests.unit.core_crawl import CoreCrawl

PAGES = 95
PORTION = 10


@pytest.fixture(autouse=True)
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(again_module, "PER_STEP", PORTION)


def dropped(crawl: CoreCrawl) -> int:
    return crawl.store.verdicts().get((TaskState.DROPPED, "host"), 0)


def test_each_step_judges_a_portion_and_tells_how_many_it_has_seen() -> None:
    crawl = CoreCrawl(*(f"http://a.test/{number}" for number in range(PAGES)))
    judged: list[int] = []
    again = crawl.service.judging_again(lambda _, tasks: judged.append(len(tasks)))
    while again.step(crawl.now):
        assert again.seen == sum(judged)
    assert (max(judged), again.seen) == (PORTION, PAGES + 1)  # with its robots.txt


def test_only_tasks_with_certain_reasons_are_judged() -> None:
    crawl = CoreCrawl(*(f"http://a.test/{number}" for number in range(PAGES)))
    again = crawl.service.judging_again(lambda _turn, _tasks: pytest.fail("nothing is dropped"), ("host",))
    crawl.go_through(again)
    assert again.seen == PAGES + 1


def test_when_a_host_joins_the_scope_what_was_refused_there_comes_back_in_portions_and_the_end_waits_for_it() -> None:
    crawl = CoreCrawl("http://a.test/", "http://b.test/", scope=ScopeSpec(hosts=("a.test", "b.test")))
    crawl.hello("s")
    crawl.open_gates()
    seeds = []
    while granted := crawl.ask(want=500):
        for lease, task in granted:
            if task.url == "http://b.test/":
                seeds.append((lease, task))
                continue
            name = task.url.rpartition("/")[2]
            if not name:
                crawl.settle(lease, task, outlinks=tuple(f"http://a.test/{number}" for number in range(PAGES)))
                continue
            crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=302, location=f"http://www.b.test/{name}")
    assert dropped(crawl) == PAGES
    ((lease, task),) = seeds
    crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=301, location="http://www.b.test/")
    crawl.open_gates()
    ((lease, task),) = crawl.ask(want=1)
    crawl.settle(lease, task)
    left = [dropped(crawl)]
    while left[-1]:
        assert not crawl.service.is_finished
        assert crawl.service.is_behind
        crawl.service.flush(crawl.now)
        left.append(dropped(crawl))
    assert max(before - after for before, after in pairwise(left)) <= PORTION
    crawl.service.flush(crawl.now)
    assert (crawl.service.is_behind, crawl.service.open_tasks()) == (False, PAGES)


def test_a_crawl_that_is_stopped_while_it_goes_by_a_changed_job_does_so_again(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"

    def run(delay: str, *, is_stopped: bool) -> tuple[bool, bytes | None]:
        """Go on by a job; say whether it counts as changed, and which one is kept in the end."""
        path.write_text(f"name: big\nseeds: ['http://h{{1..{PAGES}}}.test/']\npoliteness: {{delay: {delay}}}\n")
        folder = CrawlFolder(tmp_path / "crawls", "big", fresh=False)
        crawl = open_crawl(load(path), folder, Options(job=JobSource(path=path)))
        is_changed = crawl._changed_job is not None
        if is_stopped:
            crawl.stop()
        assert crawl.run(lambda *_: crawl.stop()).ended == "interrupted"
        os.close(folder._lock)
        with closing(SqliteStore(folder.path / FRONTIER)) as store:
            return is_changed, store.kept("job")

    _, first = run("1s", is_stopped=False)
    assert run("2s", is_stopped=True) == (True, first)
    assert run("1s", is_stopped=False) == (True, first)
    assert run("1s", is_stopped=False) == (False, first)
