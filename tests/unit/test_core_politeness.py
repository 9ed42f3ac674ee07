"""When a host may be asked again, and by whom."""

from __future__ import annotations

import math

import pytest

from crawlfleet.coordinator.core import politeness
from crawlfleet.coordinator.core.rows import HostRow, LeaseRow
from crawlfleet.shared.messages import Kind, Lease, Outcome, Report, Task
from tests.policies import policy_with
from tests.unit.core_crawl import POLICY, CoreCrawl

PAGES = tuple(f"http://a.test/{number}" for number in range(30))


def lease(number: int, slots: int, session: str = "s") -> LeaseRow:
    return LeaseRow(id=number, session=session, host="a.test", refs=(b"r",), slots=slots)


def refused(number: int, ref: bytes) -> Report:
    values = {"outcome": Outcome.HTTP_ERROR, "status": 429, "retry_after_s": 30.0}
    return Report(lease=number, ref=ref, age_s=0.0, **values)  # type: ignore[arg-type]  # the table fits the fields


def _wait_for_tasks(crawl: CoreCrawl) -> list[tuple[Lease, Task]]:
    for _ in range(100):
        if tasks := crawl.ask(want=1):
            return tasks
        crawl.pass_time(0.1)
    raise AssertionError("nothing is granted")


def test_the_first_page_waits_for_the_crawl_delay_that_the_robots_txt_before_it_told() -> None:
    crawl = CoreCrawl(delay_s=1.0)
    crawl.hello("s")
    ((granted, robots),) = crawl.ask()
    crawl.pass_time(0.5)
    crawl.settle(granted, robots, age_s=0.5, body=b"User-agent: *\nCrawl-delay: 5\n")
    assert crawl.host().delay_s == 5.0
    for _ in range(20):
        if pages := crawl.ask():
            break
        crawl.pass_time(0.25)
    assert crawl.now + pages[0][1].start_after_s >= 5.0


@pytest.mark.parametrize("age_s", [-1e9, math.nan, math.inf, -math.inf])
def test_a_start_at_an_impossible_time_does_not_spoil_the_host(age_s: float) -> None:
    crawl = CoreCrawl("http://a.test/1", "http://a.test/2", delay_s=1.0)
    crawl.hello("s")
    ((granted, robots),) = crawl.ask()
    crawl.settle(granted, robots, age_s=age_s, outcome=Outcome.HTTP_ERROR, status=404)
    crawl.pass_time(3.0)
    assert crawl.ask()


def test_what_a_session_may_still_run_counts_until_its_older_leases_are_over() -> None:
    host = HostRow(key="a.test", delay_s=0.0)
    small, large = lease(1, slots=1), lease(2, slots=4)
    host = politeness.granted(politeness.granted(host, small, [0.0]), large, [0.0])
    host = politeness.lease_over(host, large, 1.0)
    # The session was given four slots, and may have filled them with tasks of its first lease.
    assert [holder.slots for holder in host.holders] == [4]
    assert politeness.lease_over(host, small, 1.0).holders == ()


def test_a_later_lease_with_fewer_slots_counts_alone_once_the_older_are_over() -> None:
    host = HostRow(key="a.test", delay_s=0.0)
    large, small = lease(1, slots=4), lease(2, slots=1)
    host = politeness.granted(politeness.granted(host, large, [0.0]), small, [0.0])
    assert [holder.slots for holder in host.holders] == [4]
    assert [holder.slots for holder in politeness.lease_over(host, large, 1.0).holders] == [1]


def test_a_slow_host_does_not_pile_up_tasks_at_its_worker() -> None:
    crawl = CoreCrawl(*PAGES, delay_s=1.0, ahead_s=2.0, tasks_per_slot=1, per_host=1)
    crawl.hello("s")
    crawl.open_gates()
    for _ in range(40):
        crawl.pass_time(0.5)
        crawl.ask(want=100)
    open_pages = sum(len(row.refs) for row in crawl.store.leases_of("s"))
    assert 1 <= open_pages <= 3


@pytest.mark.parametrize(
    ("latency_s", "most"),
    [(0.0, 8), (0.001, 32), (0.02, 20), (0.2, 8), (0.9, 8), (5.0, 2)],
    ids=["unknown", "very fast", "fast", "middling", "hardly slow", "slow"],
)
def test_of_a_fast_host_a_session_may_hold_what_it_works_on_for_a_moment_and_of_a_slow_one_what_it_starts(
    latency_s: float, most: int
) -> None:
    policy = policy_with(POLICY, tasks_per_slot=4, most_per_slot=16, busy_s=0.2)
    host = HostRow(key="a.test", delay_s=0.0, latency_s=latency_s)
    assert politeness.open_at_once(host, 2, policy) == most


