"""The table of kinds of objects, by the names under which programs open them."""

from __future__ import annotations

from crawlfleet.coordinator.core.objects.arrays import ARRAY
from crawlfleet.coordinator.core.objects.barriers import BARRIER
from crawlfleet.coordinator.core.objects.conditions import CONDITION
from crawlfleet.coordinator.core.objects.desk import ObjectKind
from crawlfleet.coordinator.core.objects.entries import DICT, NAMESPACE, SET
from crawlfleet.coordinator.core.objects.events import EVENT
from crawlfleet.coordinator.core.objects.lists import LIST
from crawlfleet.coordinator.core.objects.locks import ARRAY_LOCK, CONDITION_LOCK, LOCK, RLOCK, VALUE_LOCK
from crawlfleet.coordinator.core.objects.named_pipes import PIPE
from crawlfleet.coordinator.core.objects.queues import JOINABLE_QUEUE, QUEUE
from crawlfleet.coordinator.core.objects.semaphores import BOUNDED_SEMAPHORE, SEMAPHORE
from crawlfleet.coordinator.core.objects.values import VALUE

OBJECTS: dict[str, ObjectKind] = {
    "Lock": LOCK,
    "RLock": RLOCK,
    "Queue": QUEUE,
    "JoinableQueue": JOINABLE_QUEUE,
    "Semaphore": SEMAPHORE,
    "BoundedSemaphore": BOUNDED_SEMAPHORE,
    "Pipe": PIPE,
    "Event": EVENT,
    "Condition": CONDITION,
    "ConditionLock": CONDITION_LOCK,
    "Barrier": BARRIER,
    "Value": VALUE,
    "ValueLock": VALUE_LOCK,
    "Array": ARRAY,
    "ArrayLock": ARRAY_LOCK,
    "dict": DICT,
    "list": LIST,
    "set": SET,
    "Namespace": NAMESPACE,
}
