"""Calls of a crawl whose commits are slow, fail or are lost, over a real PostgreSQL server.

Nobody is answered before what the answer depends on is committed. Whoever was not answered says it again to the next
owner, and it counts once, whether it was in or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from typing import Any

import psycopg
import pytest

from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.frontier.durable.store import DurableStore
from crawlfleet.coordinator.frontier.port import Conclusion
from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.errors import CrawlFailed
from crawlfleet.shared.messages import AckState, ExchangeAnswer, ExchangeRequest, Hello, Kind, Lease, Report, Task
from tests.commits import once_run
from tests.policies import policy_with
from tests.site.postgresql_proxy import PATIENCE_S, Passes, PostgresqlProxy
from tests.site.postgresql_schemas import open_unsynced
from tests.site.postgresql_server import PostgresqlServer, programs
from tests.unit.core_crawl import POLICY
from tests.unit.test_durable_store import report

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]
Granted = list[tuple[Lease, Task]]

HOSTS = ("a.test", "b.test")
RULES = policy_with(POLICY, scope=ScopeSpec(hosts=HOSTS), lease_s=600.0)


class Coordinator:
    """A loop over a store, and threads that call it for one session."""

    def __init__(self, store: DurableStore, callers: ThreadPoolExecutor) -> None:
        self.store = store
        self.service = Service(
            store, RULES, Brief(job="test", scope=RULES.scope), store.epoch, lambda _: None, store.opened_at
        )
        self.loop = Loop(self.service, lambda: None, store.opened_at)
        self._callers = callers

    def hello(self) -> None:
        """Open the session."""
        self.loop.call(lambda now: self.service.hello(Hello(session="s"), now))

    def begin(self) -> Granted:
        """Begin the crawl; return a page of each host, which is granted."""
        self.hello()
        self.loop.call(lambda now: self.service.add_seeds([f"http://{host}/" for host in HOSTS], now))
        robots = _granted_in(self.exchange(want=2))
        pages = _granted_in(self.exchange(*(report(*each) for each in robots), want=2))
        assert [task.kind for _, task in pages] == [Kind.PAGE] * 2
        return pages

    def exchange(self, *reports: Report, want: int = 0) -> Future[ExchangeAnswer]:
        """Let a thread exchange; return once that is decided."""
        request = ExchangeRequest(session="s", reports=reports, want=want)
        return once_run(self._callers, self.loop.call, lambda now: self.service.exchange(request, now), PATIENCE_S)

    def count(self) -> Future[dict[Any, int]]:
        """Let a thread read how many tasks there are; return once that is read."""
        return once_run(self._callers, self.loop.read, lambda _now: self.store.counts(), PATIENCE_S)


class Database:
    """A schema of a server, behind a proxy and directly."""

    def __init__(self, server: PostgresqlServer, proxy: PostgresqlProxy, schema: str) -> None:
        self.proxy = proxy
        self._server = server
        self._schema = schema

    @contextmanager
    def served(self, address: str = "") -> Iterator[Coordinator]:
        """Serve its crawl while the block runs."""
        database = open_unsynced(address or self._server.address(), self._schema)
        with closing(DurableStore(database)) as store, ThreadPoolExecutor(8) as callers:
            coordinator = Coordinator(store, callers)
            coordinator.loop.start()
            try:
                yield coordinator
            finally:
                coordinator.loop.stop()

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement in the schema, past its owner."""
        with closing(psycopg.connect(self._server.address(), autocommit=True)) as db:
            db.execute(f"SET search_path = {self._schema}".encode())
            cursor = db.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def commits(self) -> int:
        """Return how many commits are in."""
        ((number,),) = self.execute("SELECT commits FROM ledger")
        return int(number)


_schemas = (f"crawl_{number}" for number in count())


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer() as running:
        yield running


@pytest.fixture
def database(server: PostgresqlServer) -> Iterator[Database]:
    with PostgresqlProxy(server) as proxy:
        yield Database(server, proxy, next(_schemas))


