"""The lanes of the agenda: tasks that wait in the worker for their earliest start, by host.

They decide when a task may start here. Each host has a lane: tasks in order of arrival, a number of slots, a spacing
between starts. The lanes are in heaps by the time at which their first task may start, so that thousands of waiting
hosts cost nothing: one for each speed of hosts, since slow ones may have to leave slots to others. A task never starts
under an ended lease. Politeness is not decided here: slots, spacing and earliest starts come with the leases. A lane
whose host's name is not known waits for that, and nothing of it starts; so does one that lacks room (see
`worker.shares`). Pure: `now` is a parameter, in seconds of one monotonic clock.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from itertools import count
from math import inf, nan
from typing import TypeAlias

import msgspec

from crawlfleet.shared.messages import Lease, Task, TaskKey
from crawlfleet.worker.fetch.port import Name, host_of
from crawlfleet.worker.lane import Counted, Holding, Lane, News, Waiting
from crawlfleet.worker.shares import Load, Shares, Speed

# A spaced host is remembered for longer than starts are granted ahead, so that its gap is known.
KEPT_S = 10.0
# A host that was quick so often in a row, and whose tasks are all done, may have more in a moment: its share of the
# slots is kept for so long. That a host is slow is remembered for longer.
QUICK_KEPT_AFTER = 3
QUICK_KEPT_S = 2.0
SLOW_KEPT_S = 60.0
# So many tasks of each host that lacks room are deferred: with more, a worker that has only this host would hoard them.
ROOMLESS_TASKS = 64


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One start of one task, under its lease.

    `gap_s` is the time since the last start on the host, if the host `is_spaced` and the start is remembered. `name` is
    what is known about the host's name, None if the engine looks it up; the lane waited for it for `lookup_s`.
    `page_cost_s` is what the coordinator knows about the pages of the host, 0 if nothing.
    """

    lease_id: int
    host: str
    task: Task
    started_at: float
    is_spaced: bool = False
    gap_s: float | None = None
    name: Name | None = None
    lookup_s: float = 0.0
    page_cost_s: float = 0.0

    @property
    def key(self) -> TaskKey:
        """The key of the task at the coordinator."""
        return TaskKey(self.lease_id, self.task.ref)


_Heap: TypeAlias = list[tuple[float, int, Lane]]


