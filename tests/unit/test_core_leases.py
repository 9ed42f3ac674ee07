"""Who is granted what, who loses it, and how a suspect is kept apart."""

from __future__ import annotations

from crawlfleet.coordinator.core.rows import LeaseRow, TaskState
from crawlfleet.shared.messages import AckState, Hello, Kind, Lease, Outcome, Report, Task, TaskKey
from tests.unit.core_crawl import CoreCrawl, all_of

A = tuple(f"http://a.test/{number}" for number in range(20))
B = tuple(f"http://b.test/{number}" for number in range(20))


def lose(crawl: CoreCrawl, session: str = "s", *, started: bool = True) -> None:
    """Let a session die: what it holds had begun, or had not."""
    begun = tuple((lease.id, ref) for lease in crawl.store.leases_of(session) for ref in lease.refs)
    crawl.turn(session, started=begun if started else ())
    crawl.hello("reaper", replaces=session)
    crawl.service.goodbye("reaper", crawl.now)


def test_a_started_task_of_a_lost_session_is_granted_alone_and_nothing_beside_it() -> None:
    crawl = CoreCrawl(*A[:6], tasks_per_lease=1)
    crawl.hello("s", "t")
    crawl.open_gates()
    ((_, suspect),) = crawl.ask("s", want=1)
    lose(crawl)
    ((lease, task),) = crawl.ask("t")
    assert task.ref == suspect.ref
    assert crawl.ask("t") == []
    crawl.settle(lease, task, "t")
    assert len(crawl.ask("t", want=1)) == 1


def test_a_page_that_found_no_room_is_granted_alone_and_nothing_counts_against_it() -> None:
    crawl = CoreCrawl(*A[:4], tasks_per_lease=1)
    crawl.hello("s")
    crawl.open_gates()
    ((large, task),) = crawl.ask(want=1)
    ((other, busy),) = crawl.ask(want=1)
    key = TaskKey(large.id, task.ref)
    crawl.turn(started=(key,), released=(large.id,), alone=(key,), holding=(other.id,))
    assert crawl.ask() == []
    crawl.settle(other, busy)
    ((again, same),) = crawl.ask()
    assert same.ref == task.ref
    row = crawl.task(task.url)
    assert (row.alone, row.attempt, row.refusals, row.losses, row.deaths) == (True, 0, 0, 0, 0)
    assert crawl.ask() == []
    crawl.settle(again, same)
    assert (crawl.store.ledger().retries, len(crawl.ask(want=1))) == (0, 1)


def test_a_session_is_emptied_before_it_gets_a_suspect() -> None:
    crawl = CoreCrawl(*A[:6], tasks_per_lease=1)
    crawl.hello("s", "t")
    crawl.open_gates()
    ((mine, busy),) = crawl.ask("t", want=1)
    crawl.ask("s", want=1)
    lose(crawl)
    assert crawl.ask("t") == []
    crawl.settle(mine, busy, "t")
    ((lease, _),) = crawl.ask("t")
    assert crawl.store.rows(LeaseRow, [lease.id])[lease.id].alone


def test_one_session_waits_for_a_suspect_and_the_others_work_on() -> None:
    crawl = CoreCrawl(*A[:9], tasks_per_lease=1, per_host=9)
    crawl.hello("s", "t", "u")
    crawl.open_gates()
    crawl.ask("t", want=1)
    crawl.ask("s", want=1)
    lose(crawl)
    assert crawl.ask("t") == []
    assert len(crawl.ask("u", want=1)) == 1


def test_a_suspect_on_a_host_that_is_held_back_keeps_no_session_from_its_work() -> None:
    crawl = CoreCrawl(A[0], *B[:5], tasks_per_lease=1, delay_s=0.0)
    crawl.hello("s", "t")
    crawl.open_gates()
    crawl.ask("s", want=1)
    lose(crawl)
    ((lease, suspect),) = crawl.ask("t")
    crawl.settle(lease, suspect, "t", outcome=Outcome.HTTP_ERROR, status=503, retry_after_s=600.0)
    crawl.pass_time(10.0)
    assert all_of(crawl.ask("t", want=1)) == [B[0]]


