"""The coordinator's half of pools: who holds the crawl open, what asks are answered, and what becomes of those left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.conduct import asks, idling, pool_post
from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.pool_post import PoolPost
from crawlfleet.coordinator.conduct.pools import EAGER_S
from crawlfleet.coordinator.core.later_rows import KeptLinksRow
from crawlfleet.coordinator.core.policy import Extent
from crawlfleet.coordinator.core.rows import NOT_REACHED, TaskRow, TaskState
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.server import Pools, TaskQueue
from crawlfleet.shared import pools
from crawlfleet.shared.errors import Unreachable, UsageError, WireError
from crawlfleet.shared.messages import VALUE_ITEM, Hello, Kind, Outcome, Report, Row, decode
from crawlfleet.shared.pools import Ask, AskReply, AskRequest, CancelRequest, Settled, SettledPage
from crawlfleet.shared.web.links import pack, unpack
from crawlfleet.shared.web.urls import page_fingerprint
from tests.unit.core_crawl import SEED, CoreCrawl

ROWS = (Row(item="book", index=0, fields={"title": "Dune"}),)
DUNE = {"item": "book", "title": "Dune"}


class PoolCrawl(CoreCrawl):
    """A crawl whose seed is done, with a worker `s` and a program `p`, which has pool 1 open."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.hello("s")
        self.service.hello(Hello(session="p", fetches=False), self.now)
        self.request()
        self.open_gates()
        self.work()
        self.cursor = 0

    def reopen(self, **policy: object) -> None:
        super().reopen(**policy)
        self.post = PoolPost(self.store, self.service.pools.book_of)
        self.service.pools.uncollected = self.post.uncollected

    def request(self, *asked: str | Ask, pool: int = 1, session: str = "p") -> AskReply:
        """Ask for pages, with tickets from 1 on unless they are given."""
        wishes = tuple(each if isinstance(each, Ask) else Ask(number, each) for number, each in enumerate(asked, 1))
        reply = self.service.pools.ask(AskRequest(session=session, pool=pool, asks=wishes), self.now)
        self.service.flush(self.now)
        return reply

    def cancel(self, *tickets: int, started_too: bool = False, session: str = "p") -> Sequence[int]:
        request = CancelRequest(session=session, tickets=tickets, started_too=started_too)
        staying = self.service.pools.cancel(request, self.now).staying
        self.service.flush(self.now)
        return staying

    def work(self, **report: Any) -> list[str]:
        """Fetch all that is granted; return the addresses."""
        granted = self.ask()
        for lease, task in granted:
            self.settle(lease, task, **report)
        return [task.url for _, task in granted]

    def is_over(self) -> bool:
        return self.service.is_finished

    def collect(self, session: str = "p") -> SettledPage:
        """Return the answers that were not collected yet."""
        self.post.deliver(self.service.outgoing.take_answers())
        page = decode(self.post.collect(session, self.cursor, 0.0), SettledPage)
        self.cursor = page.cursor
        return page

    def answers(self) -> list[tuple[int, str, int, str]]:
        return [(each.ticket, each.url, each.status, each.reason) for each in self.collect().settled]

    def task(self, url: str = SEED) -> TaskRow:
        ref = page_fingerprint(url)
        return self.store.rows(TaskRow, (ref,))[ref]


# Asking and answers


def test_a_page_that_is_asked_for_is_fetched_and_its_rows_are_the_answer() -> None:
    crawl = PoolCrawl()
    assert crawl.request(f"{SEED}1") == AskReply(book="7.1", taken=1)
    assert crawl.collect().settled == ()
    assert crawl.work(rows=ROWS) == [f"{SEED}1"]
    assert crawl.collect().settled == (Settled(ticket=1, url=f"{SEED}1", status=200, rows=(DUNE,)),)
    assert crawl.collect().settled == ()


def test_a_page_that_is_settled_answers_at_once() -> None:
    crawl = PoolCrawl()
    crawl.request(SEED)
    assert crawl.answers() == [(1, SEED, 200, "")]