class Lanes:
    """All lanes, and the leases of their tasks.

    `known` says what is known about a name. Without it no lane waits for one. `shares` has the limits.
    """

    def __init__(self, known: Callable[[str], Name | None] | None = None) -> None:
        self.known = known
        self.shares = Shares()
        self.running = 0
        self._counts = [0] * len(Counted)
        self._lanes: dict[str, Lane] = {}
        self._leases: dict[int, Holding] = {}
        self._heaps: dict[Speed, _Heap] = {speed: [] for speed in Speed}
        self._held: tuple[Speed, ...] = ()
        # When that was decided; no time if it may have changed since.
        self._held_at = nan
        self._without_room: dict[Lane, None] = {}
        self._roomless = 0
        self._tickets = count(1)
        self._started: list[TaskKey] = []
        self._overdue: list[TaskKey] = []
        self._alone: list[TaskKey] = []
        self._unnamed: dict[str, list[Lane]] = {}
        self._to_look_up: list[str] = []

    @property
    def waiting(self) -> int:
        """How many tasks wait for their start."""
        return sum(self._counts)

    @property
    def deferred(self) -> int:
        """How many of them mostly wait for a time, a slow host, slots that are not kept for others, or room."""
        held = self._counts[Counted.NEW] if Speed.NEW in self._held else 0
        deferred = self._counts[Counted.TIME] + self._counts[Counted.SLOW] + held + self._roomless
        return min(deferred, self.waiting)

    def add(self, lease: Lease, received_at: float, until: float) -> None:
        """Add a lease that ends at `until`. Its slots apply to the host from now on, its spacing to its own tasks."""
        lane = self._lanes.get(lease.host)
        if lane is None:
            lane = self._lanes[lease.host] = Lane(Load(lease.host))
        self.shares.set_slots(lane.load, lease.slots)
        self._held_at = nan
        lane.page_cost_s = lease.page_cost_s
        holding = self._leases.setdefault(lease.id, Holding(until))
        counted = lane.counted(lease.spacing_s)
        holding.until = max(holding.until, until)
        for task in lease.tasks:
            waiting = Waiting(lease.id, task, received_at + task.start_after_s, lease.spacing_s, counted)
            holding.waiting[task.ref] = waiting
            lane.waiting.append(waiting)
        self._counts[counted] += len(lease.tasks)
        self._count_roomless(lane)
        self._schedule(lane)

    def pop_ready(self, now: float) -> Attempt | None:
        """Start the first task that may start now, if any."""
        if self.shares.are_bodies_many():
            return None
        if now != self._held_at:
            self.hold(now)
        while (heap := self._first_heap()) and heap[0][0] <= now:
            _, ticket, lane = heapq.heappop(heap)
            if ticket != lane.ticket:
                continue
            lane.ticket = 0
            self._clear_head(lane, now)
            attempt = self._start(lane, now)
            self._schedule(lane)
            if attempt is not None:
                return attempt
            if lane.is_idle and lane.kept_until <= now:
                lane.ticket = 0
                self.shares.forget(lane.load)
                del self._lanes[lane.host]
                self.hold(now)
        return None

    def age(self, now: float) -> None:
        """Let hosts be slow of which an exchange has taken long, though it has not ended. `hold` does, too."""
        for host in self.shares.age(now):
            lane = self._lanes[host]
            lane.kept_until = max(lane.kept_until, now + SLOW_KEPT_S)
            self._change_speed(lane)

    def hold(self, now: float) -> None:
        """Decide hosts of which speeds have to leave the slots that are left to others. `pop_ready` does, too."""
        self.age(now)
        new = self._heaps[Speed.NEW]
        while new and new[0][1] != new[0][2].ticket:
            heapq.heappop(new)
        self._held = self.shares.held(new_ones_wait=bool(new) and new[0][0] <= now)
        self._held_at = now

    def next_at(self) -> float | None:
        """When to call `pop_ready` again at the latest; None if nothing waits for a time, but maybe for room."""
        heap = self._first_heap() if not self.shares.are_bodies_many() else None
        return heap[0][0] if heap else None

    def _first_heap(self) -> _Heap | None:
        """Return the heap with the first lane that may start something, if any."""
        first = None
        for speed, heap in self._heaps.items():
            while heap and heap[0][1] != heap[0][2].ticket:
                heapq.heappop(heap)
            if heap and speed not in self._held and (first is None or heap[0] < first[0]):
                first = heap
        return first

    def behind_s(self, now: float) -> float:
        """How long the first task that may start has been waiting for a thread; 0 if none is."""
        heap = self._first_heap()
        return max(0.0, now - heap[0][0]) if heap and heap[0][2].waiting else 0.0

    def done(
        self, attempt: Attempt, now: float | None = None, size: int | None = None, took_s: float | None = None
    ) -> None:
        """Free the slot of an attempt that ended; `now` is None if its time tells nothing about the host.

        A page of `size` bytes waits from now on for a parse thread, if that is not None. `took_s` is how long the host
        took, if that is not all of the time until now.
        """
        lane, load = self._lanes[attempt.host], self._lanes[attempt.host].load
        speed = load.speed
        self.running -= 1
        if attempt.name is not None and attempt.name.reason:
            now = None
        if now is None:
            took_s = None
        elif took_s is None:
            took_s = now - attempt.started_at
        self.shares.end(attempt.key, load, took_s)
        self._held_at = nan
        if size is not None:
            self.shares.land(load, size)
        if now is not None and (load.speed is Speed.SLOW or load.quick_exchanges >= QUICK_KEPT_AFTER):
            lane.kept_until = max(lane.kept_until, now + (SLOW_KEPT_S if load.speed is Speed.SLOW else QUICK_KEPT_S))
        if load.speed is not speed:
            self._change_speed(lane)
        self._give_room(lane)
        if not lane.ticket:
            self._schedule(lane)

    def page_taken(self, host: str, size: int) -> bool:
        """Record that a parse thread took a page of a host; say whether a lane may have room for a start now."""
        lane = self._lanes[host]
        self.shares.take(lane.load, size)
        may_start = self._give_room(lane)
        if not lane.waiting:
            self._schedule(lane)
        return may_start

    def give_back(self, attempt: Attempt, broken_off_at: int = 0) -> None:
        """Free the slot of an attempt that could not be made here; its task is returned.

        If its body was broken off after so many bytes, for want of room, the task is to be granted alone.
        """
        self.done(attempt)
        self._overdue.append(attempt.key)
        if broken_off_at:
            self.shares.learn(self._lanes[attempt.host].load, broken_off_at)
            self._alone.append(attempt.key)

    def drop(self, lease_ids: Iterable[int]) -> tuple[TaskKey, ...]:
        """Forget leases; return those of their tasks that had not started, and never will."""
        dropped: list[TaskKey] = []
        for lease_id in lease_ids:
            holding = self._leases.pop(lease_id, None)
            if holding is not None:
                dropped.extend(TaskKey(lease_id, ref) for ref in holding.waiting)
                for waiting in holding.waiting.values():
                    self._counts[waiting.counted] -= 1
        return tuple(dropped)

    def renew(self, lease_ids: Iterable[int], until: float) -> None:
        """Move the end of leases to `until`, never to an earlier time; unknown leases are ignored."""
        for lease_id in lease_ids:
            holding = self._leases.get(lease_id)
            if holding is not None:
                holding.until = max(holding.until, until)

    def leases(self) -> tuple[int, ...]:
        """Return the leases with waiting tasks."""
        return tuple(self._leases)

    def hosts(self) -> int:
        """Return how many hosts are remembered: those with tasks or a recent start."""
        return len(self._lanes)

    def take_news(self) -> News:
        """Return and forget the tasks that started, or were dropped, since the last call."""
        news = News(tuple(self._started), tuple(self._overdue), tuple(self._alone))
        self._started, self._overdue, self._alone = [], [], []
        return news

    def take_unnamed(self) -> list[str]:
        """Return and forget the names that lanes have begun to wait for since the last call."""
        names, self._to_look_up = self._to_look_up, []
        return names

    def named(self, host: str, name: Name, now: float) -> None:
        """Let the lanes that wait for a name go on, whether or not it has an address."""
        for lane in self._unnamed.pop(host, ()):
            lane.unnamed, lane.name, lane.lookup_s = "", (host, name), now - lane.unnamed_at
            self._recount(lane)
            self._schedule(lane)

    def _start(self, lane: Lane, now: float) -> Attempt | None:
        if not lane.waiting or lane.next_start_at > now:
            return None
        if not self.shares.has_room(lane.load):
            lane.lacks_room = True
            self._without_room[lane] = None
            self._count_roomless(lane)
            return None
        name = None
        if self.known is not None:
            name = self._name_of(lane, host_of(lane.waiting[0].task.url), self.known, now)
            if name is None:
                return None
        head = lane.waiting.popleft()
        self._retire(head)
        lookup_s, lane.lookup_s = lane.lookup_s, 0.0
        self.running += 1
        key = TaskKey(head.lease_id, head.task.ref)
        self.shares.begin(key, lane.load, now)
        if lane.load.speed is not Speed.QUICK:
            self._held_at = nan
        gap_s = now - lane.last_start_at if head.spacing_s and lane.last_start_at > -inf else None
        lane.last_start_at = now
        lane.kept_until = now + head.spacing_s + KEPT_S if head.spacing_s else now
        self._started.append(key)
        return Attempt(
            lease_id=head.lease_id,
            host=lane.host,
            task=head.task,
            started_at=now,
            is_spaced=head.spacing_s > 0,
            gap_s=gap_s,
            name=name,
            lookup_s=lookup_s,
            page_cost_s=lane.page_cost_s,
        )

    def _name_of(self, lane: Lane, host: str, known: Callable[[str], Name | None], now: float) -> Name | None:
        """Return what is known about the name of a lane's first task; otherwise the lane waits for it from now on."""
        answer, lane.name = lane.name, None
        name = answer[1] if answer is not None and answer[0] == host else known(host)
        if name is None:
            lane.unnamed, lane.unnamed_at = host, now
            if host not in self._unnamed:
                self._to_look_up.append(host)
            self._unnamed.setdefault(host, []).append(lane)
            self._recount(lane)
        return name

    def _give_room(self, lane: Lane) -> bool:
        """Let lanes try again that lacked room: this one, the first of all, or, if half is free, all."""
        if not self._without_room:
            return False
        tried = [lane, *self._without_room] if self.shares.is_relaxed else [lane, next(iter(self._without_room))]
        may_start = False
        for other in tried:
            if other.lacks_room:
                del self._without_room[other]
                if self.shares.may_try_again(other.load):
                    other.lacks_room, may_start = False, True
                    self._count_roomless(other)
                    self._schedule(other)
                else:  # others are tried first next time
                    self._without_room[other] = None
        return may_start

    def _recount(self, lane: Lane) -> None:
        """Count a lane's tasks again: it waits for a name, or no more, or the speed of its host has changed."""
        for waiting in lane.waiting:
            if self._is_known(waiting):
                self._counts[waiting.counted] -= 1
                waiting.counted = lane.counted(waiting.spacing_s)
                self._counts[waiting.counted] += 1
        self._count_roomless(lane)

    def _count_roomless(self, lane: Lane) -> None:
        """Count the tasks of a lane that are deferred for nothing but room."""
        is_one = lane.lacks_room and bool(lane.waiting) and lane.waiting[0].counted in (Counted.QUICK, Counted.NEW)
        roomless = min(ROOMLESS_TASKS, len(lane.waiting)) if is_one else 0
        self._roomless += roomless - lane.roomless
        lane.roomless = roomless

    def _change_speed(self, lane: Lane) -> None:
        """Count a lane's tasks again, and move it to the heap of its new speed."""
        self._recount(lane)
        lane.ticket = 0
        self._held_at = nan
        self._schedule(lane)

    def _is_known(self, waiting: Waiting) -> bool:
        """Say whether a task was not dropped."""
        holding = self._leases.get(waiting.lease_id)
        return holding is not None and holding.waiting.get(waiting.task.ref) is waiting

    def _clear_head(self, lane: Lane, now: float) -> None:
        """Remove dropped and overdue tasks from the front of a lane."""
        while lane.waiting:
            head = lane.waiting[0]
            known = self._is_known(head)
            if known and now < self._leases[head.lease_id].until:
                return
            lane.waiting.popleft()
            if known:
                self._retire(head)
                self._overdue.append(TaskKey(head.lease_id, head.task.ref))

    def _retire(self, waiting: Waiting) -> None:
        """Remove a task from its lease; forget a lease without waiting tasks."""
        holding = self._leases[waiting.lease_id]
        del holding.waiting[waiting.task.ref]
        if not holding.waiting:
            del self._leases[waiting.lease_id]
        self._counts[waiting.counted] -= 1

    def _schedule(self, lane: Lane) -> None:
        """Put a lane into the heap if it waits only for a time; an empty one waits for its removal."""
        if not lane.has_entry:
            lane.ticket = 0
            return
        due_at = lane.next_start_at if lane.waiting else lane.kept_until
        if lane.ticket and lane.due_at == due_at:
            return
        lane.ticket, lane.due_at = next(self._tickets), due_at
        if lane.load.speed is Speed.NEW:
            self._held_at = nan
        heapq.heappush(self._heaps[lane.load.speed], (due_at, lane.ticket, lane))
