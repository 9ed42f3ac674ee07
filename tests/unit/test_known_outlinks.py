"""Outlinks that a report names by fingerprint only pass on a smaller depth."""

from __future__ import annotations

from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.changes import Change
from crawlfleet.coordinator.core.rows import TaskRow, TaskState
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.messages import ExchangeRequest, Hello, Kind, Outcome, Report
from crawlfleet.shared.web.urls import fingerprint
from tests.policies import make_policy

SITE = "http://a.test/"
SCOPE = ScopeSpec(hosts=("a.test",))


def ref(name: str) -> bytes:
    return fingerprint(Kind.PAGE, "", SITE + name)


class Crawl:
    """A crawl with one session that holds one task at a time."""

    def __init__(self, depth: int) -> None:
        self.changes: list[Change] = []
        self.store = MemoryStore()
        policy = make_policy(user_agent="test", scope=SCOPE, delay_s=0, depth=depth, tasks_per_lease=1)
        self.service = Service(self.store, policy, Brief(job="t", scope=SCOPE), 1, self.changes.extend)
        self.service.add_seeds([SITE], 0.0)
        self.service.hello(Hello(session="s"), 0.0)

    def fetch(self, *outlinks: str, known: bytes = b"") -> str:
        """Take the next task and report it; return its URL."""
        (lease,) = self.service.exchange(ExchangeRequest(session="s", want=1), 1.0).leases
        (task,) = lease.tasks
        links = tuple(SITE + name for name in outlinks)
        report = Report(lease=lease.id, ref=task.ref, outcome=Outcome.FETCHED, status=200, outlinks=links, known=known)
        self.service.exchange(ExchangeRequest(session="s", reports=(report,)), 1.0)
        return task.url

    def state(self, name: str) -> TaskState:
        return self.store.rows(TaskRow, [ref(name)])[ref(name)].state


def test_a_page_named_by_fingerprint_is_revived_when_it_is_nearer_than_was_known() -> None:
    crawl = Crawl(depth=3)
    crawl.fetch()  # robots.txt
    crawl.fetch("1", "2")
    crawl.fetch("11")
    crawl.fetch()
    crawl.fetch("111")
    crawl.fetch("deep")
    assert crawl.state("deep") is TaskState.DROPPED
    crawl.service.put(SITE + "late", 1.0)
    crawl.fetch(known=ref("deep"))
    assert crawl.state("deep") is TaskState.PENDING
