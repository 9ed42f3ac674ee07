"""The named objects of a hook that is tried: those of a fleet of its own, by the coordinator's rules, in one process.

They are made at their first use, and end with the process.
"""

from __future__ import annotations

from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.post import Post
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.server import Objects
from crawlfleet.shared.brief import Brief
from crawlfleet.shared.messages import Hello, decode, encode
from crawlfleet.shared.objects import Collected, ObjectCall, ObjectReply
from crawlfleet.worker.talk.objects.client import ObjectClient
from crawlfleet.worker.talk.objects.shared_objects import SharedObjects

SESSION = "try"
# Nobody renews the session.
FOR_EVER_S = 1e9
PATIENCE_S = 1.0


class _NearCoordinator:
    """The coordinator's objects, without a connection."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def call(self, call: ObjectCall) -> ObjectReply:
        return decode(self._objects.call(encode(call)), ObjectReply)

    def collect(self, session: str, after: int, timeout_s: float) -> Collected:
        return decode(self._objects.collect(session, after, timeout_s), Collected)


def shared_objects(brief: Brief, policy: Policy) -> SharedObjects:
    """Return the objects that a hook finds as `page.fleet`."""

    def join() -> ObjectClient:
        store = MemoryStore()
        service = Service(store, policy, brief, store.epoch, lambda _: None)
        post = Post(store.epoch)
        loop = Loop(service, on_commit=lambda: post.deliver(service.outgoing.take_woken()))
        loop.start()
        loop.call(lambda now: service.hello(Hello(session=SESSION, fetches=False), now + FOR_EVER_S))
        near = _NearCoordinator(Objects(service, loop, post))
        return ObjectClient(lambda: near, SESSION, patience_s=PATIENCE_S, hook_wait_s=brief.limits.hook_wait_s)

    return SharedObjects(join)
