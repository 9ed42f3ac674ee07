"""The agenda: which tasks may start here and when (see `worker.lanes`), for the many threads of a worker.

It adds a clock, a lock and a resolver of names to the lanes, and wakes threads that wait for them; it decides nothing
itself. All times are seconds of one monotonic clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from crawlfleet.shared.messages import Lease, TaskKey
from crawlfleet.worker.bodies import Bodies
from crawlfleet.worker.fetch.port import Fetched, Name, Resolver
from crawlfleet.worker.lane import News
from crawlfleet.worker.lanes import Attempt, Lanes
from crawlfleet.worker.shares import Limits


class Agenda:
    """`Lanes` for many threads: fetch threads block in `take`, the control thread calls the rest.

    `bodies` are to be counted there, whose number holds back starts.
    Once `closed` it starts no more. At most one waiting thread, the leader, wakes by time; others sleep until needed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, on_low: Callable[[], None] = lambda: None) -> None:
        """Call `on_low`, without the lock, after a start that leaves fewer than `low_mark` undeferred tasks."""
        self.low_mark = 0
        self._clock = clock
        self._on_low = on_low
        self._lanes = Lanes()
        self.bodies = Bodies(self._have_room)
        self._lanes.shares.are_bodies_many = self.bodies.are_many
        # Entered without the condition, whose own methods are no C.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._sleeping = 0
        self._on_change: Callable[[], None] = lambda: None
        self._names: Resolver | None = None
        self._leader: object | None = None
        self.closed = False

    def add(self, lease: Lease, received_at: float, until: float) -> None:
        """See `Lanes.add`."""
        with self._lock:
            self._lanes.add(lease, received_at, until)
            self._hand_over()
        self._on_change()

    def take(self, timeout_s: float | None = None) -> Attempt | None:
        """Wait for a task that may start, and start it; None once closed, or after `timeout_s`."""
        give_up_at = None if timeout_s is None else self._clock() + timeout_s
        with self._lock:
            attempt = self._await_ready(give_up_at)
            if self._leader is None:
                self._notify()
            low = attempt is not None and self.waiting - self.deferred < self.low_mark
        if low:
            self._on_low()
        return attempt

    def start_ready(self, most: int) -> tuple[list[Attempt], float | None]:
        """Start up to `most` tasks that may start now; return them, and the seconds until the next (None: unknown)."""
        with self._lock:
            attempts: list[Attempt] = []
            if self.closed or most < 1:
                return attempts, None
            now = self._clock()
            while len(attempts) < most and (attempt := self._lanes.pop_ready(now)) is not None:
                attempts.append(attempt)
            self._look_up()
            next_at = self._lanes.next_at()
            low = bool(attempts) and self.waiting - self.deferred < self.low_mark
        if low:
            self._on_low()
        return attempts, None if next_at is None else max(0.0, next_at - now)

    def resolve_by(self, names: Resolver) -> None:
        """Start no task from now on before the name of its host is resolved; it takes no thread while it waits."""
        with self._lock:
            self._names = names
            self._lanes.known = names.known

    def listen(self, on_change: Callable[[], None]) -> None:
        """Set a function to call whenever a task may have come, and at the end. Any thread may call it."""
        self._on_change = on_change

    def share(self, limits: Limits) -> None:
        """Share so much among hosts from now on: see `worker.shares`. Each page that is `landed` has to be taken."""
        with self._lock:
            self._lanes.shares.limits = limits
            self.bodies.most = limits.bodies

    def share_slots(self, slots: int) -> None:
        """Share so many slots among hosts from now on."""
        with self._lock:
            limits = self._lanes.shares.limits
            if limits is not None:
                self._lanes.shares.limits = replace(limits, slots=slots)
            self._hand_over()

    def done(self, attempt: Attempt) -> None:
        """See `Lanes.done`."""
        with self._lock:
            self._lanes.done(attempt)
            self._hand_over()

    def landed(self, *landed: tuple[Attempt, Fetched]) -> None:
        """Free the slots of attempts that ended; what each gave waits for a parse thread now."""
        with self._lock:
            now = self._clock()
            for attempt, fetched in landed:
                self._lanes.done(attempt, now, len(fetched.body), fetched.elapsed_s)
            self._hand_over()

    def page_taken(self, attempt: Attempt, size: int) -> None:
        """See `Lanes.page_taken`."""
        with self._lock:
            may_start = self._lanes.page_taken(attempt.host, size)
            if may_start:
                self._hand_over()
        if may_start:
            self._on_change()

    def give_back(self, attempt: Attempt, broken_off_at: int = 0) -> None:
        """See `Lanes.give_back`."""
        with self._lock:
            self._lanes.give_back(attempt, broken_off_at)
            self._hand_over()

    @property
    def behind_s(self) -> float:
        """See `Lanes.behind_s`."""
        with self._lock:
            return self._lanes.behind_s(self._clock())

    def drop(self, lease_ids: Iterable[int]) -> tuple[TaskKey, ...]:
        """See `Lanes.drop`."""
        with self._lock:
            return self._lanes.drop(lease_ids)

    def drop_all(self) -> tuple[TaskKey, ...]:
        """Forget all leases; return the tasks that had not started."""
        with self._lock:
            return self._lanes.drop(self._lanes.leases())

    def renew(self, lease_ids: Iterable[int], until: float) -> None:
        """See `Lanes.renew`."""
        with self._lock:
            self._lanes.renew(lease_ids, until)

    def take_news(self) -> News:
        """See `Lanes.take_news`."""
        with self._lock:
            return self._lanes.take_news()

    def close(self) -> None:
        """Start no more tasks: every `take`, now and later, returns None."""
        with self._lock:
            self.closed = True
            self._changed.notify_all()
        self._on_change()

    @property
    def waiting(self) -> int:
        """How many tasks wait for their start."""
        return self._lanes.waiting

    @property
    def deferred(self) -> int:
        """See `Lanes.deferred`."""
        with self._lock:
            self._lanes.hold(self._clock())
            return self._lanes.deferred

    @property
    def slow_running(self) -> int:
        """How many exchanges are under way that have taken long, or whose hosts are slow."""
        with self._lock:
            return self._lanes.shares.slow_running

    @property
    def running(self) -> int:
        """How many attempts have started and not ended."""
        return self._lanes.running

    def _await_ready(self, give_up_at: float | None) -> Attempt | None:
        while not self.closed:
            now = self._clock()
            attempt = self._lanes.pop_ready(now)
            self._look_up()
            if attempt is not None:
                return attempt
            if give_up_at is not None and now >= give_up_at:
                return None
            self._sleep(now, give_up_at)
        return None

    def _sleep(self, now: float, give_up_at: float | None) -> None:
        """Wait for a change, or for the time of the next start if no other thread does."""
        wake_at = give_up_at
        me = object()
        if self._leader is None:
            self._leader = me
            next_at = self._lanes.next_at()
            if next_at is not None:
                wake_at = next_at if give_up_at is None else min(next_at, give_up_at)
        self._sleeping += 1
        self._changed.wait(None if wake_at is None else max(0.0, wake_at - now))
        self._sleeping -= 1
        if self._leader is me:
            self._leader = None

    def _look_up(self) -> None:
        if self._names is not None:
            for host in self._lanes.take_unnamed():
                self._names.ask(host, self._named)

    def _named(self, host: str, name: Name) -> None:
        with self._lock:
            self._lanes.named(host, name, self._clock())
            self._hand_over()
        self._on_change()

    def _have_room(self) -> None:
        with self._lock:
            self._hand_over()
        self._on_change()

    def _hand_over(self) -> None:
        """The next start may have moved: wake a thread that becomes the leader."""
        self._leader = None
        self._notify()

    def _notify(self) -> None:
        if self._sleeping:
            self._changed.notify()
