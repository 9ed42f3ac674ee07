"""What becomes a task and at which depth, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core import admission, traps
from crawlfleet.coordinator.core.changes import Full, TaskEvent
from crawlfleet.coordinator.core.figures import FullHosts
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.policy import HostLimits, Priority, TrapLimits, Unit
from crawlfleet.coordinator.core.rows import ALONE_QUEUE, Gate, HostRow, TaskRow, TaskState, TrapRow
from crawlfleet.coordinator.core.turn import existing
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Kind, Outcome
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
    Turns,
    born,
    changes,
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
    robots,
    sitemap,
)

FREE = host(origins=(ORIGIN,), ready_at=0.0)
REVIVED = ("depth", "host", "include", "exclude", "budget_pages", "budget_host_time", "trap_length")
NO_PRIVATE = ScopeSpec(hosts=(HOST, OTHER_HOST), exclude=("/private/",))
REPEATS = TrapLimits(repetition=3)
LOOP = "y/y/y/y/y"


def link(task: TaskRow, **values: Any) -> Link:
    """Return the link that leads to a task."""
    serves = "" if task.kind is Kind.PAGE else task.origin
    common = {"url": task.url, "depth": task.depth, "kind": task.kind, "serves": serves, "priority": task.priority}
    return Link(**{**common, **values})


# New ones


def test_the_first_page_of_an_origin_brings_its_host_and_has_its_robots_txt_asked_for(turns: Turns) -> None:
    turn = turns(now=5.0)
    admission.admit(turn, [link(page("1"), seed=True)])
    assert turn.batch() == [
        born(page("1", seed=True)),
        born(robots(order=2)),
        new(host(origins=(ORIGIN,), ready_at=5.0, known=1)),
        new(origin(gate=Gate.WAITING, expires_at=0.0)),
        put(turns().ledger, next_order=3),
    ]


def test_a_known_page_is_let_in_as_a_new_one_is(turns: Turns) -> None:
    known = page("1", state=DROPPED, reason="private_address")
    turn = turns(known, host(known=1), numbers(next_order=2))
    admission.let_in(turn, known.url)
    assert existing(turn.origins[ORIGIN]).gate is Gate.WAITING
    assert existing(turn.hosts[HOST]).ready_at == 0.0
    assert existing(turn.tasks[robots().ref]).state is PENDING


def test_a_further_page_makes_itself_and_lets_its_host_be_looked_at(turns: Turns) -> None:
    idle = host(origins=(ORIGIN,))
    turn = turns(idle, origin(), numbers(next_order=7), now=5.0)
    admission.admit(turn, [link(page("1", depth=2), found_on=b"p", lastmod=3)])
    assert turn.batch() == [
        born(page("1", depth=2, order=7, found_on=b"p", lastmod=3)),
        put(idle, ready_at=5.0, known=1),
        put(numbers(next_order=7), next_order=8),
    ]


def test_another_origin_of_a_known_host_is_known_to_it(turns: Turns) -> None:
    turn = turns(FREE, origin())
    admission.admit(turn, [link(page("1", "http://a.test:81"))])
    assert changes(turn, HostRow) == [put(FREE, origins=(ORIGIN, "http://a.test:81"), known=1)]


def test_an_origin_that_its_host_knows_already_is_not_named_twice(turns: Turns) -> None:
    turn = turns(FREE)
    admission.admit(turn, [link(page("1"))])
    assert changes(turn, HostRow) == [put(FREE, known=1)]


def test_the_robots_txt_of_a_named_host_is_not_asked_for(turns: Turns) -> None:
    turn = turns(ignore_robots=(HOST,))
    admission.admit(turn, [link(page("1"))])
    assert turn.batch()[:-1] == [
        born(page("1")),
        new(host(origins=(ORIGIN,), ready_at=0.0, known=1)),
        new(origin(expires_at=0.0)),
    ]


def test_hosts_of_one_domain_join_its_unit_with_their_first_page(turns: Turns) -> None:
    scope = ScopeSpec(hosts=("www.a.test",))
    turn = turns(now=5.0, unit=Unit.DOMAIN, scope=scope)
    admission.admit(turn, [link(page("1", "http://www.a.test"))])
    assert changes(turn, HostRow) == [
        new(host("www.a.test", unit=HOST, origins=("http://www.a.test",), ready_at=5.0, known=1)),
        new(host(HOST, is_unit=True, ready_at=5.0)),
    ]


@pytest.mark.parametrize(("ready_at", "changed"), [(None, 5.0), (9.0, 5.0), (3.0, 3.0)])
def test_what_may_wait_on_a_host_in_a_unit_is_noted_by_its_time(
    turns: Turns, ready_at: float | None, changed: float
) -> None:
    unit, mine = host(HOST, is_unit=True, ready_at=1.0), host("www.a.test", unit=HOST, ready_at=ready_at)
    turn = turns(unit, mine, host(OTHER_HOST), now=4.0)
    admission.note_waiting(turn, "www.a.test", 5.0)
    assert turn.host("www.a.test") == unit
    assert existing(turn.hosts["www.a.test"]).ready_at == changed
    for key in (HOST, OTHER_HOST):  # in no unit: what wakes them is all that they need
        admission.note_waiting(turn, key)
    assert len(turn.batch()) == (ready_at != changed)


def test_a_sitemap_opens_the_place_where_it_lies_whomever_it_serves(turns: Turns) -> None:
    away = sitemap("http://cdn.test/map.xml", serves=ORIGIN)
    turn = turns(FREE, origin())
    admission.admit(turn, [link(away)])
    assert turn.batch()[:-1] == [
        born(away),
        born(robots("http://cdn.test", order=2)),
        new(host("cdn.test", origins=("http://cdn.test",), ready_at=0.0, known=1)),
        new(origin("http://cdn.test", gate=Gate.WAITING, expires_at=0.0)),
    ]


def test_a_robots_txt_on_another_host_is_asked_for_there_and_opens_no_origin(turns: Turns) -> None:
    away = robots(url=f"{OTHER}/rules")
    turn = turns(FREE)
    admission.admit(turn, [link(away)])
    assert turn.batch()[:-1] == [born(away), new(host(OTHER_HOST, origins=(OTHER,), ready_at=0.0))]


def test_the_first_rule_that_matches_gives_a_page_its_priority_and_other_kinds_keep_theirs(turns: Turns) -> None:
    rules = (Priority("/news/old/", -5), Priority("/news/", 5))
    turn = turns(FREE, origin(), priorities=rules)
    one, two, three = page("news/old/1"), page("news/1"), page("1")
    links = [link(one), link(two), link(three, priority=2), link(sitemap(f"{ORIGIN}/news/map.xml"))]
    admission.admit(turn, links)
    assert [task.priority for task in turn.tasks.values() if task is not None] == [-5, 5, 2, 1_000]


# Those that a rule refuses


def test_a_link_that_is_out_of_scope_makes_nothing_unless_it_is_to_be_explained(turns: Turns) -> None:
    turn = turns(FREE, origin(), scope=NO_PRIVATE)
    admission.admit(turn, [link(page("private/1")), link(page("private/2"), always=True)])
    assert turn.batch()[:-1] == [
        born(page("private/2", state=DROPPED, reason="exclude"), TaskEvent.REFUSED),
        put(FREE, known=1),
    ]


def test_what_is_too_deep_is_kept_as_such_so_that_it_can_be_found_nearer(turns: Turns) -> None:
    turn = turns(FREE, origin(), depth=1, scope=NO_PRIVATE)
    admission.admit(turn, [link(page("1", depth=2)), link(page("private/1", depth=2))])
    assert turn.batch()[:-1] == [
        born(page("1", depth=2, state=DROPPED, reason="depth"), TaskEvent.REFUSED),
        put(FREE, known=1),
    ]


@pytest.mark.parametrize(("depth", "reason"), [(1, "trap_repetition"), (0, "")], ids=["found", "listed"])
def test_what_was_found_may_be_a_trap_and_what_was_listed_is_none(turns: Turns, depth: int, reason: str) -> None:
    turn = turns(FREE, origin(), traps=REPEATS)
    admission.admit(turn, [link(page(LOOP, depth=depth))])
    trap = page(LOOP, depth=depth, state=DROPPED if reason else PENDING, reason=reason)
    assert turn.batch()[:-1] == [
        born(trap, TaskEvent.REFUSED if reason else TaskEvent.ADMITTED),
        put(FREE, known=1),
    ]


def test_a_sitemap_is_read_if_it_serves_the_crawl_or_the_job_names_it(turns: Turns) -> None:
    foreign = sitemap("http://x.test/map.xml", serves="http://x.test")
    turn = turns(FREE, origin(), scope=NO_PRIVATE)
    admission.admit(turn, [link(foreign), link(sitemap(f"{ORIGIN}/private/map.xml"))])
    assert turn.batch()[:-1] == [born(sitemap(f"{ORIGIN}/private/map.xml")), put(FREE, known=1)]
    admission.admit(turn, [link(foreign, always=True)])
    assert turn.batch()[1] == born(sitemap(foreign.url, "http://x.test", order=2))


def test_what_is_let_in_counts_as_part_of_what_may_be_a_trap(turns: Turns) -> None:
    turn = turns(FREE, origin(), traps=TrapLimits(query_variants=1))
    admission.admit(turn, [link(page("?1", depth=1)), link(page("?2", depth=1))])
    two = page("?2", depth=1, order=2, state=DROPPED, reason="trap_query")
    found = traps.patterns_of(two.url)
    assert found is not None
    assert turn.batch()[:2] == [born(page("?1", depth=1)), born(two, TaskEvent.REFUSED)]
    assert changes(turn, TrapRow) == [put(TrapRow(key=HOST, version=0), patterns={found.query: 1})]


# As many as the job allows


def test_a_link_beyond_what_may_be_known_of_its_host_is_counted_there_and_told_once(turns: Turns) -> None:
    full = host(origins=(ORIGIN,), ready_at=0.0, known=2)
    turn = turns(full, origin(), limits=HostLimits(known_per_host=2))
    admission.admit(turn, [link(page("1", depth=1)), link(page("2", depth=1)), link(sitemap(f"{ORIGIN}/3.xml"))])
    assert turn.batch() == [
        Full(host=HOST, url=page("1").url),
        put(full, beyond=3),
        put(turns().ledger, full=FullHosts(hosts=1, named=(HOST,), links=3)),
    ]


def test_what_is_known_is_counted_by_host_name_whatever_became_of_it(turns: Turns) -> None:
    turn = turns(FREE, origin(), limits=HostLimits(known_per_host=2), depth=1)
    admission.admit(turn, [link(page(name, depth=2)) for name in "123"])
    admission.admit(turn, [link(page("1", OTHER, depth=1)), link(page("1", depth=2))])
    assert changes(turn, HostRow)[0] == put(FREE, known=2, beyond=1)
    other = turn.hosts[OTHER_HOST]
    assert other is not None
    assert (other.known, other.beyond, other.origins) == (1, 0, (OTHER,))


def test_a_host_of_which_only_what_is_dropped_was_known_is_let_in_with_its_first_page(turns: Turns) -> None:
    scope = ScopeSpec(hosts=("www.a.test",))
    turn = turns(unit=Unit.DOMAIN, scope=scope, depth=1)
    admission.admit(turn, [link(page("1", "http://www.a.test", depth=2))])
    assert changes(turn, HostRow) == [new(host("www.a.test", known=1))]
    admission.admit(turn, [link(page("2", "http://www.a.test", depth=1))])
    assert changes(turn, HostRow) == [
        new(host("www.a.test", known=2, unit=HOST, origins=("http://www.a.test",), ready_at=0.0)),
        new(host(HOST, is_unit=True, ready_at=0.0)),
    ]


@pytest.mark.parametrize("values", [{"always": True}, {"asked": True}], ids=["seed", "asked for"])
def test_seeds_and_what_programs_ask_for_are_admitted_beyond_what_may_be_known(
    turns: Turns, values: dict[str, Any]
) -> None:
    full = host(origins=(ORIGIN,), ready_at=0.0, known=2)
    turn = turns(full, origin(), limits=HostLimits(known_per_host=2))
    admission.admit(turn, [link(page("1", depth=1), **values)])
    assert changes(turn, HostRow) == [put(full, known=3)]


# Known ones


def test_a_known_page_that_is_no_nearer_changes_nothing(turns: Turns) -> None:
    turn = turns(page("1", depth=1), FREE, origin())
    admission.admit(turn, [link(page("1", depth=1)), link(page("1", depth=2))], [(page("1").ref, 1), (b"never", 0)])
    assert turn.batch() == []


def test_a_known_sitemap_keeps_its_depth(turns: Turns) -> None:
    turn = turns(sitemap(depth=2), FREE, origin())
    admission.admit(turn, [link(sitemap(depth=0))])
    assert turn.batch() == []


@pytest.mark.parametrize("state", [PENDING, LEASED, DONE, FAILED, DROPPED])
def test_a_page_that_is_found_nearer_passes_that_on_to_its_outlinks(turns: Turns, state: Any) -> None:
    leaf = page("2", depth=4)
    near = page("1", depth=3, state=state, reason="robots" if state is DROPPED else "", outlinks=(leaf.ref, b"never"))
    turn = turns(near, leaf, FREE, origin(), depth=9)
    admission.admit(turn, [link(page("1", depth=1))])
    assert turn.batch() == [
        moved(TaskEvent.LOWERED, near, depth=1),
        moved(TaskEvent.LOWERED, leaf, depth=2),
    ]


def test_a_redirect_that_is_found_nearer_brings_its_target_as_near(turns: Turns) -> None:
    target = page("2", depth=3)
    sent = page("1", depth=3, state=DONE, outcome=Outcome.REDIRECTED, outlinks=(target.ref,))
    turn = turns(sent, target, FREE, origin(), depth=9)
    admission.admit(turn, [], nearer=[(sent.ref, 1)])
    assert turn.batch() == [moved(TaskEvent.LOWERED, sent, depth=1), moved(TaskEvent.LOWERED, target, depth=1)]


def test_what_was_too_deep_is_revived_when_it_is_near_enough_and_its_place_is_opened(turns: Turns) -> None:
    deep = page("1", depth=3, state=DROPPED, reason="depth")
    turn = turns(deep, numbers(next_order=7), depth=2)
    admission.admit(turn, [link(page("1", depth=2))])
    assert turn.batch() == [
        moved(TaskEvent.REVIVED, deep, state=PENDING, depth=2, reason=""),
        born(robots(order=7)),
        new(host(origins=(ORIGIN,), ready_at=0.0)),
        new(origin(gate=Gate.WAITING, expires_at=0.0)),
        put(numbers(next_order=7), next_order=8),
    ]


def test_what_was_too_deep_and_still_is_comes_nearer_all_the_same(turns: Turns) -> None:
    deep = page("1", depth=5, state=DROPPED, reason="depth")
    turn = turns(deep, FREE, origin(), depth=2)
    admission.admit(turn, [link(page("1", depth=3))])
    assert turn.batch() == [moved(TaskEvent.LOWERED, deep, depth=3)]


def test_what_was_too_deep_may_prove_a_trap_when_it_is_near_enough(turns: Turns) -> None:
    deep = page(LOOP, depth=3, state=DROPPED, reason="depth")
    turn = turns(deep, FREE, origin(), depth=2, traps=REPEATS)
    admission.admit(turn, [link(page(LOOP, depth=1))])
    assert turn.batch() == [moved(TaskEvent.LOWERED, deep, depth=1, reason="trap_repetition")]


@pytest.mark.parametrize(("depth", "event"), [(1, TaskEvent.LOWERED), (0, TaskEvent.REVIVED)], ids=["found", "listed"])
def test_a_trap_is_revived_if_somebody_lists_it_and_by_nothing_else(turns: Turns, depth: int, event: TaskEvent) -> None:
    trap = page(LOOP, depth=3, state=DROPPED, reason="trap_repetition")
    turn = turns(trap, FREE, origin(), traps=REPEATS)
    admission.admit(turn, [link(page(LOOP, depth=depth))])
    left = {} if depth else {"state": PENDING, "reason": ""}
    assert turn.batch() == [moved(event, trap, depth=depth, **left)]


def test_a_robots_txt_that_is_asked_for_already_is_left_alone(turns: Turns) -> None:
    turn = turns(robots(), FREE, origin(gate=Gate.WAITING))
    admission.admit(turn, [link(robots(), hops=("x",))])
    assert turn.batch() == []


# Again


def test_a_robots_txt_is_asked_for_again_with_a_new_life(turns: Turns) -> None:
    life: dict[str, Any] = {
        "attempt": 3,
        "refusals": 2,
        "losses": 2,
        "deaths": 1,
        "alone": True,
        "not_before": 9.0,
        "lease": 3,
    }
    had = robots(state=FAILED, reason="http_500", outcome=Outcome.HTTP_ERROR, status=500, queue="alone", **life)
    turn = turns(had, host(origins=(ORIGIN,)), origin(rechecking=True), now=5.0)
    anew = {"attempt": 0, "refusals": 0, "losses": 0, "deaths": 0, "alone": False, "not_before": 0.0, "lease": 0}
    last = {"state": PENDING, "reason": "", "outcome": None, "status": 0, "queue": HOST}
    task = admission.reopen_robots(turn, ORIGIN)
    assert turn.batch() == [
        moved(TaskEvent.RECHECKED, had, **anew, **last),
        put(host(origins=(ORIGIN,)), ready_at=5.0),
    ]
    assert task == turn.tasks[had.ref]


def test_a_robots_txt_that_the_job_ignored_has_no_task_before_it_is_asked_for(turns: Turns) -> None:
    idle = host(origins=(ORIGIN,))
    turn = turns(idle, origin(rechecking=True), numbers(next_order=7), now=5.0)
    assert admission.reopen_robots(turn, ORIGIN) == robots(order=7)
    assert turn.batch() == [
        born(robots(order=7)),
        put(idle, ready_at=5.0),
        put(numbers(next_order=7), next_order=8),
    ]


def test_reconsidered_pages_that_rules_refuse_now_are_dropped_and_give_their_place_back(turns: Turns) -> None:
    one = page("private/1", reserved=True, lease=2, losses=1, queue=HOST)
    turn = turns(one, page("2", order=2), FREE, origin(), numbers(pages_reserved=1), scope=NO_PRIVATE)
    admission.reconsider(turn, [one, page("2", order=2)])
    assert turn.batch() == [
        moved(TaskEvent.REFUSED, one, state=DROPPED, reason="exclude", lease=0, reserved=False),
        put(numbers(pages_reserved=1), pages_reserved=0),
    ]


def test_reconsidered_pages_that_rules_allow_now_are_revived(turns: Turns) -> None:
    gone = [page(reason, state=DROPPED, reason=reason, depth=1, order=order) for order, reason in enumerate(REVIVED, 1)]
    turn = turns(*gone, FREE, origin())
    admission.reconsider(turn, gone)
    assert turn.batch() == [moved(TaskEvent.REVIVED, task, state=PENDING, reason="") for task in gone]


@pytest.mark.parametrize(
    "task",
    [
        page("1", state=DROPPED, reason="robots"),
        page("1", state=DROPPED, reason="content_type"),
        page("1", state=DONE),
        page("1", state=FAILED, reason="http_404"),
        page("private/1", state=DROPPED, reason="host"),
        page("1", state=DROPPED, reason="depth", depth=9),
        page(LOOP, state=DROPPED, reason="trap_length", depth=1),
        page("private/2", seed=True),
        page("private/2", seed=True, state=DROPPED, reason="exclude"),
        page("1"),
    ],
    ids=[
        *("robots", "unwanted", "done", "failed", "refused still", "too deep", "a trap still"),
        *("a seed that waits", "a seed refused still", "allowed"),
    ],
)
def test_what_rules_do_not_change_is_left_as_it_is(turns: Turns, task: TaskRow) -> None:
    turn = turns(task, FREE, origin(), scope=NO_PRIVATE, depth=2, traps=REPEATS)
    admission.reconsider(turn, [task])
    assert turn.batch() == []


def test_a_page_that_waits_is_not_counted_again_as_a_trap_but_by_its_address(turns: Turns) -> None:
    full, one, loop = TrapRow(key=HOST, sessions=9), page("?sid=7", depth=1), page(LOOP, depth=1, order=2)
    turn = turns(one, loop, full, FREE, origin(), traps=TrapLimits(sessions=9, repetition=3))
    admission.reconsider(turn, [one, loop])
    assert turn.batch() == [moved(TaskEvent.REFUSED, loop, state=DROPPED, reason="trap_repetition")]


@pytest.mark.parametrize("gate", [{"gate": Gate.WAITING}, {"rechecking": True}], ids=["never had", "asked for again"])
def test_a_robots_txt_that_was_dropped_with_its_pages_is_revived_with_them(turns: Turns, gate: dict[str, Any]) -> None:
    one, dropped = (task(state=DROPPED, reason="budget_pages") for task in (lambda **v: page("1", **v), robots))
    turn = turns(one, dropped, FREE, origin(**gate))
    admission.reconsider(turn, [one])
    assert turn.batch() == [
        moved(TaskEvent.REVIVED, one, state=PENDING, reason=""),
        moved(TaskEvent.RECHECKED, dropped, state=PENDING, reason=""),
    ]


# Hosts and reads


@pytest.mark.parametrize(
    ("row", "not_before", "at"),
    [
        (host(), 0.0, 5.0),
        (host(), 9.0, 9.0),
        (host(ready_at=7.0), 9.0, 7.0),
        (host(ready_at=9.0), 0.0, 5.0),
        (host(hold_until=8.0), 0.0, 8.0),
        (host(next_start_at=8.0), 0.0, 5.0),
        (host(delay_s=1.0, next_start_at=8.0), 0.0, 8.0),
        (host(delay_s=1.0, ready_at=4.0, holders=held_by(3)), 0.0, None),
        (host(delay_s=1.0, holders=held_by(3)), 0.0, None),
        (host(holders=held_by(3, slots=4)), 0.0, None),
    ],
)
def test_when_a_host_is_looked_at(turns: Turns, row: HostRow, not_before: float, at: float | None) -> None:
    turn = turns(leased(page("1"), 3), lease(3, page("1"), slots=4), row, now=5.0)
    admission.awaken_host(turn, HOST, not_before)
    assert turn.batch() == ([] if at == row.ready_at else [put(row, ready_at=at)])


def test_what_admitting_links_will_look_up_is_read_in_one_call_for_each_table(turns: Turns) -> None:
    seeds = [link(page(str(number), at)) for number in range(9) for at in (ORIGIN, OTHER)]
    turn = turns(FREE, origin(), page("1"))
    admission.want(turn, seeds)
    assert (turn.reads, turn.misses) == (3, 0)
    admission.admit(turn, seeds)
    assert (turn.reads, turn.misses) == (3, 0)


def test_the_places_of_known_links_are_not_read(turns: Turns) -> None:
    turn = turns(page("1"))
    admission.want(turn, [link(page("1"))])
    assert turn.reads == 1


def test_places_are_read_with_the_units_that_a_name_puts_its_host_in_and_the_traps(turns: Turns) -> None:
    turn = turns(host("www.a.test", unit=HOST), FREE, unit=Unit.DOMAIN, traps=TrapLimits(query_variants=1))
    admission.want_places(turn, ["http://www.a.test/?1"])
    assert (turn.hosts["www.a.test"], turn.hosts[HOST]) == (host("www.a.test", unit=HOST), FREE)
    assert turn.traps == {"www.a.test": None}
    assert turn.misses == 0


def test_pages_that_failed_because_a_machine_lacked_something_start_over(turns: Turns) -> None:
    last: dict[str, Any] = {
        "reason": "out_of_memory",
        "detail": "it",
        "outcome": Outcome.EXTRACT_ERROR,
        "status": 200,
    }
    life: dict[str, Any] = {"attempt": 2, "refusals": 1, "losses": 4, "deaths": 3, "alone": True, "not_before": 9.0}
    task = page("1", state=FAILED, queue=ALONE_QUEUE, lease=3, **last, **life)
    turn = turns(task, page("2", order=2), origin(), host())
    admission.take_up(turn, [task, page("2", order=2)])
    afresh = {"attempt": 0, "refusals": 0, "losses": 0, "deaths": 0, "alone": False, "not_before": 0.0, "lease": 0}
    empty = {"reason": "", "detail": "", "outcome": None, "status": 0}
    assert turn.batch() == [
        moved(TaskEvent.REVIVED, task, state=PENDING, queue=ORIGIN, **afresh, **empty),
        put(host(), ready_at=0.0),
    ]


@pytest.mark.parametrize("state", [DONE, DROPPED], ids=["redirected", "dropped"])
def test_a_page_that_is_taken_up_again_asks_for_no_robots_txt_that_is_on_its_way(
    turns: Turns, state: TaskState
) -> None:
    task, rules = page("1", state=FAILED, reason="hook_disk"), robots(order=2, state=state)
    turn = turns(task, rules, origin(gate=Gate.WAITING), host(ready_at=0.0))
    admission.take_up(turn, [task])
    afresh = [moved(TaskEvent.REVIVED, task, state=PENDING, reason="")]
    again = [moved(TaskEvent.RECHECKED, rules, state=PENDING)] if state is DROPPED else []
    assert turn.batch() == afresh + again


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_page_beyond_the_crawl_is_taken_up_again_only_if_a_program_wants_it(turns: Turns, is_asked: bool) -> None:
    task = page("1", state=FAILED, reason="hook_disk", depth=9, asked=is_asked)
    turn = turns(task, FREE, origin(), depth=2)
    admission.take_up(turn, [task])
    assert turn.batch() == ([moved(TaskEvent.REVIVED, task, state=PENDING, reason="")] if is_asked else [])
