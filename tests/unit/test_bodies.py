"""The bodies in memory are bounded: the largest of those that still come is broken off, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from crawlfleet.shared.messages import TaskKey
from crawlfleet.worker.bodies import Bodies, Body

MOST = 100
ONE, TWO, THREE = (TaskKey(1, name) for name in (b"one", b"two", b"three"))


class Watched:
    """Bodies, and what is told about them: which were broken off, and how often there was room again."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.bodies = Bodies(self._have_room)
        self.bodies.most = MOST

    def begin(self, key: TaskKey) -> Body:
        body = self.bodies.begin(key)
        body.on_break = lambda: self.told.append(key.ref.decode())
        return body

    def _have_room(self) -> None:
        assert not self.bodies.are_many()
        self.bodies.end(TaskKey(9, b"none"))  # nobody holds the lock
        self.told.append("room")


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    for key in (ONE, TWO, THREE):
        watched.bodies.end(key)
    watched.bodies.most = 0
    assert not watched.bodies.are_many()  # nothing is left of any


def test_within_the_limit_nothing_is_broken_off_and_beyond_half_of_it_they_are_many(watched: Watched) -> None:
    one, two = watched.begin(ONE), watched.begin(TWO)
    assert one.grow(50)
    assert not watched.bodies.are_many()
    assert two.grow(50)
    assert watched.bodies.are_many()
    assert watched.told == []


def test_beyond_the_limit_the_largest_is_broken_off_and_counts_no_more(watched: Watched) -> None:
    one, two, three = (watched.begin(key) for key in (ONE, TWO, THREE))
    assert (two.grow(30), one.grow(50), three.grow(21)) == (True, True, True)
    assert (watched.told, one.is_broken_off) == (["one"], True)
    assert not one.grow(1)
    assert two.grow(49)
    assert watched.told == ["one"]


def test_the_largest_may_be_the_one_that_grows(watched: Watched) -> None:
    one, two = watched.begin(ONE), watched.begin(TWO)
    assert one.grow(10)
    assert not two.grow(91)
    assert watched.told == ["two"]


def test_as_many_are_broken_off_as_have_to_be(watched: Watched) -> None:
    one, two, three = (watched.begin(key) for key in (ONE, TWO, THREE))
    assert (one.grow(40), two.grow(45)) == (True, True)
    watched.bodies.keep(THREE, 90)
    assert three.size == 90
    assert not one.grow(1)
    assert watched.told == ["two", "one"]


@pytest.mark.parametrize("others", [0, 1])
def test_the_only_body_is_never_broken_off(watched: Watched, others: int) -> None:
    one, two = watched.begin(ONE), watched.begin(TWO)
    two.grow(others)
    assert one.grow(10 * MOST) is (others == 0)


def test_what_has_come_whole_is_kept_until_it_was_read(watched: Watched) -> None:
    one, two = watched.begin(ONE), watched.begin(TWO)
    one.grow(60)
    assert watched.bodies.keep(ONE, 60) == 0
    assert not two.grow(41)
    assert (watched.bodies.keep(TWO, 0), watched.told) == (41, ["two"])
    assert watched.bodies.are_many()
    watched.bodies.end(ONE)
    assert watched.told == ["two", "room"]


def test_one_whose_exchange_has_ended_is_not_broken_off_even_before_it_is_kept(watched: Watched) -> None:
    one, two = watched.begin(ONE), watched.begin(TWO)
    one.grow(90)
    one.whole()
    assert not two.grow(11)
    assert (watched.told, watched.bodies.keep(ONE, 90)) == (["two"], 0)


@pytest.mark.parametrize("counted", [0, 60])
def test_a_body_counts_as_large_as_it_is_even_if_its_engine_has_not_counted(watched: Watched, counted: int) -> None:
    watched.begin(ONE).grow(counted)
    watched.bodies.keep(ONE, 51)
    assert watched.bodies.are_many()
    watched.bodies.end(ONE)
    assert watched.told == ["room"]


def test_a_fetch_that_failed_leaves_nothing(watched: Watched) -> None:
    watched.begin(ONE).grow(60)
    assert watched.bodies.keep(ONE, 0) == 0
    assert (watched.told, watched.bodies.are_many()) == (["room"], False)


def test_an_attempt_without_a_body_is_nothing_to_keep_or_to_end(watched: Watched) -> None:
    assert watched.bodies.keep(ONE, 1_000) == 0
    watched.bodies.end(ONE)
    assert not watched.bodies.are_many()


def test_many_threads_count_together() -> None:
    bodies = Bodies(lambda: None)
    bodies.most = 200

    def fetch(number: int) -> None:
        for page in range(300):
            key = TaskKey(number, b"%d" % page)
            body = bodies.begin(key)
            size = 0
            while size < 100 and body.grow(10):
                size += 10
            assert bodies.keep(key, size) == (body.size if body.is_broken_off else 0)
            bodies.end(key)

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bodies.most = 0
    assert not bodies.are_many()