def test_one_ask_in_many_is_answered_for_itself() -> None:
    crawl = PoolCrawl()
    crawl.request("no address", "http://other.test/", f"{SEED}1", SEED, f"{SEED}#top")
    assert sorted(crawl.answers()) == [
        (1, "no address", 0, "not_http"),
        (2, "http://other.test/", 0, "host"),
        (4, SEED, 200, ""),
        (5, SEED, 200, ""),
    ]
    crawl.work()
    assert crawl.answers() == [(3, f"{SEED}1", 200, "")]


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        ({"outcome": Outcome.HTTP_ERROR, "status": 404, "reason": "http_404"}, (404, "http_404", "", False)),
        (
            {"outcome": Outcome.EXTRACT_ERROR, "reason": "extract_error", "detail": "ValueError: x" * 99},
            (200, "extract_error", ("ValueError: x" * 99)[:500], False),
        ),
        ({"outcome": Outcome.DENIED, "reason": "content_type", "detail": "pdf"}, (200, "content_type", "pdf", True)),
    ],
    ids=["failed", "hook", "dropped"],
)
def test_a_failure_says_why(report: dict[str, Any], expected: tuple[int, str, str, bool]) -> None:
    crawl = PoolCrawl(types=("text/html",))
    crawl.request(f"{SEED}1")
    crawl.work(**report)
    (answer,) = crawl.collect().settled
    assert answer.failed
    assert (answer.status, answer.reason, answer.detail, answer.refused) == expected


def test_what_robots_txt_forbids_is_refused_with_that_rule() -> None:
    crawl = CoreCrawl()
    crawl.hello("s", "p")
    lease, robots = crawl.ask()[0]
    crawl.settle(lease, robots, body=b"User-agent: *\nDisallow: /private/")
    pool = crawl.service.pools
    pool.ask(AskRequest(session="p", pool=1, asks=(Ask(1, f"{SEED}private/1"),)), crawl.now)
    crawl.ask()
    ((_, _, answered),) = crawl.service.outgoing.take_answers()
    assert answered is not None
    assert (answered.settled.reason, answered.settled.refused) == ("robots", True)


def test_a_page_that_asks_for_no_index_has_no_rows_and_has_not_failed() -> None:
    crawl = PoolCrawl()
    crawl.request(f"{SEED}1")
    crawl.work(reason="noindex")
    (answer,) = crawl.collect().settled
    assert (answer.failed, answer.reason, answer.rows) == (False, "noindex", ())


@pytest.mark.parametrize(("value", "rows"), [("x", ("x",)), ([1, 2], (1, 2)), (None, (None,))])
def test_the_value_of_a_users_own_worker_is_a_list_of_rows(value: Any, rows: tuple[Any, ...]) -> None:
    crawl = PoolCrawl()
    crawl.request(f"{SEED}1")
    crawl.work(rows=(Row(item=VALUE_ITEM, index=0, fields={VALUE_ITEM: value}),))
    assert crawl.collect().settled[0].rows == rows


def test_a_redirected_page_is_answered_by_its_target() -> None:
    crawl = PoolCrawl()
    crawl.request(f"{SEED}1")
    crawl.work(outcome=Outcome.REDIRECTED, status=301, location=f"{SEED}2")
    assert crawl.answers() == []
    assert crawl.work(rows=ROWS) == [f"{SEED}2"]
    assert crawl.answers() == [(1, f"{SEED}2", 200, "")]
    crawl.request(Ask(9, f"{SEED}1"))
    assert crawl.answers() == [(9, f"{SEED}2", 200, "")]


def test_a_redirect_out_of_the_scope_or_in_a_circle_is_a_failure() -> None:
    crawl = PoolCrawl()
    crawl.request(f"{SEED}1", f"{SEED}2", f"{SEED}3")
    targets = {f"{SEED}1": "http://other.test/", f"{SEED}2": f"{SEED}3", f"{SEED}3": f"{SEED}2"}
    for lease, task in crawl.ask():
        crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=301, location=targets[task.url])
    assert crawl.ask() == []
    assert sorted((ticket, reason) for ticket, _, _, reason in crawl.answers()) == [
        (1, "host"),
        (2, "redirect_loop"),
        (3, "redirect_loop"),
    ]


