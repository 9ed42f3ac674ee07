"""The agenda starts each task at its time, under a living lease, within its host's slots and spacing."""

from __future__ import annotations

import threading

import pytest

from crawlfleet.shared.messages import Kind, Lease, Task, TaskKey
from crawlfleet.worker.agenda import Agenda
from crawlfleet.worker.lanes import KEPT_S, Attempt, Lanes

FAR = 1e9


def task(name: str, start_after_s: float = 0.0) -> Task:
    return Task(ref=name.encode(), kind=Kind.PAGE, url=f"http://a/{name}", depth=0, start_after_s=start_after_s)


def lease(
    number: int, names: str, host: str = "a", spacing_s: float = 0.0, slots: int = 100, start_after_s: float = 0.0
) -> Lease:
    tasks = tuple(task(name, start_after_s) for name in names.split())
    return Lease(id=number, host=host, tasks=tasks, spacing_s=spacing_s, slots=slots)


def starts(lanes: Lanes, now: float) -> list[str]:
    return [attempt.task.ref.decode() for attempt in pop_all(lanes, now)]


def pop_all(lanes: Lanes, now: float) -> list[Attempt]:
    attempts = []
    while (attempt := lanes.pop_ready(now)) is not None:
        attempts.append(attempt)
    return attempts


def test_how_far_behind_is_how_long_the_first_startable_task_waits() -> None:
    lanes = Lanes()
    assert lanes.behind_s(5.0) == 0.0
    lanes.add(lease(1, "x y", spacing_s=10.0, start_after_s=2.0), 0, FAR)
    assert lanes.behind_s(1.0) == 0.0
    assert lanes.behind_s(2.5) == 0.5
    assert starts(lanes, 2.5) == ["x"]
    assert lanes.behind_s(3.0) == 0.0


def test_tasks_of_a_host_start_in_the_order_of_their_arrival() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "x y"), 0, FAR)
    lanes.add(lease(2, "z"), 0, FAR)
    assert starts(lanes, 0) == ["x", "y", "z"]


def test_a_task_does_not_start_before_its_earliest_start() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "x", start_after_s=2.0), 10, FAR)
    assert starts(lanes, 11.9) == []
    assert lanes.next_at() == 12
    assert starts(lanes, 12) == ["x"]


def test_starts_on_a_host_are_spaced_even_when_a_task_comes_late_to_its_start() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "x y z", spacing_s=1.0), 0, FAR)
    assert starts(lanes, 5.5) == ["x"]
    assert starts(lanes, 6.4) == []
    assert starts(lanes, 6.5) == ["y"]
    assert lanes.next_at() == 7.5


def test_spacing_holds_from_one_lease_to_the_next_after_the_host_was_empty() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "x", spacing_s=1.0), 0, FAR)
    (attempt,) = pop_all(lanes, 0)
    lanes.done(attempt)
    lanes.add(lease(2, "y", spacing_s=1.0), 0.2, FAR)
    assert starts(lanes, 0.9) == []
    assert starts(lanes, 1.0) == ["y"]


def test_no_more_run_at_once_on_a_host_than_it_has_slots() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "u v w", slots=2), 0, FAR)
    first, _second = pop_all(lanes, 0)
    assert lanes.next_at() is None
    lanes.done(first)
    assert starts(lanes, 0) == ["w"]


def test_slots_count_over_all_leases_of_a_host_and_the_newest_value_holds() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "u v", slots=1), 0, FAR)
    (running,) = pop_all(lanes, 0)
    lanes.add(lease(2, "w", slots=2), 0, FAR)
    assert starts(lanes, 0) == ["v"]
    lanes.add(lease(3, "z", slots=1), 0, FAR)
    lanes.done(running)
    assert starts(lanes, 0) == []


def test_one_host_that_waits_holds_up_no_other() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "x y", host="slow", spacing_s=60, slots=1), 0, FAR)
    lanes.add(lease(2, "z", host="quick"), 0, FAR)
    assert sorted(starts(lanes, 0)) == ["x", "z"]


def test_hosts_take_turns() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "a1 a2", host="a"), 0, FAR)
    lanes.add(lease(2, "b1 b2", host="b"), 0, FAR)
    assert starts(lanes, 1) == ["a1", "b1", "a2", "b2"]


def test_nothing_starts_at_or_after_the_end_of_its_lease() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "x y", spacing_s=3.0), 0, 6.0)
    assert starts(lanes, 0) == ["x"]
    assert starts(lanes, 6.0) == []
    news = lanes.take_news()
    assert news.started == (TaskKey(1, b"x"),)
    assert news.overdue == (TaskKey(1, b"y"),)
    assert lanes.waiting == 0


def test_a_renewed_lease_goes_on() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "x y", spacing_s=3.0), 0, 2.0)
    starts(lanes, 0)
    lanes.renew([1, 99], 10.0)
    lanes.renew([1], 1.0)
    assert starts(lanes, 3.0) == ["y"]


