"""Proxies over the real rules, interrupted by Ctrl-C or by the end of the crawl: what they held is free for others."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from crawlfleet.errors import RemoteError, Unreachable
from crawlfleet.worker.hook_waited import HookWaited
from crawlfleet.worker.talk.finished import JobFinished
from crawlfleet.worker.talk.objects.client import ObjectClient
from crawlfleet.worker.talk.objects.shared_objects import SharedObjects
from tests.unit.object_fleet import WAITS, Failed, ObjectFleet
from tests.unit.object_proxies import DirectLine, program

BROKEN = "BrokenBarrierError"


class InterruptedClient(ObjectClient):
    """A client whose calls end, once, with errors that a test says: before they are sent, or when they are answered."""

    def __init__(self, fleet: ObjectFleet) -> None:
        super().__init__(lambda: DirectLine(fleet), "s", patience_s=0.0)
        self.before: dict[str, BaseException] = {}
        self.after: dict[str, BaseException] = {}

    def call(self, kind: str, name: str, method: str, *args: Any, timeout_s: float | None = 0.0) -> Any:
        if method in self.before:
            raise self.before.pop(method)
        answer = super().call(kind, name, method, *args, timeout_s=timeout_s)
        if method in self.after:
            raise self.after.pop(method)
        return answer


@pytest.fixture
def fleet() -> ObjectFleet:
    return ObjectFleet()


@pytest.fixture
def client(fleet: ObjectFleet) -> InterruptedClient:
    return InterruptedClient(fleet)


@pytest.fixture
def objects(client: InterruptedClient) -> SharedObjects:
    return SharedObjects(lambda: client)


@pytest.mark.parametrize("method", ["wait", "passed"])
def test_the_actor_of_a_barrier_that_is_interrupted_breaks_it(
    fleet: ObjectFleet, client: InterruptedClient, objects: SharedObjects, method: str
) -> None:
    gate = objects.Barrier("gate", 2, lambda: None)
    other = fleet.thread("other").open("Barrier", "gate", 2)
    assert other.wait(False, timeout_s=None) == WAITS
    moment = client.after if method == "wait" else client.before
    moment[method] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        gate.wait()
    with pytest.raises(Failed, match=BROKEN):
        other.thread.woken()


def test_the_actor_of_a_barrier_that_is_interrupted_when_the_others_have_gone_on_breaks_nothing(
    fleet: ObjectFleet, client: InterruptedClient, objects: SharedObjects
) -> None:
    gate = objects.Barrier("gate", 2, lambda: None)
    other = fleet.thread("other").open("Barrier", "gate", 2)
    assert other.wait(False, timeout_s=None) == WAITS
    client.after["passed"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        gate.wait()
    assert other.thread.woken() == (0, False)
    assert not gate.broken


def test_an_interruption_is_told_though_the_coordinator_is_away(
    client: InterruptedClient, objects: SharedObjects
) -> None:
    gate = objects.Barrier("gate", 1, lambda: None)
    client.before.update(passed=KeyboardInterrupt(), failed=Unreachable("away"))
    with pytest.raises(KeyboardInterrupt):
        gate.wait()


@pytest.mark.parametrize("error", [JobFinished("over"), Unreachable("away"), RemoteError("Bug", ""), HookWaited("")])
@pytest.mark.parametrize("kind", ["Condition", "Lock", "RLock", "BoundedSemaphore", "Value"])
def test_an_error_in_a_with_statement_is_told_though_what_it_held_is_lost(
    fleet: ObjectFleet, objects: SharedObjects, kind: str, error: BaseException
) -> None:
    def fail() -> None:
        with getattr(objects, kind)("x"):
            fleet.lose("s")
            raise error

    with pytest.raises(type(error)):
        fail()


@pytest.mark.parametrize("kind", ["Condition", "Lock", "RLock", "BoundedSemaphore", "Value"])
def test_who_holds_nothing_any_more_hears_of_it_at_the_end_of_a_with_statement(
    fleet: ObjectFleet, objects: SharedObjects, kind: str
) -> None:
    thing = getattr(objects, kind)("x")
    with pytest.raises((AssertionError, ValueError)), thing:
        fleet.lose("s")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_end_of_a_pipe_whose_closing_was_interrupted_can_be_closed_again(
    fleet: ObjectFleet, client: InterruptedClient, objects: SharedObjects, moment: str
) -> None:
    mine, theirs = objects.Pipe("p"), program(fleet, "t").Pipe("p")
    getattr(client, moment)["close"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        mine.close()
    closed = [mine.closed]
    mine.close()
    assert [*closed, mine.closed] == [False, True]
    with pytest.raises(EOFError):
        theirs.recv()


def test_a_wait_that_the_error_of_a_signal_handler_ends_holds_the_lock_again(
    client: InterruptedClient, objects: SharedObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    condition = objects.Condition("c")
    condition.acquire()
    with monkeypatch.context() as patch:
        patch.setattr(client, "_await", mock.Mock(side_effect=RuntimeError("in a handler")))
        with pytest.raises(RuntimeError, match="in a handler"):
            condition.wait()
    condition.release()
