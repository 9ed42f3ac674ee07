"""One host alone may have nearly everything, and none may hold up another: slots, pages and bytes."""

from __future__ import annotations

from itertools import count

import pytest

from crawlfleet.shared.messages import Kind, Lease, Task
from crawlfleet.worker.fetch.port import Name
from crawlfleet.worker.lanes import QUICK_KEPT_AFTER, QUICK_KEPT_S, ROOMLESS_TASKS, Attempt, Lanes
from crawlfleet.worker.shares import PAGE_BYTES, SMALL_BYTES, Limits

FAR = 1e9
MB = 1024 * 1024
_lease_numbers = count(1)


def lanes_with(slots: int = 16, pages: int = 1000, bytes_between: int = 64 * MB) -> Lanes:
    lanes = Lanes()
    lanes.shares.limits = Limits(slots=slots, pages=pages, bytes_between=bytes_between)
    return lanes


def add(lanes: Lanes, host: str, tasks: int, slots: int = 100, at: float = 0.0) -> None:
    refs = [f"{host}{number}".encode() for number in range(tasks)]
    chosen = tuple(Task(ref=ref, kind=Kind.PAGE, url=f"http://{host}/{ref.decode()}", depth=0) for ref in refs)
    lanes.add(Lease(id=next(_lease_numbers), host=host, tasks=chosen, slots=slots), at, FAR)


def pop(lanes: Lanes, now: float, most: int = 1000) -> list[Attempt]:
    attempts: list[Attempt] = []
    while len(attempts) < most and (attempt := lanes.pop_ready(now)) is not None:
        attempts.append(attempt)
    return attempts


def hosts(attempts: list[Attempt]) -> list[str]:
    return [attempt.host for attempt in attempts]


def make_quick(lanes: Lanes, host: str, now: float, slots: int = 100) -> None:
    add(lanes, host, QUICK_KEPT_AFTER, slots, at=now)
    for _ in range(QUICK_KEPT_AFTER):
        (attempt,) = pop(lanes, now, most=1)
        lanes.done(attempt, now + 0.1)


def test_half_of_the_slots_is_kept_for_a_quick_host() -> None:
    lanes = lanes_with(slots=16)
    make_quick(lanes, "quick", 0.0)
    for number in range(100):
        add(lanes, f"slow{number}", 1)
    assert len(pop(lanes, 0.2, most=16)) == 8
    add(lanes, "quick", 50)
    assert hosts(pop(lanes, 0.3, most=8)) == ["quick"] * 8


def test_tasks_that_must_leave_slots_to_others_are_deferred_and_not_behind() -> None:
    lanes = lanes_with(slots=4)
    make_quick(lanes, "quick", 0.0)
    for number in range(10):
        add(lanes, f"slow{number}", 1)
    pop(lanes, 0.2, most=4)
    assert (lanes.waiting, lanes.deferred) == (8, 8)
    assert lanes.behind_s(60.0) == 0.0


def test_tasks_are_deferred_as_soon_as_slots_are_held_up_though_nothing_asks_for_a_start() -> None:
    lanes = lanes_with(slots=4)
    for number in range(6):
        add(lanes, f"slow{number}", 1)
    pop(lanes, 0.0, most=4)
    assert lanes.deferred == 0
    lanes.hold(2.0)
    assert (lanes.deferred, lanes.shares.slow_running) == (2, 4)


def make_slow(lanes: Lanes, host: str, now: float) -> None:
    add(lanes, host, 1, at=now)
    (attempt,) = pop(lanes, now, most=1)
    lanes.done(attempt, now + 5.0)


def test_slow_hosts_leave_half_of_what_they_may_have_to_hosts_that_are_new_and_all_if_none_is() -> None:
    lanes = lanes_with(slots=16)
    for number in range(40):
        make_slow(lanes, f"slow{number}", 0.0)
    for number in range(40):
        add(lanes, f"slow{number}", 1, at=6.0)
    for number in range(4):
        add(lanes, f"new{number}", 1, slots=1, at=7.0)
    started = hosts(pop(lanes, 8.0, most=16))
    # The new ones came last.
    assert started[8:12] == ["new0", "new1", "new2", "new3"]
    assert len(started) == 16


def test_a_host_that_was_quick_once_keeps_nothing_when_its_tasks_are_done() -> None:
    lanes = lanes_with(slots=16)
    add(lanes, "once", 1)
    (attempt,) = pop(lanes, 0.0)
    lanes.done(attempt, 0.1)
    add(lanes, "new", 100)
    assert len(pop(lanes, 0.2, most=16)) == 16
    assert lanes.hosts() == 1


def test_no_more_is_kept_than_quick_hosts_can_use() -> None:
    lanes = lanes_with(slots=16)
    make_quick(lanes, "quick", 0.0, slots=1)
    for number in range(100):
        add(lanes, f"slow{number}", 1)
    assert len(pop(lanes, 0.2, most=16)) == 15


