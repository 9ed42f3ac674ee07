"""How often rules ask the store: speed without a clock. A miss is a call for one key that nobody read ahead."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from crawlfleet.coordinator.core import admission, granting, leases, settle
from crawlfleet.coordinator.core.granting import Asker
from crawlfleet.coordinator.core.policy import Budget, TrapLimits, Unit
from crawlfleet.coordinator.core.rows import Gate, LeaseRow, StoreRow, TaskRow
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import AckState, Kind, Outcome, Report, SitemapEntry
from tests.unit.core_crawl import CoreCrawl
from tests.unit.counting_store import CountingStore
from tests.unit.rule_turns import DROPPED, Turns, held_by, host, lease, leased, numbers, origin, page, robots, sitemap

HOSTS = tuple(f"h{number}.site{number}.test" for number in range(64))
NEW_HOSTS = tuple(f"new{number}.site{number}.test" for number in range(64))
ORIGINS = tuple(f"http://{name}" for name in HOSTS)
SCOPE = ScopeSpec(hosts=tuple(f"site{number}.test" for number in range(64)), subdomains=True)
TRAPS = TrapLimits(query_variants=9, calendar=9, sessions=9, subdomains=9)
MOVED: dict[str, Any] = {"outcome": Outcome.REDIRECTED, "status": 301}
OK: dict[str, Any] = {"outcome": Outcome.FETCHED, "status": 200, "age_s": 0.0}
DOWN: dict[str, Any] = {"outcome": Outcome.NETWORK_ERROR, "reason": "timeout_connect"}
BUSY: dict[str, Any] = {"outcome": Outcome.HTTP_ERROR, "status": 429, "retry_after_s": 9.0}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"traps": TRAPS},
    {"depth": 5},
    {"unit": Unit.DOMAIN},
    {"unit": Unit.ADDRESS},
    {"host_budget": Budget(pages=9)},
    {"ignore_robots": HOSTS},
]
IDS = ["plain", "traps", "depth", "domains", "addresses", "budgets", "robots ignored"]


def begun(task: TaskRow, number: int, two: int = 0, **policy: Any) -> list[StoreRow]:
    """Return the rows of a host with a task under way and a page that waits, in the unit that the policy wants."""
    at, name = ORIGINS[number], HOSTS[number]
    mine, second = leased(task, number + 1, order=2 * number + 1), page("two", at, order=2 * number + 2, depth=two)
    gate = origin(at, gate=Gate.WAITING if task.kind is Kind.ROBOTS else Gate.ALLOW)
    held = host(name, origins=(at,), holders=held_by(number + 1))
    rows: list[StoreRow] = [mine, second, lease(number + 1, mine), gate]
    if policy.get("unit") is not Unit.DOMAIN:
        return [*rows, held]
    unit = host(f"site{number}.test", holders=held_by(number + 1), is_unit=True)
    return [*rows, host(name, origins=(at,), unit=unit.key, ready_at=0.0), unit]


def sent(task: TaskRow, number: int, **values: Any) -> Report:
    return Report(lease=number + 1, ref=task.ref, **{**OK, "address": f"10.0.0.{number}", **values})


def taken(turns: Turns, tasks: list[TaskRow], reports: list[Report], **policy: Any) -> tuple[int, int]:
    """Let reports count; return how many misses there were, and how many reads."""
    rows = [row for number, task in enumerate(tasks) for row in begun(task, number, **policy)]
    reserved = sum(task.kind is Kind.PAGE for task in tasks)
    turn = turns(*rows, numbers(pages_reserved=reserved, next_order=1_000), scope=SCOPE, **policy)
    assert {ack.state for ack in settle.take(turn, "s", reports)} == {AckState.OK}
    return turn.misses, turn.reads


@pytest.mark.parametrize("policy", VARIANTS, ids=IDS)
def test_reports_of_pages_miss_nothing_and_read_no_more_for_many_than_for_one(
    turns: Turns, policy: dict[str, Any]
) -> None:
    reads = set()
    for count in (1, 64):
        tasks = [page("one", at) for at in ORIGINS[:count]]
        reports = []
        for number, task in enumerate(tasks):
            links = (f"{ORIGINS[number]}/two", f"{ORIGINS[number]}/new?day=1", f"http://{NEW_HOSTS[number]}/2031/04/")
            reports.append(sent(task, number, outlinks=links, known=page("two", ORIGINS[number]).ref + b"?" * 16))
        misses, number_of_reads = taken(turns, tasks, reports, **policy)
        reads.add(number_of_reads)
        assert misses == 0
    assert len(reads) == 1
    assert reads.pop() <= 8


@pytest.mark.parametrize("policy", VARIANTS, ids=IDS)
@pytest.mark.parametrize(
    "values",
    [
        {**MOVED, "location": "http://new0.site0.test/"},
        {**MOVED, "location": f"{ORIGINS[0]}/two"},
        DOWN,
        BUSY,
        {"outcome": Outcome.HTTP_ERROR, "status": 404},
    ],
    ids=["sent to a new host", "sent to a known page", "down", "busy", "not there"],
)
def test_what_else_a_page_may_come_to_misses_nothing(
    turns: Turns, values: dict[str, Any], policy: dict[str, Any]
) -> None:
    task = page("one", ORIGINS[0])
    assert taken(turns, [task], [sent(task, 0, **values)], **policy)[0] == 0


def test_redirects_of_many_pages_read_no_more_than_those_of_one(turns: Turns) -> None:
    reads = []
    for count in (1, 64):
        tasks = [page("one", at) for at in ORIGINS[:count]]
        moves = [{**MOVED, "location": f"http://{name}/"} for name in NEW_HOSTS]
        reports = [sent(task, number, **moves[number]) for number, task in enumerate(tasks)]
        reads.append(taken(turns, tasks, reports))
    assert reads[0] == reads[1]


@pytest.mark.parametrize("policy", VARIANTS, ids=IDS)
@pytest.mark.parametrize(
    "values",
    [
        {"body": b"User-agent: *\nCrawl-delay: 2\nSitemap: /map.xml\nSitemap: http://new0.site0.test/map.xml\n"},
        {**MOVED, "location": "http://new0.site0.test/rules"},
        {**MOVED, "location": "nonsense"},
        DOWN,
        BUSY,
    ],
    ids=["had", "sent elsewhere", "sent nowhere", "down", "busy"],
)
@pytest.mark.parametrize("is_away", [False, True], ids=["its own", "sent to"])
def test_reports_of_robots_txt_miss_nothing(
    turns: Turns, values: dict[str, Any], policy: dict[str, Any], is_away: bool
) -> None:
    task = robots(ORIGINS[0])
    extra = {"sitemaps": True, **policy}
    rows = begun(task, 0, **extra)
    if is_away:
        # Its answer is that of another host: the one that it was sent to.
        task = robots(ORIGINS[0], url=f"{ORIGINS[1]}/rules", hops=(task.url,))
        gates = [row for row in rows if not isinstance(row, LeaseRow) and row.key != robots(ORIGINS[0]).ref]
        rows = [*gates, *begun(task, 1, **extra)]
    turn = turns(*rows, numbers(next_order=1_000), scope=SCOPE, **extra)
    assert settle.take(turn, "s", [sent(task, int(is_away), **values)])[0].state is AckState.OK
    assert turn.misses == 0


@pytest.mark.parametrize("policy", VARIANTS, ids=IDS)
@pytest.mark.parametrize(
    "values",
    [
        {"entries": (SitemapEntry(f"{ORIGINS[0]}/new?1"), SitemapEntry(f"{ORIGINS[0]}/two")), "more": True},
        {"sitemaps": (f"{ORIGINS[0]}/2.xml", f"https://{HOSTS[0]}/3.xml")},
        {**MOVED, "location": "http://new0.site0.test/map.xml"},
        DOWN,
    ],
    ids=["entries", "an index", "sent elsewhere", "down"],
)
def test_reports_of_sitemaps_miss_nothing(turns: Turns, values: dict[str, Any], policy: dict[str, Any]) -> None:
    task = sitemap(f"{ORIGINS[0]}/map.xml", ORIGINS[0])
    assert taken(turns, [task], [sent(task, 0, **values)], **policy)[0] == 0


# Grants, ends, admission


@pytest.mark.parametrize("delay_s", [0.0, 1.0])
def test_a_grant_over_64_hosts_makes_two_calls(turns: Turns, delay_s: float) -> None:
    pages = [page("one", at, order=number) for number, at in enumerate(ORIGINS)]
    hosts = [host(name, origins=(at,), ready_at=0.0, delay_s=delay_s) for name, at in zip(HOSTS, ORIGINS, strict=True)]
    turn = turns(*pages, *hosts, *map(origin, ORIGINS), delay_s=delay_s, per_host=1, tasks_per_lease=1)
    found = granting.grant(turn, Asker(session="s", want=64, sessions=1))
    assert len(found.leases) == 64
    assert (turn.reads, turn.misses) == (2, 0)


@pytest.mark.parametrize(("per_slot", "looks"), [(1, 1), (4, 2)], ids=["as many as there is room for", "few on each"])
def test_a_grant_to_a_session_that_holds_hosts_reads_those_as_well(turns: Turns, per_slot: int, looks: int) -> None:
    rows = [row for number, at in enumerate(ORIGINS) for row in begun(page("one", at), number)]
    policy = {"tasks_per_slot": per_slot * 2, "tasks_per_lease": per_slot, "per_host": per_slot}
    turn = turns(*rows, numbers(pages_reserved=64, next_lease=1_000), **policy)
    found = granting.grant(turn, Asker(session="s", want=64, sessions=1))
    assert len(found.leases) == 64
    assert (turn.reads, turn.misses) == (1 + 2 * looks, 0)


@pytest.mark.parametrize("task", [page("one", ORIGINS[0]), robots(ORIGINS[0])], ids=["page", "robots"])
@pytest.mark.parametrize("policy", VARIANTS, ids=IDS)
@pytest.mark.parametrize("alone", [False, True], ids=["", "suspect"])
def test_leases_that_end_miss_nothing(turns: Turns, task: TaskRow, policy: dict[str, Any], alone: bool) -> None:
    suspect = leased(task, 1, alone=alone, deaths=2)
    rows = begun(suspect, 0, **policy)
    for end in (leases.release, leases.lose):
        turn = turns(*rows, numbers(pages_reserved=int(task.kind is Kind.PAGE)), **policy)
        (mine,) = turn.leases_of("s")
        leases.want(turn, [mine])
        end(turn, mine, ())
        assert turn.misses == 0


def test_leases_that_end_together_read_no_more_than_one(turns: Turns) -> None:
    tasks = [leased(page("one", at), number + 1) for number, at in enumerate(ORIGINS)]
    turn = turns(*(row for number, task in enumerate(tasks) for row in begun(task, number)))
    leases.want(turn, [lease(number + 1, task) for number, task in enumerate(tasks)])
    assert (turn.reads, turn.misses) == (2, 0)


@pytest.mark.parametrize("policy", VARIANTS, ids=IDS)
def test_pages_that_are_judged_again_miss_nothing(turns: Turns, policy: dict[str, Any]) -> None:
    gone = [page("1", at, state=DROPPED, reason="host", order=number, depth=1) for number, at in enumerate(ORIGINS)]
    turn = turns(*gone, **{"scope": SCOPE, **policy})
    admission.reconsider(turn, gone)
    assert len(turn.batch()) >= 64
    assert turn.misses == 0


# A whole exchange


def test_an_exchange_over_64_hosts_makes_few_calls_however_many_reports_it_has() -> None:
    store = CountingStore()
    seeds = [f"{at}/{name}" for at in ORIGINS for name in ("one", "two")]
    crawl = CoreCrawl(*seeds, store=store, scope=SCOPE, tasks_per_lease=1, tasks_per_slot=1, per_host=1)
    crawl.hello("s")
    for lease_, task in crawl.ask(want=64):
        crawl.settle(lease_, task, outcome=Outcome.HTTP_ERROR, status=404)
    granted = crawl.ask(want=64)
    store.calls.clear()
    named = zip(granted, ORIGINS, NEW_HOSTS, strict=True)
    links = {task.ref: (f"{at}/new", f"http://{name}/") for (_, task), at, name in named}
    reports = tuple(Report(lease=lease_.id, outlinks=links[task.ref], ref=task.ref, **OK) for lease_, task in granted)
    answer = crawl.turn(want=64, reports=reports)
    assert len(answer.leases) == 64
    settling = {"TaskRow": 1, "LeaseRow": 1, "depths": 1, "HostRow": 2, "OriginRow": 1, "apply": 1}
    granting_and_telling = {"OriginRow": 1, "ready": 1, "apply": 1, "TaskRow": 1, "HostRow": 1}
    assert store.calls == Counter(settling) + Counter(granting_and_telling)
    assert store.calls.total() == 12
