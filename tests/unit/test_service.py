"""The conduct of the coordinator towards its sessions."""

from __future__ import annotations

import tracemalloc

import pytest

from crawlfleet.coordinator.conduct import members
from crawlfleet.coordinator.core.rows import LeaseRow, TaskRow, TaskState
from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.errors import VersionError
from crawlfleet.shared.messages import PROTOCOL_MAJOR, ExchangeRequest, Hello, Outcome
from crawlfleet.shared.objects import OPEN, ObjectCall
from crawlfleet.shared.page_cost import page_cost_s
from crawlfleet.shared.reasons import Reason
from tests.unit.core_crawl import SEED, CoreCrawl


def test_another_major_version_of_the_protocol_is_refused_naming_both() -> None:
    crawl = CoreCrawl()
    with pytest.raises(VersionError, match=rf"protocol {PROTOCOL_MAJOR + 1}.*{PROTOCOL_MAJOR}"):
        crawl.service.hello(Hello(session="s", protocol_major=PROTOCOL_MAJOR + 1), 0.0)
    assert crawl.service.sessions == 0


def test_another_minor_version_is_welcome() -> None:
    crawl = CoreCrawl()
    welcome = crawl.service.hello(Hello(session="s", protocol_minor=99), 0.0)
    assert (welcome.epoch, welcome.lease_s) == (7, crawl.policy.lease_s)


def test_an_unknown_session_is_told_to_say_hello_and_nothing_of_what_it_says_counts() -> None:
    crawl = CoreCrawl()
    answer = crawl.turn("nobody", want=5)
    assert (answer.known, answer.leases) == (False, ())


def test_a_session_that_is_silent_for_a_lease_time_is_no_member_any_more() -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    crawl.pass_time(crawl.policy.lease_s - 0.1)
    assert crawl.turn("s").known
    crawl.pass_time(crawl.policy.lease_s)
    assert not crawl.turn("s").known


def test_of_many_silent_sessions_some_are_lost_at_once_and_no_call_has_to_bring_the_others_to_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "LOST_AT_ONCE", 2)
    crawl = CoreCrawl()
    crawl.hello("a", "b", "c", "d", "e")
    left = []
    crawl.now += crawl.policy.lease_s
    for _ in range(3):
        crawl.service.flush(crawl.now)
        left.append((crawl.service.sessions, crawl.service.is_behind))
        crawl.turn("e")
    assert left == [(3, True), (1, False), (1, False)]


def test_every_exchange_renews_all_leases_of_its_session() -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    crawl.open_gates()
    ((lease, _),) = crawl.ask()
    for _ in range(10):
        crawl.pass_time(crawl.policy.lease_s - 1.0)
        assert crawl.turn("s").lost == ()
    assert crawl.store.rows(LeaseRow, [lease.id])


def test_nothing_is_kept_of_tasks_that_a_session_says_have_begun_and_were_not_granted_to_it() -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask()
    crawl.turn("s", started=((lease.id, task.ref), (lease.id, b"first"), (lease.id + 1, task.ref)))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(10):
        crawl.turn("s", started=((lease.id, number.to_bytes(100_000)),))
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 100_000


def test_leases_tell_what_pages_of_their_host_have_cost() -> None:
    crawl = CoreCrawl(*(f"http://a.test/{number}" for number in range(3)))
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask(want=1)
    assert lease.page_cost_s == 0.0
    crawl.settle(lease, task, cpu_s=0.5, size_bytes=1_000_000)
    ((lease, task),) = crawl.ask(want=1)
    assert lease.page_cost_s == page_cost_s(0.5, 1_000_000)
    # A page that was ended at a limit costs, too.
    crawl.settle(lease, task, outcome=Outcome.INTERNAL_ERROR, reason=Reason.CPU_LIMIT, cpu_s=30.0)
    assert crawl.ask(want=1)[0][0].page_cost_s > 30.0


def test_the_first_request_to_a_host_of_which_the_job_itself_names_a_seed_hears_its_first_answer_and_no_other() -> None:
    crawl = CoreCrawl("http://a.test/", "http://a.test:8080/")
    crawl.service.put("http://b.test/", crawl.now)
    crawl.service.expect_seeds([], lines=[("http://b.test:81/1", SeedLine("http://b.test:81/1"))])
    while crawl.service.add_some_seeds(crawl.now):
        pass
    crawl.hello("s")
    found: dict[str, list[bool]] = {}
    while granted := crawl.ask():
        for lease, task in granted:
            found.setdefault(lease.host, []).append(task.first)
            crawl.settle(lease, task)
    assert [found[host][0] for host in ("a.test", "b.test")] == [True, False]
    assert not any(is_first for firsts in found.values() for is_first in firsts[1:])
    assert (crawl.host("a.test").seed_ports, crawl.host("b.test").seed_ports) == ((80, 8080), ())


@pytest.mark.parametrize(
    ("url", "refusal"),
    [
        ("http://10.0.0.9/", "private_address"),
        ("http://a.test:25/", "bad_port"),
        ("http://b.test/", "host"),
        ("http://a.test/2", ""),
    ],
)
def test_whoever_puts_a_url_is_told_why_the_crawl_must_not_go_there(url: str, refusal: str) -> None:
    crawl = CoreCrawl(scope=ScopeSpec(hosts=("a.test", "10.0.0.9")))
    assert crawl.service.put(url, crawl.now) == refusal
    assert crawl.knows(url) is not bool(refusal)