def test_a_redirect_of_an_older_crawl_says_that_its_target_was_not_kept() -> None:
    crawl = PoolCrawl()
    crawl.request(f"{SEED}1")
    crawl.work(outcome=Outcome.REDIRECTED, status=301, location=f"{SEED}2")
    row = crawl.task(f"{SEED}1")
    answered = asks._answer_of(type(row)(**{**{f: getattr(row, f) for f in row.__struct_fields__}, "outlinks": ()}), 3)
    assert (answered.settled.failed, answered.settled.reason) == (True, "redirected")
    assert "did not keep" in answered.settled.detail


def test_pages_lead_on_only_if_that_is_asked_for() -> None:
    crawl = PoolCrawl()
    crawl.request(Ask(1, f"{SEED}1"), Ask(2, f"{SEED}2", follow=True))
    tasks = {task.url: (lease, task) for lease, task in crawl.ask()}
    assert {url: task.leads_on for url, (_, task) in tasks.items()} == {f"{SEED}1": False, f"{SEED}2": True}
    crawl.settle(*tasks[f"{SEED}1"], kept=pack([f"{SEED}3"]))
    crawl.settle(*tasks[f"{SEED}2"], outlinks=(f"{SEED}4",))
    assert crawl.work() == [f"{SEED}4"]


def test_a_page_that_the_crawl_also_finds_leads_on_from_then_on() -> None:
    crawl = PoolCrawl(extent=Extent(depth=3))
    crawl.request(Ask(1, f"{SEED}1"))
    crawl.work(kept=pack([f"{SEED}2", f"{SEED}3"]))
    assert crawl.task(f"{SEED}1").depth == NOT_REACHED
    crawl.request(Ask(2, f"{SEED}4", follow=True))
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outlinks=(f"{SEED}1",))
    assert crawl.task(f"{SEED}1").depth == 1
    crawl.service.pools.close("p", 1, crawl.now)
    assert not crawl.is_over()
    assert sorted(crawl.work()) == [f"{SEED}2", f"{SEED}3"]
    assert crawl.task(f"{SEED}2").depth == 2
    row = crawl.task(f"{SEED}1")
    assert unpack(crawl.store.rows(KeptLinksRow, (row.order,))[row.order].links, 9) == [f"{SEED}2", f"{SEED}3"]
    assert crawl.is_over()


def test_many_pages_that_are_reached_at_once_lead_on_in_portions() -> None:
    crawl = PoolCrawl(links_aside=1, links_per_portion=1)
    pages = [f"{SEED}{number}" for number in range(1, 6)]
    crawl.request(*pages)
    tasks = [*crawl.ask(), *crawl.ask()]
    for lease, task in tasks:
        crawl.settle(lease, task, kept=pack([f"{task.url}/on"]))
    crawl.request(Ask(9, f"{SEED}9", follow=True))
    ((lease, task),) = crawl.ask()
    before = crawl.store.counts()[Kind.PAGE, TaskState.PENDING]
    crawl.settle(lease, task, outlinks=tuple(pages))
    for number in range(1, 6):
        assert crawl.store.counts()[Kind.PAGE, TaskState.PENDING] == before + number
        crawl.pass_time(0.1)
    assert not crawl.service.is_behind


# Asking again, and bounds


def test_an_ask_that_is_sent_again_is_answered_once() -> None:
    crawl = PoolCrawl()
    for _ in range(3):
        crawl.request(f"{SEED}1")
    crawl.work()
    assert crawl.answers() == [(1, f"{SEED}1", 200, "")]
    crawl.request(f"{SEED}1")
    crawl.request(f"{SEED}1")
    assert crawl.answers() == [(1, f"{SEED}1", 200, "")]


def test_a_ticket_that_is_used_for_another_page_waits_for_that() -> None:
    crawl = PoolCrawl()
    crawl.request(f"{SEED}1")
    crawl.request(f"{SEED}2")
    crawl.work()
    assert crawl.answers() == [(1, f"{SEED}2", 200, "")]


