"""The conversation: every report arrives, however often the line breaks, and nothing starts that must not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.errors import JoinError, Unreachable, WireError
from crawlfleet.shared.messages import (
    Ack,
    AckState,
    ExchangeAnswer,
    ExchangeRequest,
    Hello,
    Kind,
    Lease,
    Outcome,
    Report,
    SitemapEntry,
    Task,
    Welcome,
)
from crawlfleet.shared.web.urls import fingerprint
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.talk.client import Client, JobChanged
from crawlfleet.worker.talk.demand import FetchDemand
from crawlfleet.worker.talk.line import FIRST_RETRY_S, LOST_EVERY_S, MOST_REFUSALS
from crawlfleet.worker.talk.outbox import Delivery
from crawlfleet.worker.talk.outstanding import MAX_REQUEST_BYTES, Outstanding, SentLinks
from crawlfleet.worker.talk.session import Session, SessionOptions

BRIEF = Brief(job="j", scope=ScopeSpec(hosts=("a",)))
LEASE_S = 15.0
PLAIN = SessionOptions()
FEW = FetchDemand(base=8, low_mark=2)


class Clock:
    """Time that passes only when somebody waits: both the clock of a session and its bell."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self._planned: list[tuple[float, Callable[[], None]]] = []

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Let something happen once that time has come."""
        self._planned.append((time, action))

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> None:
        assert timeout is not None
        self.waits.append(timeout)
        self.now += timeout
        for _, action in [planned for planned in self._planned if planned[0] <= self.now]:
            action()

    def set(self) -> None:
        """Nobody sleeps while something happens."""

    def clear(self) -> None:
        """Nothing is set."""


class Script:
    """A coordinator that answers as set: a value is returned, an error raised. By default it acks and has nothing."""

    def __init__(self) -> None:
        self.welcome = Welcome(epoch=1, lease_s=LEASE_S, brief=BRIEF)
        self.hellos: list[Hello] = []
        self.requests: list[ExchangeRequest] = []
        self.goodbyes: list[str] = []
        self.answers: list[Any] = []
        self.dials: list[Exception] = []

    def dial(self) -> Script:
        if self.dials:
            raise self.dials.pop(0)
        return self

    def hello(self, hello: Hello) -> Welcome:
        self.hellos.append(hello)
        return self.welcome

    def exchange(self, request: ExchangeRequest) -> ExchangeAnswer:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else ExchangeAnswer(acks=acks(request))
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, ExchangeAnswer)
        return answer

    def goodbye(self, session: str) -> None:
        self.goodbyes.append(session)


class Bench:
    """A client with everything around it given."""

    def __init__(self, options: SessionOptions = PLAIN, chance: Callable[[], float] = lambda: 1.0) -> None:
        self.clock = Clock()
        self.script = Script()
        self.scopes: list[ScopeSpec] = []
        hello = Hello(session="s", worker="w", replaces="dead")
        self.session = Session(self.script.dial, hello, options, clock=self.clock, bell=self.clock, chance=chance)
        self.line, self.orders = self.session.line, self.session.orders
        self.outbox, self.agenda = self.session.outbox, self.session.agenda

    def client(self, demand: FetchDemand = FEW) -> Client:
        welcome = self.session.join()
        assert welcome is not None
        return Client(self.session, welcome, demand, on_scope=self.scopes.append)

    def grant(self, *leases: Lease, **fields: Any) -> None:
        """Answer the next exchange with leases."""
        self.script.answers.append(ExchangeAnswer(leases=leases, **fields))

    def fetch(self, **fields: Any) -> Attempt:
        """Start the next task, fetch it and put its report into the outbox."""
        attempt = self.agenda.take(0)
        assert attempt is not None
        self.finish(attempt, **fields)
        return attempt

    def finish(self, attempt: Attempt, *, wire_bytes: int = 100, **fields: Any) -> None:
        self.agenda.done(attempt)
        report = Report(lease=attempt.lease_id, ref=attempt.task.ref, outcome=Outcome.FETCHED, **fields)
        self.outbox.put(Delivery(attempt=attempt, report=report, wire_bytes=wire_bytes))


def acks(request: ExchangeRequest) -> tuple[Ack, ...]:
    return tuple(Ack(lease=report.lease, ref=report.ref, state=AckState.OK) for report in request.reports)


def lease(number: int, names: str, depth: int = 0, **fields: Any) -> Lease:
    tasks = tuple(
        Task(ref=name.encode(), kind=Kind.PAGE, url=f"http://a/{name}", depth=depth) for name in names.split()
    )
    return Lease(id=number, host="a", tasks=tasks, **{"slots": 100, **fields})


def refs(request: ExchangeRequest) -> list[str]:
    return [report.ref.decode() for report in request.reports]


def test_hello_is_tried_until_a_coordinator_answers_with_growing_pauses() -> None:
    bench = Bench()
    bench.script.dials = [Unreachable("away")] * 7
    assert bench.line.open(lambda: True) == bench.script.welcome
    assert bench.clock.waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])


def test_pauses_are_spread_by_chance() -> None:
    bench = Bench(chance=lambda: 0.0)
    bench.script.dials = [Unreachable("away")] * 2
    bench.line.open(lambda: True)
    assert bench.clock.waits == pytest.approx([0.05, 0.1])


def test_waiting_for_the_first_contact_ends_when_it_is_called_off() -> None:
    bench = Bench()
    bench.script.dials = [Unreachable("away")] * 100
    assert bench.line.open(lambda: bench.clock.now < 1010.0) is None


def test_a_refused_token_is_final() -> None:
    bench = Bench()
    bench.script.dials = [JoinError("another coordinator")]
    with pytest.raises(JoinError):
        bench.line.open(lambda: True)


def test_the_dead_session_is_named_until_one_hello_has_arrived() -> None:
    bench = Bench()
    bench.script.dials = [Unreachable("away")]
    client = bench.client()
    bench.script.answers = [Unreachable("lost")]
    client.exchange_once()
    assert [hello.replaces for hello in bench.script.hellos] == ["dead", ""]
    assert {hello.session for hello in bench.script.hellos} == {"s"}


def test_leases_are_asked_for_held_and_settled() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x y"))
    client.exchange_once()
    assert bench.script.requests[0].want == 8
    bench.fetch()
    client.exchange_once()
    assert (bench.script.requests[1].holding, refs(bench.script.requests[1])) == ((1,), ["x"])
    assert bench.script.requests[1].want == 6
    bench.fetch()
    client.exchange_once()
    client.exchange_once()
    assert bench.script.requests[3].holding == ()


def test_a_start_is_told_once_and_a_report_tells_its_own() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x y"))
    client.exchange_once()
    attempt = bench.agenda.take(0)
    bench.fetch()
    client.exchange_once()
    assert attempt is not None
    assert bench.script.requests[1].started == ((1, b"x"),)
    bench.finish(attempt)
    client.exchange_once()
    assert bench.script.requests[2].started == ()


def test_a_start_that_could_not_be_told_is_told_again() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x"))
    client.exchange_once()
    bench.agenda.take(0)
    bench.script.answers = [Unreachable("lost")]
    client.exchange_once()
    client.exchange_once()
    assert [request.started for request in bench.script.requests[1:]] == [((1, b"x"),)] * 2


def test_an_unacked_report_is_sent_again_unchanged_but_for_its_age() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x"))
    client.exchange_once()
    bench.fetch(outlinks=("http://a/1",))
    bench.script.answers = [Unreachable("lost"), ExchangeAnswer(known=False)]
    bench.clock.now += 1.0
    client.exchange_once()
    bench.clock.now += 1.0
    client.exchange_once()
    client.exchange_once()
    first, second, third = (request.reports[0] for request in bench.script.requests[1:])
    assert first.age_s == 1.0
    assert second.age_s is not None
    assert second.age_s > 2.0
    assert third.outlinks == second.outlinks == first.outlinks == ("http://a/1",)
    assert len(bench.script.hellos) == 3


def test_what_the_coordinator_refuses_again_and_again_ends_the_worker() -> None:
    bench = Bench()
    client = bench.client()
    refused = [WireError("not a ExchangeRequest")] * (MOST_REFUSALS - 1)
    bench.script.answers = [*refused, Unreachable("lost"), *refused, ExchangeAnswer(), *refused]
    for _ in range(len(bench.script.answers)):
        client.exchange_once()
    bench.script.answers = [WireError("not a ExchangeRequest")]
    with pytest.raises(WireError, match="not a ExchangeRequest"):
        client.exchange_once()


def test_what_was_not_acked_is_due_at_once_after_a_reconnect() -> None:
    bench = Bench()
    client = bench.client()
    bench.script.answers = [Unreachable("lost")]
    client.exchange_once()
    assert client.due_at() <= bench.clock.now


def test_a_lost_lease_starts_nothing_more_but_its_report_is_still_sent() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x y"))
    client.exchange_once()
    attempt = bench.agenda.take(0)
    assert attempt is not None
    bench.script.answers = [ExchangeAnswer(lost=(1,))]
    client.exchange_once()
    assert bench.agenda.waiting == 0
    bench.finish(attempt)
    client.exchange_once()
    last = bench.script.requests[-1]
    assert (last.holding, refs(last)) == ((), ["x"])


def test_what_waits_under_a_recalled_lease_is_given_back_once_what_began_is_settled() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x y z"), lease(2, "u"))
    client.exchange_once()
    attempt = bench.agenda.take(0)
    assert attempt is not None
    bench.script.answers = [ExchangeAnswer(recalled=(1,))]
    client.exchange_once()
    assert bench.agenda.waiting == 1
    assert bench.script.requests[-1].released == ()
    bench.finish(attempt)
    client.exchange_once()
    client.exchange_once()
    last = bench.script.requests[-1]
    assert (last.released, last.holding) == ((1,), (2,))


def test_an_exchange_renews_what_it_held_counted_from_its_sending() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x y", spacing_s=20.0))
    client.exchange_once()
    bench.agenda.take(0)
    bench.clock.now += 10.0
    client.exchange_once()
    bench.clock.now += 10.0
    assert bench.agenda.take(0) is not None


def test_without_contact_a_lease_ends_and_is_given_back_once_its_last_start_is_settled() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x y", spacing_s=20.0))
    client.exchange_once()
    attempt = bench.agenda.take(0)
    assert attempt is not None
    bench.clock.now += 30.0
    assert bench.agenda.take(0) is None
    client.exchange_once()
    assert (bench.script.requests[-1].holding, bench.script.requests[-1].released) == ((1,), ())
    bench.finish(attempt)
    client.exchange_once()
    client.exchange_once()
    assert (bench.script.requests[-1].holding, bench.script.requests[-1].released) == ((), (1,))


def test_a_page_that_found_no_room_goes_back_with_its_lease_to_be_granted_alone() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x y"), lease(2, "u"))
    client.exchange_once()
    large, other, _ = (bench.agenda.take(0) for _ in range(3))
    assert large is not None
    assert other is not None
    bench.agenda.give_back(large, broken_off_at=5_000_000)
    client.exchange_once()
    assert (bench.script.requests[-1].released, bench.script.requests[-1].alone) == ((), ())
    bench.finish(other)
    client.exchange_once()
    bench.script.answers = [Unreachable("lost")]
    client.exchange_once()
    client.exchange_once()  # what was lost is said again
    for request in bench.script.requests[-2:]:
        assert (request.released, request.alone) == ((1,), (large.key,))
    client.exchange_once()
    assert (bench.script.requests[-1].released, bench.script.requests[-1].alone) == ((), ())


def test_nothing_is_said_of_a_page_without_room_whose_lease_is_lost() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x"))
    client.exchange_once()
    attempt = bench.agenda.take(0)
    assert attempt is not None
    bench.script.answers = [ExchangeAnswer(lost=(1,))]
    bench.agenda.give_back(attempt, broken_off_at=1)
    client.exchange_once()
    client.exchange_once()
    assert [request.alone for request in bench.script.requests[-2:]] == [(attempt.key,), ()]


def test_requests_are_split_by_bytes_and_one_report_always_goes() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x y z"))
    client.exchange_once()
    for _ in range(3):
        bench.fetch(wire_bytes=MAX_REQUEST_BYTES // 2 + 1)
    for _ in range(3):
        client.exchange_once()
    assert [refs(request) for request in bench.script.requests[1:]] == [["x"], ["y"], ["z"]]


def part(number: int, **fields: Any) -> Report:
    entries = (SitemapEntry(f"http://a/{number}"),)
    return Report(lease=1, ref=b"a", outcome=Outcome.FETCHED, entries=entries, **fields)


def in_parts() -> Outstanding:
    ahead = tuple(part(number, more=True) for number in range(2))
    (task,) = (given := lease(1, "a")).tasks
    attempt = Attempt(lease_id=1, host="a", task=task, started_at=0.0)
    outstanding = Outstanding("s", SentLinks())
    outstanding.hold([given])
    outstanding.deliver([Delivery(attempt=attempt, report=part(2), wire_bytes=100, ahead=ahead)])
    return outstanding


def answered(outstanding: Outstanding, state: AckState) -> str:
    """Exchange once; return which part went."""
    request = outstanding.compose(0, 1.0)
    (report,) = request.reports
    outstanding.settle(request, ExchangeAnswer(acks=(Ack(lease=1, ref=b"a", state=state),)))
    return report.entries[0].url


def test_a_part_goes_when_the_one_before_it_was_acked_and_the_last_ends_the_task() -> None:
    outstanding = in_parts()
    lost = outstanding.compose(0, 1.0)
    assert lost.reports[0].more
    assert [answered(outstanding, AckState.OK) for _ in range(2)] == ["http://a/0", "http://a/1"]
    assert (outstanding.open_tasks, outstanding.unacked) == (1, 1)
    assert answered(outstanding, AckState.OK) == "http://a/2"
    assert outstanding.is_clear


def test_the_parts_of_a_stale_sitemap_go_no_further() -> None:
    outstanding = in_parts()
    answered(outstanding, AckState.OK)
    answered(outstanding, AckState.STALE)
    assert outstanding.is_clear


def test_links_are_left_out_only_after_an_ack_of_the_same_or_a_smaller_depth() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x", depth=2), lease(2, "y", depth=2), lease(3, "z", depth=1))
    client.exchange_once()
    link = ("http://a/1",)
    for number, name, state in ((1, b"x", AckState.STALE), (2, b"y", AckState.OK), (3, b"z", AckState.OK)):
        bench.fetch(outlinks=link)
        bench.script.answers = [ExchangeAnswer(acks=(Ack(lease=number, ref=name, state=state),))]
        client.exchange_once()
    assert [request.reports[0].outlinks for request in bench.script.requests[1:]] == [link, link, link]


def test_links_that_an_acked_report_told_are_left_out() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x y", depth=1))
    client.exchange_once()
    bench.fetch(outlinks=("http://a/1",))
    client.exchange_once()
    bench.fetch(outlinks=("http://a/1", "http://a/2"))
    client.exchange_once()
    report = bench.script.requests[-1].reports[0]
    assert report.outlinks == ("http://a/2",)
    assert report.known == fingerprint(Kind.PAGE, "", "http://a/1")


def test_another_incarnation_is_told_every_link_again() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x y"))
    client.exchange_once()
    bench.fetch(outlinks=("http://a/1",))
    client.exchange_once()
    bench.script.welcome = Welcome(epoch=2, lease_s=LEASE_S, brief=BRIEF)
    bench.script.answers = [Unreachable("restarted")]
    client.exchange_once()
    bench.fetch(outlinks=("http://a/1",))
    client.exchange_once()
    assert bench.script.requests[-1].reports[0].outlinks == ("http://a/1",)


def test_a_coordinator_that_is_lost_again_and_again_is_told_of_every_ten_seconds() -> None:
    bench = Bench()
    client = bench.client()
    with capture_logs() as logs:
        for _ in range(100):
            bench.script.answers = [Unreachable("silent")]
            client.exchange_once()
            bench.clock.now += 0.5
    told = [entry["event"] for entry in logs]
    lost, back = "the connection to the coordinator is lost", "the coordinator is back"
    passed_s = 100 * (0.5 + FIRST_RETRY_S)
    assert told == [lost, back] * (len(told) // 2)
    assert 2 <= len(told) // 2 <= passed_s / LOST_EVERY_S + 1


def test_remembered_links_are_bounded() -> None:
    sent = SentLinks(limit=3)
    sent.learn(("1", "2"), 1)
    sent.learn(("3", "4"), 1)
    unsent, known = sent.split(("1", "2", "3", "4"), 1)
    assert unsent == ("1", "2")
    assert known == fingerprint(Kind.PAGE, "", "3") + fingerprint(Kind.PAGE, "", "4")


def test_links_are_sent_again_where_they_are_nearer_than_they_were_told() -> None:
    sent = SentLinks()
    sent.learn(("near",), depth=1)
    sent.learn(("near", "far"), depth=3)
    near, far = (fingerprint(Kind.PAGE, "", link) for link in ("near", "far"))
    assert sent.split(("near", "far"), 3) == ((), near + far)
    assert sent.split(("near", "far"), 2) == (("far",), near)
    assert sent.split(("near", "far"), 0) == (("near", "far"), b"")
    sent.learn(("far",), depth=2)
    assert sent.split(("near", "far"), 2) == ((), near + far)


def test_long_links_are_sent_again_rather_than_remembered() -> None:
    sent = SentLinks()
    long = "http://a/" + "x" * 1_000
    sent.learn((long, "http://a/"), depth=1)
    assert sent.split((long, "http://a/"), 1) == ((long,), fingerprint(Kind.PAGE, "", "http://a/"))


def test_a_scope_that_grew_is_passed_on() -> None:
    bench = Bench()
    client = bench.client()
    grown = ScopeSpec(hosts=("a", "b"))
    bench.script.answers = [ExchangeAnswer(scope=grown)]
    client.exchange_once()
    assert bench.scopes == [grown]


def test_a_coordinator_that_comes_back_with_another_job_ends_the_worker() -> None:
    bench = Bench()
    client = bench.client()
    bench.script.welcome = Welcome(epoch=2, lease_s=LEASE_S, brief=Brief(job="other", scope=BRIEF.scope))
    bench.script.answers = [Unreachable("restarted")]
    with pytest.raises(JobChanged):
        client.exchange_once()


def test_the_end_is_followed_by_a_goodbye() -> None:
    bench = Bench()
    bench.script.answers = [ExchangeAnswer(finished=True)]
    bench.client().run()
    assert (len(bench.script.requests), bench.script.goodbyes) == (1, ["s"])


def test_a_drain_gives_back_what_has_not_started_and_reports_what_runs() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x y"), lease(2, "u v"))
    client.exchange_once()
    attempt = bench.agenda.take(0)
    assert attempt is not None
    bench.orders.drain()
    while bench.script.requests[-1].released != (2,):
        assert client.step()
    assert bench.script.requests[-1].want == 0
    assert bench.script.requests[-1].holding == (1,)
    bench.finish(attempt)
    client.run()
    assert [refs(request) for request in bench.script.requests if request.reports] == [["x"]]
    assert bench.script.requests[-1].released == (1,)
    assert bench.script.goodbyes == ["s"]


def test_a_drain_without_a_coordinator_ends_when_the_leases_are_over() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "x"))
    client.exchange_once()
    bench.fetch()
    bench.orders.drain()
    bench.script.answers = [Unreachable("lost")]
    bench.script.dials = [Unreachable("away")] * 1000
    client.run()
    assert LEASE_S <= bench.clock.now - 1000.0 < LEASE_S + 5.0
    assert bench.script.goodbyes == []


def test_an_exchange_is_due_when_the_coordinator_may_have_more_but_no_more_often() -> None:
    bench = Bench()
    client = bench.client()
    bench.script.answers = [ExchangeAnswer(idle_s=2.0)]
    client.exchange_once()
    assert client.due_at() == bench.clock.now + 2.0


def test_a_worker_that_has_enough_only_keeps_its_leases_alive() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "a b c d e f g h"), idle_s=0.0)
    client.exchange_once()
    assert client.due_at() == bench.clock.now + LEASE_S / 3


def test_reports_linger_less_when_little_is_left_to_do() -> None:
    dues = []
    for names in ("a", "a b c d e f g h"):
        bench = Bench()
        client = bench.client()
        bench.grant(lease(1, names), idle_s=60.0)
        client.exchange_once()
        bench.fetch()
        dues.append(client.due_at() - bench.clock.now)
    assert dues == [pytest.approx(0.005), pytest.approx(0.05)]


def test_a_full_batch_of_reports_is_due_at_once() -> None:
    bench = Bench(SessionOptions(batch=3))
    client = bench.client()
    bench.grant(lease(1, "a b c d e f g h"))
    client.exchange_once()
    for _ in range(3):
        bench.fetch()
    assert client.due_at() <= bench.clock.now


def test_a_start_is_told_soon_even_if_the_page_is_slow() -> None:
    bench = Bench()
    client = bench.client()
    bench.grant(lease(1, "a b c d e f g h"))
    client.exchange_once()
    bench.agenda.take(0)
    started_at = bench.clock.now
    while len(bench.script.requests) < 2:
        client.step()
    assert bench.script.requests[1].started == ((1, b"a"),)
    assert bench.clock.now - started_at < 0.2


@pytest.mark.parametrize(
    ("held", "deferred", "want"), [(0, 0, 64), (64, 0, 0), (64, 60, 60), (4096, 4096, 0), (4090, 4090, 6)]
)
def test_tasks_that_wait_for_their_host_leave_room_for_others_up_to_a_bound(
    held: int, deferred: int, want: int
) -> None:
    assert FetchDemand.for_fetches(16).want(held, deferred) == want


def test_a_worker_that_is_behind_with_its_starts_leaves_spaced_hosts_to_others() -> None:
    demand = FetchDemand.for_fetches(16)
    assert demand.want(600, 600, 0.0) == 64
    assert demand.want(600, 600, 1.0) == 0
    assert demand.want(500, 500, 1.0) == 12


def test_a_coordinator_is_given_up_when_patience_ends() -> None:
    bench = Bench(SessionOptions(patience_s=60.0))
    client = bench.client()
    bench.script.answers = [Unreachable("away")]
    bench.script.dials = [Unreachable("away")] * 1_000
    lost_at = bench.clock.now
    client.run()
    assert 60 <= bench.clock.now - lost_at <= 63
    assert not client.finished
    assert bench.script.goodbyes == []


def test_a_heartbeat_may_be_asked_for_that_is_quicker_than_the_lease_needs() -> None:
    bench = Bench(SessionOptions(heartbeat_s=1.0))
    client = bench.client(FetchDemand(base=0, low_mark=0))
    opened_at = bench.clock.now
    bench.script.answers = [ExchangeAnswer(), ExchangeAnswer(), ExchangeAnswer(finished=True)]
    client.run()
    assert bench.clock.now - opened_at == pytest.approx(3.0)
    assert client.finished


def test_what_makes_it_pointless_to_go_on_ends_the_conversation_also_while_nobody_answers() -> None:
    bench = Bench()
    client = bench.client()
    bench.script.answers.append(Unreachable("gone"))
    bench.script.dials += [Unreachable("still gone") for _ in range(100)]
    bench.clock.at(bench.clock.now + 2.0, lambda: bench.orders.abort(LookupError("a thread has ended")))
    with pytest.raises(LookupError):
        client.run()
    assert len(bench.script.dials) > 90


def test_of_two_errors_that_end_a_session_the_first_is_raised() -> None:
    bench = Bench()
    client = bench.client()
    for error in (LookupError("the first"), RuntimeError("the second")):
        bench.orders.abort(error)
    with pytest.raises(LookupError):
        client.step()


def in_pieces() -> Outstanding:
    pieces = [Report(lease=1, ref=b"a", outcome=Outcome.FETCHED, part=b"x", place=place) for place in range(3)]
    (task,) = (given := lease(1, "a")).tasks
    attempt = Attempt(lease_id=1, host="a", task=task, started_at=0.0)
    outstanding = Outstanding("s", SentLinks())
    outstanding.hold([given])
    ahead = tuple(replace(piece, more=True) for piece in pieces[:2])
    outstanding.deliver([Delivery(attempt=attempt, report=pieces[2], wire_bytes=100, ahead=ahead)])
    return outstanding


def places(outstanding: Outstanding, *answers: Ack) -> list[int]:
    """Return the places of the parts that are sent, one for each answer."""
    sent = []
    for answer in answers:
        request = outstanding.compose(0, 9.0)
        sent += [report.place for report in request.reports]
        outstanding.settle(request, ExchangeAnswer(acks=(answer,)))
    return sent


def wants(part: int) -> Ack:
    return Ack(lease=1, ref=b"a", state=AckState.MORE, parts=part)


def test_of_a_page_in_parts_the_part_that_is_wanted_is_sent_again_and_again_until_all_are_there() -> None:
    outstanding = in_pieces()
    answers = (wants(1), wants(2), wants(0), wants(1), wants(9), Ack(lease=1, ref=b"a", state=AckState.OK))
    assert places(outstanding, *answers) == [0, 1, 2, 0, 1, 2]
    assert outstanding.is_clear


@pytest.mark.parametrize("state", [AckState.OK, AckState.STALE, AckState.REJECTED])
def test_a_page_in_parts_goes_no_further_when_it_is_settled(state: AckState) -> None:
    outstanding = in_pieces()
    assert places(outstanding, Ack(lease=1, ref=b"a", state=state)) == [0]
    assert outstanding.is_clear


def test_that_a_part_has_arrived_is_no_ack_of_its_report() -> None:
    bench, heard = Bench(), list[AckState]()
    welcome = bench.session.join()
    assert welcome is not None
    client = Client(bench.session, welcome, FEW, on_ack=lambda ack: heard.append(ack.state))
    bench.grant(lease(1, "a"))
    client.exchange_once()
    bench.fetch()
    bench.grant(acks=(wants(1),))
    client.exchange_once()
    client.exchange_once()
    assert heard == [AckState.OK]
