"""The budgets, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core import budget
from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.policy import Budget
from crawlfleet.coordinator.core.rows import HostRow, TaskRow
from crawlfleet.shared.messages import Outcome
from crawlfleet.shared.reasons import Reason
from tests.policies import policy_with
from tests.unit.rule_turns import (
    DROPPED,
    FAILED,
    HOST,
    POLICY,
    Turns,
    after,
    changes,
    host,
    leased,
    moved,
    numbers,
    origin,
    page,
    put,
    robots,
    sitemap,
)

KEPT = page("1", lease=2, losses=1, reserved=True, queue=HOST)
FREE = page("2", order=2)
OF_A_HOST = Budget(pages=9)


def test_a_place_is_given_back_and_what_came_of_it_is_counted(turns: Turns) -> None:
    mine, ledger = host(pages_reserved=1), numbers(pages_reserved=1)
    turn = turns(leased(page("1"), 3), mine, ledger, host_budget=OF_A_HOST)
    budget.give_back(turn, leased(page("1"), 3), 7)
    turn.move(leased(page("1"), 3), TaskEvent.GAVE_UP, reserved=False)
    assert turn.batch()[1:] == [
        put(mine, pages_reserved=0, bytes_received=7),
        put(ledger, pages_reserved=0, bytes_received=7),
    ]


def test_what_came_of_a_page_without_a_place_is_counted_all_the_same(turns: Turns) -> None:
    turn = turns(FREE, host(), numbers())
    budget.give_back(turn, FREE, 7)
    assert turn.batch() == [put(numbers(), bytes_received=7)]


@pytest.mark.parametrize("task", [FREE, leased(robots(), 3), leased(sitemap(), 3)], ids=["none", "robots", "sitemap"])
def test_what_has_no_place_gives_none_back(turns: Turns, task: TaskRow) -> None:
    turn = turns(task, host(), numbers())
    budget.give_back(turn, task, 0 if task is FREE else 7)
    assert turn.batch() == []


def test_a_host_whose_budget_is_newer_than_the_place_does_not_count_below_nothing(turns: Turns) -> None:
    turn = turns(KEPT, host(), numbers(pages_reserved=1), host_budget=OF_A_HOST)
    budget.drop(turn, [KEPT], Reason.BUDGET_TIME)
    assert changes(turn, HostRow) == [put(host())]


@pytest.mark.parametrize(("depth", "seeds"), [(0, 1), (1, 0)])
def test_a_fetched_page_spends_its_place(turns: Turns, depth: int, seeds: int) -> None:
    task, mine, ledger = leased(page("1", depth=depth), 3), host(pages_reserved=1), numbers(pages_reserved=1, rows=2)
    turn = turns(task, mine, ledger, host_budget=OF_A_HOST)
    turn.move(task, TaskEvent.FETCHED, reserved=False)
    budget.spend(turn, task, 3, 7)
    spent = {"pages_reserved": 0, "pages_fetched": 1, "bytes_received": 7}
    assert turn.batch()[1:] == [put(mine, **spent), put(ledger, **spent, rows=5, seeds_fetched=seeds)]


def test_a_page_whose_body_came_and_could_not_be_used_spends_its_place(turns: Turns) -> None:
    task, mine, ledger = leased(page("1"), 3), host(pages_reserved=1), numbers(pages_reserved=1, rows=2)
    turn = turns(task, mine, ledger, host_budget=OF_A_HOST)
    turn.move(task, TaskEvent.GAVE_UP, reserved=False)
    budget.spend_in_vain(turn, task, 7)
    assert turn.batch()[1:] == [
        put(mine, pages_reserved=0, pages_fetched=1, bytes_received=7),
        put(ledger, pages_reserved=0, pages_unused=1, bytes_received=7),
    ]


def test_a_sitemap_has_no_place_to_spend(turns: Turns) -> None:
    task = leased(sitemap(), 3)
    turn = turns(task, host(), numbers())
    budget.spend_in_vain(turn, task, 7)
    assert turn.batch() == []


READ = page("1", state=FAILED, reason="hook_disk", outcome=Outcome.EXTRACT_ERROR, status=200)


@pytest.mark.parametrize("counted", [1, 0], ids=["counted", "failed before such pages were counted"])
def test_a_page_that_is_taken_up_again_has_its_place_no_longer(turns: Turns, counted: int) -> None:
    mine, ledger = host(pages_fetched=counted), numbers(pages_unused=counted)
    turn = turns(READ, mine, ledger, host_budget=OF_A_HOST)
    budget.take_back(turn, READ)
    assert turn.batch() == ([put(mine, pages_fetched=0), put(ledger, pages_unused=0)] if counted else [])


def test_where_hosts_have_no_budgets_only_the_place_of_the_crawl_is_free_again(turns: Turns) -> None:
    turn = turns(READ, host(), numbers(pages_unused=1))
    budget.take_back(turn, READ)
    assert turn.batch() == [put(numbers(pages_unused=1), pages_unused=0)]


def test_a_page_whose_body_never_came_had_no_place(turns: Turns) -> None:
    task = page("1", state=FAILED, outcome=Outcome.NETWORK_ERROR, reason="reset")
    turn = turns(task, host(), numbers(pages_unused=1))
    budget.take_back(turn, task)
    assert turn.batch() == []


def test_hosts_without_budgets_are_not_counted(turns: Turns) -> None:
    task = leased(page("1"), 3)
    turn = turns(task, host(), numbers(pages_reserved=1))
    turn.move(task, TaskEvent.FETCHED, reserved=False)
    budget.spend(turn, task, 0, 7)
    assert changes(turn, HostRow) == []


def test_a_place_is_counted_where_its_unit_keeps_it(turns: Turns) -> None:
    unit = host("10.0.0.1", is_unit=True, pages_reserved=1)
    turn = turns(KEPT, host(unit="10.0.0.1"), unit, numbers(pages_reserved=1), host_budget=OF_A_HOST)
    budget.drop(turn, [KEPT], Reason.BUDGET_TIME)
    assert changes(turn, HostRow) == [put(unit, pages_reserved=0)]


def test_what_is_left_when_a_budget_is_spent_is_dropped_for_it(turns: Turns) -> None:
    ledger = numbers(pages_reserved=1)
    turn = turns(KEPT, FREE, robots(), host(ready_at=0.0), origin(), ledger)
    budget.drop(turn, [KEPT, FREE, robots()], Reason.BUDGET_PAGES)
    dropped = {"state": DROPPED, "reason": "budget_pages", "lease": 0, "reserved": False}
    tasks = [moved(TaskEvent.REFUSED, task, **dropped) for task in (KEPT, FREE, robots())]
    assert turn.batch() == [*tasks, put(ledger, pages_reserved=0)]


def test_hosts_with_budgets_are_read_together_when_something_is_dropped(turns: Turns) -> None:
    pages = [page("1", f"http://h{number}.test", order=number) for number in range(9)]
    turn = turns(*pages, *(host(task.host) for task in pages), host_budget=OF_A_HOST)
    turn.tasks.read(task.ref for task in pages)
    budget.drop(turn, pages, Reason.BUDGET_TIME)
    assert (turn.reads, turn.misses) == (2, 0)


# What there is room for


@pytest.mark.parametrize(
    ("ledger", "policy", "reason"),
    [
        ({"pages_fetched": 2}, {"pages": 2}, "budget_pages"),
        ({"pages_fetched": 1, "pages_reserved": 1}, {"pages": 2}, ""),
        ({"pages_fetched": 1, "pages_unused": 1}, {"pages": 2}, "budget_pages"),
        ({"bytes_received": 9}, {"size_bytes": 9}, "budget_bytes"),
        ({"bytes_received": 8}, {"size_bytes": 9}, ""),
        ({}, {"time_s": 5.0}, Reason.BUDGET_TIME),
        ({}, {"time_s": 5.1}, ""),
        ({"pages_fetched": 9, "bytes_received": 9}, {}, ""),
    ],
)
def test_which_budget_of_the_crawl_is_spent(ledger: dict[str, int], policy: dict[str, Any], reason: str) -> None:
    assert budget.spent(numbers(**ledger), policy_with(POLICY, **policy), 5.0) == reason


@pytest.mark.parametrize(
    ("row", "limits", "reason"),
    [
        ({"pages_fetched": 2}, Budget(pages=2), "budget_host_pages"),
        ({"pages_reserved": 2}, Budget(pages=2), ""),
        ({"bytes_received": 9}, Budget(size_bytes=9), "budget_host_bytes"),
        ({"began_at": 1.0}, Budget(time_s=4.0), "budget_host_time"),
        ({"began_at": 1.0}, Budget(time_s=4.1), ""),
        ({}, Budget(time_s=1.0), ""),
    ],
)
def test_which_budget_of_a_host_is_spent(row: dict[str, Any], limits: Budget, reason: str) -> None:
    assert budget.spent_on(host(**row), policy_with(POLICY, host_budget=limits), 5.0) == reason


@pytest.mark.parametrize(
    ("policy", "ledger", "row", "chosen"),
    [
        ({}, {}, {}, "RKPQ"),
        ({"pages": 9}, {"pages_fetched": 7, "pages_reserved": 1}, {}, "RKP"),
        ({"pages": 9}, {"pages_fetched": 8, "pages_reserved": 1}, {}, "RK"),
        ({"pages": 9}, {"pages_fetched": 9}, {}, "RK"),
        ({"pages": 9}, {"pages_fetched": 4, "pages_unused": 5}, {}, "RK"),
        ({"size_bytes": 9}, {"bytes_received": 9}, {}, ""),
        ({"time_s": 5.0}, {}, {}, ""),
        ({"host_budget": Budget(pages=3)}, {}, {"pages_fetched": 2}, "RKP"),
        ({"host_budget": Budget(pages=3), "pages": 1}, {"pages_reserved": 1}, {}, "RK"),
        ({"host_budget": Budget(pages=3)}, {}, {"pages_fetched": 3}, "R"),
        ({"host_budget": Budget(size_bytes=9)}, {}, {"bytes_received": 9}, "R"),
    ],
)
def test_what_the_budgets_have_room_for(
    policy: dict[str, Any], ledger: dict[str, int], row: dict[str, Any], chosen: str
) -> None:
    waiting = {"R": robots(), "K": KEPT, "P": FREE, "Q": page("3", order=3)}
    found = budget.affordable([*waiting.values()], host(**row), numbers(**ledger), policy_with(POLICY, **policy), 5.0)
    assert found == [waiting[name] for name in chosen]


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ({}, {"pages_reserved": 1, "began_at": 5.0}),
        ({"pages_reserved": 2, "began_at": 1.0}, {"pages_reserved": 3, "began_at": 1.0}),
    ],
)
def test_places_are_reserved_for_pages_that_have_none(row: dict[str, Any], kept: dict[str, Any]) -> None:
    mine, policy = host(**row), policy_with(POLICY, host_budget=OF_A_HOST)
    assert budget.reserve([robots(), KEPT, FREE], mine, policy, 5.0) == (1, after(mine, **kept))
    assert budget.reserve([robots(), KEPT, FREE], mine, POLICY, 5.0) == (1, mine)
