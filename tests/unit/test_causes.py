"""No reason without its sentence, the last page that had it, and what was said about that page: now and later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from crawlfleet.coordinator.conduct.causes import MAX_URL_CHARS, Causes
from crawlfleet.coordinator.conduct.counting import count
from crawlfleet.coordinator.conduct.turns import told_to
from crawlfleet.coordinator.core.changes import Change, TaskEvent, TaskMoved
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.rows import LedgerRow, TaskState
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.screen.causes import SHOWN, cause_lines
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Kind, Outcome
from crawlfleet.shared.reasons import Reason, meaning_of
from crawlfleet.shared.status import Cause
from tests.unit.core_crawl import SEED, CoreCrawl

HOOK = "the hook raised KeyError: 'x' at /jobs/hook.py:6"


def causes_of(crawl: CoreCrawl) -> list[Cause]:
    Causes(crawl.store).note(crawl.changes)
    return list(count(crawl.store, job="test", elapsed_s=0.0, robots_wait_s=0.0).causes)


def crawl_with(*urls: str, **policy: Any) -> CoreCrawl:
    crawl = CoreCrawl(*urls, **policy)
    crawl.hello("s")
    crawl.open_gates()
    return crawl


def test_a_reason_is_told_with_its_sentence_its_last_page_and_what_was_said_about_that() -> None:
    crawl = crawl_with(SEED, f"{SEED}2")
    for number, (lease, task) in enumerate(crawl.ask()):
        detail = f"{HOOK} {number}"
        crawl.settle(lease, task, outcome=Outcome.EXTRACT_ERROR, reason="extract_error", detail=detail)
    (cause,) = causes_of(crawl)
    meaning = Reason.EXTRACT_ERROR.meaning
    assert (cause.ended, cause.reason, cause.number, cause.meaning) == ("failed", "extract_error", 2, meaning)
    assert (cause.url, cause.detail) == (f"{SEED}2", f"{HOOK} 1")
    assert cause_lines([cause]) == [
        "failed:",
        "  2 extract_error: The page could not be parsed, or its hook failed.",
        f"      {HOOK} 1",
        f"      last: {SEED}2",
    ]


def test_what_failed_was_dropped_or_was_retried_is_told_apart() -> None:
    crawl = crawl_with(SEED, "http://x.test/", scope=ScopeSpec(hosts=("a.test",)))
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outcome=Outcome.NETWORK_ERROR, status=0, reason="connect", detail="refused")
    told = [(each.ended, each.reason, each.number, each.url, each.detail) for each in causes_of(crawl)]
    assert told == [("retried", "connect", 1, SEED, "refused"), ("dropped", "host", 1, "http://x.test/", "")]
    assert [line for line in cause_lines(causes_of(crawl)) if line.endswith(":")] == ["dropped:", "retried:"]


def test_a_fetched_page_without_anything_to_say_is_no_cause() -> None:
    crawl = crawl_with()
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task)
    assert causes_of(crawl) == []


def test_redirects_say_where_they_led() -> None:
    crawl = crawl_with()
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=302, location=SEED)
    (cause,) = causes_of(crawl)
    assert (cause.reason, cause.detail) == ("redirect_loop", f"Location: {SEED!r}")


def test_a_page_without_its_robots_txt_says_what_happened_to_that() -> None:
    crawl = CoreCrawl(robots_wait_s=0.0, retries=0)
    crawl.hello("s")
    ((lease, task),) = crawl.ask()
    assert task.kind is Kind.ROBOTS
    why: dict[str, Any] = {"reason": "tls_expired", "detail": "certificate has expired"}
    crawl.settle(lease, task, outcome=Outcome.NETWORK_ERROR, status=0, **why)
    crawl.ask()
    (cause,) = [each for each in causes_of(crawl) if each.ended == "dropped"]
    said = "http://a.test/robots.txt could not be had: certificate has expired"
    assert (cause.reason, cause.detail) == ("tls_expired", said)


def test_what_seeds_ended_of_is_known_sitemaps_too() -> None:
    crawl = crawl_with(SEED)
    crawl.service.admit([Link(url=f"{SEED}map.xml", depth=0, always=True, kind=Kind.SITEMAP, serves=SEED[:-1])], 0.0)
    (page, sitemap) = sorted(crawl.ask(), key=lambda each: each[1].kind)
    crawl.settle(*page, outcome=Outcome.HTTP_ERROR, status=404, reason="http_404")
    broken: dict[str, Any] = {"outcome": Outcome.EXTRACT_ERROR, "reason": "sitemap_broken", "detail": "no element"}
    crawl.settle(*sitemap, **broken)
    causes = Causes(crawl.store)
    for change in crawl.changes:
        causes.note([change])
    assert causes.why_no_seed() == (
        f"http_404: The server answered with status 404 (Not Found). ({SEED})",
        f"sitemap_broken: The sitemap could not be read to its end. no element ({SEED}map.xml)",
    )
    numbers = count(crawl.store, job="test", elapsed_s=0.0, robots_wait_s=0.0)
    assert (numbers.sitemaps_short, numbers.sitemaps_short_named) == (0, ())
    assert cause_lines(numbers.causes)[-4:] == [
        "sitemaps that failed or were dropped:",
        "  1 sitemap_broken: The sitemap could not be read to its end.",
        "      no element",
        f"      last: {SEED}map.xml",
    ]


def test_a_sitemap_that_is_to_be_read_after_all_is_no_cause_any_more() -> None:
    crawl = CoreCrawl(robots_wait_s=0.0, retries=0)
    crawl.hello("s")
    maps = [f"{SEED}{name}.xml" for name in ("a", "b")]
    crawl.service.admit([Link(url=url, depth=0, kind=Kind.SITEMAP, serves=SEED[:-1]) for url in maps], 0.0)
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outcome=Outcome.NETWORK_ERROR, status=0, reason="connect")
    crawl.ask()
    moves = [change for change in crawl.changes if isinstance(change, TaskMoved) and change.task.url in maps]
    lost = [move.task for move in moves if move.task.state is TaskState.DROPPED]
    causes = Causes(crawl.store)
    causes.note(crawl.changes)
    assert [(each.ended, each.number) for each in causes.tell({}, {}, LedgerRow())] == [("sitemap", 2)]
    for task_row, told in zip(lost, ([("sitemap", 1)], []), strict=True):
        again = msgspec.structs.replace(task_row, state=TaskState.PENDING, reason="")
        causes.note([TaskMoved(event=TaskEvent.REVIVED, before=TaskState.DROPPED, task=again)])
        assert [(each.ended, each.number) for each in causes.tell({}, {}, LedgerRow())] == told


def test_a_sitemap_that_was_read_in_part_is_named_and_is_no_cause() -> None:
    crawl = crawl_with()
    links = [
        Link(url=f"{SEED}{name}.xml", depth=0, always=True, kind=Kind.SITEMAP, serves=SEED[:-1]) for name in ("a", "b")
    ]
    crawl.service.admit(links, 0.0)
    for lease, task in [each for each in crawl.ask() if each[1].kind is Kind.SITEMAP]:
        if task.url.endswith("a.xml"):
            crawl.settle(lease, task, detail="it is cut")
        else:
            crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=404, reason="http_404")
    Causes(crawl.store).note(crawl.changes)
    numbers = count(crawl.store, job="test", elapsed_s=0.0, robots_wait_s=0.0)
    assert (numbers.sitemaps_short, numbers.sitemaps_short_named) == (1, (f"{SEED}a.xml (it is cut)",))
    assert [(each.ended, each.url) for each in numbers.causes] == [("sitemap", f"{SEED}b.xml")]


def test_a_later_command_tells_the_same_and_so_does_verify(tmp_path: Path) -> None:
    crawl = CoreCrawl(store=SqliteStore(tmp_path / FRONTIER))
    heard: list[Change] = []
    crawl.service._journal = told_to(heard.extend, Causes(crawl.store).note)
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outcome=Outcome.EXTRACT_ERROR, reason="extract_error", detail=HOOK)
    crawl.store.keep("job", b'{"sinks": []}')
    crawl.store.close()
    store = SqliteStore(tmp_path / FRONTIER)
    (cause,) = Causes(store).tell(store.verdicts(), {}, store.ledger())
    store.close()
    assert heard
    assert (cause.url, cause.detail) == (SEED, HOOK)
    assert verify(tmp_path).causes == (cause,)


def test_texts_and_lists_have_bounds() -> None:
    long = SEED + "x" * 2 * MAX_URL_CHARS
    crawl = crawl_with(long)
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=404, reason="http_404")
    (cause,) = causes_of(crawl)
    assert cause.url == f"{long[:MAX_URL_CHARS]}..."
    many = [msgspec.structs.replace(cause, reason=f"r{number}", url="") for number in range(SHOWN + 2)]
    lines = cause_lines(many)
    assert (len(lines), lines[-1]) == (SHOWN + 2, "  and 2 reasons more")


@pytest.mark.parametrize(
    ("reason", "meaning"),
    [
        ("robots", Reason.ROBOTS.meaning),
        ("http_404", "The server answered with status 404 (Not Found)."),
        ("http_799", "The server answered with status 799."),
        ("ConnectionError", "A worker of your own gave this reason."),
    ],
)
def test_any_reason_has_a_sentence(reason: str, meaning: str) -> None:
    assert meaning_of(reason) == meaning
