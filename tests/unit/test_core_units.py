"""Hosts of one domain, or of one address, are asked as one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from crawlfleet.coordinator.core.policy import Budget, Unit
from crawlfleet.coordinator.core.rows import HostRow
from crawlfleet.coordinator.core.unit_rows import AskedDelayRow
from crawlfleet.coordinator.core.units import key_of_address
from crawlfleet.coordinator.job.job import brief, load, policy
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Hello, Kind, Lease, Outcome, Task
from tests.policies import make_policy, policy_with
from tests.unit.core_crawl import POLICY, CoreCrawl
from tests.unit.durable_crawl import DurableCrawl, report

NAMES = ("www.example.org", "shop.example.org")
SEEDS = tuple(f"http://{name}/{page}" for name in NAMES for page in range(6))
SHARED = "10.0.0.1"
ALL_OF_IT = ScopeSpec(hosts=("example.org",), subdomains=True)
STEP_S = 0.1  # by so much a start may be late here; a worker would let the next one be late by that, too


def crawl_of(unit: Unit, *seeds: str, **more: Any) -> CoreCrawl:
    scope = ScopeSpec(hosts=(*NAMES, "other.example.net"))
    crawl = CoreCrawl(*(seeds or SEEDS), unit=unit, **{"delay_s": 1.0, "scope": scope, **more})
    crawl.hello("s", "t")
    return crawl


def run(crawl: CoreCrawl, addresses: dict[str, str], until_s: float = 100.0) -> list[tuple[float, str, Kind]]:
    """Let two sessions fetch all there is; return when each task began, its host, and its kind."""
    began: list[tuple[float, str, Kind]] = []
    waiting: list[tuple[float, str, Lease, Task]] = []
    while crawl.now < until_s and not crawl.service.is_finished:
        for session in ("s", "t"):
            held = crawl.ask(session)
            waiting += [(crawl.now + task.start_after_s, session, lease, task) for lease, task in held]
        for entry in sorted(waiting, key=lambda entry: entry[0]):
            at, session, lease, task = entry
            if at <= crawl.now:
                waiting.remove(entry)
                name = task.url.split("/")[2]
                began.append((crawl.now, name, task.kind))
                crawl.settle(lease, task, session, **_answer(task), address=addresses.get(name, ""))
        crawl.pass_time(STEP_S)
    assert crawl.service.is_finished
    return began


def _answer(task: Task) -> dict[str, Any]:
    return {"outcome": Outcome.HTTP_ERROR, "status": 404} if task.kind is Kind.ROBOTS else {}


def gaps(began: list[tuple[float, str, Kind]]) -> list[float]:
    times = sorted(at for at, _, _ in began)
    return [round(after - before, 6) for before, after in pairwise(times)]


def test_hosts_of_one_domain_are_asked_one_after_another_from_the_first_request_on() -> None:
    began = run(crawl_of(Unit.DOMAIN), {})
    assert len(began) == len(SEEDS) + 2
    assert min(gaps(began)) >= 1.0 - STEP_S


def test_hosts_of_one_address_are_asked_one_after_another_once_it_is_known() -> None:
    crawl = crawl_of(Unit.ADDRESS)
    began = run(crawl, dict.fromkeys(NAMES, SHARED))
    assert len(began) == len(SEEDS) + 2
    assert sorted(kind for _, _, kind in began[:2]) == [Kind.ROBOTS, Kind.ROBOTS]
    assert min(gaps(began[1:])) >= 1.0 - STEP_S
    assert {crawl.host(name).unit for name in NAMES} == {SHARED}


def test_hosts_of_different_addresses_are_not_in_each_others_way() -> None:
    began = run(crawl_of(Unit.ADDRESS), {NAMES[0]: SHARED, NAMES[1]: "10.0.0.2"})
    assert began[-1][0] < 0.6 * len(began)


def test_without_it_hosts_that_share_anything_are_asked_side_by_side() -> None:
    assert run(crawl_of(Unit.HOST), dict.fromkeys(NAMES, SHARED))[-1][0] < 0.6 * len(SEEDS)


def test_a_hold_of_one_host_holds_those_that_share_its_address() -> None:
    crawl = crawl_of(Unit.ADDRESS, delay_s=0.0)
    for lease, task in crawl.ask("s", want=2):
        crawl.settle(lease, task, "s", **_answer(task), address=SHARED)
    lease, task = crawl.ask("s", want=1)[0]
    crawl.settle(lease, task, "s", outcome=Outcome.HTTP_ERROR, status=429, retry_after_s=5.0, address=SHARED)
    assert crawl.ask("s") == crawl.ask("t") == []
    crawl.pass_time(5.1)
    assert crawl.ask("t")


def test_what_was_to_start_on_an_address_is_called_back_when_another_host_joins_it() -> None:
    crawl = crawl_of(Unit.ADDRESS, delay_s=0.5)
    one, other = crawl.ask("s", want=2)
    crawl.settle(*one, "s", **_answer(one[1]), address=SHARED)
    crawl.pass_time(0.5)
    (ahead, _), *_ = crawl.ask("s", want=4)
    crawl.settle(*other, "s", **_answer(other[1]), address=SHARED)
    assert ahead.id in crawl.turn("s").recalled
    crawl.turn("s", released=(ahead.id,), holding=())
    known_at = crawl.host(SHARED).last_start_at
    assert known_at is not None
    while not (granted := crawl.ask("s")):
        crawl.pass_time(0.05)
    assert crawl.now + granted[0][1].start_after_s >= known_at + 0.5


def test_what_a_lost_session_held_of_a_host_that_joined_meanwhile_comes_back() -> None:
    crawl = crawl_of(Unit.ADDRESS, delay_s=0.0)
    for lease, task in crawl.ask("s", want=2):
        crawl.settle(lease, task, "s", **_answer(task))
    mine, theirs = crawl.ask("s", want=2), crawl.ask("t", want=2)
    crawl.settle(*mine[0], "s", address=SHARED)
    crawl.settle(*theirs[0], "t", address=SHARED)
    crawl.pass_time(crawl.policy.lease_s)
    assert all(not crawl.host(key).holders for key in (*NAMES, SHARED) if crawl.store.rows(HostRow, [key]))
    crawl.hello("s", "t")
    run(crawl, dict.fromkeys(NAMES, SHARED))


def test_what_waits_on_a_host_is_looked_at_also_if_a_late_report_let_it_join() -> None:
    crawl = crawl_of(Unit.ADDRESS, *SEEDS[:2])
    crawl.open_gates()
    crawl.pass_time(1.0)
    ((lease, task),) = crawl.ask("s", want=1)
    crawl.pass_time(crawl.policy.lease_s)
    crawl.hello("s")
    crawl.settle(lease, task, "s", address=SHARED)
    assert crawl.host(NAMES[0]).unit == SHARED
    crawl.pass_time(5.0)
    ((lease, task),) = crawl.ask("s")
    crawl.settle(lease, task, "s", address=SHARED)
    assert crawl.service.is_finished


@pytest.mark.parametrize("unit", [Unit.DOMAIN, Unit.ADDRESS])
def test_what_is_given_back_gives_back_its_place_of_the_budget_of_its_unit(unit: Unit) -> None:
    crawl = crawl_of(unit, *SEEDS[:3], host_budget=Budget(pages=2))
    for lease, task in crawl.ask("s"):
        crawl.settle(lease, task, "s", **_answer(task), address=SHARED)
    crawl.pass_time(5.0)
    ((lease, _),) = crawl.ask("s", want=1)
    key = crawl.host(NAMES[0]).unit
    assert crawl.host(key).pages_reserved == 1
    crawl.turn("s", released=(lease.id,), holding=())
    assert crawl.host(key).pages_reserved == 0


def test_the_first_address_of_a_host_stays() -> None:
    crawl = crawl_of(Unit.ADDRESS, SEEDS[0], SEEDS[1], delay_s=0.0)
    lease, task = crawl.ask("s", want=1)[0]
    crawl.settle(lease, task, "s", **_answer(task), address=SHARED)
    lease, task = crawl.ask("s", want=1)[0]
    crawl.settle(lease, task, "s", address="10.0.0.2")
    assert crawl.host(NAMES[0]).unit == SHARED
    assert crawl.store.rows(HostRow, ["10.0.0.2"]).get("10.0.0.2") is None


def test_a_host_that_is_an_address_is_its_own_unit() -> None:
    crawl = crawl_of(Unit.ADDRESS, f"http://{SHARED}/", SEEDS[0])
    run(crawl, {SHARED: SHARED, NAMES[0]: SHARED})
    assert crawl.host(SHARED).unit == ""
    assert crawl.host(NAMES[0]).unit == SHARED


def test_a_unit_joins_no_other_when_the_job_goes_by_addresses_from_now_on() -> None:
    seeds = ("http://example.org/1", "http://example.org/2", *SEEDS[:3], *SEEDS[6:9])
    crawl = crawl_of(Unit.DOMAIN, *seeds, scope=ALL_OF_IT)
    crawl.reopen(unit=Unit.ADDRESS)
    crawl.hello("s", "t")
    began = run(crawl, dict.fromkeys(("example.org", *NAMES), SHARED))
    assert (crawl.host("example.org").unit, crawl.host(NAMES[0]).unit) == ("", "example.org")
    assert len(began) == len(seeds) + 3
    assert min(gaps(began)) >= 1.0 - STEP_S


def test_no_host_of_a_unit_waits_for_the_end_of_another() -> None:
    many = [f"http://{NAMES[0]}/{page}" for page in range(40)]
    crawl = crawl_of(Unit.DOMAIN, *many, SEEDS[6], delay_s=0.0, hosts_per_look=1)
    began = run(crawl, {})
    assert len(began) == 43
    assert [name for _, name, kind in began if kind is Kind.PAGE].index(NAMES[1]) < 4


def had(crawl: CoreCrawl, delays_s: dict[str, int]) -> float:
    """Fetch until each host has answered for its robots.txt; return the delay of their unit."""
    left = dict(delays_s)
    while left:
        for lease, task in crawl.ask("s", want=1):
            values = {}
            if task.kind is Kind.ROBOTS:
                values["body"] = f"User-agent: *\nCrawl-delay: {left.pop(task.url.split('/')[2])}\n".encode()
            crawl.settle(lease, task, "s", **values)
        crawl.pass_time(10.0)
    return crawl.host("example.org").delay_s


def test_the_longest_delay_that_a_unit_is_asked_for_counts_as_long_as_it_is_asked_for() -> None:
    seeds = [f"http://{name}/{page}" for name in NAMES for page in range(40)]
    crawl = crawl_of(Unit.DOMAIN, *seeds, delay_s=0.0, robots_fresh_s=60.0, robots_fresh_least_s=60.0, adaptive=False)
    one, other = NAMES
    assert had(crawl, {one: 7, other: 3}) == 7.0
    assert had(crawl, {one: 1, other: 3}) == 3.0
    assert had(crawl, {one: 1, other: 0}) == 1.0
    assert [(row.delay_s, row.files) for row in crawl.store.resident(AskedDelayRow)] == [(1.0, 1)]


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "[::1]"),
        ("2001:DB8:0:0::1", "[2001:db8::1]"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "[fe80::1]"),
        ("", ""),
        ("nonsense", ""),
    ],
)
def test_an_address_is_written_as_in_a_url(address: str, key: str) -> None:
    assert key_of_address(address, policy_with(POLICY, unit=Unit.ADDRESS)) == key


def test_a_job_says_what_it_wants_of_politeness(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    keys = "{delay: 2s, per_host: 3, unit: domain, adaptive: false, max_delay: 5m, patience: 7}"
    path.write_text(f"name: own\nseeds: [http://a.test/]\npoliteness: {keys}\n")
    job = load(path)
    wanted = policy(job, brief(job))
    assert (wanted.politeness.delay_s, wanted.politeness.per_host, wanted.politeness.unit) == (2.0, 3, Unit.DOMAIN)
    assert (wanted.politeness.adaptive, wanted.politeness.max_delay_s, wanted.politeness.patience) == (False, 300.0, 7)


def test_units_outlive_a_restart(tmp_path: Path) -> None:
    wanted = make_policy(user_agent="bot", scope=ScopeSpec(hosts=("a.test",)), unit=Unit.ADDRESS)
    crawl = DurableCrawl(tmp_path, wanted)
    crawl.begin()
    ((lease, robots),) = crawl.ask()
    crawl.ask(replace(report(lease, robots), address=SHARED, age_s=0.0))
    crawl.close()
    again = DurableCrawl(tmp_path, wanted)
    rows = again.store.rows(HostRow, ["a.test", SHARED])
    assert (rows["a.test"].unit, rows[SHARED].is_unit) == (SHARED, True)
    again.service.hello(Hello(session="s"), again.now)
    again.now += 2.0
    assert [lease.host for lease, _ in again.ask()] == [SHARED]
    again.close()