def test_after_a_restart_a_session_has_another_book_and_holds_its_pools_open(tmp_path: Path) -> None:
    path = tmp_path / "frontier.db"
    store = SqliteStore(path)
    crawl = PoolCrawl(store=store)
    assert crawl.request(f"{SEED}1").book == "7.1"
    store.close()
    crawl.store = SqliteStore(path)
    crawl.now = crawl.store.opened_at
    crawl.reopen()
    assert crawl.collect().book == ""
    assert crawl.service.awaits_programs
    assert crawl.service.sessions == 1
    assert crawl.task(f"{SEED}1").asked
    crawl.hello("s")
    crawl.work(rows=ROWS)
    crawl.request(f"{SEED}1")
    assert crawl.collect().settled[0].rows == (DUNE,)
    crawl.pass_time(crawl.policy.lease_s)
    assert crawl.is_over()
    crawl.store.close()


def test_only_so_many_asks_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asks, "MAX_OPEN_ASKS", 3)
    monkeypatch.setattr(asks, "MAX_ALL_ASKS", 4)
    crawl = PoolCrawl()
    assert crawl.request(*(f"{SEED}{number}" for number in range(1, 6))).taken == 3
    assert crawl.request(Ask(9, f"{SEED}9")).taken == 0
    crawl.hello("q")
    assert crawl.request(f"{SEED}1", f"{SEED}2", session="q").taken == 1
    crawl.work()
    assert crawl.request(Ask(9, f"{SEED}9")).taken == 1


def test_asks_that_are_answered_at_once_are_bounded_until_the_answers_are_collected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asks, "MAX_OPEN_ASKS", 3)
    crawl = PoolCrawl()
    assert crawl.request(SEED, SEED).taken == 2
    first = crawl.collect()
    crawl.request(Ask(3, SEED), Ask(4, "no address"))
    assert len(first.settled) == 2
    crawl.post.deliver(crawl.service.outgoing.take_answers())
    assert crawl.request(Ask(5, SEED)).taken == 0
    assert [each.ticket for each in crawl.collect().settled] == [3]
    assert crawl.request(Ask(4, SEED), Ask(5, SEED), Ask(6, SEED)).taken == 2


def test_only_so_many_asks_are_taken_back_at_a_time() -> None:
    crawl = PoolCrawl()
    crawl.request(f"{SEED}1")
    with pytest.raises(UsageError, match="no more than 20000 asks"):
        crawl.cancel(*range(20_001))
    assert set(crawl.cancel(*range(20_000))) == {0, *range(2, 20_000)}
    assert crawl.task(f"{SEED}1").state is TaskState.DROPPED


def test_only_so_many_pools_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asks, "MAX_POOLS", 2)
    crawl = PoolCrawl()
    crawl.request(pool=1)
    crawl.request(pool=2)
    with pytest.raises(UsageError, match="no more than 2 pools"):
        crawl.request(f"{SEED}1", pool=3)
    assert crawl.request(pool=2).taken == 0
    crawl.service.pools.close("p", 1, crawl.now)
    assert crawl.request(f"{SEED}1", pool=3).taken == 1


def test_a_message_with_too_many_asks_is_taken_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlfleet.coordinator.conduct.pools.MAX_ASKS", 2)
    crawl = PoolCrawl()
    assert crawl.request(f"{SEED}1", f"{SEED}2", f"{SEED}3").taken == 2


def test_answers_that_are_too_large_together_are_collected_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_post, "MAX_PAGE_BYTES", 100)
    crawl = PoolCrawl()
    crawl.request(*(f"{SEED}{number}" for number in range(1, 4)))
    crawl.work(rows=ROWS)
    crawl.post.deliver(crawl.service.outgoing.take_answers())
    crawl.post.finish()
    collected = [crawl.collect() for _ in range(3)]
    assert [len(page.settled) for page in collected] == [1, 1, 1]
    assert [page.finished for page in collected] == [False, False, True]


def test_an_address_without_end_is_not_even_read() -> None:
    crawl = PoolCrawl()
    crawl.request(f"{SEED}{'x' * 40_000}", f"{SEED}{'x' * 9_000}")
    answers = sorted(crawl.answers())
    assert [(ticket, len(url), reason) for ticket, url, _, reason in answers] == [
        (1, 2_083, "not_http"),
        (2, 8_192, "length"),
    ]


