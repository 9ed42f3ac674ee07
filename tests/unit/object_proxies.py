"""Proxies of named objects, through the real client, over the real rules: without a connection between them."""

from __future__ import annotations

from crawlfleet.shared.messages import decode, encode
from crawlfleet.shared.objects import Collected, ObjectCall, ObjectReply
from crawlfleet.worker.talk.objects.client import ObjectClient
from crawlfleet.worker.talk.objects.shared_objects import SharedObjects
from tests.unit.object_fleet import ObjectFleet


class DirectLine:
    """The coordinator's objects as a client reaches them: messages are encoded, as on a connection."""

    def __init__(self, fleet: ObjectFleet) -> None:
        self._fleet = fleet

    def call(self, call: ObjectCall) -> ObjectReply:
        return decode(encode(self._fleet.send(decode(encode(call), ObjectCall))), ObjectReply)

    def collect(self, session: str, after: int, timeout_s: float) -> Collected:
        raise AssertionError(f"a call of {session} waits, after {after} for {timeout_s} s")


def program(fleet: ObjectFleet, session: str = "s") -> SharedObjects:
    """Return what a program of that session uses in place of `connect(...)`."""
    return SharedObjects(lambda: ObjectClient(lambda: DirectLine(fleet), session, patience_s=0.0))