def test_a_delayed_host_is_held_by_one_session_at_a_time() -> None:
    crawl = CoreCrawl(*PAGES, delay_s=1.0)
    crawl.hello("s", "t")
    crawl.open_gates()
    crawl.pass_time(1.0)
    assert crawl.ask("s")
    assert crawl.ask("t") == []


def test_sessions_share_the_slots_of_a_host() -> None:
    crawl = CoreCrawl(*PAGES, per_host=4)
    crawl.hello("s", "t")
    crawl.open_gates()
    ((mine, *_), *_), ((theirs, *_), *_) = crawl.ask("s", want=50), crawl.ask("t", want=50)
    assert (mine.slots, theirs.slots) == (2, 2)


def test_what_one_session_cannot_start_at_once_is_left_to_others_that_can() -> None:
    crawl = CoreCrawl(*(f"http://a.test/{number}" for number in range(12)), per_host=8)
    crawl.hello("s", "t")
    crawl.open_gates()
    assert [len(crawl.ask(session, 64)) for session in "st"] == [6, 6]
    assert crawl.ask("s", 64) == []


def test_what_nobody_else_could_start_is_not_left() -> None:
    crawl = CoreCrawl(*(f"http://a.test/{number}" for number in range(12)), per_host=1)
    crawl.hello("s", "t")
    crawl.open_gates()
    assert len(crawl.ask("s", 64)) == crawl.policy.tuning.tasks_per_slot
    alone = CoreCrawl(*(f"http://a.test/{number}" for number in range(12)), per_host=8)
    alone.hello("s")
    alone.open_gates()
    assert len(alone.ask("s", 64)) == 12


def test_few_tasks_are_shared_by_what_each_session_can_start() -> None:
    crawl = CoreCrawl(*(f"http://a.test/{number}" for number in range(7)), per_host=8)
    crawl.hello("s", "t")
    crawl.open_gates()
    assert [len(crawl.ask(session, 64)) for session in "stst"] == [4, 3, 0, 0]


def test_a_session_with_few_tasks_leaves_the_slots_that_it_does_not_need() -> None:
    crawl = CoreCrawl(*PAGES, per_host=4)
    crawl.hello("slow")
    crawl.open_gates("slow")
    ((first, _),) = crawl.ask("slow", want=1)
    assert first.slots == 1
    ((second, _),) = crawl.ask("slow", want=1)
    assert second.slots == 2
    crawl.hello("t")
    ((theirs, _), *_) = crawl.ask("t", want=50)
    assert theirs.slots == 2


def test_nothing_starts_on_a_host_before_its_server_wants_it() -> None:
    crawl = CoreCrawl(*PAGES[:3], delay_s=1.0, tasks_per_lease=1, retry_base_s=1.0)
    crawl.hello("s")
    crawl.open_gates()
    crawl.pass_time(1.0)
    ((granted, page),) = crawl.ask()
    crawl.settle(granted, page, outcome=Outcome.HTTP_ERROR, status=503, retry_after_s=30.0)
    crawl.pass_time(27.9)
    assert crawl.ask() == []
    crawl.hello("s")
    crawl.pass_time(2.2)
    assert crawl.ask()


@pytest.mark.parametrize("adaptive", [True, False], ids=["which slows down as well", "which keeps its delay"])
def test_what_waits_on_a_host_that_wants_to_be_left_alone_is_called_back(adaptive: bool) -> None:
    crawl = CoreCrawl(*PAGES, per_host=8, adaptive=adaptive)
    crawl.hello("s", "t")
    crawl.open_gates("s")
    (mine, page), *_ = crawl.ask("s", want=4)
    (theirs, _), *_ = crawl.ask("t", want=4)
    answer = crawl.turn("s", reports=(refused(mine.id, page.ref),))
    assert answer.recalled == (mine.id,)
    assert crawl.turn("t").recalled == (theirs.id,)
    crawl.turn("s", released=(mine.id,), holding=())
    crawl.turn("t", released=(theirs.id,), holding=())
    assert crawl.ask("s") == []
    crawl.pass_time(31.0)
    crawl.hello("s")
    ((again, _), *_) = crawl.ask("s", want=4)
    assert crawl.turn("s").recalled == ()
    assert again.id > theirs.id


