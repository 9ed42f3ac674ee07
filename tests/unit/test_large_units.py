"""Units of very many hosts: what a turn does there does not grow with their number, by counts."""

from __future__ import annotations

import pytest

from crawlfleet.coordinator.core.policy import Unit
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import ExchangeAnswer, Kind, Outcome, Report
from tests.unit.core_crawl import CoreCrawl
from tests.unit.counting_store import CountingStore

FEW, MANY = 100, 4_000
DOMAIN, ADDRESS = "a.test", "10.0.0.1"
AT_ONCE = 4
WANT = 50
STEP_S = 1.0
# Numbers and times are some bytes longer in a larger crawl.
SLACK = 1.05


def crawl_of(store: CountingStore, unit: Unit, hosts: int) -> CoreCrawl:
    """Return a crawl with one unit of so many hosts, on each of which a page waits."""
    scope = ScopeSpec(hosts=(DOMAIN,), subdomains=True)
    crawl = CoreCrawl(f"http://{DOMAIN}/", store=store, unit=unit, scope=scope, per_host=AT_ONCE, adaptive=False)
    crawl.hello("s")
    join(crawl, 0, hosts)
    return crawl


def join(crawl: CoreCrawl, first: int, number: int) -> None:
    """Let hosts join the unit: of a domain with their first URL, of an address with their first answer."""
    crawl.service.add_seeds([f"http://h{first + each}.{DOMAIN}/" for each in range(number)], crawl.now)
    crawl.service.flush(crawl.now)
    while crawl.policy.politeness.unit is Unit.ADDRESS and number > 0:
        answer = crawl.turn(want=WANT)
        number -= sum(len(lease.tasks) for lease in answer.leases if lease.host != ADDRESS)
        crawl.turn(reports=reports(answer))


def reports(answer: ExchangeAnswer) -> tuple[Report, ...]:
    """Return the reports of all that was granted. No robots.txt asks for a delay."""
    tasks = [(lease.id, task) for lease in answer.leases for task in lease.tasks]
    return tuple(
        Report(
            lease=number,
            ref=task.ref,
            outcome=Outcome.FETCHED,
            status=200,
            body=b"User-agent: *\nDisallow: /private\n" if task.kind is Kind.ROBOTS else b"",
            age_s=0.0,
            address=ADDRESS,
        )
        for number, task in tasks
    )


def cost(store: CountingStore) -> tuple[int, int, int]:
    """Return how many keys were read and changes written since it was asked last, and how large the rows were."""
    found = (store.keys, store.changes, store.size_bytes)
    store.forget()
    return found


@pytest.mark.parametrize("unit", [Unit.DOMAIN, Unit.ADDRESS])
def test_an_exchange_on_a_unit_costs_no_more_for_many_hosts_than_for_few(unit: Unit) -> None:
    costs = []
    for hosts in (FEW, MANY):
        store = CountingStore()
        crawl = crawl_of(store, unit, hosts)
        answer = crawl.turn(want=AT_ONCE)
        store.forget()
        found = []
        for _ in range(3):
            crawl.pass_time(STEP_S)
            answer = crawl.turn(want=AT_ONCE, reports=reports(answer))
            assert sum(len(lease.tasks) for lease in answer.leases) == AT_ONCE
            found.append(cost(store))
        costs.append(found)
    few, many = costs
    for one, other in zip(few, many, strict=True):
        assert other[:2] == one[:2]
        assert other[2] <= one[2] * SLACK


@pytest.mark.parametrize("unit", [Unit.DOMAIN, Unit.ADDRESS])
def test_to_join_a_unit_costs_no_more_if_many_have_joined_it_than_if_few_have(unit: Unit) -> None:
    costs = []
    for hosts in (FEW, MANY):
        store = CountingStore()
        crawl = crawl_of(store, unit, hosts)
        store.forget()
        join(crawl, hosts, 1)
        costs.append(cost(store))
    few, many = costs
    assert many[:2] == few[:2]
    assert many[2] <= few[2] * SLACK