def test_goodbye_returns_what_is_held_at_once() -> None:
    crawl = CoreCrawl()
    crawl.hello("s", "t")
    crawl.open_gates()
    assert crawl.ask("s")
    crawl.service.goodbye("s", crawl.now)
    assert crawl.service.sessions == 1
    assert crawl.ask("t")


def test_whoever_delivers_answers_is_told_which_sessions_have_ended_and_are_not_only_silent() -> None:
    crawl = CoreCrawl()
    crawl.hello("holder", "gone", "dead", "silent")
    for session in ("holder", "gone", "dead", "silent"):
        for number, method in ((1, OPEN), (2, "acquire")):
            call = ObjectCall(session=session, thread=1, slot=0, number=number, kind="Lock", name="n", method=method)
            crawl.service.call_object(call, crawl.now)
    crawl.service.goodbye("gone", crawl.now)
    crawl.hello("heir", replaces="dead")
    crawl.pass_time(crawl.policy.lease_s)
    woken = crawl.service.outgoing.take_woken()
    assert [session for session, answer in woken if answer is None] == ["gone", "dead"]
    assert [session for session, answer in woken if answer is not None] == ["silent"]
    assert crawl.service.outgoing.take_woken() == []


def test_goodbye_puts_what_had_begun_under_no_suspicion() -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask()
    crawl.turn(started=((lease.id, task.ref),))
    crawl.service.goodbye("s", crawl.now)
    row = crawl.task()
    assert (row.state, row.alone, row.losses, row.deaths) == (TaskState.PENDING, False, 0, 0)


def test_after_a_goodbye_a_delayed_host_rests_as_if_it_had_been_asked_just_now() -> None:
    crawl = CoreCrawl(delay_s=1.0)
    crawl.hello("s", "t")
    crawl.open_gates()
    crawl.pass_time(5.0)
    assert crawl.ask("s")
    crawl.pass_time(0.5)
    crawl.service.goodbye("s", crawl.now)
    assert crawl.host().next_start_at == crawl.now + 1.0


def test_a_host_that_joins_the_scope_brings_back_what_was_refused_there_before() -> None:
    crawl = CoreCrawl(SEED, "http://b.test/", scope=ScopeSpec(hosts=("a.test", "b.test")))
    crawl.hello("s")
    crawl.open_gates()
    (page, page_task), (seed, seed_task) = sorted(crawl.ask(), key=lambda pair: pair[1].url)
    crawl.settle(page, page_task, outlinks=("http://a.test/away",))
    ((away, away_task),) = crawl.ask()
    crawl.settle(away, away_task, outcome=Outcome.REDIRECTED, status=302, location="http://www.b.test/x")
    assert crawl.task("http://www.b.test/x").reason == "host"
    crawl.settle(seed, seed_task, outcome=Outcome.REDIRECTED, status=301, location="http://www.b.test/")
    crawl.open_gates()
    ((lease, task),) = crawl.ask()
    crawl.reopen()
    crawl.hello("s")
    crawl.settle(lease, task)
    assert not crawl.service.is_finished
    assert crawl.task("http://www.b.test/x").state is TaskState.PENDING
    crawl.settle(*crawl.ask()[0])
    assert crawl.service.is_finished


def test_hosts_that_join_the_scope_one_by_one_are_looked_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = tuple(f"h{number}.test" for number in range(9))
    crawl = CoreCrawl(*(f"http://{host}/" for host in hosts), scope=ScopeSpec(hosts=hosts))
    walked: list[int] = []

    def walk(_after: int, limit: int) -> tuple[TaskRow, ...]:
        walked.append(limit)
        return ()

    monkeypatch.setattr(crawl.store, "walk", walk)
    crawl.hello("s")
    for lease, task in crawl.ask(want=20):
        crawl.settle(lease, task, outcome=Outcome.HTTP_ERROR, status=404)
    for lease, task in crawl.ask(want=20):
        where = task.url.replace("//", "//www.")
        crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=301, location=where)
    assert len(crawl.store.ledger().scope_hosts) == len(hosts)
    assert walked == []


def test_the_end_is_told_once_every_task_is_final_and_not_before() -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    crawl.open_gates()
    ((lease, task),) = crawl.ask()
    assert not crawl.turn("s").finished
    crawl.settle(lease, task)
    answer = crawl.turn("s", want=8)
    assert (answer.finished, answer.leases, answer.idle_s) == (True, (), 0.0)


def test_a_session_with_nothing_to_do_is_told_to_wait_until_something_may_be_due() -> None:
    crawl = CoreCrawl(delay_s=0.0, retries=1)
    crawl.hello("s")
    assert 0 < crawl.turn("s").idle_s <= 1.0


def test_put_admits_what_is_in_scope_and_names_the_rule_that_refuses_the_rest() -> None:
    crawl = CoreCrawl()
    assert crawl.service.put("http://a.test/new", 0.0) == ""
    assert crawl.knows("http://a.test/new")
    assert crawl.service.put("http://x.test/", 0.0) == "host"
    assert crawl.service.put("http://A.test/", 0.0) == "not_http"
    assert crawl.service.put(SEED, 0.0) == ""


def test_a_turn_with_nothing_in_it_changes_nothing() -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    seen = len(crawl.changes)
    crawl.service.exchange(ExchangeRequest(session="s"), crawl.now)
    assert len(crawl.changes) == seen