def test_a_longer_delay_calls_back_what_was_to_start_sooner() -> None:
    crawl = CoreCrawl(*PAGES, delay_s=0.5)
    crawl.hello("s")
    crawl.open_gates()
    crawl.pass_time(0.5)
    (granted, page), *others = crawl.ask(want=4)
    assert others
    report = Report(lease=granted.id, ref=page.ref, outcome=Outcome.HTTP_ERROR, status=503, age_s=0.0)
    assert crawl.turn(reports=(report,)).recalled == (granted.id,)
    crawl.turn(released=(granted.id,), holding=())
    ((_, next_page), *_) = _wait_for_tasks(crawl)
    last_start_at = crawl.host().last_start_at
    assert last_start_at is not None
    assert crawl.now + next_page.start_after_s >= last_start_at + 1.0


def test_429_without_a_time_holds_the_host_for_our_own_pause() -> None:
    crawl = CoreCrawl(*PAGES[:3], retry_base_s=8.0, tasks_per_lease=1)
    crawl.hello("s")
    crawl.open_gates()
    ((granted, page),) = crawl.ask(want=1)
    crawl.settle(granted, page, outcome=Outcome.HTTP_ERROR, status=429)
    crawl.pass_time(5.9)
    assert crawl.ask() == []
    crawl.pass_time(4.2)
    assert crawl.ask()


def test_after_a_loss_the_next_start_waits_for_the_delay_from_then() -> None:
    crawl = CoreCrawl(*PAGES[:3], delay_s=4.0)
    crawl.hello("s")
    crawl.open_gates()
    crawl.pass_time(4.0)
    assert crawl.ask("s")
    crawl.pass_time(crawl.policy.lease_s)
    crawl.hello("t")
    lost_at = crawl.now
    while not (pages := crawl.ask("t")):
        crawl.pass_time(0.5)
    assert crawl.now + pages[0][1].start_after_s >= lost_at + 4.0
    assert pages[0][1].kind is Kind.PAGE


def test_a_longer_delay_of_a_job_that_goes_on_holds_from_the_first_start_on() -> None:
    crawl = CoreCrawl(*PAGES, delay_s=1.0)
    crawl.hello("s")
    crawl.open_gates()
    lease, task = _wait_for_tasks(crawl)[0]
    crawl.pass_time(task.start_after_s)
    asked_at = crawl.now
    crawl.settle(lease, task)
    crawl.reopen(delay_s=10.0)
    crawl.hello("s")
    assert not crawl.ask(want=1)
    crawl.pass_time(1.0)
    assert not crawl.ask(want=1)
    crawl.pass_time(4.0)
    lease, task = _wait_for_tasks(crawl)[0]
    assert lease.spacing_s == 10.0
    assert crawl.now + task.start_after_s >= asked_at + 10.0


def test_a_host_rests_for_its_delay_after_a_take_over_whatever_the_clocks_say() -> None:
    crawl = CoreCrawl(*PAGES, delay_s=2.0, ahead_s=0.0)
    crawl.hello("s")
    _wait_for_tasks(crawl)
    crawl.service.goodbye("s", crawl.now)
    crawl.pass_time(3600.0)  # by a clock that was wrong
    crawl.reopen(taken_over_at=crawl.now)
    crawl.hello("s")
    taken_over_at = crawl.now
    _wait_for_tasks(crawl)
    assert crawl.now - taken_over_at == pytest.approx(2.0, abs=0.11)


@pytest.mark.parametrize(
    ("host", "taken_over_at", "rests_until"),
    [
        (HostRow(key="a.test", delay_s=2.0, last_start_at=1.0), 50.0, 52.0),
        (HostRow(key="a.test", delay_s=2.0, next_start_at=1.0), 50.0, 52.0),
        (HostRow(key="a.test", delay_s=2.0, last_start_at=1.0), None, 0.0),
        (HostRow(key="a.test", delay_s=0.0, last_start_at=1.0), 50.0, 0.0),
        (HostRow(key="a.test", delay_s=2.0), 50.0, 0.0),
    ],
    ids=["asked", "granted", "not taken over", "no delay", "never asked"],
)
def test_only_a_delayed_host_that_may_have_been_asked_rests(
    host: HostRow, taken_over_at: float | None, rests_until: float
) -> None:
    policy = policy_with(POLICY, taken_over_at=taken_over_at)
    assert politeness.rested_at(host, policy) == rests_until
    (first,) = politeness.planned_starts(host, 50.0, policy, 1) or (None,)
    assert first == max(50.0, rests_until)
    assert politeness.awaken(host, 50.0, policy).ready_at == max(50.0, rests_until)
