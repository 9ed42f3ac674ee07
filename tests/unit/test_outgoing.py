"""What leaves the coordinator only after the commit with which it became durable."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.changes import Change, TaskMoved
from crawlfleet.coordinator.frontier.port import Conclusion
from crawlfleet.shared.brief import Brief
from crawlfleet.shared.messages import Hello, Kind
from crawlfleet.shared.objects import ObjectCall
from crawlfleet.shared.pools import Ask, AskRequest
from tests.unit.core_crawl import POLICY, SEED
from tests.unit.late_commits import LateStore


class LateCrawl:
    """A service over a store whose commits end late, with two sessions."""

    def __init__(self) -> None:
        self.store = LateStore()
        self.service = Service(self.store, POLICY, Brief(job="test", scope=POLICY.scope), 7, lambda _: None)
        self.outgoing = self.service.outgoing
        self.logged: list[Change] = []
        self.outgoing.log = self.logged.extend
        for session in "ab":
            self.service.hello(Hello(session=session, fetches=False), 0.0)

    def use_lock(self, session: str, *methods: str) -> None:
        """Call a lock from a session: `open` comes first."""
        for number, method in enumerate(("open", *methods), 1):
            call = ObjectCall(session=session, thread=1, slot=0, number=number, kind="Lock", name="n", method=method)
            self.service.call_object(call, 0.0)

    def begin(self) -> None:
        """Begin a commit that is not over yet."""
        assert self.service.flush(0.0) is None

    def end(self, conclusion: Conclusion = Conclusion.DONE) -> None:
        """Let the commit under way end, and conclude it."""
        self.store.commits.end(conclusion)
        assert self.service.conclude() is conclusion

    def lose_lock(self) -> None:
        """Let one session wait for a lock, and the other one, which has it, leave."""
        self.use_lock("a", "acquire")
        self.use_lock("b", "acquire")
        self.service.goodbye("a", 0.0)

    def woken(self) -> list[str]:
        return [session for session, answer in self.outgoing.take_woken() if answer is not None]

    def refuse(self) -> None:
        """Let a session ask for what is answered at once."""
        self.service.pools.ask(AskRequest(session="b", pool=1, asks=(Ask(1, "no address"),)), 0.0)


def test_an_answer_to_a_call_that_waited_leaves_when_its_commit_is_done() -> None:
    crawl = LateCrawl()
    crawl.lose_lock()
    assert crawl.woken() == []
    crawl.begin()
    assert crawl.woken() == []
    crawl.end()
    assert crawl.woken() == ["b"]
    assert crawl.woken() == []


def test_an_answer_that_came_while_a_commit_was_under_way_leaves_with_the_next(crawl: LateCrawl) -> None:
    crawl.use_lock("a", "acquire")
    crawl.begin()
    crawl.use_lock("b", "acquire")
    crawl.service.goodbye("a", 0.0)
    crawl.refuse()
    crawl.end()
    assert (crawl.woken(), crawl.outgoing.take_answers()) == ([], [])
    crawl.begin()
    crawl.end()
    assert crawl.woken() == ["b"]
    assert [(session, ticket) for session, ticket, _ in crawl.outgoing.take_answers()] == [("b", 1)]


def test_answers_of_several_commits_are_kept_until_they_are_taken(crawl: LateCrawl) -> None:
    for ticket in (1, 2):
        asks = (Ask(ticket, "no address"),)
        crawl.service.pools.ask(AskRequest(session="b", pool=1, asks=asks), 0.0)
        crawl.service.put(f"{SEED}{ticket}", 0.0)
        crawl.begin()
        crawl.end()
    assert [ticket for _, ticket, _ in crawl.outgoing.take_answers()] == [1, 2]


def test_the_log_has_the_changes_of_a_commit_once_that_is_done(crawl: LateCrawl) -> None:
    crawl.service.put(SEED, 0.0)
    crawl.begin()
    crawl.service.put(f"{SEED}late", 0.0)
    assert crawl.logged == []
    crawl.end()
    assert discovered(crawl.logged) == [SEED]
    crawl.begin()
    crawl.end()
    assert discovered(crawl.logged) == [SEED, f"{SEED}late"]


@pytest.mark.parametrize("conclusion", [Conclusion.FENCED, Conclusion.UNKNOWN], ids=str)
def test_nothing_leaves_after_a_commit_that_is_lost(crawl: LateCrawl, conclusion: Conclusion) -> None:
    crawl.lose_lock()
    crawl.refuse()
    crawl.begin()
    crawl.end(conclusion)
    assert (crawl.woken(), crawl.outgoing.take_answers(), crawl.logged) == ([], [], [])


@pytest.fixture
def crawl() -> LateCrawl:
    return LateCrawl()


def discovered(changes: Sequence[Change]) -> list[str]:
    """Return the pages that have become known."""
    moves = [change for change in changes if isinstance(change, TaskMoved)]
    return [move.task.url for move in moves if move.before is None and move.task.kind is Kind.PAGE]
