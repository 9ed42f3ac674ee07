"""Pipe by rule: who gets which end, what is read, what a closed end tells the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.core.objects import named_pipes
from crawlfleet.coordinator.core.objects.desk import item_bytes
from crawlfleet.coordinator.core.objects.rows import ObjectsRow, PartRow, WaitRow
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from tests.commits import commit
from tests.unit.object_fleet import WAITS, Failed, ObjectFleet, ProgramThread


class End:
    """An end of a pipe as a thread uses it."""

    def __init__(self, thread: ProgramThread, end: tuple[int, int]) -> None:
        self.thread = thread
        self.end = end

    def call(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        return self.thread.send("Pipe", "p", method, (*self.end, *args), timeout_s)

    def send(self, value: bytes) -> Any:
        return self.call("send", value)

    def recv(self) -> bytes | str:
        answer = self.call("recv")
        return answer if answer == WAITS else read(answer)

    def poll(self, timeout_s: float | None = 0.0) -> Any:
        return self.call("poll", timeout_s=timeout_s)

    def close(self, is_passed_on: bool = False) -> None:
        self.call("close", is_passed_on)

    def woken(self) -> Any:
        return self.thread.woken()

    def by(self, session: str) -> End:
        """The same end in a thread of a session, which may be another process."""
        return End(self.thread.fleet.thread(session), self.end)


def read(answer: Any) -> bytes:
    _index, _place, value = answer
    assert isinstance(value, bytes)
    return value


def opened(fleet: ObjectFleet, session: str, duplex: bool = True) -> End:
    thread = fleet.thread(session)
    return End(thread, thread.open("Pipe", "p", duplex).opened)


@pytest.fixture
def fleet() -> ObjectFleet:
    return ObjectFleet()


@pytest.fixture
def ends(fleet: ObjectFleet) -> tuple[End, End]:
    return opened(fleet, "a"), opened(fleet, "b")


def sized(fleet: ObjectFleet) -> int:
    (numbers,) = fleet.rows(ObjectsRow)
    size: int = numbers.size_bytes
    return size


def test_the_first_to_open_has_one_end_and_the_second_the_other(fleet: ObjectFleet) -> None:
    first = opened(fleet, "a")
    again = first.thread.again()
    second = opened(fleet, "a")
    assert (tuple(again), first.end[1], second.end[1]) == (tuple(first.end), 0, 1)
    with pytest.raises(Failed, match="ValueError: a pipe connects two"):
        opened(fleet, "c")
    first.send(b"x")
    assert second.recv() == b"x"


def test_both_must_mean_the_same_directions(fleet: ObjectFleet) -> None:
    opened(fleet, "a", duplex=False)
    with pytest.raises(Failed, match="opened with duplex=False"):
        opened(fleet, "b")
    assert opened(fleet, "b", duplex=False).end[1] == 1


def test_messages_arrive_in_order_in_both_directions(ends: tuple[End, End]) -> None:
    a, b = ends
    for value in (b"1", b"", b"2"):
        a.send(value)
        b.send(b"re " + value)
    assert [b.recv(), b.recv(), b.recv()] == [b"1", b"", b"2"]
    assert [a.recv(), a.recv(), a.recv()] == [b"re 1", b"re ", b"re 2"]
    assert (a.poll(), b.poll(0.0)) == (False, False)


def test_what_is_sent_before_the_other_end_is_opened_waits_for_it(fleet: ObjectFleet) -> None:
    a = opened(fleet, "a")
    early = a.by("a")
    assert early.recv() == WAITS
    a.send(b"hello")
    b = opened(fleet, "b")
    assert (b.poll(), b.recv()) == (True, b"hello")
    b.send(b"back")
    assert read(early.woken()) == b"back"


def test_those_who_wait_get_messages_in_the_order_in_which_they_came(ends: tuple[End, End]) -> None:
    a, b = ends
    poller, first, second, late = (b.by("b") for _ in range(4))
    assert [poller.poll(5), first.recv(), second.recv(), late.poll(None)] == [WAITS] * 4
    a.send(b"1")
    assert (poller.woken(), read(first.woken()), second.woken(), late.woken()) == (True, b"1", WAITS, WAITS)
    a.send(b"2")
    a.send(b"3")
    assert (read(second.woken()), late.woken(), b.recv()) == (b"2", True, b"3")


def test_a_poll_ends_with_its_time(fleet: ObjectFleet, ends: tuple[End, End]) -> None:
    a, b = ends
    assert a.poll(1) == WAITS
    fleet.advance(1)
    assert a.woken() is False
    b.send(b"x")
    assert a.poll(1) is True
    assert a.call("ready") is True
    assert b.call("ready") is False


def test_who_sends_too_much_waits(fleet: ObjectFleet, ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named_pipes, "WINDOW_BYTES", 2 * item_bytes(b"") + 9)
    a, b = ends
    a.send(b"larger than the window" * 50)
    large, small, bounded = a.by("a"), a.by("a"), a.by("a")
    assert [large.send(b"eight to"), small.send(b"x")] == [WAITS] * 2
    assert bounded.call("send", b"late", timeout_s=1) == WAITS
    before = sized(fleet)
    fleet.advance(1)
    assert (bounded.woken(), sized(fleet)) == (False, before - item_bytes(b"late"))
    assert b.recv() == b"larger than the window" * 50
    assert isinstance(large.woken(), int)
    assert isinstance(small.woken(), int)
    assert small.send(b"no room") == WAITS
    assert a.send(b"") == WAITS
    assert [b.recv(), b.recv(), b.recv(), b.recv()] == [b"eight to", b"x", b"no room", b""]
    assert sized(fleet) == 0


def test_a_small_message_goes_on_when_a_large_one_is_given_up(
    fleet: ObjectFleet, ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_pipes, "WINDOW_BYTES", 2 * item_bytes(b"") + 9)
    a, b = ends
    for sender, receiver in ((a, b), (b, a)):
        large, small = sender.by("s"), sender.by(sender.thread.session)
        sender.send(b"12345678")
        large.send(b"12345678")
        small.send(b"x")
        if sender is a:
            large.thread.withdraw()
        else:
            fleet.lose("s")
        assert isinstance(small.woken(), int)
        assert [receiver.recv(), receiver.recv()] == [b"12345678", b"x"]


def test_what_was_sent_is_read_before_the_end(fleet: ObjectFleet, ends: tuple[End, End]) -> None:
    a, b = ends
    a.send(b"1")
    a.close()
    a.close()
    assert (b.poll(), b.recv(), b.poll(), b.call("ready")) == (True, b"1", True, True)
    with pytest.raises(Failed, match="EOFError"):
        b.recv()
    with pytest.raises(Failed, match="BrokenPipeError"):
        b.send(b"2")
    for call in (a.recv, a.poll, lambda: a.send(b"3")):
        with pytest.raises(Failed, match="OSError: handle is closed"):
            call()
    with pytest.raises(Failed, match="a pipe connects two"):
        opened(fleet, "c")


def test_a_closing_end_tells_all_who_wait(ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named_pipes, "WINDOW_BYTES", 1)
    a, b = ends
    b.send(b"unread")
    reader, poller, own = b.by("b"), b.by("b"), a.by("a")
    reader.recv()
    poller.poll(None)
    sender = b.by("b")
    sender.send(b"more")
    a.close()
    with pytest.raises(Failed, match="EOFError"):
        reader.woken()
    assert poller.woken() is True
    with pytest.raises(Failed, match="BrokenPipeError"):
        sender.woken()
    assert own.thread.fleet.rows(WaitRow) == own.thread.fleet.rows(PartRow) == []
    assert sized(own.thread.fleet) == 0


def test_threads_that_use_an_end_hear_that_it_was_closed(
    ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_pipes, "WINDOW_BYTES", 1)
    a, b = ends
    reader, sender = a.by("a"), a.by("a")
    reader.recv()
    sender.send(b"unread")
    sender.send(b"more")
    a.close()
    for each in (reader, sender):
        with pytest.raises(Failed, match="OSError: handle is closed"):
            each.woken()
    assert b.recv() == b"unread"


def test_the_end_of_a_lost_session_closes(fleet: ObjectFleet, ends: tuple[End, End]) -> None:
    a, b = ends
    a.send(b"last words")
    waiting = a.by("a")
    waiting.recv()
    fleet.lose("a")
    assert b.recv() == b"last words"
    with pytest.raises(Failed, match="EOFError"):
        b.recv()
    with pytest.raises(Failed, match="silent for too long"):
        a.send(b"back again")
    fleet.lose("b")
    assert opened(fleet, "c").end[1] == 0
    with pytest.raises(Failed, match="handle is closed"):
        b.recv()
    b.close()


def test_a_name_is_free_again_when_both_have_closed(fleet: ObjectFleet, ends: tuple[End, End]) -> None:
    a, b = ends
    b.send(b"of old")
    a.close()
    b.close()
    c, d = opened(fleet, "c", duplex=False), opened(fleet, "a", duplex=False)
    assert (c.poll(), d.poll()) == (False, False)
    d.send(b"new")
    assert c.recv() == b"new"


def test_an_end_that_was_closed_before_there_was_another(fleet: ObjectFleet) -> None:
    a = opened(fleet, "a")
    a.close()
    a = opened(fleet, "a")
    assert a.end[1] == 0
    a.send(b"for whoever comes")
    a.close()
    b = opened(fleet, "a")
    assert (b.end[1], b.recv()) == (1, b"for whoever comes")
    with pytest.raises(Failed, match="EOFError"):
        b.recv()


def test_an_end_is_open_as_long_as_one_session_holds_it(fleet: ObjectFleet, ends: tuple[End, End]) -> None:
    a, b = ends
    child = a.by("child")
    child.send(b"1")
    a.close()
    child.send(b"2")
    assert [b.recv(), b.recv(), b.recv()] == [b"1", b"2", WAITS]
    fleet.lose("child")
    with pytest.raises(Failed, match="EOFError"):
        b.woken()


@pytest.mark.parametrize("is_told", [False, True], ids=["forked", "spawned"])
def test_an_end_that_was_passed_on_stays_open_for_the_child(
    fleet: ObjectFleet, ends: tuple[End, End], is_told: bool
) -> None:
    a, b = ends
    if is_told:
        a.call("pass_on")
        a.call("pass_on")
    a.close(is_passed_on=not is_told)
    a.close(is_passed_on=True)
    b.send(b"hello")
    child = a.by("child")
    child.close(is_passed_on=False)  # a child that has never used it does not have it
    assert child.recv() == b"hello"
    fleet.lose("a")
    child.send(b"bye")
    child.close()
    assert b.recv() == b"bye"
    with pytest.raises(Failed, match="EOFError"):
        b.recv()


def test_an_end_that_a_child_has_used_and_closed_is_closed_when_its_parent_closes_it(ends: tuple[End, End]) -> None:
    a, b = ends
    child = a.by("child")
    child.send(b"hello")
    child.close()
    a.close(is_passed_on=True)
    assert b.recv() == b"hello"
    with pytest.raises(Failed, match="EOFError"):
        b.recv()


def test_an_end_that_was_passed_on_to_nobody_closes_with_its_session(fleet: ObjectFleet, ends: tuple[End, End]) -> None:
    a, b = ends
    a.close(is_passed_on=True)
    assert b.recv() == WAITS
    fleet.lose("a", keep_answers=False)
    with pytest.raises(Failed, match="EOFError"):
        b.woken()


def test_a_message_that_was_read_and_given_up_is_put_back(fleet: ObjectFleet, ends: tuple[End, End]) -> None:
    a, b = ends
    a.send(b"1")
    a.send(b"2")
    b.recv()
    b.thread.withdraw()
    assert [b.recv(), b.recv()] == [b"1", b"2"]
    waiting = b.by("b")
    b.recv()
    waiting.recv()
    a.send(b"3")
    b.thread.withdraw()
    assert read(waiting.woken()) == b"3"
    waiting.thread.withdraw()
    assert b.recv() == b"3"
    b.thread.withdraw()
    b.by("b").close()
    b.thread.withdraw()
    assert sized(fleet) == 0


def test_a_message_of_an_earlier_pipe_is_not_put_back(fleet: ObjectFleet, ends: tuple[End, End]) -> None:
    a, b = ends
    a.send(b"1")
    b.recv()
    a.by("a").close()
    b.by("b").close()
    opened(fleet, "c")
    b.thread.withdraw()
    assert fleet.rows(PartRow) == []


def test_a_message_whose_sender_gave_it_up_is_taken_back_unless_it_was_read(
    ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_pipes, "WINDOW_BYTES", 1)
    a, b = ends
    for sender, receiver in ((a, b), (b, a)):
        waiting = sender.by(sender.thread.session)
        sender.send(b"unread")
        waiting.send(b"waits")
        sender.thread.withdraw()
        assert isinstance(waiting.woken(), int)
        assert receiver.recv() == b"waits"
        sender.send(b"read")
        receiver.recv()
        sender.thread.withdraw()
        assert receiver.poll() is False


def test_a_pipe_survives_a_restart(tmp_path: Path) -> None:
    before = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    a, b = opened(before, "a"), opened(before, "b")
    a.send(b"1")
    waiting = a.by("a")
    waiting.recv()
    commit(before.store, 0.0)
    before.store.close()
    after = ObjectFleet(SqliteStore(tmp_path / "frontier.db"))
    for end in (a, b, waiting):
        end.thread.fleet = after
    assert waiting.thread.again() == WAITS
    assert b.recv() == b"1"
    b.send(b"2")
    assert read(waiting.woken()) == b"2"
    with pytest.raises(Failed, match="a pipe connects two"):
        after.thread("c").open("Pipe", "p", True)
    after.lose("a")
    with pytest.raises(Failed, match="EOFError"):
        b.recv()
    after.store.close()
