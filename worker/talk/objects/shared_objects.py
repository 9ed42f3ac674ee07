"""The factories of named objects: `fleet.…` in a program, `page.fleet.…` in a hook."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from crawlfleet.shared.wire.manager import FleetManager
from crawlfleet.shared.wire.proxies import ObjectsProxy
from crawlfleet.worker.talk.objects import locks
from crawlfleet.worker.talk.objects.arrays import Array
from crawlfleet.worker.talk.objects.barriers import Barrier
from crawlfleet.worker.talk.objects.client import ObjectClient
from crawlfleet.worker.talk.objects.conditions import Condition
from crawlfleet.worker.talk.objects.dicts import Dict
from crawlfleet.worker.talk.objects.events import Event
from crawlfleet.worker.talk.objects.lists import List
from crawlfleet.worker.talk.objects.locks import Lock, RLock
from crawlfleet.worker.talk.objects.named_pipes import PipeEnd
from crawlfleet.worker.talk.objects.namespaces import Namespace
from crawlfleet.worker.talk.objects.queues import JoinableQueue, Queue
from crawlfleet.worker.talk.objects.semaphores import BoundedSemaphore, Semaphore
from crawlfleet.worker.talk.objects.sets import Set
from crawlfleet.worker.talk.objects.values import Value

_instances: weakref.WeakSet[SharedObjects] = weakref.WeakSet()


def _after_fork() -> None:
    for each in list(_instances):
        each._forked()


os.register_at_fork(after_in_child=_after_fork)


class SharedObjects:
    """Opens objects by name: each is created by whoever opens it first, and shared by the whole fleet.

    The names of methods are those of `multiprocessing.managers.SyncManager`. Names are unique among a kind.
    """

    def __init__(self, join: Callable[[], ObjectClient]) -> None:
        """`join` opens the session of this process, and returns its client."""
        self._join = join
        self._joining = threading.Lock()
        self._joined: ObjectClient | None = None
        self._are_closed = False
        _instances.add(self)

    @classmethod
    def of_worker(cls, client: ObjectClient) -> SharedObjects:
        """Return the objects of a worker's hook. A process that the hook forks has none: it is no worker."""
        worker = os.getpid()

        def join() -> ObjectClient:
            if os.getpid() != worker:
                raise RuntimeError("the objects of a hook belong to its worker: connect() in another process")
            return client

        return cls(join)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("the objects of a hook belong to its worker: connect() in another process")

    @property
    def client(self) -> ObjectClient:
        """The client of this process: a forked process has a session of its own."""
        if self._joined is None:
            with self._joining:
                if self._joined is None:
                    self._joined = self._join()
                    if self._are_closed:  # meanwhile, by a thread that did not see this client
                        self._joined.close()
        return self._joined

    def _close_objects(self) -> None:
        self._are_closed = True
        if self._joined is not None:
            self._joined.close()

    def _forked(self) -> None:
        """Forget, in a forked process, what belongs to its parent."""
        self._joining = threading.Lock()
        self._joined = None

    def Lock(self, name: str) -> Lock:
        """Return the lock of that name."""
        return Lock(self, name)

    def RLock(self, name: str) -> RLock:
        """Return the lock of that name that its owner may acquire again."""
        return RLock(self, name)

    def Queue(self, name: str, maxsize: int = 0) -> Queue:
        """Return the queue of that name; with a `maxsize`, puts wait while it has so many items."""
        return Queue(self, name, maxsize)

    def JoinableQueue(self, name: str, maxsize: int = 0) -> JoinableQueue:
        """Return the joinable queue of that name: see `Queue`."""
        return JoinableQueue(self, name, maxsize)

    def Semaphore(self, name: str, value: int | None = None) -> Semaphore:
        """Return the semaphore of that name; it starts at `value`, or at 1 if nobody says."""
        return Semaphore(self, name, value)

    def BoundedSemaphore(self, name: str, value: int | None = None) -> BoundedSemaphore:
        """Return the bounded semaphore of that name; it starts at `value`, or at 1 if nobody says."""
        return BoundedSemaphore(self, name, value)

    def Pipe(self, name: str, duplex: bool = True) -> PipeEnd:
        """Open an end of the pipe of that name: the first call opens one end, the second the other one.

        Without `duplex` the first end only receives, the second only sends.
        """
        return PipeEnd(self, name, duplex)

    def Event(self, name: str) -> Event:
        """Return the flag of that name."""
        return Event(self, name)

    def Condition(self, name: str, lock: locks.Lock | None = None) -> Condition:
        """Return the condition of that name, with this lock of the fleet, or one of its own."""
        return Condition(self, name, lock)

    def Barrier(
        self,
        name: str,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> Barrier:
        """Return the barrier of that name; `action` and `timeout` are this program's own."""
        return Barrier(self, name, parties, action, timeout)

    def Value(self, name: str, typecode: Any = None, initial: Any = 0) -> Value:
        """Return the number of that name; whoever creates it gives it its typecode, if any, and its initial value."""
        return Value(self, name, typecode, initial)

    def Array(self, name: str, typecode: Any = None, size_or_initializer: int | Iterable[Any] | None = None) -> Array:
        """Return the array of that name; whoever creates it gives it a typecode, and a size or its first values."""
        return Array(self, name, typecode, size_or_initializer)

    def dict(self, name: str, /, *initial: Any, **more: Any) -> Dict:
        """Return the dict of that name; whoever creates it gives it its first entries, as `dict(...)` does."""
        return Dict(self, name, *initial, **more)

    def list(self, name: str, /, items: Iterable[Any] = ()) -> List:
        """Return the list of that name; whoever creates it gives it its first items."""
        return List(self, name, items)

    def set(self, name: str, /, members: Iterable[Any] = ()) -> Set:
        """Return the set of that name; whoever creates it gives it its first members."""
        return Set(self, name, members)

    def Namespace(self, name: str, /, **attributes: Any) -> Namespace:
        """Return the namespace of that name; whoever creates it gives it its first attributes."""
        return Namespace(self, name, **attributes)


def dial_objects(manager: FleetManager) -> ObjectsProxy:
    """Connect to the coordinator's objects, over one connection for all threads."""
    line = manager.for_all_threads()
    line.connect()
    return line.Objects()