@pytest.mark.parametrize("priority", [10**9, -(10**9)])
def test_a_priority_is_bounded(priority: int) -> None:
    crawl = PoolCrawl()
    crawl.request(Ask(1, f"{SEED}1", priority))
    assert abs(crawl.task(f"{SEED}1").priority) == pools.MAX_PRIORITY


def test_a_session_that_is_no_member_asks_for_nothing() -> None:
    crawl = PoolCrawl()
    with pytest.raises(Unreachable):
        crawl.request(f"{SEED}1", session="nobody")


# Taking back


def test_what_has_not_started_is_dropped_and_revived_when_it_is_asked_for_again() -> None:
    crawl = PoolCrawl()
    crawl.request(f"{SEED}1", f"{SEED}2")
    assert crawl.cancel(1) == ()
    row = crawl.task(f"{SEED}1")
    assert (row.state, row.reason) == (TaskState.DROPPED, "cancelled")
    assert crawl.work() == [f"{SEED}2"]
    assert crawl.answers() == [(2, f"{SEED}2", 200, "")]
    crawl.request(Ask(3, f"{SEED}1"))
    assert crawl.work() == [f"{SEED}1"]
    assert crawl.answers() == [(3, f"{SEED}1", 200, "")]


def test_what_somebody_else_asks_for_too_stays() -> None:
    crawl = PoolCrawl()
    crawl.hello("q")
    crawl.request(f"{SEED}1", Ask(2, f"{SEED}1"))
    crawl.request(f"{SEED}1", session="q")
    assert crawl.cancel(1) == ()
    assert crawl.cancel(1, session="q") == ()
    assert crawl.task(f"{SEED}1").state is TaskState.PENDING
    assert crawl.cancel(2) == ()
    assert crawl.task(f"{SEED}1").state is TaskState.DROPPED


def test_what_has_started_stays_unless_that_is_taken_back_too() -> None:
    crawl = PoolCrawl()
    crawl.request(f"{SEED}1", f"{SEED}2")
    held = crawl.ask()
    assert set(crawl.cancel(1, 2, 77)) == {1, 2, 77}
    assert crawl.cancel(1, started_too=True) == ()
    assert crawl.task(f"{SEED}1").state is TaskState.LEASED
    for lease, task in held:
        crawl.settle(lease, task)
    assert crawl.answers() == [(2, f"{SEED}2", 200, "")]
    assert crawl.task(f"{SEED}1").state is TaskState.DONE


def test_what_a_program_that_has_ended_asked_for_is_fetched_nevertheless() -> None:
    crawl = PoolCrawl()
    crawl.request(f"{SEED}1")
    crawl.service.goodbye("p", crawl.now)
    assert crawl.work() == [f"{SEED}1"]
    assert crawl.collect().settled == ()
    assert crawl.is_over()


# The end


def test_the_crawl_goes_on_while_a_pool_is_open() -> None:
    crawl = PoolCrawl()
    crawl.request(pool=2)
    assert not crawl.is_over()
    assert not crawl.turn("s").finished
    crawl.service.pools.close("p", 1, crawl.now)
    assert not crawl.is_over()
    crawl.service.pools.close("p", 2, crawl.now)
    crawl.service.pools.close("nobody", 2, crawl.now)
    assert crawl.is_over()


def test_a_lost_program_holds_nothing_open() -> None:
    crawl = PoolCrawl()
    crawl.request()
    for _ in range(4):
        crawl.pass_time(crawl.policy.lease_s / 2)
        crawl.turn("s")
    assert crawl.is_over()


def test_workers_look_in_often_while_a_pool_is_open() -> None:
    crawl = PoolCrawl()
    assert crawl.turn("s").idle_s == idling.BUSY_IDLE_S
    crawl.request(SEED)
    assert crawl.turn("s").idle_s == idling.HURRIED_IDLE_S
    crawl.pass_time(EAGER_S)
    assert crawl.turn("s").idle_s == idling.BUSY_IDLE_S
    for number in range(99):
        crawl.hello(f"w{number}")
        crawl.turn(f"w{number}", want=1)
    assert crawl.turn("s").idle_s == pytest.approx(100 / idling.LOOKS_PER_S)


