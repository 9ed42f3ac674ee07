"""Which parse thread may read a page of which host."""

from __future__ import annotations

import multiprocessing

import pytest

from crawlfleet.shared.messages import Kind, Task
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.process.cpu_time import ThreadClock
from crawlfleet.worker.process.current_pages import CurrentPages, outline_of
from crawlfleet.worker.readers import COSTLY_S, LATELY_S, SLOW_S, Readers, Reading

THREADS = 8


class Room:
    """The threads of a worker at a given time; this test is all of them."""

    def __init__(self) -> None:
        self.now = 1_000.0
        pages = CurrentPages(multiprocessing.get_context("spawn"), workers=1, threads=THREADS).of(0)
        self.typical_s: dict[str, float] = {}
        self.readers = Readers(THREADS, pages, lambda host: self.typical_s.get(host, 0.001), lambda: self.now)
        for thread in range(THREADS):
            self.readers.enter(thread)

    def begin(self, thread: int, host: str) -> Reading:
        task = Task(ref=b"1", kind=Kind.PAGE, url=f"http://{host}/", depth=0)
        attempt = Attempt(lease_id=1, host=host, task=task, started_at=0.0)
        return self.readers.begin(thread, attempt, outline_of(attempt.key))

    def hold_up(self, thread: int, host: str) -> Reading:
        """Let a thread be held up by a page."""
        reading = self.begin(thread, host)
        self.now += 1.0
        return reading

    def may(self, host: str, *, others_wait: bool = False) -> list[int]:
        """Return the threads that may read a page of a host."""
        return [thread for thread in range(THREADS) if self.readers.may_take(thread, host, others_wait)]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(ThreadClock, "seconds", lambda _: 0.0)
    return Room()


def test_a_host_alone_has_the_first_half_of_the_threads(room: Room) -> None:
    for thread in range(THREADS // 2):
        room.hold_up(thread, "sick")
    assert room.may("sick") == [0, 1, 2, 3]
    assert room.may("honest") == list(range(THREADS))


def test_a_host_with_a_page_held_up_gets_no_second_thread_while_others_wait(room: Room) -> None:
    room.begin(0, "sick")
    assert room.may("sick", others_wait=True) == [0, 1, 2, 3]
    room.now += 1.0
    assert room.may("sick", others_wait=True) == []
    assert room.may("honest", others_wait=True) == list(range(THREADS))


def test_a_host_that_had_a_page_lately_may_soon_have_another(room: Room) -> None:
    room.readers.end(room.begin(1, "honest"))
    room.hold_up(0, "sick")
    assert room.may("sick") == []
    room.now += LATELY_S
    assert room.may("sick") == [0, 1, 2, 3]
    room.readers.end(room.begin(1, "honest"))
    room.hold_up(2, "honest")
    assert room.may("sick") == []


def test_hosts_whose_pages_are_costly_have_a_quarter_of_the_threads(room: Room) -> None:
    room.typical_s |= dict.fromkeys(("sick", "another", "third"), 2 * COSTLY_S)
    assert room.may("sick", others_wait=True) == [0, 2, 3]
    assert room.may("honest", others_wait=True) == list(range(THREADS))
    room.hold_up(0, "another")
    assert room.may("sick", others_wait=True) == [0, 1, 2, 3]
    room.hold_up(1, "third")
    assert room.may("sick", others_wait=True) == []
    assert room.may("honest", others_wait=True) == list(range(THREADS))


def test_while_the_first_thread_reads_a_page_of_a_slow_host_the_second_reads_those_of_others(room: Room) -> None:
    reading = room.begin(0, "slow")
    assert not room.readers.are_held_up(1)
    assert room.readers.end(reading)
    room.typical_s["slow"] = 2 * SLOW_S
    reading = room.begin(0, "slow")
    assert room.readers.are_held_up(1)
    assert not room.readers.are_held_up(2)
    room.readers.wait_for_slow_page(60.0)  # returns at once
    assert (1 in room.may("slow"), 1 in room.may("quick")) == (False, True)
    assert room.readers.end(reading)
    assert not room.readers.are_held_up(1)
    room.begin(0, "quick")
    assert not room.readers.are_held_up(1)


def test_a_host_of_which_a_page_was_ended_gets_no_thread(room: Room) -> None:
    room.readers.give_up("sick")
    assert room.may("sick") == []
    assert room.may("honest") == list(range(THREADS))


def test_a_clock_that_is_set_back_makes_no_time_negative(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = room.begin(0, "a")
    monkeypatch.setattr(ThreadClock, "seconds", lambda _: -3_600.0)
    assert reading.cpu_s() == 0.0