def test_three_deaths_alone_are_poison() -> None:
    crawl = CoreCrawl(A[0])
    crawl.hello("s")
    crawl.open_gates()
    for number in range(4):
        crawl.hello("s")
        assert all_of(crawl.ask("s")) == [A[0]], number
        lose(crawl)
    page = crawl.task(A[0])
    assert (page.state, page.reason, page.deaths) == (TaskState.FAILED, "poison", 3)
    assert crawl.service.is_finished


def test_a_late_report_of_what_is_poison_by_now_changes_nothing() -> None:
    crawl = CoreCrawl(A[0])
    crawl.hello("s")
    crawl.open_gates()
    for _ in range(4):
        crawl.hello("s")
        ((lease, task),) = crawl.ask("s")
        lose(crawl)
    crawl.hello("s")
    assert crawl.settle(lease, task, "s") is AckState.STALE
    assert (crawl.task(A[0]).state, crawl.fetched()) == (TaskState.FAILED, set())


def test_what_waited_beside_a_poisonous_task_is_never_quarantined() -> None:
    crawl = CoreCrawl(*A[:2], per_host=1, tasks_per_lease=2)
    crawl.hello("s")
    crawl.open_gates()
    ((lease, deadly), (_, innocent)) = crawl.ask("s")
    crawl.turn(started=((lease.id, deadly.ref),))
    crawl.hello("t", replaces="s")
    for _ in range(3):
        crawl.hello("s")
        ((alone, task),) = crawl.ask("s")
        assert task.ref == deadly.ref
        crawl.turn(started=((alone.id, task.ref),))
        crawl.hello("t", replaces="s")
    assert crawl.task(deadly.url).reason == "poison"
    assert not crawl.task(innocent.url).alone
    assert all_of(crawl.ask("t")) == [innocent.url]


def test_two_losses_make_a_task_suspect_even_if_nobody_told_of_its_start() -> None:
    crawl = CoreCrawl(A[0])
    crawl.hello("s")
    crawl.open_gates()
    for _ in range(2):
        crawl.hello("s")
        assert crawl.ask("s")
        lose(crawl, started=False)
    assert crawl.task(A[0]).alone


def test_a_late_report_counts_until_its_task_is_granted_again() -> None:
    crawl = CoreCrawl(*A[:1])
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask("s")
    crawl.pass_time(crawl.policy.lease_s)
    assert crawl.turn("s").known is False
    crawl.hello("s", "t")
    assert crawl.settle(lease, task, "s", age_s=16.0) is AckState.OK
    assert crawl.fetched() == {A[0]}


def test_a_late_report_is_stale_once_its_task_is_granted_again_and_the_new_one_counts() -> None:
    crawl = CoreCrawl(*A[:1])
    crawl.hello("s")
    crawl.open_gates()
    ((old, task),) = crawl.ask("s")
    crawl.pass_time(crawl.policy.lease_s)
    crawl.hello("s", "t")
    ((new, _),) = crawl.ask("t")
    assert crawl.settle(old, task, "s", age_s=16.0) is AckState.STALE
    assert crawl.fetched() == set()
    assert crawl.settle(new, task, "t") is AckState.OK
    assert crawl.settle(old, task, "s", age_s=16.0) is AckState.STALE
    assert crawl.settle(new, task, "t") is AckState.OK
    assert crawl.store.result_count() == 1


def test_a_lease_whose_answer_was_lost_is_sent_again_with_its_starts_as_they_are_now() -> None:
    crawl = CoreCrawl(*A[:3], delay_s=1.0)
    crawl.hello("s")
    crawl.open_gates()
    crawl.pass_time(1.0)
    first = crawl.ask("s")
    assert [task.start_after_s for _, task in first] == [0.0, 1.0, 2.0]
    crawl.pass_time(0.5)
    (again,) = crawl.turn("s", holding=()).leases
    assert again.id == first[0][0].id
    assert [task.start_after_s for task in again.tasks] == [0.0, 0.5, 1.5]


def test_an_exchange_names_the_leases_that_are_no_longer_held() -> None:
    crawl = CoreCrawl(*A[:1])
    crawl.hello("s")
    crawl.open_gates()
    ((lease, _),) = crawl.ask("s")
    crawl.pass_time(crawl.policy.lease_s)
    crawl.hello("s")
    assert crawl.turn("s", holding=(lease.id,)).lost == (lease.id,)