def test_without_a_quick_host_the_others_have_all() -> None:
    lanes = lanes_with(slots=16)
    add(lanes, "slow", 100)
    assert len(pop(lanes, 0.0, most=16)) == 16


def test_a_quick_host_alone_has_all() -> None:
    lanes = lanes_with(slots=16)
    make_quick(lanes, "quick", 0.0)
    add(lanes, "quick", 100)
    assert len(pop(lanes, 0.2, most=16)) == 16


def test_a_quick_host_keeps_its_share_for_a_moment_and_then_no_more() -> None:
    lanes = lanes_with(slots=4)
    make_quick(lanes, "quick", 0.0)
    add(lanes, "slow", 20)
    held = pop(lanes, QUICK_KEPT_S, most=4)
    assert len(held) == 2
    assert len(pop(lanes, QUICK_KEPT_S + 0.2, most=2)) == 2
    assert lanes.hosts() == 1


def test_exchanges_that_take_long_are_no_longer_quick_and_neither_is_their_host() -> None:
    lanes = lanes_with(slots=4)
    make_quick(lanes, "hangs", 0.0)
    make_quick(lanes, "quick", 0.0)
    add(lanes, "hangs", 4, slots=2)
    hanging = pop(lanes, 0.2)
    assert hosts(hanging) == ["hangs"] * 2
    add(lanes, "slow", 4)
    # Two of four are free, and kept for a host that is quick.
    assert pop(lanes, 1.3) == []
    lanes.done(hanging[0], 1.4)
    assert hosts(pop(lanes, 1.4, most=1)) == ["slow"]
    add(lanes, "hangs", 1)
    assert pop(lanes, 1.5) == []
    add(lanes, "quick", 1)
    assert hosts(pop(lanes, 1.5)) == ["quick"]


@pytest.mark.parametrize("was_quick", [True, False])
def test_a_host_is_slow_as_soon_as_an_exchange_takes_long_though_none_has_ended(was_quick: bool) -> None:
    lanes = lanes_with(slots=64)
    if was_quick:
        make_quick(lanes, "stalls", 0.0)
    add(lanes, "stalls", 60, slots=8)
    started = pop(lanes, 0.2)
    assert len(started) == 8
    lanes.age(1.1)
    assert lanes.deferred == 0
    lanes.age(1.3)
    assert (lanes.waiting, lanes.deferred) == (52, 52)
    lanes.done(started[0], 1.4)
    assert lanes.deferred == 52
    # An exchange that ends quickly says otherwise again.
    (attempt,) = pop(lanes, 1.5)
    lanes.done(attempt, 1.6)
    assert lanes.deferred == 0


def test_what_did_not_reach_its_host_says_nothing_about_it() -> None:
    lanes = lanes_with()
    lanes.known = lambda _: Name((), "dns_failed")
    make_quick(lanes, "nowhere", 0.0)
    add(lanes, "nowhere", 1)
    assert lanes.deferred == 0
    for number in range(20):
        add(lanes, f"slow{number}", 1)
    assert len(pop(lanes, 0.2, most=16)) == 16


@pytest.mark.parametrize("sick_hosts", [1, 5, 30])
def test_pages_that_nobody_parses_keep_no_other_host_from_being_fetched(sick_hosts: int) -> None:
    lanes = lanes_with(slots=1000, pages=64)
    for number in range(sick_hosts):
        add(lanes, f"sick{number}", 100, slots=1)
    while attempts := pop(lanes, 0.0):
        for attempt in attempts:
            lanes.done(attempt, 0.1, 1000)
    add(lanes, "honest", 100, slots=1)
    for _ in range(100):
        (attempt,) = pop(lanes, 1.0)
        assert attempt.host == "honest"
        lanes.done(attempt, 1.1, 1000)
        lanes.page_taken("honest", 1000)


def test_tasks_of_hosts_that_lack_room_are_deferred_so_that_tasks_of_others_are_asked_for() -> None:
    lanes = lanes_with(slots=1000, pages=16)
    for number in range(8):
        add(lanes, f"sick{number}", 50, slots=8)
    while attempts := pop(lanes, 0.0):
        for attempt in attempts:
            lanes.done(attempt, 0.1, 1000)
    assert lanes.deferred == lanes.waiting > 300
    for number in range(8):
        while lanes._lanes[f"sick{number}"].load.pages:
            lanes.page_taken(f"sick{number}", 1000)
    assert lanes.deferred == 0


def test_only_some_tasks_of_each_host_that_lacks_room_are_deferred() -> None:
    lanes = lanes_with(pages=16)
    add(lanes, "a", 500, slots=1)
    while attempts := pop(lanes, 0.0):
        for attempt in attempts:
            lanes.done(attempt, 0.1, 10)
    assert lanes.deferred == ROOMLESS_TASKS
    lanes.drop(lanes.leases())
    assert lanes.deferred == lanes.waiting == 0


