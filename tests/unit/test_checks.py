"""Checks of links that lead out of the scope, in a whole crawl: who is told what, and what is counted."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.conduct.causes import Causes
from crawlfleet.coordinator.conduct.counting import count
from crawlfleet.coordinator.conduct.pool_post import PoolPost
from crawlfleet.coordinator.conduct.turns import told_to
from crawlfleet.coordinator.core.policy import LinkRules
from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.screen.causes import cause_lines
from crawlfleet.screen.progress import words
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import AckState, Kind, Lease, Outcome, Task, decode
from crawlfleet.shared.pools import Ask, AskRequest, Settled, SettledPage
from crawlfleet.shared.status import Status
from tests.unit.core_crawl import SEED, CoreCrawl

FAR = "http://far.test/"
ON = LinkRules(check_external=True)
GONE: dict[str, Any] = {"outcome": Outcome.HTTP_ERROR, "status": 404, "reason": "http_404"}
SERVED: dict[str, Any] = {"outcome": Outcome.HTTP_ERROR, "status": 404}


class Checked(CoreCrawl):
    """A crawl of a.test whose first page has been fetched, and has links that lead out."""

    def __init__(self, *links: str, seeds: tuple[str, ...] = (SEED,), **values: Any) -> None:
        scope = {"scope": ScopeSpec(hosts=("a.test",)), "links": ON, "retries": 0, "robots_wait_s": 0.0}
        super().__init__(*seeds, **{**scope, **values})
        heard = Causes(self.store)
        self.service._journal = told_to(self.changes.extend, heard.note)
        self.hello("s")
        self.open_gates()
        self.first = {task.url: (lease, task) for lease, task in self.ask()}
        self.settle(*self.first[SEED], outlinks=links)

    def next(self) -> dict[str, tuple[Lease, Task]]:
        """Return what is granted now, by method and address."""
        return {
            f"{task.kind}{' by get' if task.by_get else ''} {task.url}": (lease, task) for lease, task in self.ask()
        }

    def open(self) -> dict[str, tuple[Lease, Task]]:
        """Answer each robots.txt with 404, until something else is granted."""
        while granted := self.next():
            if not all(task.kind is Kind.ROBOTS for _, task in granted.values()):
                return granted
            for lease, task in granted.values():
                self.settle(lease, task, **SERVED)
        return {}

    def told(self, now: float = 0.0) -> Status:
        """Return the numbers for users."""
        numbers = count(self.store, job="test", elapsed_s=now, robots_wait_s=0.0)
        return Status(**{name: getattr(numbers, name) for name in numbers.__struct_fields__})


def test_a_link_is_asked_for_by_head_and_then_by_get_and_neither_has_fields_of_the_job() -> None:
    crawl = Checked(f"{FAR}1", f"{SEED}2")
    granted = crawl.next()
    assert {name: task.bare for name, (_, task) in granted.items()} == {
        "robots http://far.test/robots.txt": True,
        f"page {SEED}2": False,
    }
    crawl.settle(*granted["robots http://far.test/robots.txt"], **SERVED)
    granted = crawl.next()
    assert {name: task.bare for name, (_, task) in granted.items()} == {f"check {FAR}1": True}
    crawl.settle(*granted[f"check {FAR}1"], **GONE)
    granted = crawl.next()
    assert {name: task.bare for name, (_, task) in granted.items()} == {f"check by get {FAR}1": True}
    crawl.settle(*granted[f"check by get {FAR}1"])
    assert crawl.task(f"{FAR}1").state is TaskState.DONE


def test_a_link_of_a_host_of_the_crawl_has_the_fields_of_the_job() -> None:
    crawl = Checked(f"{SEED}out", scope=ScopeSpec(hosts=("a.test",), include=("re:^/$",)))
    ((name, (_, task)),) = crawl.next().items()
    assert (name, task.bare) == (f"check {SEED}out", False)


def test_what_became_of_links_is_counted_and_told_with_the_causes() -> None:
    crawl = Checked(f"{FAR}gone", f"{FAR}there", f"{FAR}sent", "http://dead.test/", "http://shut.test/1", f"{FAR}wait")
    for name, (lease, task) in crawl.next().items():
        if "dead" in name:
            crawl.settle(lease, task, outcome=Outcome.NETWORK_ERROR, status=0, reason="dns_failed")
        elif "shut" in name:
            crawl.settle(lease, task, body=b"User-agent: *\nDisallow: /")
        else:
            crawl.settle(lease, task, **SERVED)
    granted = crawl.next()
    assert crawl.told().external_waiting == 4
    crawl.settle(*granted[f"check {FAR}gone"], **GONE)
    crawl.settle(*granted[f"check {FAR}there"])
    crawl.settle(*granted[f"check {FAR}sent"], outcome=Outcome.REDIRECTED, status=301, location=f"{FAR}there")
    crawl.settle(*crawl.next()[f"check by get {FAR}gone"], **GONE)
    told = crawl.told()
    assert (told.external_checked, told.external_broken, told.external_unchecked) == (4, 2, 1)
    assert (told.discovered, told.fetched, told.failed, told.dropped, told.retries) == (1, 1, 0, 0, 0)
    assert told.reasons == {}
    assert "4 external links checked, 2 broken, 1 to go" in words(told, 0.0)
    lines = cause_lines(told.causes)
    assert [line for line in lines if not line.startswith(" ")] == [
        "broken external links:",
        "external links that were not checked:",
    ]
    assert "      last: http://shut.test/1" in lines


def test_one_link_is_one_link() -> None:
    assert "1 external link checked ·" in words(Status(job="j", external_checked=1), 0.0)
    assert "0 external links checked, 1 to go" in words(Status(job="j", external_waiting=1), 0.0)
    assert "external" not in words(Status(job="j"), 0.0)


def test_a_store_that_is_opened_again_has_the_counts_of_checks(tmp_path: Path) -> None:
    crawl = Checked(f"{FAR}1", store=SqliteStore(tmp_path / FRONTIER))
    crawl.settle(*crawl.open()[f"check {FAR}1"], **GONE)
    crawl.settle(*crawl.next()[f"check by get {FAR}1"], **GONE)
    crawl.store.close()
    with closing(SqliteStore(tmp_path / FRONTIER)) as store:
        assert store.verdicts(Kind.CHECK) == {(TaskState.FAILED, "http_404"): 1}
        assert store.verdicts() == {(TaskState.DONE, "fetched"): 1}
        assert Causes(store).tell(store.verdicts(), store.verdicts(Kind.CHECK), store.ledger())[0].url == f"{FAR}1"


def test_a_link_that_leads_out_makes_nothing_unless_the_job_asks_for_checks() -> None:
    crawl = Checked(f"{FAR}1", links=LinkRules())
    assert not crawl.knows(f"{FAR}1")
    assert crawl.service.is_finished


# A host that joins the scope


def late(*links: str, **values: Any) -> Checked:
    """Return a crawl with a second seed that is still being fetched."""
    return Checked(*links, seeds=(SEED, f"{SEED}late"), **values)


def join(crawl: Checked) -> None:
    """Let the second seed redirect to the other host."""
    moved: dict[str, Any] = {"outcome": Outcome.REDIRECTED, "status": 301, "location": f"{FAR}home"}
    crawl.settle(*crawl.first[f"{SEED}late"], **moved)
    assert crawl.store.ledger().scope_hosts == ("far.test",)


def run(crawl: Checked) -> list[str]:
    """Fetch all that is granted; return it in order."""
    seen = []
    while not crawl.service.is_finished:
        for name, (lease, task) in crawl.open().items():
            seen.append(name)
            crawl.settle(lease, task)
        crawl.pass_time(1.0)
    return seen


def test_checks_that_are_over_become_pages_when_their_host_joins_the_scope() -> None:
    crawl = late(f"{FAR}there", f"{FAR}gone", "http://other.test/")
    for name, (lease, task) in crawl.open().items():
        crawl.settle(lease, task, **(GONE if name.endswith("gone") else {}))
    crawl.settle(*crawl.next()[f"check by get {FAR}gone"], **GONE)
    join(crawl)
    assert not crawl.service.is_finished
    assert sorted(run(crawl)) == [f"page {FAR}gone", f"page {FAR}home", f"page {FAR}there"]
    assert crawl.fetched() == {SEED, f"{FAR}there", f"{FAR}gone", f"{FAR}home"}
    assert crawl.told().external_checked == 1


def test_a_check_that_is_under_way_becomes_a_page_when_it_is_settled() -> None:
    crawl = late(f"{FAR}there")
    lease, task = crawl.open()[f"check {FAR}there"]
    join(crawl)
    crawl.settle(lease, task)
    assert (crawl.task(f"{FAR}there").kind, crawl.task(f"{FAR}there").state) == (Kind.PAGE, TaskState.PENDING)
    assert sorted(run(crawl)) == [f"page {FAR}home", f"page {FAR}there"]


def test_a_late_report_of_a_check_that_is_a_page_by_now_changes_nothing() -> None:
    crawl = late(f"{FAR}there")
    lease, task = crawl.open()[f"check {FAR}there"]
    seed = crawl.first[f"{SEED}late"]
    crawl.hello("t")
    crawl.pass_time(10.0)
    crawl.turn("t")
    crawl.pass_time(10.0)  # the first session is lost, with its check
    assert crawl.task(f"{FAR}there").state is TaskState.PENDING
    crawl.hello("s")
    moved: dict[str, Any] = {"outcome": Outcome.REDIRECTED, "status": 301, "location": f"{FAR}there"}
    assert crawl.settle(*seed, **moved) is AckState.OK
    assert crawl.task(f"{FAR}there").kind is Kind.PAGE
    assert crawl.settle(lease, task) is AckState.STALE
    assert crawl.task(f"{FAR}there").state is TaskState.PENDING


# Programs that ask


class Asked:
    """A program with a pool, and what it is told."""

    def __init__(self, crawl: CoreCrawl) -> None:
        self.crawl = crawl
        self.post = PoolPost(crawl.store, crawl.service.pools.book_of)
        crawl.hello("p")
        self.tickets = 0

    def ask(self, url: str) -> None:
        self.tickets += 1
        request = AskRequest(session="p", pool=1, asks=(Ask(self.tickets, url),))
        self.crawl.service.pools.ask(request, self.crawl.now)
        self.crawl.service.flush(self.crawl.now)

    def told(self) -> list[Settled]:
        self.post.deliver(self.crawl.service.outgoing.take_answers())
        return list(decode(self.post.collect("p", 0, 0.0), SettledPage).settled)


@pytest.mark.parametrize("is_over", [False, True], ids=["under way", "over"])
def test_an_ask_for_a_link_that_leads_out_is_refused_at_once(is_over: bool) -> None:
    crawl = late(f"{FAR}there")
    lease, task = crawl.open()[f"check {FAR}there"]
    if is_over:
        crawl.settle(lease, task)
    program = Asked(crawl)
    program.ask(f"{FAR}there")
    (answer,) = program.told()
    assert (answer.failed, answer.refused, answer.reason, answer.url) == (True, True, "host", f"{FAR}there")


def test_an_ask_for_a_page_that_redirects_to_a_checked_link_is_refused_there() -> None:
    crawl = late(f"{FAR}there", f"{SEED}moved")
    granted = crawl.open()
    page = granted.pop(f"page {SEED}moved", None) or crawl.open()[f"page {SEED}moved"]
    program = Asked(crawl)
    program.ask(f"{SEED}moved")
    crawl.settle(*page, outcome=Outcome.REDIRECTED, status=301, location=f"{FAR}there")
    (answer,) = program.told()
    assert (answer.failed, answer.refused, answer.reason, answer.url) == (True, True, "host", f"{FAR}there")


def test_an_ask_for_a_check_that_is_under_way_when_its_host_joins_gets_the_page() -> None:
    crawl = late(f"{FAR}there")
    lease, task = crawl.open()[f"check {FAR}there"]
    join(crawl)
    program = Asked(crawl)
    program.ask(f"{FAR}there")
    assert program.told() == []
    crawl.settle(lease, task)
    assert program.told() == []
    crawl.settle(*crawl.open()[f"page {FAR}there"])
    (answer,) = program.told()
    assert (answer.failed, answer.url, answer.status) == (False, f"{FAR}there", 200)


def test_an_ask_for_a_check_that_never_becomes_a_page_is_answered_all_the_same() -> None:
    crawl = late(f"{FAR}there", time_s=15.0)
    assert f"check {FAR}there" in crawl.open()
    join(crawl)
    program = Asked(crawl)
    program.ask(f"{FAR}there")
    for _ in range(4):
        crawl.pass_time(5.0)  # the session with the check is lost, and the time of the crawl is over
        crawl.turn("p")
    (answer,) = program.told()
    assert (answer.failed, answer.refused, answer.reason) == (True, True, "budget_time")