def test_a_dropped_lease_names_what_had_not_started_and_starts_nothing_more() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "x y z", slots=1), 0, FAR)
    lanes.add(lease(2, "w", slots=1), 0, FAR)
    (attempt,) = pop_all(lanes, 0)
    assert lanes.drop([1, 7]) == (TaskKey(1, b"y"), TaskKey(1, b"z"))
    lanes.done(attempt)
    assert starts(lanes, 0) == ["w"]


def test_a_task_granted_again_after_a_drop_starts_once() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "x"), 0, FAR)
    lanes.drop([1])
    lanes.add(lease(1, "x"), 0, FAR)
    assert starts(lanes, 0) == ["x"]


def test_counts_tell_what_waits_what_is_deferred_and_what_runs() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "x y", host="slow", spacing_s=1.0), 0, FAR)
    lanes.add(lease(2, "u v", host="quick", slots=1), 0, FAR)
    pop_all(lanes, 0)
    assert (lanes.waiting, lanes.deferred, lanes.running) == (2, 1, 2)
    lanes.drop([1])
    assert (lanes.waiting, lanes.deferred) == (1, 0)


def test_news_are_told_once() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "x"), 0, FAR)
    starts(lanes, 0)
    assert lanes.take_news().started == (TaskKey(1, b"x"),)
    assert lanes.take_news() == ((), (), ())


def test_a_host_is_forgotten_once_nothing_of_it_is_left_to_wait_for() -> None:
    lanes = Lanes()
    for number in range(1000):
        lanes.add(lease(number, "x", host=f"h{number}", spacing_s=2.0), 0, FAR)
    for attempt in pop_all(lanes, 0):
        lanes.done(attempt)
    assert lanes.hosts() == 1000
    assert lanes.pop_ready(2.0 + KEPT_S) is None
    assert lanes.hosts() == 0


def test_an_attempt_on_a_spaced_host_tells_how_long_ago_the_last_one_started() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "x y", spacing_s=1.0), 0, FAR)
    first, second = *pop_all(lanes, 5.0), *pop_all(lanes, 6.5)
    lanes.done(first)
    lanes.done(second)
    lanes.add(lease(2, "z", spacing_s=1.0), 9.0, FAR)
    (third,) = pop_all(lanes, 9.0)
    assert [attempt.gap_s for attempt in (first, second, third)] == [None, 1.5, 2.5]
    lanes.add(lease(3, "u", host="quick"), 9.0, FAR)
    assert [attempt.gap_s for attempt in pop_all(lanes, 9.0)] == [None]


def test_each_task_keeps_the_spacing_that_it_was_granted_with() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "x y", spacing_s=3.0), 0, FAR)
    lanes.add(lease(2, "z", spacing_s=1.0), 0, FAR)
    assert starts(lanes, 1.0) == ["x"]
    assert starts(lanes, 3.9) == []
    assert starts(lanes, 4.0) == ["y"]
    assert starts(lanes, 5.0) == ["z"]


@pytest.mark.parametrize("close_first", [True, False])
def test_closing_ends_every_take(close_first: bool) -> None:
    agenda = Agenda()
    if close_first:
        agenda.close()
    taken: list[Attempt | None] = []
    threads = [threading.Thread(target=lambda: taken.append(agenda.take())) for _ in range(3)]
    for thread in threads:
        thread.start()
    agenda.close()
    for thread in threads:
        thread.join(10)
    assert taken == [None, None, None]


def test_every_waiting_thread_gets_its_task_when_many_come_at_once() -> None:
    agenda = Agenda()
    taken: list[bytes] = []
    threads = [threading.Thread(target=take_one, args=(agenda, taken)) for _ in range(8)]
    for thread in threads:
        thread.start()
    agenda.add(lease(1, "a b c d e f g h"), 0, FAR)
    for thread in threads:
        thread.join(10)
    assert sorted(taken) == [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"]


def test_a_thread_that_waits_for_a_late_start_takes_an_earlier_one_that_comes_meanwhile() -> None:
    now = threading.Event()
    agenda = Agenda(clock=lambda: 0.0)
    agenda.add(lease(1, "late", host="a", start_after_s=3600), 0, FAR)
    taken: list[bytes] = []
    threads = [threading.Thread(target=take_one, args=(agenda, taken, now)) for _ in range(2)]
    for thread in threads:
        thread.start()
    agenda.add(lease(2, "early", host="b"), 0, FAR)
    assert now.wait(10)
    agenda.close()
    for thread in threads:
        thread.join(10)
    assert taken == [b"early"]


def take_one(agenda: Agenda, taken: list[bytes], done: threading.Event | None = None) -> None:
    attempt = agenda.take()
    if attempt is not None:
        taken.append(attempt.task.ref)
        if done is not None:
            done.set()


def test_take_gives_up_at_its_timeout() -> None:
    ticks = iter((0.0, 0.0, 5.0))
    agenda = Agenda(clock=lambda: next(ticks))
    assert agenda.take(timeout_s=0.0) is None


def test_a_start_that_leaves_little_to_start_is_reported() -> None:
    rings: list[int] = []
    agenda = Agenda(clock=lambda: 0.0, on_low=lambda: rings.append(agenda.waiting))
    agenda.low_mark = 2
    agenda.add(lease(1, "x y z"), 0, FAR)
    for _ in range(3):
        agenda.take()
    assert rings == [1, 0]
