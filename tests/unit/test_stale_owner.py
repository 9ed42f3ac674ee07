"""A coordinator that is not sure of its crawl, as one that was stopped for long: it answers nothing before it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.pool_post import PoolPost
from crawlfleet.coordinator.conduct.post import Post
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.durable.store import DurableStore
from crawlfleet.coordinator.frontier.port import Conclusion
from crawlfleet.coordinator.frontier.sqlite.database import SqliteDatabase
from crawlfleet.coordinator.results.results_dict import ResultsDict
from crawlfleet.coordinator.server import Control, referents
from crawlfleet.shared.brief import Brief
from crawlfleet.shared.errors import CrawlLost
from crawlfleet.shared.messages import ExchangeRequest, Hello, encode
from crawlfleet.shared.objects import ObjectCall
from crawlfleet.shared.pools import AskRequest, CancelRequest
from crawlfleet.shared.status import Status
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.wire.manager import EXPOSED
from tests.commits import commit
from tests.unit.core_crawl import POLICY
from tests.unit.late_commits import PATIENCE_S, LateService
from tests.unit.late_database import CountedDatabase, LateDatabase, nobody
from tests.unit.rule_turns import born, page

SESSION = "s"
URL = "http://a.test/"
# A call of each method that the port exposes.
CALLS: Mapping[tuple[str, str], tuple[Any, ...]] = {
    ("Queue", "hello"): (encode(Hello(session=SESSION)),),
    ("Queue", "exchange"): (encode(ExchangeRequest(session=SESSION)),),
    ("Queue", "goodbye"): (SESSION,),
    ("Queue", "put"): (URL,),
    ("Queue", "size"): (),
    ("dict", "get"): (URL,),
    ("dict", "contains"): (URL,),
    ("dict", "size"): (),
    ("dict", "page"): (0, 10),
    ("Objects", "call"): (
        encode(ObjectCall(session=SESSION, thread=1, slot=1, number=0, kind="Value", name="n", method="get")),
    ),
    ("Objects", "collect"): (SESSION, 0, 0.0),
    ("Pools", "ask"): (encode(AskRequest(session=SESSION, pool=1)),),
    ("Pools", "cancel"): (encode(CancelRequest(session=SESSION, tickets=(1,))),),
    ("Pools", "close"): (SESSION, 1),
    ("Pools", "collect"): (SESSION, 0, 0.0),
    ("Control", "status"): (),
    ("Control", "stop"): (),
}


def refuse(*_: object) -> None:
    raise AssertionError("it was stopped for somebody whom another owner serves")


# The store


def test_a_store_that_is_not_sure_asks_for_its_owner_though_there_is_nothing_to_commit(tmp_path: Path) -> None:
    late = LateDatabase(tmp_path)
    with closing(DurableStore(late)) as store:
        late.is_sure = False
        store.commit(1.0, nobody)
        assert store.conclude() is None
        late.end()
        assert store.conclude() is Conclusion.DONE
        assert store.commit_number == 0
        store.commit(2.0, nobody)
        late.refuse()
        assert store.conclude() is Conclusion.FENCED


def test_what_is_applied_while_it_asks_belongs_to_the_next_commit(tmp_path: Path) -> None:
    late = LateDatabase(tmp_path)
    with closing(DurableStore(late)) as store:
        late.is_sure = False
        store.commit(1.0, nobody)
        store.apply([born(page("p", order=1))])
        late.end()
        assert (store.conclude(), store.commit_number) == (Conclusion.DONE, 0)
        late.is_late = False
        commit(store, 2.0)
        assert store.commit_number == 1


def test_a_file_in_a_folder_is_never_asked(tmp_path: Path) -> None:
    counted = CountedDatabase(tmp_path)
    with closing(DurableStore(counted)) as store:
        counted.calls.clear()
        assert store.is_surely_owned()
        commit(store, 1.0)
        assert not counted.calls
    assert SqliteDatabase.is_surely_owned(counted)


# The loop


@pytest.fixture
def service() -> LateService:
    service = LateService()
    service.is_surely_owned = False
    return service


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def asked(how: str, loop: Loop, pool: ThreadPoolExecutor) -> Future[object]:
    """Let a thread ask a loop something, in one of the ways in which that can be done."""
    return pool.submit(getattr(loop, how), "found" if how == "assured" else lambda _now: "found")


HOW = pytest.mark.parametrize("how", ["read", "call", "assured"])


@HOW
@pytest.mark.parametrize("is_mine", [True, False], ids=["still the owner", "another owner"])
def test_nothing_is_answered_before_a_commit(
    service: LateService, pool: ThreadPoolExecutor, how: str, is_mine: bool
) -> None:
    loop = Loop(cast(Service, service), on_commit=lambda: None)
    answer = asked(how, loop, pool)
    loop.start()
    service.commits.await_begun(1)
    assert not answer.done()
    service.is_surely_owned = is_mine
    service.commits.end(Conclusion.DONE if is_mine else Conclusion.FENCED)
    if is_mine:
        assert answer.result(PATIENCE_S) == "found"
        loop.stop()
        return
    for late in (answer, asked(how, loop, pool)):
        with pytest.raises(CrawlLost, match="another coordinator has taken this crawl over"):
            late.result(PATIENCE_S)


@HOW
def test_a_commit_that_began_before_the_call_says_nothing(
    service: LateService, pool: ThreadPoolExecutor, how: str
) -> None:
    loop = Loop(cast(Service, service), on_commit=lambda: None)
    loop.start()
    service.commits.await_begun(1)
    answer = asked(how, loop, pool)
    while loop._calls.empty() and not loop._decided:
        threading.Event().wait(0.001)
    service.commits.end()
    service.commits.await_begun(2)
    assert not answer.done()
    service.commits.end(Conclusion.FENCED)
    with pytest.raises(CrawlLost):
        answer.result(PATIENCE_S)


# The port


class StaleDatabase(LateDatabase):
    """A database that another owner has: each commit is fenced."""

    def begin(self, batch: Batch, ended: Callable[[], None]) -> None:
        super().begin(batch, ended)
        if not self.is_sure:
            self.refuse()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Mapping[str, object]]:
    """Return what the port of an owner serves that has just been continued."""
    database = StaleDatabase(tmp_path)
    with closing(DurableStore(database)) as store:
        service = Service(store, POLICY, Brief(job="stale", scope=POLICY.scope), store.epoch, lambda _: None)
        loop = Loop(service, on_commit=lambda: None)
        post, pools = Post(store.epoch), PoolPost(store, service.pools.book_of)
        control = Control(loop, lambda: loop.call(lambda _now: Status(job="stale")), refuse)
        results = ResultsDict(store, policy_of(POLICY.urls))
        database.is_sure = False
        loop.start()
        yield referents(service, loop, results, post, pools, control)
        loop.stop()


@pytest.mark.parametrize(("typeid", "method"), CALLS, ids=map(".".join, CALLS))
def test_each_method_of_the_port_refuses(port: Mapping[str, object], typeid: str, method: str) -> None:
    with pytest.raises(CrawlLost, match="another coordinator has taken this crawl over"):
        getattr(port[typeid], method)(*CALLS[typeid, method])


def test_all_methods_of_the_port_are_tried() -> None:
    assert set(CALLS) == {(typeid, method) for typeid, methods in EXPOSED.items() for method in methods}
