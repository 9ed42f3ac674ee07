"""The durable store against the one in memory, over any order of changes, commits that end late, and restarts.

The windows, pages and caches of the durable store are so small that all of its bounds are reached.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crawlfleet.coordinator.core.changes import Change, Gone, Put, TaskEvent
from crawlfleet.coordinator.core.later_rows import KeptLinksRow
from crawlfleet.coordinator.core.leases import under
from crawlfleet.coordinator.core.rows import HostRow, LeaseRow, TaskRow, TaskState, succeed
from crawlfleet.coordinator.core.transitions import created, moved
from crawlfleet.coordinator.frontier.durable import row_cache, windows
from crawlfleet.coordinator.frontier.durable.store import DurableStore
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.frontier.port import Conclusion
from crawlfleet.shared.messages import Kind
from crawlfleet.shared.web.urls import fingerprint
from tests.commits import commit
from tests.unit.late_database import LateDatabase, nobody

_IS_LONG = os.environ.get("CRAWLFLEET_HYPOTHESIS") == "ci"
ORIGIN = "http://a.test"
QUEUES = ("http://a.test", "a.test", "alone")
MOST = 100
SMALL: dict[ModuleType, dict[str, object]] = {
    windows: {
        "FIRST_PAGE": 2,
        "LARGEST_PAGE": 4,
        "LONGEST_WINDOW": 5,
        "MOST_ENTRIES": 8,
        "MOST_WINDOWS": 2,
        "MOST_STORED": 2,
    },
    row_cache: {"CACHED_TASKS": 4, "CACHED_DEPTHS": 4, "CACHED_HOSTS": 1, "CACHED_OF_OTHERS": 2, "CACHED_ROWS": {}},
}

numbers = st.integers(0, 30)
queues = st.sampled_from(QUEUES)
times = st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 9.0])


class StoreMachine(RuleBasedStateMachine):
    """Both stores get the same changes, and must answer alike."""

    @initialize(is_seen=st.booleans())
    def open(self, is_seen: bool) -> None:
        self.patch = pytest.MonkeyPatch()
        for module, values in SMALL.items():
            for name, value in values.items():
                self.patch.setattr(module, name, value)
        self.folder = tempfile.TemporaryDirectory()
        self.is_seen = is_seen
        self.model = MemoryStore()
        self.now = 0.0
        self.orders = 0
        self.is_under_way = False
        self._open()

    def _open(self) -> None:
        self.database = LateDatabase(Path(self.folder.name), is_seen=self.is_seen)
        self.store = DurableStore(self.database)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()
        self.patch.undo()

    def apply(self, *changes: Change) -> None:
        self.model.apply(changes)
        self.store.apply(changes)

    def any_task(self, number: int, *states: TaskState) -> TaskRow | None:
        """Return one of the tasks in some states, as the durable store has read it."""
        tasks = [task for task in self.model.walk(0, MOST) if task.state in states]
        if not tasks:
            return None
        wanted = tasks[number % len(tasks)]
        assert self.store.rows(TaskRow, [wanted.ref]) == {wanted.ref: wanted}
        return wanted

    @rule(queue=queues, depth=st.integers(0, 3), not_before=times, count=st.integers(1, 4))
    def admit(self, queue: str, depth: int, not_before: float, count: int) -> None:
        for _ in range(count):
            self.orders += 1
            url = f"{ORIGIN}/{self.orders}"
            ref = fingerprint(Kind.PAGE, "", url)
            assert self.store.strangers({ref}) == {ref}
            common = {"kind": Kind.PAGE, "url": url, "origin": ORIGIN, "host": "a.test", "queue": queue}
            place = {"depth": depth, "order": self.orders, "not_before": not_before}
            self.apply(created(TaskEvent.ADMITTED, ref=ref, **common, **place))

    @rule(queue=queues, limit=st.integers(1, 9))
    def grant(self, queue: str, limit: int) -> None:
        found = self.store.ready({queue: limit}, self.now)[queue].tasks
        assert found == self.model.ready({queue: limit}, self.now)[queue].tasks
        if found:
            number = max((lease.id for lease in self.model.resident(LeaseRow)), default=self.orders * MOST) + 1
            lease = LeaseRow(id=number, session="s", host="a.test", refs=tuple(task.ref for task in found))
            self.apply(*(moved(task, TaskEvent.GRANTED, **under(task, lease)) for task in found), Put(row=lease))

    @rule(number=numbers, queue=queues, not_before=times)
    def end_lease(self, number: int, queue: str, not_before: float) -> None:
        leases = sorted(self.model.resident(LeaseRow), key=lambda lease: lease.id)
        if leases:
            lease = leases[number % len(leases)]
            tasks = self.store.rows(TaskRow, lease.refs)
            assert tasks == self.model.rows(TaskRow, lease.refs)
            changes = [
                moved(task, TaskEvent.RETRIED, attempt=task.attempt + 1, queue=queue, not_before=not_before, lease=0)
                for task in tasks.values()
            ]
            self.apply(*changes, Gone(row=succeed(lease), why="settled"))

    @rule(number=numbers, priority=st.integers(-1, 1))
    def lower(self, number: int, priority: int) -> None:
        task = self.any_task(number, TaskState.PENDING, TaskState.LEASED)
        if task is not None:
            self.apply(moved(task, TaskEvent.LOWERED, depth=max(0, task.depth - 1), priority=priority))

    @rule(number=numbers)
    def drop(self, number: int) -> None:
        task = self.any_task(number, TaskState.PENDING)
        if task is not None:
            self.apply(moved(task, TaskEvent.REFUSED, reason="host"))

    @rule(key=st.integers(1, 4), is_removed=st.booleans())
    def change_rows(self, key: int, is_removed: bool) -> None:
        name = f"h{key}.test"
        before = self.store.rows(HostRow, [name]).get(name)
        after = HostRow(key=name, delay_s=0.0) if before is None else succeed(before, delay_s=before.delay_s + 1)
        self.apply(Put(row=after))
        kept = self.store.rows(KeptLinksRow, [key]).get(key)
        if kept is None:
            self.apply(Put(row=KeptLinksRow(order=key, links=b"")))
        else:
            self.apply(Gone(row=succeed(kept)) if is_removed else Put(row=succeed(kept, links=kept.links + b"x")))

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: not self.is_under_way)
    @rule()
    def begin(self) -> None:
        is_over: list[bool] = []
        self.store.commit(self.now, lambda: is_over.append(True))
        commit(self.model, self.now)
        self.is_under_way = not is_over
        assert self.store.conclude() is (None if self.is_under_way else Conclusion.DONE)

    @precondition(lambda self: self.is_under_way)
    @rule()
    def conclude(self) -> None:
        self.database.end()
        assert self.store.conclude() is Conclusion.DONE
        self.is_under_way = False

    @rule()
    def restart(self) -> None:
        """Commit all, and open the file again."""
        if self.is_under_way:
            self.conclude()
        self.store.commit(self.now, nobody)
        if self.store.conclude() is None:
            self.conclude()
        self.store.close()
        self._open()

    @rule(limits=st.dictionaries(queues, st.integers(1, 6), min_size=1))
    def look(self, limits: dict[str, int]) -> None:
        assert self.store.ready(limits, self.now) == self.model.ready(limits, self.now)

    @rule(after=st.sampled_from(["", *QUEUES]), limit=st.integers(1, 3))
    def name_queues(self, after: str, limit: int) -> None:
        assert self.store.queues(after, limit) == self.model.queues(after, limit)

    @rule(limit=st.integers(1, 40))
    def look_at_some(self, limit: int) -> None:
        found = self.store.waiting(limit)
        assert set(found) <= set(self.model.waiting(MOST))
        assert len(found) == len({task.ref for task in found}) == len(self.model.waiting(limit))

    @rule(after=numbers, limit=st.integers(1, 9))
    def walk(self, after: int, limit: int) -> None:
        assert self.store.walk(after, limit) == self.model.walk(after, limit)

    @rule()
    def read_all(self) -> None:
        keys: list[tuple[type, Callable[[int], object]]] = [(HostRow, lambda key: f"h{key}.test"), (KeptLinksRow, int)]
        for kind, key_of in keys:
            wanted = [key_of(number) for number in range(1, 5)]
            assert self.store.rows(kind, wanted) == self.model.rows(kind, wanted)
        refs = [task.ref for task in self.model.walk(0, MOST)]
        assert self.store.depths(refs) == self.model.depths(refs)

    @invariant()
    def numbers_agree(self) -> None:
        if hasattr(self, "store"):
            assert {key: number for key, number in self.store.counts().items() if number} == {
                key: number for key, number in self.model.counts().items() if number
            }


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(
    max_examples=150 if _IS_LONG else 30,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