def test_a_host_alone_may_have_half_of_the_pages_and_goes_on_when_some_are_taken() -> None:
    lanes = lanes_with(pages=64)
    add(lanes, "a", 100, slots=8)
    for _ in range(32):
        attempt = pop(lanes, 0.0, most=1)[0]
        lanes.done(attempt, 0.1, 10)
    assert pop(lanes, 1.0) == []
    assert [lanes.page_taken("a", 10) for _ in range(4)] == [False] * 3 + [True]
    assert len(pop(lanes, 1.0)) == 8


def test_a_host_with_few_pages_here_goes_on_as_soon_as_one_is_taken() -> None:
    lanes = lanes_with(pages=6)
    add(lanes, "a", 100, slots=1)
    for _ in range(3):
        (attempt,) = pop(lanes, 0.0)
        lanes.done(attempt, 0.1, 10)
    assert pop(lanes, 1.0) == []
    assert lanes.page_taken("a", 10)
    assert len(pop(lanes, 1.0)) == 1


def test_every_host_may_have_one_page_here_however_many_wait() -> None:
    lanes = lanes_with(slots=1000, pages=4)
    for number in range(50):
        add(lanes, f"h{number}", 5, slots=1)
    attempts = pop(lanes, 0.0)
    assert len(attempts) == 50
    for attempt in attempts:
        lanes.done(attempt, 0.1, 10)
    assert pop(lanes, 0.2) == []
    for number in range(50):
        lanes.page_taken(f"h{number}", 10)
    assert len(pop(lanes, 0.3)) == 50


def test_hosts_with_large_pages_leave_room_for_others_and_no_more_bytes_are_under_way_than_the_limit() -> None:
    lanes = lanes_with(slots=256, bytes_between=64 * MB)
    large = [f"large{number}" for number in range(20)]
    for host in large:
        add(lanes, host, 1)
    for attempt in pop(lanes, 0.0):
        lanes.done(attempt, 0.1, 10 * MB)
        lanes.page_taken(attempt.host, 10 * MB)
    for host in large:
        add(lanes, host, 20)
    fetching = pop(lanes, 1.0)
    assert 1 <= len(fetching) <= 4
    add(lanes, "honest", 100)
    assert len(pop(lanes, 1.0)) == 100
    # Each has its turn once another page has been parsed.
    served = {attempt.host for attempt in fetching}
    for _ in range(60):
        attempt = fetching.pop(0)
        lanes.done(attempt, 2.0, 10 * MB)
        lanes.page_taken(attempt.host, 10 * MB)
        more = pop(lanes, 2.0)
        fetching += more
        served |= {one.host for one in more}
    assert served == set(large)


def test_bytes_are_bounded_even_if_a_page_is_larger_than_the_rest_of_the_room() -> None:
    lanes = lanes_with(bytes_between=4 * MB)
    add(lanes, "a", 100)
    (first,) = pop(lanes, 0.0, most=1)
    lanes.done(first, 0.1, 100 * MB)
    add(lanes, "b", 1)
    assert pop(lanes, 0.2) == []
    assert lanes.page_taken("a", 100 * MB)
    assert hosts(pop(lanes, 0.3, most=1)) == ["a"]
    assert hosts(pop(lanes, 0.3)) == []


def test_sizes_are_forgotten_step_by_step() -> None:
    lanes = lanes_with(bytes_between=64 * MB)
    add(lanes, "a", 1000)
    for size in (40 * MB, *[100] * 30):
        (attempt,) = pop(lanes, 0.0, most=1)
        lanes.done(attempt, 0.1, size)
        lanes.page_taken("a", size)
    assert len(pop(lanes, 0.2)) >= 16


def test_nothing_starts_or_waits_for_a_time_while_there_are_many_bodies() -> None:
    lanes = lanes_with()
    add(lanes, "a", 2)
    lanes.shares.are_bodies_many = lambda: True
    assert (pop(lanes, 0.0), lanes.next_at(), lanes.waiting, lanes.deferred) == ([], None, 2, 0)
    lanes.shares.are_bodies_many = lambda: False
    assert lanes.next_at() == 0.0
    assert len(pop(lanes, 0.0)) == 2


def test_a_host_whose_body_was_broken_off_is_known_to_have_large_pages() -> None:
    lanes = lanes_with(bytes_between=64 * MB)
    add(lanes, "a", 100)
    first, second = pop(lanes, 0.0, most=2)
    lanes.give_back(first, broken_off_at=20 * MB)
    assert lanes.take_news().alone == (first.key,)
    assert len(pop(lanes, 0.1)) == 1
    lanes.give_back(second, broken_off_at=10)
    assert len(pop(lanes, 0.2)) == 1


def test_an_attempt_that_goes_back_leaves_nothing_behind() -> None:
    lanes = lanes_with(bytes_between=SMALL_BYTES + PAGE_BYTES)
    add(lanes, "a", 2)
    (attempt,) = pop(lanes, 0.0)
    lanes.give_back(attempt)
    assert len(pop(lanes, 0.1)) == 1