def test_a_finished_crawl_takes_no_asks() -> None:
    crawl = PoolCrawl()
    crawl.request()
    assert not crawl.service.end()
    crawl.service.pools.close("p", 1, crawl.now)
    assert crawl.service.end()
    assert crawl.request(f"{SEED}1") == AskReply(book="", taken=0, finished=True)
    crawl.post.finish()
    assert crawl.collect().finished


def test_nothing_is_asked_for_any_more_once_a_worker_was_told_that_the_crawl_is_finished() -> None:
    crawl = PoolCrawl()
    crawl.service.pools.close("p", 1, crawl.now)
    assert crawl.turn("s").finished
    assert crawl.request(f"{SEED}1").finished
    assert crawl.turn("s").finished


def test_a_crawl_whose_last_page_reaches_one_that_is_to_lead_on_is_not_finished() -> None:
    crawl = PoolCrawl()
    crawl.request(Ask(1, f"{SEED}1"))
    crawl.work(kept=pack([f"{SEED}2"]))
    crawl.request(Ask(2, f"{SEED}4", follow=True))
    ((lease, task),) = crawl.ask()
    crawl.service.pools.close("p", 1, crawl.now)
    last = Report(lease=lease.id, ref=task.ref, outcome=Outcome.FETCHED, status=200, outlinks=(f"{SEED}1",), age_s=0.0)
    assert not crawl.turn(reports=(last,)).finished
    assert crawl.work() == [f"{SEED}2"]
    assert crawl.is_over()


def test_the_waiting_list_is_empty_when_all_is_answered() -> None:
    crawl = PoolCrawl()
    crawl.request(*(f"{SEED}{number}" for number in range(1, 5)))
    crawl.cancel(1, 2, started_too=True)
    crawl.work()
    kept = crawl.service.pools._asks
    assert (kept.are_open, kept._open, kept._waiting) == (False, 0, {})


def test_only_a_page_keeps_outlinks_whatever_a_worker_reports() -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    for _ in range(2):
        ((lease, robots),) = crawl.ask()
        assert robots.kind is Kind.ROBOTS
        assert crawl.settle(lease, robots, kept=pack([f"{SEED}1"])) == "ok"
        crawl.pass_time(100 * 3600.0)
        crawl.hello("s")
    assert crawl.store.rows(KeptLinksRow, range(9)) == {}


def test_a_page_beyond_the_crawl_leads_on_when_the_limit_of_depth_is_raised() -> None:
    crawl = PoolCrawl(extent=Extent(depth=1))
    crawl.request(Ask(1, f"{SEED}0", follow=True))
    crawl.work(outlinks=(f"{SEED}1",))
    crawl.work(outlinks=(f"{SEED}2",))
    crawl.request(Ask(2, f"{SEED}2"))
    assert crawl.work(kept=pack([f"{SEED}3"])) == [f"{SEED}2"]
    crawl.reopen(extent=Extent(depth=3))
    crawl.hello("s")
    crawl.judge_again()
    crawl.pass_time(0.1)
    assert crawl.work() == [f"{SEED}3"]
    assert crawl.task(f"{SEED}3").depth == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda queue, _pools: queue.goodbye(5),
        lambda _queue, pools: pools.close("p", "many"),
        lambda _queue, pools: pools.close(5, 1),
        lambda _queue, pools: pools.collect(None, 0, 0.0),
        lambda _queue, pools: pools.ask(b"nonsense"),
        lambda _queue, pools: pools.cancel(b"nonsense"),
    ],
    ids=["goodbye", "pool", "session", "collect", "ask", "cancel"],
)
def test_a_call_with_nonsense_is_its_callers_error_alone(call: Callable[[TaskQueue, Pools], object]) -> None:
    crawl = PoolCrawl()
    loop = Loop(crawl.service, lambda: None)
    with pytest.raises((TypeError, ValueError, WireError)):
        call(TaskQueue(crawl.service, loop), Pools(crawl.service, loop, crawl.post))
    assert loop.failure is None
