"""A small crawl on disk, finished or not: frontier, log and sinks, for tests of what reads or damages them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.frontier.crawl_clock import ClockReading
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.marks import MARKS, SqliteMarks
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.sinks.follower import Follower
from crawlfleet.coordinator.sinks.outputs import outputs_of
from crawlfleet.coordinator.sinks.rejected_sink import REJECTED, RejectedRows
from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.messages import ExchangeRequest, Hello, Kind, Lease, Outcome, Report, Row, Task
from tests.policies import make_policy

SEED = "http://a.test/"
ITEMS = "items.jsonl"
LINKS = {SEED: (f"{SEED}1", f"{SEED}2"), f"{SEED}1": (f"{SEED}3",)}
POLICY = make_policy(user_agent="bot", scope=ScopeSpec(hosts=("a.test",)), delay_s=0.0, per_host=4)


class DurableCrawl:
    """A service over a store in a folder. Time is given to each step."""

    def __init__(
        self, folder: Path, policy: Policy = POLICY, wall: float = 1_000.0, sinks: tuple[str, ...] = (ITEMS,)
    ) -> None:
        self.folder = folder
        self.sinks = sinks
        self.wall = wall
        self.store = SqliteStore(folder / FRONTIER, clocks=lambda: ClockReading(self.wall))
        self.now = self.store.opened_at
        self.job = {"sinks": sinks, "columns": {"page": {"path": "text"}}}
        self.store.keep("job", msgspec.json.encode(self.job))
        brief = Brief(job="test", scope=policy.scope)
        self.service = Service(self.store, policy, brief, self.store.epoch, lambda _: None, self.now)

    def begin(self, worker: str = "") -> None:
        """Admit the seed; let one session join."""
        self.service.add_seeds([SEED], self.now)
        self.service.hello(Hello(session="s", worker=worker), self.now)
        self.service.flush(self.now)

    def judge_again(self) -> None:
        """Judge all known tasks by the policy, as after it has changed."""
        again, goes_on = self.service.judging_again(), True
        while goes_on:
            goes_on = again.step(self.now)
            self.service.flush(self.now)

    def ask(self, *reports: Report) -> list[tuple[Lease, Task]]:
        """Report, and return what is granted."""
        holding = tuple(lease.id for lease in self.store.leases_of("s"))
        request = ExchangeRequest(session="s", reports=reports, holding=holding, want=8)
        answer = self.service.exchange(request, self.now)
        self.service.flush(self.now)
        return [(lease, task) for lease in answer.leases for task in lease.tasks]

    def finish(self) -> None:
        """Fetch all there is, and write it to the sinks."""
        granted = self.ask()
        while granted:
            granted = self.ask(*(report(lease, task) for lease, task in granted))
        self.write_sinks()

    def write_sinks(self) -> None:
        """Bring the sinks up to date."""
        marks = SqliteMarks(self.folder / MARKS, power=False)
        outputs = outputs_of(self.job, self.folder)
        kinds = {output.name: output.kind for output in outputs}
        sinks = {output.name: output.open(marks.get(output.name), power=False) for output in outputs}
        rejected = RejectedRows(kinds).open(self.folder / REJECTED, marks.get(REJECTED), power=False)
        follower = Follower(self.store, sinks, marks, rejected)
        follower.restore()
        follower.start()
        follower.stop()

    def close(self) -> None:
        """Close the store."""
        self.store.close()


def report(lease: Lease, task: Task) -> Report:
    """Return what an honest worker says of a task."""
    if task.kind is Kind.ROBOTS:
        return Report(lease=lease.id, ref=task.ref, outcome=Outcome.HTTP_ERROR, status=404)
    row = Row(item="page", index=0, fields={"path": task.url.removeprefix(SEED)})
    return Report(
        lease=lease.id,
        ref=task.ref,
        outcome=Outcome.FETCHED,
        status=200,
        age_s=0.0,
        outlinks=LINKS.get(task.url, ()),
        rows=(row,),
    )
