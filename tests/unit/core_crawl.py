"""A crawl for tests of single rules: the service over a memory store, and calls that read like what happens to it."""

from __future__ import annotations

from collections.abc import Sequence

from crawlfleet.coordinator.conduct.again import Again
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.core.rows import HostRow, TaskRow
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.messages import (
    AckState,
    ExchangeAnswer,
    ExchangeRequest,
    Hello,
    Kind,
    Lease,
    Outcome,
    Report,
    Task,
)
from crawlfleet.shared.web.urls import fingerprint
from tests.policies import make_policy, policy_with

SEED = "http://a.test/"
POLICY = make_policy(user_agent="bot", scope=ScopeSpec(hosts=("a.test", "b.test")), delay_s=0.0, per_host=4)


class CoreCrawl:
    """One crawl and its time; every call is flushed, as the loop does it."""

    def __init__(self, *seeds: str, store: Store | None = None, wait: bool = False, **policy: object) -> None:
        self.wait = wait
        self.policy = policy_with(POLICY, **policy)
        self.store = store if store is not None else MemoryStore()
        self.changes: list[Change] = []
        self.brief = Brief(job="test", scope=self.policy.scope)
        self.now = 0.0
        self.reopen()
        self.service.add_seeds(seeds or (SEED,), self.now)
        self.service.flush(self.now)

    def reopen(self, **policy: object) -> None:
        """Go on with the same store, by a policy that may have changed."""
        self.policy = policy_with(self.policy, **policy)
        self.service = Service(self.store, self.policy, self.brief, 7, self.changes.extend, self.now)
        if self.wait:
            self.service.wait_for_programs()

    def go_through(self, again: Again) -> None:
        """Judge known tasks again, a portion a commit."""
        goes_on = True
        while goes_on:
            goes_on = again.step(self.now)
            self.service.flush(self.now)

    def judge_again(self) -> None:
        """Judge all known tasks again, as after the rules have changed."""
        self.go_through(self.service.judging_again())

    def pass_time(self, seconds: float) -> None:
        """Let time pass and the loop tick."""
        self.now += seconds
        self.service.flush(self.now)

    def hello(self, *sessions: str, replaces: str = "") -> None:
        """Let sessions join."""
        for session in sessions:
            self.service.hello(Hello(session=session, replaces=replaces), self.now)
            self.service.flush(self.now)

    def turn(self, session: str = "s", want: int = 0, **request: object) -> ExchangeAnswer:
        """Exchange once, holding all that the session has."""
        request.setdefault("holding", tuple(lease.id for lease in self.store.leases_of(session)))
        asked = ExchangeRequest(session=session, want=want, **request)  # type: ignore[arg-type]  # the caller's fields
        answer = self.service.exchange(asked, self.now)
        self.service.flush(self.now)
        return answer

    def ask(self, session: str = "s", want: int = 8) -> list[tuple[Lease, Task]]:
        """Return the tasks that a session is granted now, each with its lease."""
        leases = self.turn(session, want).leases
        return [(lease, task) for lease in leases for task in lease.tasks]

    def settle(self, lease: Lease, task: Task, session: str = "s", **report: object) -> AckState:
        """Report a task, as FETCHED by default, and return the ack."""
        values = {"lease": lease.id, "ref": task.ref, "outcome": Outcome.FETCHED, "status": 200, "age_s": 0.0, **report}
        return self.turn(session, reports=(Report(**values),)).acks[0].state  # type: ignore[arg-type]  # as above

    def open_gates(self, session: str = "s", body: bytes = b"", status: int = 404) -> None:
        """Settle every robots.txt that can be had; call it before anything else is granted."""
        outcome = Outcome.FETCHED if status == 200 else Outcome.HTTP_ERROR
        for lease, task in self.ask(session):
            assert task.kind is Kind.ROBOTS
            self.settle(lease, task, session, outcome=outcome, status=status, body=body)

    def task(self, url: str = SEED) -> TaskRow:
        """Return a page's row."""
        ref = fingerprint(Kind.PAGE, "", url)
        return self.store.rows(TaskRow, [ref])[ref]

    def knows(self, url: str) -> bool:
        """Say whether a page has a row."""
        return bool(self.store.rows(TaskRow, [fingerprint(Kind.PAGE, "", url)]))

    def host(self, key: str = "a.test") -> HostRow:
        """Return a host's row."""
        return self.store.rows(HostRow, [key])[key]

    def fetched(self) -> set[str]:
        """Return the pages that have a result."""
        return {result.url for result in self.store.results(0, 10_000)}


def all_of(tasks: Sequence[tuple[Lease, Task]]) -> list[str]:
    """Return the addresses of granted tasks, in order."""
    return [task.url for _, task in tasks]
