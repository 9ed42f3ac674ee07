"""The last answers, which are kept until their slots call again, are bounded."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core.objects import calls, desk
from crawlfleet.coordinator.core.objects.rows import ObjectsRow, SessionRow
from tests.unit.object_fleet import WAITS, Failed, Handle, ObjectFleet, ProgramThread


class Mover:
    """A method of an end of a queue or a pipe, which a thread of its own calls."""

    def __init__(self, thread: ProgramThread, kind: str, method: str, *args: object) -> None:
        self.thread = thread
        self._handle, self._method, self._args = Handle(thread, kind, "it"), method, args

    def __call__(self, *contents: bytes) -> Any:
        return self._handle.call(self._method, *self._args, *contents, timeout_s=None)


def ends(fleet: ObjectFleet, kind: str) -> tuple[Mover, Mover, Mover]:
    """Return what sends, what receives in a session `s`, and what receives in another one."""
    sender, receiver, other = fleet.thread("p"), fleet.thread("s"), fleet.thread("t")
    if kind == "Pipe":
        generation, _ = sender.open(kind, "it", True).opened
        receiver.open(kind, "it", True)
        mine, theirs = (generation, 0), (generation, 1)
        return (
            Mover(sender, kind, "send", *mine),
            Mover(receiver, kind, "recv", *theirs),
            Mover(other, kind, "recv", *theirs),
        )
    sender.open(kind, "it", 0)
    return Mover(sender, kind, "put"), Mover(receiver, kind, "get"), Mover(other, kind, "get")


@pytest.fixture
def fleet() -> ObjectFleet:
    return ObjectFleet()


@pytest.mark.parametrize(
    ("limit", "text"),
    [("MAX_BYTES_OF_SESSION", "use fewer threads or smaller items"), ("MAX_BYTES", "try it later")],
)
def test_the_last_answers_are_bounded_and_each_goes_with_the_next_call_of_its_thread(
    fleet: ObjectFleet, monkeypatch: pytest.MonkeyPatch, limit: str, text: str
) -> None:
    putter = fleet.thread("p").open("Queue", "q", 0)
    for _ in range(5):
        putter.put(bytes(4_000))
    threads = [fleet.thread("s") for _ in range(4)]
    queues = [thread.open("Queue", "q", 0) for thread in threads]
    lock = threads[0].open("Lock", "door")
    monkeypatch.setattr(desk, limit, 10_000)
    for queue in queues[:3]:
        queue.get()  # the third is the one too much, which is known only now
    with pytest.raises(Failed, match=text):
        queues[3].get()
    assert queues[0].get()[1] == bytes(4_000)  # in the place of its last answer
    assert lock.acquire() == 1
    assert queues[3].get()[1] == bytes(4_000)
    assert lock.release() is None
    assert queues[1].get(timeout_s=None) == WAITS
    for _ in range(2):
        putter.put(bytes(4_000))
    with pytest.raises(Failed, match=text):
        fleet.thread("s").open("Queue", "q", 0).get()
    fleet.part("s")
    assert fleet.rows(ObjectsRow)[0].answer_bytes == 0


@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue", "Pipe"])
@pytest.mark.parametrize("others", [0, 1])
def test_a_call_that_waits_for_a_large_answer_is_refused_when_there_are_too_many(
    fleet: ObjectFleet, monkeypatch: pytest.MonkeyPatch, kind: str, others: int
) -> None:
    sender, receiver, other = ends(fleet, kind)
    holders = [fleet.thread("s").open("Queue", "held", 0) for _ in range(3)]
    for holder in holders:
        holder.put(bytes(4_000))
        holder.get()
    monkeypatch.setattr(desk, "MAX_BYTES_OF_SESSION", 10_000)
    assert receiver() == WAITS
    if others:
        assert other() == WAITS
    sender(bytes(4_000))
    with pytest.raises(Failed, match="use fewer threads or smaller items"):
        receiver.thread.woken()
    contents = other.thread.woken() if others else other()
    assert contents[-1] == bytes(4_000)
    assert receiver() == WAITS
    sender(b"small")
    assert receiver.thread.woken()[-1] == b"small"
    sender(bytes(4_000))
    holders[0].put(b"")  # its last answer goes
    assert receiver()[-1] == bytes(4_000)


def test_only_what_gets_a_large_answer_is_refused_for_answers(
    fleet: ObjectFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, large, later = fleet.thread("s"), bytes(4_000), fleet.thread("s")
    items, entries = thread.open("list", "l", (large, b"small")), thread.open("dict", "d", ())
    number, huge = thread.open("Value", "n"), thread.open("Value", "huge", "", b"\x01" + large)
    entries.update(((b"a", b"a", large), (b"b", b"b", b"small"), (b"c", b"c", large)))
    later.open("Queue", "q", 0).put(10 * large)
    later.send("Queue", "q", "get", ())
    monkeypatch.setattr(desk, "MAX_BYTES", 30_000)
    entry = (b"c", b"c", b"")
    refused: list[tuple[Handle, str, tuple[object, ...]]] = [
        (items, "pop", (0,)),
        (items, "get", (0,)),  # with a number, as no client does
        (entries, "popitem", ()),
        (entries, "remove", (b"a",)),
        (entries, "setdefault", (entry,)),
        (huge, "add", (1,)),
    ]
    for handle, method, args in refused:
        with pytest.raises(Failed, match="try it later"):
            handle.call(method, *args)
    assert (items.pop(1), entries.remove(b"b"), number.add(1), items.size()) == (b"small", b"small", 1, 1)
    later.send("Value", "n", "add", (1,))
    assert entries.setdefault(entry) == large
    assert entries.size() == 2
    assert huge.add(1) == b"\x01" + bytes(3_999) + b"\x01"


def test_lost_sessions_keep_answers_only_up_to_their_share(fleet: ObjectFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_BYTES_OF_LOST", 10_000)
    threads = [fleet.thread(session) for session in "dcba"]
    for thread in threads:
        queue = thread.open("Queue", "q", 0)
        queue.put(bytes(4_000))
        queue.get()
    for thread in threads:
        fleet.advance(1)
        fleet.lose(thread.session)
    assert {row.session for row in fleet.rows(SessionRow)} == {"a", "b"}
    assert fleet.rows(ObjectsRow)[0].answer_bytes == 8_000
    assert threads[-1].again()[1] == bytes(4_000)
    with pytest.raises(Failed, match="SessionForgotten"):
        threads[0].again()


def test_a_lost_session_with_more_answers_than_the_share_of_all_keeps_none(
    fleet: ObjectFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MAX_BYTES_OF_LOST", 3_000)
    queue = fleet.thread("s").open("Queue", "q", 0)
    queue.put(bytes(4_000))
    queue.get()
    fleet.lose("s")
    assert fleet.rows(SessionRow) == []
    assert fleet.rows(ObjectsRow)[0].answer_bytes == 0
