"""The kinds of named objects that a fleet shares, for type annotations: programs open them by `fleet.…`.

fleet.Lock("login")     a `crawlfleet.objects.Lock`
"""

from __future__ import annotations

from crawlfleet.worker.talk.objects.arrays import Array
from crawlfleet.worker.talk.objects.barriers import Barrier
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

__all__ = [
    "Array",
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Dict",
    "Event",
    "JoinableQueue",
    "List",
    "Lock",
    "Namespace",
    "PipeEnd",
    "Queue",
    "RLock",
    "Semaphore",
    "Set",
    "Value",
]
