"""A coordinator in the test's own process, as a program with the token finds it behind the port: no socket, given time.

Its objects are those that the server exposes, over a real service. What would end a coordinator's loop fails the test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, TypeVar, cast

from benchmarks.wild_messages import Known, call
from crawlfleet.coordinator.conduct.counting import count
from crawlfleet.coordinator.conduct.loop import _REFUSALS as LOOP_REFUSALS
from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.pool_post import PoolPost
from crawlfleet.coordinator.conduct.post import Post
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.policy import Budget, HostLimits, LinkRules, Policy, Tuning, Unit
from crawlfleet.coordinator.core.rows import FINAL, LeaseRow, TaskRow
from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.coordinator.results.results_dict import ResultsDict
from crawlfleet.coordinator.server import Control, referents
from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.messages import (
    ExchangeAnswer,
    ExchangeRequest,
    Hello,
    Kind,
    Lease,
    Outcome,
    Report,
    Task,
    decode,
    encode,
)
from crawlfleet.shared.status import Status
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.wire.control_port import _REFUSALS as REFUSALS
from crawlfleet.shared.wire.manager import EXPOSED
from crawlfleet.shared.wire.payload import dumps, refuse_odd
from tests.policies import make_policy, policy_with

T = TypeVar("T")

SEEDS = ("http://a.test/", "http://b.test/")
MAP = "http://a.test/sitemap.xml"
PLAIN = make_policy(
    user_agent="bot", scope=ScopeSpec(hosts=("a.test", "b.test")), delay_s=0.0, per_host=4, retries=1, sitemaps=True
)
POLICIES = {
    "plain": PLAIN,
    "deep": policy_with(PLAIN, depth=2, tuning=Tuning(links_at_once=2, links_per_turn=4, links_per_portion=2)),
    "polite": policy_with(PLAIN, delay_s=2.0, unit=Unit.ADDRESS, types=("text/html",)),
    "bounded": policy_with(PLAIN, pages=6, size_bytes=2**40, host_budget=Budget(pages=4), limits=HostLimits(links=5)),
    "checking": policy_with(PLAIN, links=LinkRules(check_external=True), keeps_links=True, unit=Unit.DOMAIN),
}
HONEST = "honest"
ROUNDS = 2_000
# A host may be held for an hour because somebody says that it asked for that.
HELD_S = 60.0


class GivenLoop:
    """Runs calls as the loop does; what is no refusal is an error of the coordinator."""

    def __init__(self, service: Service) -> None:
        self.now = 0.0
        self._service = service

    def call(self, step: Callable[[float], T]) -> T:
        answer: T
        refusal = None
        try:
            try:
                answer = step(self.now)
            except LOOP_REFUSALS as error:
                refusal = error
            self._service.flush(self.now)
        except Exception as error:
            raise AssertionError("this would end the coordinator") from error
        if refusal is not None:
            raise refusal
        return answer

    def read(self, step: Callable[[float], T]) -> T:
        return step(self.now)

    def assured(self, answer: T) -> T:
        return answer


class HostilePort:
    """One crawl, and what may be called."""

    def __init__(self, store: Store, policy: Policy = PLAIN) -> None:
        self.store = store
        self._lease_s = policy.lease_s
        brief = Brief(job="test", scope=policy.scope)
        self.service = Service(store, policy, brief, store.epoch, lambda _: None)
        self.loop = GivenLoop(self.service)
        self.post = Post(store.epoch)
        self.pool_post = PoolPost(store, self.service.pools.book_of)
        self.service.pools.uncollected = self.pool_post.uncollected
        results = ResultsDict(store, policy_of(policy.urls))
        loop = cast(Loop, self.loop)  # it has what the objects use of one
        control = Control(loop, self._status, lambda: None)
        self.objects: Mapping[str, Any] = referents(self.service, loop, results, self.post, self.pool_post, control)
        self.service.add_seeds(SEEDS, 0.0, [MAP])
        self.service.flush(0.0)
        self.refused = 0

    def attack(self, random: Random, name: str) -> None:
        """Make one wild call; a refusal is as good as an answer."""
        if not random.randrange(6):
            self.loop.now += random.choice((0.1, 1.0, 40.0))
        typeid, method, arguments = call(random, name, self._known())
        assert method in EXPOSED[typeid]
        try:
            refuse_odd(arguments)
            dumps(getattr(self.objects[typeid], method)(*arguments))
        except REFUSALS:
            self.refused += 1
        finally:
            self._deliver()

    def end_honestly(self) -> None:
        """Let an honest worker do what is left, when all others have gone silent: every task becomes final."""
        self.loop.now += 10 * self._lease_s
        self.loop.call(lambda _now: None)
        self._hello()
        reports: list[Report] = []
        for _ in range(ROUNDS):
            answer = self._exchange(reports)
            if answer.finished:
                break
            if not answer.known:
                self._hello()
            reports = [told(lease, task) for lease in answer.leases for task in lease.tasks]
            self.loop.now += answer.idle_s if reports else HELD_S
        assert answer.finished
        assert all(task.state in FINAL for task in self.tasks())
        assert not self.store.resident(LeaseRow)

    def tasks(self) -> list[TaskRow]:
        """Return all tasks."""
        return list(self.store.walk(0, 1_000_000))

    def _hello(self) -> None:
        self.objects["Queue"].hello(encode(Hello(session=HONEST)))

    def _exchange(self, reports: list[Report]) -> ExchangeAnswer:
        request = ExchangeRequest(session=HONEST, reports=tuple(reports), want=8)
        answer: bytes = self.objects["Queue"].exchange(encode(request))
        return decode(answer, ExchangeAnswer)

    def _known(self) -> Known:
        return Known(open=[(lease.id, ref) for lease in self.store.resident(LeaseRow) for ref in lease.refs])

    def _status(self) -> Status:
        numbers = count(self.store, job="test", elapsed_s=self.loop.now, robots_wait_s=1.0)
        return Status(job=numbers.job, fetched=numbers.fetched)

    def _deliver(self) -> None:
        """Deliver answers, as the crawl does after a commit."""
        self.post.deliver(self.service.outgoing.take_woken())
        self.pool_post.deliver(self.service.outgoing.take_answers())


def told(lease: Lease, task: Task) -> Report:
    """Return what an honest worker says of a task."""
    values: dict[str, Any] = {"lease": lease.id, "ref": task.ref, "age_s": 0.0}
    if task.kind is Kind.ROBOTS:
        return Report(**values, outcome=Outcome.HTTP_ERROR, status=404)
    return Report(**values, outcome=Outcome.FETCHED, status=200)
