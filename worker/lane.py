"""One lane of the agenda, its tasks, and their leases: what `worker.lanes` keeps books on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum
from math import inf
from typing import NamedTuple

from crawlfleet.shared.messages import Task, TaskKey
from crawlfleet.worker.fetch.port import Name
from crawlfleet.worker.shares import Load


class Counted(IntEnum):
    """What a waiting task waits for: a slot, as the speed of its host has them, or, mostly, a time.

    It waits for a time if its host is spaced, or waits for its name. A slow host's task mostly waits for one before it.
    """

    QUICK = 0
    NEW = 1
    SLOW = 2
    TIME = 3


class News(NamedTuple):
    """What happened since the last call: tasks that started, and tasks to return; some of these are granted `alone`.

    Those to return are dropped because their lease had ended, or attempts that could not be made.
    """

    started: tuple[TaskKey, ...]
    overdue: tuple[TaskKey, ...]
    alone: tuple[TaskKey, ...]


@dataclass(slots=True, eq=False)
class Waiting:
    """A task, and as what it is counted."""

    lease_id: int
    task: Task
    earliest_at: float
    spacing_s: float
    counted: Counted


@dataclass(slots=True, eq=False)
class Holding:
    """A lease: when it ends, and which of its tasks have not started."""

    until: float
    waiting: dict[bytes, Waiting] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Lane:
    """One host. `ticket` is the number of the lane's only valid entry in a heap (0: none), `due_at` its time.

    An empty lane is remembered until `kept_until`. While it waits for the name `unnamed`, since `unnamed_at`, it has no
    entry. The answer is `name`, until the next task starts, which is told about the wait. A lane that `lacks_room` has
    no entry either; `roomless` of its tasks are deferred for that. `page_cost_s` is what the coordinator knows about
    its pages.
    """

    load: Load
    last_start_at: float = -inf
    kept_until: float = 0.0
    waiting: deque[Waiting] = field(default_factory=deque)
    ticket: int = 0
    due_at: float = 0.0
    unnamed: str = ""
    unnamed_at: float = 0.0
    name: tuple[str, Name] | None = None
    lookup_s: float = 0.0
    lacks_room: bool = False
    roomless: int = 0
    page_cost_s: float = 0.0

    @property
    def host(self) -> str:
        """The host, as the coordinator names it."""
        return self.load.host

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing of it here."""
        return not (self.waiting or self.load.running or self.load.pages)

    @property
    def next_start_at(self) -> float:
        """When the first of the waiting tasks may start."""
        head = self.waiting[0]
        return max(head.earliest_at, self.last_start_at + head.spacing_s)

    @property
    def has_entry(self) -> bool:
        """Whether it waits only for a time, or, if it is empty, for its removal."""
        load = self.load
        if self.unnamed or self.lacks_room or load.running >= load.slots:
            return False
        return bool(self.waiting) or not (load.running or load.pages)

    def counted(self, spacing_s: float) -> Counted:
        """Return as what a waiting task is counted."""
        return Counted.TIME if spacing_s or self.unnamed else Counted(self.load.speed)
