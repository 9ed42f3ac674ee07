"""Answers to calls that have waited are kept for their session until it has collected them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from crawlfleet.coordinator.conduct import boxes, post
from crawlfleet.coordinator.conduct.post import Post
from crawlfleet.shared.objects import Collected, ObjectReply, Woken

PATIENCE_S = 30.0


def answer(number: int) -> Woken:
    return Woken(slot=number, number=1, reply=ObjectReply(value=number))


def test_answers_are_kept_until_the_next_collection_says_that_they_came() -> None:
    office = Post(epoch=7)
    office.deliver([("s", answer(1)), ("t", answer(9)), ("s", answer(2))])
    first = office.collect("s", 0, PATIENCE_S)
    assert (first.upto, first.epoch, first.woken, first.finished) == (3, 7, (answer(1), answer(2)), False)
    assert office.collect("s", 0, PATIENCE_S) == first
    office.deliver([("s", answer(3))])
    assert office.collect("s", first.upto, PATIENCE_S).woken == (answer(3),)
    assert office.collect("t", 0, PATIENCE_S).woken == (answer(9),)


def test_answers_that_are_too_large_together_are_collected_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "MAX_BATCH_BYTES", 300)
    office = Post(epoch=7)
    large = [Woken(slot=slot, number=1, reply=ObjectReply(value=b"x" * 1_000)) for slot in (3, 4)]
    office.deliver([("s", each) for each in (answer(1), answer(2), *large)])
    office.finish()
    cursor = 0
    batches: list[Collected] = []
    while not batches or not batches[-1].finished:
        batches.append(office.collect("s", cursor, PATIENCE_S))
        cursor = batches[-1].upto
    assert [batch.woken for batch in batches] == [(answer(1), answer(2)), (large[0],), (large[1],)]


def test_the_cursor_of_an_earlier_incarnation_hides_nothing() -> None:
    office = Post(epoch=8)
    office.deliver([("s", answer(1))])
    first = office.collect("s", 50, 0.0)
    assert (first.upto, first.woken) == (1, (answer(1),))
    office.deliver([("s", answer(2))])
    assert office.collect("s", 1, 0.0).woken == (answer(2),)


def test_a_cursor_hides_nothing_that_came_after_its_session_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "MAX_SESSIONS", 2)
    office = Post(epoch=1)
    office.deliver([("s", answer(number)) for number in range(5)])
    cursor = office.collect("s", 0, 0.0).upto
    office.deliver([(session, answer(1)) for session in "abc"])
    office.deliver([("s", answer(7))])
    assert office.collect("s", cursor, 0.0).woken == (answer(7),)


def test_a_session_has_a_box_only_while_there_is_something_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "MAX_SESSIONS", 2)
    office = Post(epoch=1)
    office.deliver([("s", answer(1))])
    for number in range(5):
        office.collect(f"stranger {number}", 0, 0.0)
    cursor = office.collect("s", 0, 0.0).upto
    assert office.collect("s", cursor, 0.0).woken == ()
    office.deliver([("t", answer(2)), ("u", answer(3)), ("u", None)])
    office.collect("stranger", 0, 0.0)
    office.deliver([("v", answer(4))])
    assert office.collect("t", 0, 0.0).woken == (answer(2),)
    assert office.collect("u", 0, 0.0).woken == ()


def test_whoever_waits_keeps_the_box_of_a_session_for_another_who_waits() -> None:
    office = Post(epoch=1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(office.collect, "s", 0, PATIENCE_S)
        while not waiting.running():
            time.sleep(0.001)
        for _ in range(100):
            office.collect("s", 0, 0.0)
        office.deliver([("s", answer(1))])
        assert waiting.result(PATIENCE_S).woken == (answer(1),)


def test_a_session_that_has_ended_collects_nothing_more() -> None:
    office = Post(epoch=1)
    office.deliver([("s", answer(1)), ("t", answer(2)), ("s", None), ("u", None)])
    assert office.collect("s", 0, 0.0).woken == ()
    assert office.collect("t", 0, 0.0).woken == (answer(2),)


@pytest.mark.parametrize("ended", [[("s", None)], [("t", answer(1)), ("u", answer(1))]], ids=["ended", "too many"])
def test_who_waits_where_nothing_will_come_any_more_does_not_wait_on(
    monkeypatch: pytest.MonkeyPatch, ended: list[tuple[str, Woken | None]]
) -> None:
    monkeypatch.setattr(post, "MAX_SESSIONS", 1)
    office = Post(epoch=1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(office.collect, "s", 0, PATIENCE_S)
        while not office._boxes.visitors("s"):
            time.sleep(0.001)
        began = time.monotonic()
        office.deliver(ended)
        assert waiting.result(PATIENCE_S).woken == ()
        assert time.monotonic() < began + 5


def test_what_comes_while_who_waited_goes_with_its_box_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "MAX_SESSIONS", 1)
    office = Post(epoch=1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(office.collect, "s", 0, PATIENCE_S)
        while not office._boxes.visitors("s"):
            time.sleep(0.001)
        office.deliver([("t", answer(1)), ("s", answer(2))])
        left = waiting.result(PATIENCE_S)
    assert left.woken == ()
    assert office.collect("s", left.upto, 0.0).woken == (answer(2),)


def test_only_the_last_answer_of_a_slot_is_kept() -> None:
    office = Post(epoch=1)
    first, second = (Woken(slot=1, number=number, reply=ObjectReply(value=number)) for number in (1, 2))
    office.deliver([("s", first), ("s", answer(5)), ("s", second)])
    collected = office.collect("s", 0, 0.0)
    assert (collected.woken, collected.upto) == ((answer(5), second), 3)


def test_whoever_waits_is_woken_by_an_answer() -> None:
    office = Post(epoch=1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(office.collect, "s", 0, PATIENCE_S)
        office.deliver([("t", answer(1))])
        assert not waiting.done()
        office.deliver([("s", answer(2))])
        assert waiting.result(PATIENCE_S).woken == (answer(2),)


def test_nobody_waits_for_longer_than_it_says_or_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boxes, "LONGEST_S", 0.05)
    office = Post(epoch=1)
    began = time.monotonic()
    assert office.collect("s", 0, 0.01).woken == ()
    assert office.collect("s", 0, 1_000.0).woken == ()
    assert time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize("end", ["finish", "close"])
def test_the_end_wakes_all_who_wait_and_lets_nobody_wait_any_more(end: str) -> None:
    office = Post(epoch=1)
    ready = threading.Barrier(3)

    def collect(session: str) -> bool:
        ready.wait(PATIENCE_S)
        return office.collect(session, 0, PATIENCE_S).finished

    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(collect, session) for session in "st"]
        ready.wait(PATIENCE_S)
        getattr(office, end)()
        assert [each.result(PATIENCE_S) for each in waiting] == [end == "finish"] * 2
    assert office.collect("u", 0, PATIENCE_S).finished is (end == "finish")


def test_sessions_that_never_collect_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post, "MAX_SESSIONS", 2)
    office = Post(epoch=1)
    for session in "abc":
        office.deliver([(session, answer(1))])
    assert office.collect("b", 0, 0.0).woken == (answer(1),)
    assert office.collect("a", 0, 0.0).woken == ()