def test_robots_txt_comes_first_and_once_for_all_sessions() -> None:
    crawl = CoreCrawl(*A[:3])
    crawl.hello("s", "t")
    ((lease, robots),) = crawl.ask("s")
    assert robots.kind is Kind.ROBOTS
    assert crawl.ask("t") == []
    crawl.settle(lease, robots, outcome=Outcome.HTTP_ERROR, status=404)
    assert len(crawl.ask("t") + crawl.ask("s")) == 3


def ended_by_limit(crawl: CoreCrawl, lease: Lease, task: Task, session: str = "t", **report: object) -> None:
    """Let a worker come in the place of `s`, whose page a limit has ended."""
    values = {"lease": lease.id, "ref": task.ref, "outcome": Outcome.EXTRACT_ERROR, "reason": "cpu_limit", **report}
    ended = (Report(**values),)  # type: ignore[arg-type]  # the fields of a report
    crawl.service.hello(Hello(session=session, replaces="s", ended=ended), crawl.now)
    crawl.service.flush(crawl.now)


def test_a_page_that_a_limit_ended_with_its_worker_has_failed_and_no_other_is_suspected() -> None:
    crawl = CoreCrawl(*A[:3], per_host=3)
    crawl.hello("s")
    crawl.open_gates()
    granted = crawl.ask("s")
    (lease, sick), *others = granted
    crawl.turn(started=tuple((lease.id, task.ref) for lease, task in granted))
    ended_by_limit(crawl, lease, sick, detail="more than 30 s", age_s=31.0)
    page = crawl.task(sick.url)
    assert (page.state, page.reason, page.detail) == (TaskState.FAILED, "cpu_limit", "more than 30 s")
    for _, other in others:
        row = crawl.task(other.url)
        assert (row.state, row.alone, row.losses, row.deaths) == (TaskState.PENDING, False, 0, 0)
    assert sorted(all_of(crawl.ask("t"))) == sorted(task.url for _, task in others)


def test_what_a_limit_ended_counts_once_and_under_its_own_lease_only() -> None:
    crawl = CoreCrawl(A[0])
    crawl.hello("s", "u")
    crawl.open_gates()
    ((lease, task),) = crawl.ask("s")
    crawl.service.hello(Hello(session="x", replaces="u"), crawl.now)
    forged = Report(lease=lease.id, ref=task.ref, outcome=Outcome.EXTRACT_ERROR, reason="cpu_limit")
    crawl.service.hello(Hello(session="x", replaces="u", ended=(forged,)), crawl.now)
    assert crawl.task(A[0]).state is TaskState.LEASED
    ended_by_limit(crawl, lease, task, reason="http_404")
    assert (crawl.task(A[0]).state, crawl.task(A[0]).alone) == (TaskState.PENDING, True)
    ((again, task),) = crawl.ask("t")
    ended_by_limit(crawl, lease, task, "v")
    assert crawl.task(A[0]).lease == again.id
    assert crawl.settle(again, task, "t") is AckState.OK
    ended_by_limit(crawl, again, task, "w")
    assert crawl.fetched() == {A[0]}


def test_a_hello_that_is_repeated_settles_what_a_limit_ended_once() -> None:
    crawl = CoreCrawl(A[0])
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask("s")
    for _ in range(2):
        ended_by_limit(crawl, lease, task)
    assert (crawl.task(A[0]).state, crawl.task(A[0]).settled) == (TaskState.FAILED, (lease.id,))
    assert crawl.service.is_finished


def test_a_page_at_which_a_worker_ran_out_of_memory_is_a_suspect_and_no_other_is() -> None:
    crawl = CoreCrawl(*A[:2], per_host=2)
    crawl.hello("s")
    crawl.open_gates()
    granted = crawl.ask("s")
    (lease, heavy), (_, other) = granted
    crawl.turn(started=tuple((lease.id, task.ref) for lease, task in granted))
    ended_by_limit(crawl, lease, heavy, reason="out_of_memory")
    assert (crawl.task(heavy.url).alone, crawl.task(heavy.url).losses) == (True, 1)
    assert (crawl.task(other.url).alone, crawl.task(other.url).losses) == (False, 0)
