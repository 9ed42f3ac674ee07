"""Checks of links that lead out of the scope, rule by rule: what is checked, how it is asked for, when it is a page."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core import (
    admission,
    asking,
    budget,
    checks,
    creation,
    granting,
    judging,
    settle,
)
from crawlfleet.coordinator.core.asking import Wish
from crawlfleet.coordinator.core.changes import TaskEvent, TaskMoved
from crawlfleet.coordinator.core.granting import Asker
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.policy import Extent, HostLimits, LinkRules, TrapLimits
from crawlfleet.coordinator.core.rows import NOT_REACHED, Gate, TaskRow, TrapRow
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Kind, Outcome, Row, SitemapEntry
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.urls import parts
from tests.unit.rule_turns import (
    DONE,
    DROPPED,
    FAILED,
    HOST,
    LEASED,
    ORIGIN,
    OTHER,
    OTHER_HOST,
    PENDING,
    POLICY,
    Turns,
    born,
    check,
    held_by,
    host,
    lease,
    leased,
    moved,
    new,
    numbers,
    origin,
    page,
    put,
    report,
    robots,
    sitemap,
)

FAR, FAR_HOST = "http://far.test", "far.test"
ON = LinkRules(check_external=True)
SCOPE = ScopeSpec(hosts=(HOST,), exclude=("/private/",))
ALL = ScopeSpec(hosts=(HOST, FAR_HOST))
FREE = host(FAR_HOST, origins=(FAR,), ready_at=0.0)
GATE = origin(FAR)
FETCHED: dict[str, Any] = {"state": DONE, "outcome": Outcome.FETCHED, "status": 200}
GONE: dict[str, Any] = {"outcome": Outcome.HTTP_ERROR, "status": 404, "reason": "http_404"}


def link(url: str, **values: Any) -> Link:
    return Link(url=url, **{"depth": 1, "found_on": page("1").ref, **values})


def events(turn: Turn) -> list[tuple[TaskEvent, Kind]]:
    return [(change.event, change.task.kind) for change in turn.batch() if isinstance(change, TaskMoved)]


def only(turn: Turn) -> TaskRow:
    """Return the last state of the only task that has moved."""
    (row,) = {change.task.ref: change.task for change in turn.batch() if isinstance(change, TaskMoved)}.values()
    return row


# What is checked


@pytest.mark.parametrize(
    ("url", "scope", "is_checked"),
    [
        (f"{FAR}/1", SCOPE, True),
        (f"{FAR}/private/1", SCOPE, False),
        (f"{ORIGIN}/1", SCOPE, False),
        (f"{ORIGIN}/private/1", SCOPE, False),
        (f"{ORIGIN}/b", ScopeSpec(hosts=(HOST,), include=("/a",)), True),
        (f"{FAR}/b", ScopeSpec(hosts=(HOST,), include=("/a",)), True),
        (f"{ORIGIN}/b", ScopeSpec(hosts=(HOST,), include=("/a",), exclude=("/b",)), False),
        (f"{FAR}/{'b' * 9_000}", SCOPE, False),
    ],
    ids=["another host", "excluded there", "in scope", "excluded", "not included", "both", "and excluded", "long"],
)
def test_what_hosts_or_include_leave_out_is_checked_unless_it_is_excluded(
    turns: Turns, url: str, scope: ScopeSpec, is_checked: bool
) -> None:
    turn = turns(scope=scope, links=ON)
    found = link(url)
    assert checks.takes(turn, found, admission.refusal_of(turn, found)) == is_checked
    assert not checks.takes(turns(scope=scope), found, admission.refusal_of(turn, found))


@pytest.mark.parametrize(
    "found",
    [link(f"{FAR}/1", seed=True), link(f"{FAR}/1", asked=True), link(f"{FAR}/1", kind=Kind.SITEMAP, serves=FAR)],
    ids=["a seed", "asked for", "a sitemap"],
)
def test_what_somebody_has_named_is_refused_and_not_checked(turns: Turns, found: Link) -> None:
    assert not checks.takes(turns(scope=SCOPE, links=ON), found, Reason.HOST)


def test_a_link_that_leads_out_becomes_a_check_behind_the_gate_of_its_origin(turns: Turns) -> None:
    turn = turns(scope=SCOPE, links=ON, now=3.0)
    admission.admit(turn, [link(f"{FAR}/1")])
    mine = check("1", FAR, found_on=page("1").ref)
    assert mine.ref == page("1", FAR).ref
    assert turn.batch()[:-1] == [
        born(mine),
        born(robots(FAR, order=2)),
        new(host(FAR_HOST, origins=(FAR,), ready_at=3.0, known=1)),
        new(origin(FAR, gate=Gate.WAITING, expires_at=0.0)),
    ]


def test_a_page_at_the_greatest_depth_has_its_links_checked(turns: Turns) -> None:
    turn = turns(scope=SCOPE, links=ON, extent=Extent(depth=1))
    admission.admit(turn, [link(f"{FAR}/1", depth=2), link(f"{ORIGIN}/1", depth=2)])
    found = [change.task for change in turn.batch() if isinstance(change, TaskMoved)]
    assert [(each.kind, each.state, each.reason) for each in found if each.kind is not Kind.ROBOTS] == [
        (Kind.CHECK, PENDING, ""),
        (Kind.PAGE, DROPPED, "depth"),
    ]


def test_where_a_page_redirects_out_of_the_scope_is_checked_and_where_a_seed_does_is_dropped(turns: Turns) -> None:
    for is_seed, kind, state in ((False, Kind.CHECK, PENDING), (True, Kind.PAGE, DROPPED)):
        turn = turns(FREE, GATE, scope=SCOPE, links=ON, grows=False)
        admission.admit(turn, [link(f"{FAR}/1", depth=0, always=True, seed=is_seed, hops=(f"{ORIGIN}/",))])
        assert (only(turn).kind, only(turn).state, only(turn).hops) == (kind, state, (f"{ORIGIN}/",))


def test_limits_of_known_addresses_and_of_traps_hold_for_checks(turns: Turns) -> None:
    full = host(FAR_HOST, origins=(FAR,), known=1)
    turn = turns(full, GATE, numbers(), scope=SCOPE, links=ON, limits=HostLimits(known_per_host=1))
    admission.admit(turn, [link(f"{FAR}/1")])
    assert events(turn) == []
    assert turn.ledger.full.links == 1
    turn = turns(FREE, GATE, scope=SCOPE, links=ON, traps=TrapLimits(url_length=15))
    admission.admit(turn, [link(f"{FAR}/123456")])
    assert (only(turn).kind, only(turn).state, only(turn).reason) == (Kind.CHECK, DROPPED, "trap_length")
    opened = TrapRow(key=".far.test", origins=2)
    turn = turns(opened, scope=SCOPE, links=ON, traps=TrapLimits(subdomains=2))
    admission.admit(turn, [link("http://sub.far.test/1")])
    assert only(turn).reason == "trap_subdomain"


@pytest.mark.parametrize(
    ("url", "rules", "reason"),
    [
        (f"{FAR}/1", ON, ""),
        (f"{ORIGIN}/1", ON, ""),
        (f"{FAR}/private/1", ON, "exclude"),
        (f"{FAR}/{'b' * 9_000}", ON, "length"),
        (f"{FAR}/1", LinkRules(), "host"),
        (f"{ORIGIN}/1", LinkRules(), "cancelled"),
    ],
    ids=["out of scope", "in scope", "excluded", "long", "off", "off, in scope"],
)
def test_why_an_address_is_not_checked(turns: Turns, url: str, rules: LinkRules, reason: str) -> None:
    assert checks.refusal_of(turns(scope=SCOPE, links=rules), url) == reason


# How it is asked for


@pytest.mark.parametrize(
    ("values", "asks"),
    [
        ({"outcome": Outcome.HTTP_ERROR, "status": 405}, True),
        ({"outcome": Outcome.HTTP_ERROR, "status": 404}, True),
        ({"outcome": Outcome.HTTP_ERROR, "status": 503}, True),
        ({"outcome": Outcome.HTTP_ERROR, "status": 503, "retry_after_s": 1.0}, False),
        ({"outcome": Outcome.HTTP_ERROR, "status": 429}, False),
        ({"outcome": Outcome.NETWORK_ERROR, "status": 0, "reason": "reset"}, True),
        ({"outcome": Outcome.NETWORK_ERROR, "status": 0, "reason": "bad_status_line"}, True),
        ({"outcome": Outcome.NETWORK_ERROR, "status": 0, "reason": "timeout_total"}, True),
        ({"outcome": Outcome.NETWORK_ERROR, "status": 0, "reason": "connect"}, False),
        ({"outcome": Outcome.NETWORK_ERROR, "status": 0, "reason": "dns_failed"}, False),
        ({"outcome": Outcome.NETWORK_ERROR, "status": 0, "reason": "timeout_connect"}, False),
        ({"outcome": Outcome.INTERNAL_ERROR, "status": 0, "reason": "internal_error"}, False),
        ({}, False),
        ({"outcome": Outcome.REDIRECTED, "status": 301}, False),
    ],
)
def test_a_head_that_was_answered_badly_is_followed_by_a_get(values: dict[str, Any], asks: bool) -> None:
    mine = check("1", FAR)
    assert checks.asks_by_get(mine, report(mine, **values)) == asks
    assert not checks.asks_by_get(check("1", FAR, by_get=True), report(mine, **values))
    assert not checks.asks_by_get(page("1"), report(mine, **values))


def settled(turns: Turns, task: TaskRow, *rows: Any, scope: ScopeSpec = SCOPE, **values: Any) -> Turn:
    """Return the turn in which a check that is leased has its report accepted."""
    mine = leased(task, 3, by_get=task.by_get)
    held = host(FAR_HOST, origins=(FAR,), holders=held_by(3))
    turn = turns(mine, lease(3, mine), held, GATE, numbers(), *rows, scope=scope, links=ON, retries=0)
    settle.take(turn, "s", [report(mine, age_s=0.0, **values)])
    return turn


def test_a_check_that_is_answered_is_done_and_gives_nothing(turns: Turns) -> None:
    turn = settled(
        turns,
        check("1", FAR),
        rows=(Row(item="x", index=0, fields={}),),
        outlinks=(f"{FAR}/2", f"{ORIGIN}/2"),
        entries=(SitemapEntry(url=f"{ORIGIN}/3"),),
        sitemaps=(f"{ORIGIN}/map.xml",),
        known=page("9").ref,
        body=b"Sitemap: /map.xml",
        links_left_out=1,
    )
    assert events(turn) == [(TaskEvent.JUDGED, Kind.CHECK)]
    assert (only(turn).state, only(turn).reason, only(turn).detail) == (DONE, "", "")
    assert (turn.ledger.pages_fetched, turn.ledger.rows, turn.ledger.left_out.pages) == (0, 0, 0)


def test_the_get_after_a_head_uses_up_no_retry_and_is_counted_as_none(turns: Turns) -> None:
    turn = settled(turns, check("1", FAR), **GONE)
    row = only(turn)
    assert (row.state, row.by_get, row.attempt, row.not_before, row.queue) == (PENDING, True, 0, 0.0, FAR)
    assert (turn.ledger.retries, turn.ledger.retried) == (0, {})
    turn = settled(turns, check("1", FAR, by_get=True), **GONE)
    assert (only(turn).state, only(turn).reason) == (FAILED, "http_404")


def test_a_check_that_asks_by_get_goes_on_to_do_so(turns: Turns) -> None:
    busy: dict[str, Any] = {"outcome": Outcome.HTTP_ERROR, "status": 429, "reason": "http_429"}
    turn = settled(turns, check("1", FAR, by_get=True), **busy)
    assert (only(turn).state, only(turn).by_get) == (PENDING, True)


def test_a_busy_host_is_asked_by_head_again_and_held(turns: Turns) -> None:
    turn = settled(turns, check("1", FAR), outcome=Outcome.HTTP_ERROR, status=429, reason="http_429")
    assert (only(turn).state, only(turn).by_get, only(turn).refusals) == (PENDING, False, 1)
    assert turn.host(FAR_HOST).hold_until > 0


@pytest.mark.parametrize("target", [f"{FAR}/2", f"{ORIGIN}/2"], ids=["out of scope", "in scope"])
def test_where_a_check_redirects_is_a_check_to_which_nothing_leads(turns: Turns, target: str) -> None:
    known = (host(origins=(ORIGIN,)), origin())
    turn = settled(turns, check("1", FAR), *known, outcome=Outcome.REDIRECTED, status=301, location=target)
    first, second = [change.task for change in turn.batch() if isinstance(change, TaskMoved)]
    assert (first.state, first.kind, first.outlinks) == (DONE, Kind.CHECK, (second.ref,))
    assert (second.url, second.kind, second.state, second.depth) == (target, Kind.CHECK, PENDING, NOT_REACHED)
    assert (second.hops, second.seed) == ((f"{FAR}/1",), False)
    assert turn.ledger.scope_hosts == ()


def test_a_chain_of_redirects_ends_where_that_of_a_page_does(turns: Turns) -> None:
    for hops, reason in (((f"{FAR}/2",), "redirect_loop"), (tuple(map(str, range(10))), "too_many_redirects")):
        turn = settled(turns, check("1", FAR, hops=hops), outcome=Outcome.REDIRECTED, status=301, location=f"{FAR}/2")
        assert (only(turn).state, only(turn).reason) == (FAILED, reason)


def test_where_an_excluded_address_is_the_target_it_is_dropped_and_says_so(turns: Turns) -> None:
    away = f"{FAR}/private/2"
    turn = settled(turns, check("1", FAR), outcome=Outcome.REDIRECTED, status=301, location=away)
    assert [(each.url, each.reason) for each in turn.tasks.values() if each is not None and each.state is DROPPED] == [
        (away, "exclude")
    ]


def test_a_report_that_no_check_has_is_refused() -> None:
    found = judging.judged(report(check("1", FAR), 3, outcome=Outcome.DENIED), Kind.CHECK, POLICY)
    assert found.reason == Reason.REPORT_REFUSED


# When it is a page


@pytest.mark.parametrize(
    "values",
    [{}, FETCHED, {**GONE, "state": FAILED, "by_get": True, "attempt": 2}, {"state": DROPPED, "reason": "robots"}],
    ids=["waiting", "done", "broken", "forbidden"],
)
def test_a_check_whose_host_joined_the_scope_starts_over_as_a_page(turns: Turns, values: dict[str, Any]) -> None:
    mine = check("1", FAR, settled=(1,), outlinks=(b"x" * 16,), hops=(f"{FAR}/0",), **values)
    turn = turns(mine, FREE, GATE, scope=ALL, links=ON)
    assert checks.is_in_scope(turn, mine)
    assert admission.adopt(turn, mine).kind is Kind.PAGE
    assert turn.batch()[0] == moved(
        TaskEvent.ADOPTED,
        mine,
        kind=Kind.PAGE,
        state=PENDING,
        outcome=None,
        status=0,
        reason="",
        attempt=0,
        by_get=False,
        outlinks=(),
        hops=(),
    )


@pytest.mark.parametrize(
    ("mine", "scope"),
    [
        (check("1", FAR), SCOPE),
        (leased(check("1", FAR), 3), ALL),
        (check("1", FAR, depth=NOT_REACHED), ALL),
        (page("1", FAR), ALL),
    ],
    ids=["out of scope", "leased", "only checks lead there", "a page"],
)
def test_what_is_no_page_of_the_crawl_stays_as_it_is(turns: Turns, mine: TaskRow, scope: ScopeSpec) -> None:
    turn = turns(mine, FREE, GATE, scope=scope, links=ON)
    assert admission.adopt(turn, mine) == mine
    assert turn.batch() == []


def test_a_page_that_is_too_deep_or_a_trap_is_dropped_as_such(turns: Turns) -> None:
    turn = turns(check("1", FAR, depth=3), FREE, GATE, scope=ALL, links=ON, extent=Extent(depth=2))
    assert admission.adopt(turn, check("1", FAR, depth=3)).reason == "depth"
    mine = check("1", FAR, state=DROPPED, reason="trap_query")
    turn = turns(mine, FREE, GATE, scope=ALL, links=ON)
    assert (admission.adopt(turn, mine).reason, only(turn).kind, only(turn).state) == (
        "trap_query",
        Kind.PAGE,
        DROPPED,
    )


def test_a_check_becomes_a_page_before_it_is_granted(turns: Turns) -> None:
    mine = check("1", FAR)
    turn = turns(mine, FREE, GATE, scope=ALL, links=ON)
    (granted,) = granting.grant(turn, Asker(session="s", want=1, sessions=1)).leases
    assert granted.refs == (mine.ref,)
    assert events(turn) == [(TaskEvent.ADOPTED, Kind.PAGE), (TaskEvent.GRANTED, Kind.PAGE)]
    assert turn.ledger.pages_reserved == 1


def test_what_waits_is_taken_as_it_is_now(turns: Turns) -> None:
    mine, deep, still = check("1", FAR), check("2", FAR, depth=3, order=2), check("3", OTHER, order=3)
    rows = (mine, deep, still, FREE, GATE, host(OTHER_HOST, origins=(OTHER,), ready_at=0.0), origin(OTHER))
    turn = turns(*rows, scope=ALL, links=ON, extent=Extent(depth=2))
    now = admission.as_they_are_now(turn, [mine, deep, still])
    assert [(task.url, task.kind) for task in now] == [(mine.url, Kind.PAGE), (still.url, Kind.CHECK)]
    assert admission.as_they_are_now(turns(*rows, scope=ALL), [mine, deep, still]) == [mine, deep, still]


def test_a_check_becomes_a_page_when_it_is_settled(turns: Turns) -> None:
    turn = settled(turns, check("1", FAR), scope=ALL)
    assert events(turn) == [(TaskEvent.JUDGED, Kind.CHECK), (TaskEvent.ADOPTED, Kind.PAGE)]
    assert (only(turn).state, only(turn).settled) == (PENDING, (3,))


def test_a_check_becomes_a_page_when_a_page_leads_to_it_at_a_smaller_depth(turns: Turns) -> None:
    mine = check("1", FAR, depth=NOT_REACHED, **FETCHED)
    turn = turns(mine, FREE, GATE, scope=ALL, links=ON)
    admission.admit(turn, [link(mine.url, depth=2)])
    assert (only(turn).kind, only(turn).state, only(turn).depth) == (Kind.PAGE, PENDING, 2)
    turn = turns(mine, FREE, GATE, scope=SCOPE, links=ON)
    admission.admit(turn, [link(mine.url, depth=2)])
    assert turn.batch() == [moved(TaskEvent.LOWERED, mine, depth=2)]


def test_a_check_that_is_nearer_passes_nothing_on_to_where_it_redirects(turns: Turns) -> None:
    target = check("2", FAR, depth=NOT_REACHED, order=2)
    mine = check("1", FAR, depth=4, state=DONE, outcome=Outcome.REDIRECTED, outlinks=(target.ref,))
    turn = turns(mine, target, FREE, GATE, scope=SCOPE, links=ON)
    admission.admit(turn, [link(mine.url, depth=2)])
    assert turn.batch() == [moved(TaskEvent.LOWERED, mine, depth=2)]


def test_a_job_that_has_changed_makes_pages_of_checks_drops_them_or_takes_them_up(turns: Turns) -> None:
    waiting = check("1", FAR)
    forbidden = check("private/2", FAR, order=2)
    late = check("3", FAR, order=3, state=DROPPED, reason="budget_time")
    rows = (waiting, forbidden, late, FREE, GATE)
    turn = turns(*rows, scope=SCOPE, links=ON)
    admission.reconsider(turn, [waiting, forbidden, late])
    assert turn.batch()[:2] == [
        moved(TaskEvent.REFUSED, forbidden, state=DROPPED, reason="exclude"),
        moved(TaskEvent.REVIVED, late, state=PENDING, reason=""),
    ]
    turn = turns(*rows, scope=SCOPE)
    admission.reconsider(turn, [waiting, late])
    assert turn.batch() == [moved(TaskEvent.REFUSED, waiting, state=DROPPED, reason="host")]
    turn = turns(*rows, scope=ALL, links=ON)
    admission.reconsider(turn, [waiting])
    assert events(turn) == [(TaskEvent.ADOPTED, Kind.PAGE)]


def test_a_trap_that_has_filled_up_keeps_a_check_dropped(turns: Turns) -> None:
    late = check("123456", FAR, state=DROPPED, reason="trap_length")
    turn = turns(late, FREE, GATE, scope=SCOPE, links=ON, traps=TrapLimits(url_length=15))
    admission.reconsider(turn, [late])
    assert turn.batch() == []


@pytest.mark.parametrize(
    ("scope", "reason"), [(SCOPE, Reason.HOST), (ScopeSpec(hosts=(FAR_HOST,), include=("/a",)), Reason.INCLUDE)]
)
def test_a_program_that_asks_for_a_checked_address_is_refused(turns: Turns, scope: ScopeSpec, reason: Reason) -> None:
    mine = check("1", FAR, **FETCHED)
    turn = turns(mine, FREE, GATE, scope=scope, links=ON)
    assert asking.ask(turn, [Wish(mine.url)]) == [reason]
    assert asking.want_page(turn, mine.ref) == mine
    assert turn.batch() == []


def test_a_program_that_asks_for_an_address_that_is_in_scope_by_now_gets_the_page(turns: Turns) -> None:
    mine = check("1", FAR, depth=NOT_REACHED, **FETCHED)
    turn = turns(mine, FREE, GATE, scope=ALL, links=ON)
    (found,) = asking.ask(turn, [Wish(mine.url, 7)])
    assert isinstance(found, TaskRow)
    assert (found.kind, found.state, found.asked, found.priority) == (Kind.PAGE, PENDING, True, 7)
    held = leased(check("1", FAR), 3)
    turn = turns(held, lease(3, held), host(FAR_HOST, origins=(FAR,), holders=held_by(3)), scope=ALL, links=ON)
    (found,) = asking.ask(turn, [Wish(held.url)])
    assert isinstance(found, TaskRow)
    assert (found.kind, found.state, found.asked) == (Kind.CHECK, LEASED, True)


def test_a_page_that_redirects_to_a_checked_address_answers_with_that_check(turns: Turns) -> None:
    mine = check("1", FAR, order=2, state=DONE, outcome=Outcome.REDIRECTED, outlinks=(page("9").ref,))
    sent = page("1", state=DONE, outcome=Outcome.REDIRECTED, outlinks=(mine.ref,))
    turn = turns(mine, sent, scope=SCOPE, links=ON)
    assert [task.url for task in asking.redirects(turn, sent.ref)] == [sent.url, mine.url]


# Budgets


def test_checks_go_on_when_the_pages_are_spent_and_end_with_bytes_and_time(turns: Turns) -> None:
    waiting = [page("1"), check("1", FAR, order=2), robots(FAR, order=3), sitemap(order=4)]
    rows = (*waiting, host(origins=(ORIGIN,)), origin(), FREE, GATE)
    spent = numbers(pages_fetched=5)
    turn = turns(*rows, spent, scope=SCOPE, links=ON, pages=5)
    budget.drop_waiting(turn, waiting, Reason.BUDGET_PAGES)
    dropped = [change.task for change in turn.batch() if isinstance(change, TaskMoved)]
    assert [(task.kind, task.reason) for task in dropped] == [
        (Kind.PAGE, "budget_pages"),
        (Kind.SITEMAP, "budget_pages"),
    ]
    turn = turns(*rows, spent, scope=SCOPE, links=ON, pages=5, time_s=1.0, now=2.0)
    budget.drop_waiting(turn, waiting, Reason.BUDGET_PAGES)
    assert len(events(turn)) == 4
    turn = turns(*rows, spent, scope=SCOPE, pages=5)
    budget.drop_waiting(turn, waiting, Reason.BUDGET_PAGES)
    assert len(events(turn)) == 4


def test_pages_that_wait_before_a_check_are_dropped_when_the_pages_are_spent(turns: Turns) -> None:
    scope = ScopeSpec(hosts=(HOST,), include=("/in",))
    pages = [page(f"in/{number}", order=number) for number in range(1, 9)]
    mine = [check(f"{number}", ORIGIN, order=10 + number) for number in range(3)]
    ledger = numbers(pages_fetched=5, next_order=20)
    turn = turns(*pages, *mine, host(origins=(ORIGIN,), ready_at=0.0), origin(), ledger, scope=scope, links=ON, pages=5)
    (granted,) = granting.grant(turn, Asker(session="s", want=2, sessions=1)).leases
    assert set(granted.refs) <= {task.ref for task in mine}
    assert len(granted.refs) == 2
    dropped = [change.task for change in turn.batch() if isinstance(change, TaskMoved) and change.task.state is DROPPED]
    assert {task.reason for task in dropped} == {"budget_pages"}
    assert len(dropped) == len(pages)
    assert turn.host(HOST).ready_at == 0.0
    assert budget.spent_for_pages(host(), ledger, turn.policy, 0.0) == "budget_pages"
    assert budget.spent_for_pages(host(), numbers(), turn.policy, 0.0) == ""


# How an address becomes known


def test_a_task_is_made_of_a_link_and_counted_at_its_host(turns: Turns) -> None:
    mine = host(origins=(ORIGIN,), ready_at=0.0)
    turn = turns(mine, origin(), numbers(next_order=5))
    assert creation.create_task(turn, link(f"{ORIGIN}/1")) == page("1", order=5, depth=1, found_on=page("1").ref)
    assert creation.create_task(turn, link(f"{ORIGIN}/2"), "depth").state is DROPPED
    assert turn.host(HOST).known == 2


def test_a_host_has_so_many_places_and_those_without_are_counted(turns: Turns) -> None:
    turn = turns(host(known=2), host(OTHER_HOST, known=1), numbers(), limits=HostLimits(known_per_host=2))
    assert creation.has_place(turn, f"{OTHER}/1")
    assert creation.has_place(turn, f"{FAR}/1")
    assert not creation.has_place(turn, f"{ORIGIN}/1")
    assert put(host(known=2), beyond=1) in turn.batch()


def test_a_host_lists_each_of_its_origins_once(turns: Turns) -> None:
    turn = turns(host(origins=(ORIGIN,)))
    for address in (f"{ORIGIN}/1", f"{ORIGIN}:81/1", f"{ORIGIN}:81/2", f"{FAR}/1"):
        creation.ensure_host(turn, parts(address))
    assert turn.host(HOST).origins == (ORIGIN, f"{ORIGIN}:81")
    assert turn.host(FAR_HOST).origins == (FAR,)
