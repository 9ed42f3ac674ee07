"""What hosts take of a crawl, and which of them take an outstanding part of it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from crawlfleet.coordinator.core import costs, settle
from crawlfleet.coordinator.core.costs import LEAST, MOST_KEPT, Outstanding, outstanding
from crawlfleet.coordinator.core.figures import Costs, HostCosts
from crawlfleet.coordinator.core.rows import LedgerRow, TaskRow
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.messages import Outcome, Report, SitemapEntry
from crawlfleet.shared.ranges import MOST
from tests.unit.rule_turns import (
    HOST,
    ORIGIN,
    OTHER,
    OTHER_HOST,
    Turns,
    held_by,
    host,
    lease,
    leased,
    numbers,
    origin,
    page,
    report,
    sitemap,
)

TASK = leased(page("1"), 3)
FREE = host(origins=(ORIGIN,))
SPENT: dict[str, Any] = {"size_bytes": 7, "cpu_s": 0.5, "lookup_s": 0.25}


def costs_of(turn: Turn, key: str = HOST) -> Costs:
    row = turn.hosts[key]
    assert row is not None
    return row.costs


def charge(turn: Turn, task: TaskRow, sent: Report, links: int) -> None:
    """Charge a host for one report."""
    bill = costs.Bill()
    bill.add(task, sent, links)
    bill.charge(turn)


def test_the_reports_of_a_turn_are_charged_to_each_host_at_once(turns: Turns) -> None:
    other = leased(page("1", OTHER), 3)
    turn = turns(TASK, other, FREE, host(OTHER_HOST))
    bill = costs.Bill()
    for task in (TASK, other, TASK):
        bill.add(task, report(task, **SPENT), 9)
    assert turn.whole_batch() == []
    bill.charge(turn)
    bill.charge(turn)
    assert costs_of(turn) == Costs(2, 14, 18, 1.0, 0.5)
    assert costs_of(turn, OTHER_HOST) == Costs(1, 7, 9, 0.5, 0.25)
    assert turn.ledger.costs == Costs(3, 21, 27, 1.5, 0.75)


def test_a_report_is_charged_to_its_host_and_to_all(turns: Turns) -> None:
    turn = turns(TASK, FREE)
    charge(turn, TASK, report(TASK, **SPENT), 9)
    assert costs_of(turn) == Costs(1, 7, 9, 0.5, 0.25)
    charge(turn, TASK, report(TASK, outcome=Outcome.HTTP_ERROR, **SPENT), 0)
    assert costs_of(turn) == turn.ledger.costs == Costs(1, 14, 9, 1.0, 0.5)
    assert (turn.ledger.hosts_with_costs, turn.ledger.costliest) == (1, (HostCosts(HOST, costs_of(turn)),))


def test_what_took_nothing_changes_nothing(turns: Turns) -> None:
    turn = turns(TASK, FREE)
    charge(turn, TASK, report(TASK, outcome=Outcome.HTTP_ERROR), 0)
    assert turn.whole_batch() == []


def test_numbers_stop_at_the_largest_one(turns: Turns) -> None:
    turn = turns(TASK, host(costs=Costs(links=MOST)), numbers(costs=Costs(links=MOST)))
    charge(turn, TASK, report(TASK), 9)
    assert (costs_of(turn).links, turn.ledger.costs.links) == (MOST, MOST)


@pytest.mark.parametrize("links_at_once", [300, 0], ids=["admitted", "kept"])
def test_all_links_of_a_report_count_whenever_they_are_admitted(turns: Turns, links_at_once: int) -> None:
    held = host(origins=(ORIGIN,), holders=held_by(3))
    turn = turns(TASK, lease(3, TASK), held, origin(), numbers(pages_reserved=1), links_at_once=links_at_once)
    known = page("2").ref + page("3").ref
    settle.take(turn, "s", [report(TASK, outlinks=(f"{ORIGIN}/4",), known=known)])
    assert costs_of(turn).links == 3


@pytest.mark.parametrize("links_at_once", [300, 0], ids=["admitted", "kept"])
def test_what_a_sitemap_lists_counts_as_links_and_not_as_a_page(turns: Turns, links_at_once: int) -> None:
    task = leased(sitemap(), 3)
    held = host(origins=(ORIGIN,), holders=held_by(3))
    turn = turns(task, lease(3, task), held, origin(), links_at_once=links_at_once)
    entries = (SitemapEntry(f"{ORIGIN}/1"), SitemapEntry(f"{ORIGIN}/2"))
    settle.take(turn, "s", [report(task, entries=entries, sitemaps=(f"{ORIGIN}/2.xml",))])
    assert costs_of(turn) == Costs(links=3)


def test_of_many_hosts_the_few_with_the_largest_costs_of_each_kind_are_known(turns: Turns) -> None:
    random = Random(7)
    tasks = [leased(page("1", f"http://h{number}.test"), 3) for number in range(60)]
    turn = turns(*tasks, *(host(task.host) for task in tasks))
    for step in range(600):
        task = tasks[min(random.randrange(60), random.randrange(60))]
        sent = report(task, size_bytes=random.randrange(99), cpu_s=random.random(), lookup_s=random.random() ** 4)
        charge(turn, task, sent, random.randrange(99))
        kept = {each.host: each.costs for each in turn.ledger.costliest}
        assert len(kept) <= MOST_KEPT * len(costs.KINDS)
        for kind in costs.KINDS if step % 20 == 0 else ():
            every = sorted((getattr(row.costs, kind) for row in turn.hosts.values() if row is not None), reverse=True)
            largest = sorted((getattr(each, kind) for each in kept.values()), reverse=True)
            least = min(MOST_KEPT, len(kept))
            assert largest[:least] == every[:least]
    assert all(each.costs == costs_of(turn, each.host) for each in turn.ledger.costliest)
    assert turn.ledger.hosts_with_costs == sum(row.costs != Costs() for row in turn.hosts.values() if row is not None)


def ledger_of(*links: int, hosts: int = 0) -> LedgerRow:
    """Return the ledger of a crawl of hosts of which the first ones have so many links."""
    costliest = tuple(HostCosts(f"h{number}.test", Costs(links=each)) for number, each in enumerate(links))
    return LedgerRow(costs=Costs(links=sum(links)), hosts_with_costs=hosts or len(links), costliest=costliest)


@pytest.mark.parametrize(
    ("ledger", "found"),
    [
        (ledger_of(LEAST.links), []),
        (ledger_of(LEAST.links, LEAST.links), []),
        (ledger_of(LEAST.links, 1), [0]),
        (ledger_of(LEAST.links - 1, 1), []),
        (ledger_of(LEAST.links * 9, LEAST.links), []),
        (ledger_of(LEAST.links * 9, LEAST.links, hosts=3), [0]),
        (ledger_of(LEAST.links * 9, LEAST.links * 8, hosts=1_000), [0, 1]),
        (ledger_of(LEAST.links * 100, LEAST.links, hosts=1_000), [0]),
        (LedgerRow(), []),
    ],
    ids=["alone", "two", "most of two", "little", "not ten times", "three", "two of many", "not a tenth", "nothing"],
)
def test_a_host_stands_out_that_took_much_of_all_and_much_more_than_others(ledger: LedgerRow, found: list[int]) -> None:
    assert [each.host for each in outstanding(ledger)] == [f"h{number}.test" for number in found]


def test_what_stands_out_is_told_with_its_part(turns: Turns) -> None:
    tasks = [leased(page("1", at), 3) for at in (ORIGIN, OTHER)]
    turn = turns(*tasks, FREE, host(OTHER_HOST))
    charge(turn, tasks[0], report(tasks[0], cpu_s=30.0), 99_000)
    charge(turn, tasks[1], report(tasks[1], cpu_s=10.0), 1_000)
    assert outstanding(turn.ledger) == [Outstanding(HOST, "links", 99_000, 0.99)]