def _granted_in(answer: Future[ExchangeAnswer]) -> Granted:
    return [(lease, task) for lease in answer.result(PATIENCE_S).leases for task in lease.tasks]


def _acks(*answers: Future[ExchangeAnswer]) -> list[AckState]:
    return [ack.state for answer in answers for ack in answer.result(PATIENCE_S).acks]


def _check_once(database: Database, *pages: tuple[Lease, Task]) -> None:
    """Report pages to the next owner, twice; each must count once."""
    with database.served() as coordinator:
        coordinator.hello()
        reports = [report(*page) for page in pages]
        assert _acks(coordinator.exchange(*reports), coordinator.exchange(*reports)) == [AckState.OK] * 2 * len(pages)
        assert coordinator.store.result_count() == len(pages)


def test_calls_are_decided_while_a_commit_is_slow_and_answered_when_their_own_is_in(database: Database) -> None:
    with database.served(database.proxy.address()) as coordinator:
        a, b = coordinator.begin()
        before = database.commits()
        database.proxy.hold_commits()
        first = coordinator.exchange(report(*a))
        database.proxy.await_commit()
        second, read = coordinator.exchange(report(*b)), coordinator.count()
        assert database.commits() == before
        assert not any(answer.done() for answer in (first, second, read))
        database.proxy.let_commits_go()
        assert _acks(first, second) == [AckState.OK] * 2
        assert read.result(PATIENCE_S)
        assert database.commits() == before + 2
    _check_once(database, a, b)


def _fence(database: Database) -> None:
    database.execute("UPDATE ledger SET epoch = epoch + 1")
    database.proxy.let_commits_go()


def _lose_before_it_is_in(database: Database) -> None:
    database.proxy.cut()


def _lose_when_it_is_in(database: Database) -> None:
    before = database.commits()
    database.proxy.passes = Passes.REQUESTS
    database.proxy.let_commits_go()
    while database.commits() == before:
        time.sleep(0.01)
    database.proxy.cut()


@pytest.mark.parametrize(
    ("lose", "conclusion", "sentence"),
    [
        (_fence, Conclusion.FENCED, "^another coordinator has taken this crawl over, .* is not counted$"),
        (_lose_before_it_is_in, Conclusion.UNKNOWN, "was lost while a commit was under way; nothing that was told is"),
        (_lose_when_it_is_in, Conclusion.UNKNOWN, "was lost while a commit was under way; nothing that was told is"),
    ],
    ids=["fenced", "unknown, not in", "unknown, in"],
)
def test_a_commit_that_is_lost_answers_nobody_and_counts_once_when_it_is_said_again(
    database: Database, lose: Callable[[Database], None], conclusion: Conclusion, sentence: str
) -> None:
    with database.served(database.proxy.address()) as coordinator:
        a, b = coordinator.begin()
        database.proxy.hold_commits()
        answers: list[Future[Any]] = [coordinator.exchange(report(*a))]
        database.proxy.await_commit()
        answers += coordinator.exchange(report(*b)), coordinator.count()
        lose(database)
        for answer in answers:
            with pytest.raises(CrawlFailed, match=sentence):
                answer.result(PATIENCE_S)
        assert coordinator.loop.lost is conclusion
    _check_once(database, a, b)


def test_a_commit_that_the_server_refuses_answers_nobody_and_counts_once_when_it_is_said_again(
    database: Database,
) -> None:
    with database.served() as coordinator:
        a, b = coordinator.begin()
        database.execute("ALTER TABLE results ADD CONSTRAINT no_room CHECK (false) NOT VALID")
        with pytest.raises(CrawlFailed, match=r'violates check constraint "no_room"; make room or mend the database'):
            coordinator.exchange(report(*a)).result(PATIENCE_S)
        assert coordinator.loop.lost is None
    database.execute("ALTER TABLE results DROP CONSTRAINT no_room")
    _check_once(database, a, b)
