"""Links that are admitted later, rule by rule: how they are kept, and how a portion of them is admitted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from crawlfleet.coordinator.core import admission, granting, leading_on, leads, settle
from crawlfleet.coordinator.core.changes import Accepted, Flooded, Gone, LedOn, Put, TaskEvent, TaskMoved
from crawlfleet.coordinator.core.later_rows import KeptLinksRow, LeadOnRow
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.policy import Extent, Unit
from crawlfleet.coordinator.core.rows import HostRow, TaskRow
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.messages import Kind, Outcome, SitemapEntry
from crawlfleet.shared.web.links import pack, unpack
from tests.unit.rule_turns import (
    DONE,
    HOST,
    ORIGIN,
    OTHER,
    OTHER_HOST,
    Turns,
    after,
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
    report,
    robots,
    sitemap,
)

FREE_AT: dict[str, Any] = {"origins": (ORIGIN,), "ready_at": 0.0}
FREE = host(origins=(ORIGIN,), ready_at=0.0)
HELD = host(origins=(ORIGIN,), holders=held_by(3))
NEXT = numbers(next_order=50)
FETCHED: dict[str, Any] = {"state": DONE, "outcome": Outcome.FETCHED, "status": 200}
REDIRECTED: dict[str, Any] = {"state": DONE, "outcome": Outcome.REDIRECTED, "status": 301}
TASK = leased(page("1", depth=1), 3)
READ = page("1", depth=1, **FETCHED)
URLS = tuple(f"{ORIGIN}/x{number}" for number in range(4))


def due(task: TaskRow, **values: Any) -> LeadOnRow:
    return LeadOnRow(**{"order": task.order, "ref": task.ref, "host": task.host, **values})


def kept(task: TaskRow, urls: tuple[str, ...] = URLS, **values: Any) -> KeptLinksRow:
    return KeptLinksRow(**{"order": task.order, "links": pack(urls), **values})


def gone(turn: Turn) -> list[Any]:
    return [change.row.key for change in turn.batch() if isinstance(change, Gone)]


def admitted(turn: Turn) -> list[str]:
    rows = [task for task in turn.tasks.values() if task is not None and task.order >= 50 and task.kind is Kind.PAGE]
    return [task.url for task in sorted(rows, key=lambda task: task.order)]


def story(turn: Turn) -> list[bytes]:
    return [change.outlinks for change in turn.batch() if isinstance(change, LedOn)]


# Which links are kept


@pytest.mark.parametrize(("links_at_once", "is_kept"), [(4, False), (3, True)])
def test_the_links_of_a_report_that_has_too_many_are_kept(turns: Turns, links_at_once: int, is_kept: bool) -> None:
    turn = turns(TASK, lease(3, TASK), HELD, origin(), numbers(pages_reserved=1), links_at_once=links_at_once)
    settle.take(turn, "s", [report(TASK, outlinks=URLS)])
    rows = [new(kept(TASK)), new(due(TASK, waiting=4))]
    assert changes(turn, KeptLinksRow, LeadOnRow) == (rows if is_kept else [])
    assert (turn.host(HOST).links_waiting, turn.misses) == (4 if is_kept else 0, 0)
    assert (turn.tasks[page("x0").ref] is None) == is_kept
    told = [change.outlinks for change in turn.batch() if isinstance(change, Accepted)]
    assert [len(outlinks) for outlinks in told] == [0 if is_kept else 4 * 16]


def test_together_reports_have_room_for_so_many_links_and_those_without_links_for_all(turns: Turns) -> None:
    tasks = [leased(page(f"{number}", order=number), 3) for number in (1, 2, 3, 4)]
    rows = (*tasks, lease(3, *tasks), HELD, origin(), numbers(pages_reserved=4, next_order=50))
    turn = turns(*rows, links_at_once=4, links_per_turn=5)
    links = [URLS, URLS[:2], URLS[:1], ()]
    settle.take(turn, "s", [report(task, outlinks=some) for task, some in zip(tasks, links, strict=True)])
    assert changes(turn, LeadOnRow) == [new(due(tasks[1], waiting=2))]


def test_named_outlinks_that_are_known_count_for_less_than_new_ones(turns: Turns) -> None:
    seen = page("x0", order=2)
    policy: dict[str, Any] = {"links_at_once": 1, "known_per_link": 2}
    for urls, number in ((URLS[:1] * 2, 0), (URLS[:2], 0), (URLS[1:3], 2), (URLS[:3], 3)):
        turn = turns(TASK, seen, **policy)
        sent = report(TASK, outlinks=urls)
        refs = leads.outlink_refs(sent, 9)
        turn.depths.read(refs)
        bare, later = leads.that_fit(turn, sent, refs, leads.Room(turn.policy.tuning))
        assert (later.number, len(bare.outlinks), unpack(later.links, 9)) == (
            number,
            0 if number else len(urls),
            list(urls) if number else [],
        )


def test_what_a_report_that_is_of_no_page_says_of_outlinks_is_not_put_off(turns: Turns) -> None:
    turn = turns(leased(sitemap(), 3), links_at_once=0)
    for task in (leased(sitemap(), 3), page("never")):
        sent = report(task, outlinks=URLS)
        assert leads.that_fit(turn, sent, [b"x"], leads.Room(turn.policy.tuning)) == (sent, leads.NOTHING)


def test_the_look_ups_of_links_have_room_of_their_own() -> None:
    room = leads.Room(Turns()(links_at_once=3, links_per_turn=5, known_per_link=10).policy.tuning)
    assert [room.has_look_ups(number) for number in (31, 30, 30, 20, 1, 0)] == [False, True, False, True, False, True]


@pytest.mark.parametrize(("known_per_link", "is_kept"), [(1, True), (4, False)])
def test_known_outlinks_count_for_less_than_named_ones(turns: Turns, known_per_link: int, is_kept: bool) -> None:
    known = b"".join(page(f"x{number}").ref for number in range(4))
    numbered = {"links_at_once": 1, "known_per_link": known_per_link}
    turn = turns(TASK, lease(3, TASK), HELD, origin(), numbers(pages_reserved=1), **numbered)
    settle.take(turn, "s", [report(TASK, known=known)])
    row = new(KeptLinksRow(order=TASK.order, links=b"", known=known))
    assert changes(turn, KeptLinksRow) == ([row] if is_kept else [])


@pytest.mark.parametrize("outcome", [Outcome.HTTP_ERROR, Outcome.TOO_LARGE])
def test_what_a_report_that_failed_says_of_links_is_not_kept(turns: Turns, outcome: Outcome) -> None:
    turn = turns(TASK, lease(3, TASK), HELD, origin(), numbers(pages_reserved=1), links_at_once=0)
    settle.take(turn, "s", [report(TASK, outcome=outcome, status=404, outlinks=URLS, known=b"x" * 16, kept=b"\nx")])
    assert changes(turn, KeptLinksRow, LeadOnRow) == []


def test_packed_outlinks_of_a_page_that_was_reached_are_kept_if_they_are_many(turns: Turns) -> None:
    turn = turns(TASK, lease(3, TASK), HELD, origin(), numbers(pages_reserved=1), links_at_once=3)
    settle.take(turn, "s", [report(TASK, kept=pack(URLS))])
    assert changes(turn, KeptLinksRow, LeadOnRow) == [new(kept(TASK)), new(due(TASK, waiting=4))]


def test_links_of_a_page_that_is_tried_again_are_kept_under_a_number_of_their_own(turns: Turns) -> None:
    turn = turns(TASK, lease(3, TASK), HELD, origin(), numbers(pages_reserved=1, next_order=50), links_at_once=0)
    settle.take(turn, "s", [report(TASK, status=429, outlinks=URLS)])
    assert changes(turn, KeptLinksRow) == [new(kept(TASK, order=50))]


def test_links_of_a_page_beyond_the_crawl_that_is_tried_again_are_not_kept(turns: Turns) -> None:
    task = leased(page("1", depth=9, asked=True), 3)
    turn = turns(task, lease(3, task), HELD, origin(), numbers(pages_reserved=1), extent=Extent(depth=2))
    settle.take(turn, "s", [report(task, status=429, kept=pack(URLS))])
    assert changes(turn, KeptLinksRow) == []


@pytest.mark.parametrize("more", [False, True])
def test_what_a_large_sitemap_lists_is_kept_and_admitted_in_portions(turns: Turns, more: bool) -> None:
    task = leased(sitemap(), 3)
    entries = tuple(SitemapEntry(url, priority=7, lastmod=8) for url in URLS)
    rows = (task, lease(3, task), HELD, origin(), numbers(next_order=50))
    turn = turns(*rows, links_at_once=3)
    elsewhere = SitemapEntry(f"{OTHER}/not-vouched-for")
    settle.take(turn, "s", [report(task, entries=(*entries, elsewhere), sitemaps=(f"{ORIGIN}/2.xml",), more=more)])
    assert changes(turn, LeadOnRow) == [new(due(task, order=50, waiting=6))]
    leading_on.lead_on(turn, [HOST], 4)
    assert changes(turn, LeadOnRow) == [new(due(task, order=50, done=4, waiting=2))]
    leading_on.lead_on(turn, [HOST], 9)
    found = [page(f"x{number}", found_on=task.ref, order=51 + number, priority=7, lastmod=8) for number in range(4)]
    assert [turn.tasks[task.ref] for task in found] == found
    index = turn.tasks[sitemap(f"{ORIGIN}/2.xml").ref]
    assert index is not None
    assert (index.depth, index.found_on, index.origin, index.priority) == (1, task.ref, ORIGIN, 1_000)
    assert turn.tasks[page("not-vouched-for", OTHER).ref] is None
    assert (changes(turn, LeadOnRow, KeptLinksRow), turn.host(HOST).links_waiting) == ([], 0)


def test_the_sitemaps_that_a_robots_txt_names_are_kept_if_they_are_many(turns: Turns) -> None:
    task = leased(robots(), 3)
    body = "".join(f"Sitemap: {ORIGIN}/{number}.xml\n" for number in range(4)).encode()
    rows = (task, lease(3, task), HELD, origin(), numbers(next_order=50))
    for sitemaps, waiting in ((True, [4]), (False, [])):
        turn = turns(*rows, extent=Extent(sitemaps=sitemaps), links_at_once=3)
        settle.take(turn, "s", [report(task, body=body)])
        assert [row.waiting for row in turn.table(LeadOnRow).values() if row is not None] == waiting


def test_a_robots_txt_that_only_speaks_of_sitemaps_keeps_nothing(turns: Turns) -> None:
    task = leased(robots(), 3)
    turn = turns(task, lease(3, task), HELD, origin(), extent=Extent(sitemaps=True), links_at_once=0)
    settle.take(turn, "s", [report(task, body=b"# no sitemap")])
    assert changes(turn, KeptLinksRow, LeadOnRow) == []


@pytest.mark.parametrize(("limit", "leads_on"), [(None, True), (1, True), (0, False)])
def test_links_of_a_page_beyond_the_crawl_are_kept_until_it_is_reached(
    turns: Turns, limit: int | None, leads_on: bool
) -> None:
    turn = turns(READ, FREE, extent=Extent(depth=limit))
    leading_on.keep(turn, READ, leads.Later(links=pack(URLS), number=4))
    assert changes(turn, KeptLinksRow) == [new(kept(READ))]
    assert changes(turn, LeadOnRow) == ([new(due(READ, waiting=4))] if leads_on else [])


@pytest.mark.parametrize("limit", [None, 0])
def test_links_of_a_page_that_is_read_again_do_not_meet_those_of_before(turns: Turns, limit: int | None) -> None:
    again = page("1", depth=1, settled=(2, 3), **FETCHED)
    turn = turns(again, kept(again), due(again, done=1), FREE, NEXT, extent=Extent(depth=limit))
    leading_on.keep(turn, again, leads.Later(links=pack(URLS[:1]), number=1))
    if limit is None:  # it leads on
        assert changes(turn, KeptLinksRow) == [new(kept(again, URLS[:1], order=50))]
        assert changes(turn, LeadOnRow) == [new(due(again, order=50, waiting=1))]
    else:
        assert changes(turn, KeptLinksRow, LeadOnRow) == [Put(row=after(kept(again), links=pack(URLS[:1])))]


# Portions


@pytest.mark.parametrize("limit", [None, 9])
def test_kept_links_are_admitted_in_portions_and_then_kept_only_for_a_smaller_depth(
    turns: Turns, limit: int | None
) -> None:
    task, links = READ, kept(READ, (URLS[0], "no url", *URLS[1:]), known=page("1").ref + b"x" * 16)
    policy: dict[str, Any] = {"extent": Extent(depth=limit), "known_per_link": 1}
    row: LeadOnRow | None = due(task, waiting=7)
    found: list[TaskRow] = []
    told: list[bytes] = []
    while row is not None:
        as_first = due(task, done=row.done, waiting=row.waiting)
        waiting = host(**FREE_AT, links_waiting=row.waiting)
        turn = turns(task, links, as_first, waiting, origin(), NEXT, *found, **policy)
        leading_on.lead_on(turn, [HOST], 2)
        found += [change.task for change in turn.batch() if isinstance(change, TaskMoved) and change.before is None]
        told += story(turn)
        row = turn.table(LeadOnRow)[task.order]
        assert turn.host(HOST).links_waiting == (row.waiting if row is not None else 0)
        assert row is None or row.done + row.waiting == 7
    assert len(told) == 4
    assert [task.url for task in found] == [*URLS]
    assert {task.depth for task in found} == {2}
    assert b"".join(told) == b"".join(task.ref for task in found) + task.ref
    assert (turn.table(KeptLinksRow)[task.order] is None) == (limit is None)


@pytest.mark.parametrize("limit", [None, 9])
def test_what_only_a_second_reading_leads_to_is_kept_with_the_first_for_a_smaller_depth(
    turns: Turns, limit: int | None
) -> None:
    again = page("1", depth=1, settled=(2, 3), **FETCHED)
    first, second = kept(again, URLS[:2], known=page("2").ref), kept(again, URLS[1:], order=50, known=page("3").ref)
    row = due(again, order=50, waiting=4)
    rows = [again, first, second, row, host(**FREE_AT, links_waiting=4), origin(), numbers(next_order=60)]
    turn = turns(*rows, extent=Extent(depth=limit))
    leading_on.lead_on(turn, [HOST], 9)
    joined = b"".join(each.ref for each in (page("2"), page("x2"), page("x3"), page("3")))
    assert turn.table(KeptLinksRow)[again.order] == (after(first, known=joined) if limit else first)
    assert gone(turn) == [50, 50]


@pytest.mark.parametrize("has_first", [True, False])
def test_a_second_reading_that_leads_to_nothing_else_changes_nothing_of_the_first(
    turns: Turns, has_first: bool
) -> None:
    again = page("1", depth=1, settled=(2, 3), **FETCHED)
    rows = [again, *([kept(again)] if has_first else []), kept(again, URLS[1:], order=50), due(again, order=50)]
    turn = turns(*rows, FREE, origin(), NEXT, extent=Extent(depth=9))
    leading_on.lead_on(turn, [HOST], 9)
    assert (changes(turn, KeptLinksRow), gone(turn)) == ([], [50, 50])


def test_hosts_share_a_portion_and_several_pages_of_a_host_share_its_part(turns: Turns) -> None:
    pages = [page(f"{number}", order=number, **FETCHED) for number in (1, 2, 3)]
    other = page("9", OTHER, order=9, **FETCHED)
    rows = [*pages, other, *(kept(task, (f"{task.url}/a", f"{task.url}/b")) for task in (*pages, other))]
    rows += [due(task, waiting=2) for task in (*pages, other)]
    rows += [host(**FREE_AT, links_waiting=6), host(OTHER_HOST, origins=(OTHER,), ready_at=0.0, links_waiting=2)]
    turn = turns(*rows, origin(), origin(OTHER), NEXT)
    leading_on.lead_on(turn, [HOST, OTHER_HOST], 6)
    assert [url.removeprefix("http://") for url in admitted(turn)] == [
        "a.test/1/a",
        "a.test/1/b",
        "a.test/2/a",
        "b.test/9/a",
        "b.test/9/b",
    ]
    assert (turn.reads, turn.misses) == (5, 0)


def test_a_page_with_links_that_nobody_counted_is_the_last_of_its_host_in_a_turn(turns: Turns) -> None:
    pages = [page(f"{number}", order=number, **FETCHED) for number in (1, 2)]
    rows = [*pages, *(kept(task, (f"{task.url}/a",)) for task in pages), *map(due, pages)]
    turn = turns(*rows, FREE, origin(), NEXT)
    leading_on.lead_on(turn, [HOST], 9)
    assert gone(turn) == [1, 1]


def test_a_page_without_links_leads_on_to_nothing(turns: Turns) -> None:
    turn = turns(READ, due(READ), FREE, origin())
    leading_on.lead_on(turn, [HOST], 9)
    assert turn.batch() == [Gone(row=after(due(READ)))]


def test_a_page_that_its_own_portion_finds_nearer_does_it_again(turns: Turns) -> None:
    near, far = page("2", depth=0, order=2, **FETCHED), page("1", depth=5, **FETCHED)
    rows = [near, far, kept(near, (far.url,)), kept(far), due(near, waiting=1), due(far, waiting=4)]
    turn = turns(*rows, host(**FREE_AT, links_waiting=5), origin(), NEXT, extent=Extent(depth=9))
    leading_on.lead_on(turn, [HOST], 9)
    row = turn.tasks[far.ref]
    assert row is not None
    assert row.depth == 1
    assert gone(turn) == [near.order]
    assert turn.table(LeadOnRow)[far.order] == due(far, waiting=4)
    leading_on.lead_on(turn, [HOST], 9)
    assert {turn.depths[page(f"x{number}").ref] for number in range(4)} == {2}


# Smaller depths


def test_a_page_leads_on_once_from_the_first_of_its_links(turns: Turns) -> None:
    turn = turns(READ, FREE)
    admission.let_lead_on(turn, READ)
    admission.let_lead_on(turn, READ)
    assert turn.batch() == [new(due(READ))]


def test_a_page_with_kept_outlinks_passes_a_smaller_depth_on_from_the_first_one(turns: Turns) -> None:
    known = page("1", depth=4, **FETCHED)
    for before, then in ((None, due(known)), (due(known, done=2), due(known, version=2)), (due(known), None)):
        turn = turns(known, *([before] if before else []), FREE, origin(), extent=Extent(depth=9))
        admission.admit(turn, [Link(url=known.url, depth=2)])
        assert turn.batch() == [moved(TaskEvent.LOWERED, known, depth=2), *([Put(row=then)] if then else [])]


def test_a_page_with_kept_outlinks_that_is_still_too_deep_passes_nothing_on(turns: Turns) -> None:
    known = page("1", depth=9, asked=True, **FETCHED)
    turn = turns(known, FREE, origin(), extent=Extent(depth=2))
    admission.admit(turn, [Link(url=known.url, depth=4)])
    assert changes(turn, LeadOnRow) == []


def test_a_smaller_depth_of_many_outlinks_is_passed_on_in_portions(turns: Turns) -> None:
    leaves = [page(f"x{number}", depth=7, order=10 + number) for number in range(3)]
    moved_on = page("2", depth=7, order=2, **REDIRECTED, outlinks=(leaves[0].ref,))
    known = page("1", depth=6, **FETCHED, outlinks=(moved_on.ref, page("none").ref, leaves[1].ref, leaves[2].ref))
    turn = turns(known, moved_on, *leaves, FREE, origin(), NEXT, extent=Extent(depth=9), links_per_portion=3)
    admission.admit(turn, [Link(url=known.url, depth=2)])
    assert changes(turn, LeadOnRow) == [new(due(known))]
    leading_on.lead_on(turn, [HOST], 3)
    assert changes(turn, LeadOnRow) == [new(due(known, done=3))]
    leading_on.lead_on(turn, [HOST], 3)
    assert changes(turn, LeadOnRow) == []
    assert [turn.depths[task.ref] for task in (moved_on, *leaves)] == [3, 3, 3, 3]
    assert story(turn) == []


def test_known_outlinks_get_smaller_depths(turns: Turns) -> None:
    deep, near = page("2", depth=7, order=2), page("3", depth=1, order=3)
    links = kept(READ, (), known=deep.ref + b"x" * 16 + near.ref)
    turn = turns(READ, deep, near, links, due(READ), FREE, origin(), extent=Extent(depth=9))
    leading_on.lead_on(turn, [HOST], 9)
    assert [turn.depths[deep.ref], turn.depths[near.ref]] == [2, 1]
    assert story(turn) == [deep.ref + near.ref]


def test_very_many_links_are_kept_as_they_came_and_read_in_portions(turns: Turns) -> None:
    turn = turns(TASK, lease(3, TASK), HELD, origin(), numbers(next_order=50, pages_reserved=1))
    urls = (*URLS, *(f"{ORIGIN}/y{number}" for number in range(3)))
    packed = pack(urls, 3)
    settle.take(turn, "s", [report(TASK, kept=packed)])
    assert changes(turn, KeptLinksRow, LeadOnRow) == [new(kept(TASK, links=packed)), new(due(TASK, waiting=7))]
    for done, waiting in ((2, 5), (4, 3), (6, 1)):
        leading_on.lead_on(turn, [HOST], 2)
        assert changes(turn, LeadOnRow) == [new(due(TASK, done=done, waiting=waiting))]
    leading_on.lead_on(turn, [HOST], 2)
    assert (changes(turn, KeptLinksRow, LeadOnRow), admitted(turn)) == ([], list(urls))


def test_damaged_links_are_passed_over(turns: Turns) -> None:
    data = b"\0" + msgspec.msgpack.encode([(2, pack(URLS[:1])), (3, b"damaged"), (1, pack(URLS[1:2]))])
    waits = host(origins=(ORIGIN,), links_waiting=6)
    turn = turns(READ, due(READ, waiting=6), kept(READ, links=data), waits, origin(), NEXT)
    for _ in range(3):
        leading_on.lead_on(turn, [HOST], 2)
    assert (admitted(turn), turn.host(HOST).links_waiting) == (list(URLS[:2]), 0)
    assert gone(turn) == [READ.order, READ.order]


# Floods


def test_a_host_with_too_many_links_that_wait_is_granted_nothing_until_they_are_fewer(turns: Turns) -> None:
    other = page("2", order=2)
    rows = (TASK, other, lease(3, TASK), HELD, origin(), numbers(pages_reserved=1, next_order=50))
    policy = {"links_at_once": 0, "most_links_waiting": 3}
    turn = turns(*rows, **policy)
    settle.take(turn, "s", [report(TASK, outlinks=URLS)])
    assert [change for change in turn.batch() if isinstance(change, Flooded)] == [
        Flooded(host=HOST, url=TASK.url, links_waiting=4, links=4, pages=1)
    ]
    assert turn.host(HOST).ready_at is None
    asker = granting.Asker(session="s", want=9, sessions=1)
    admission.awaken_host(turn, HOST)
    assert granting.grant(turn, asker).leases == ()
    leading_on.lead_on(turn, [HOST], 1)
    assert turn.host(HOST).ready_at == 0.0
    assert turn.host(HOST).links_waiting == 3


def test_a_flood_is_told_when_it_begins(turns: Turns) -> None:
    tasks = [leased(page(f"{number}", order=number), 3) for number in (1, 2)]
    rows = (*tasks, lease(3, *tasks), HELD, origin(), numbers(pages_reserved=2, next_order=50))
    turn = turns(*rows, links_at_once=0, most_links_waiting=3)
    settle.take(turn, "s", [report(task, outlinks=URLS) for task in tasks])
    assert sum(isinstance(change, Flooded) for change in turn.batch()) == 1


def test_a_host_that_joins_a_unit_takes_its_waiting_links_along(turns: Turns) -> None:
    task = leased(page("1"), 3)
    flooding = host(**FREE_AT, holders=held_by(3), links_waiting=5)
    unit = host("10.0.0.1", is_unit=True, links_waiting=2)
    turn = turns(task, lease(3, task), flooding, unit, origin(), numbers(pages_reserved=1), unit=Unit.ADDRESS)
    settle.take(turn, "s", [report(task, address="10.0.0.1")])
    rows = [change.row for change in turn.batch() if isinstance(change, Put)]
    assert {row.key: row.links_waiting for row in rows if isinstance(row, HostRow)} == {HOST: 0, "10.0.0.1": 7}


def test_there_is_room_for_links_until_it_is_taken() -> None:
    room = leads.Room(Turns()(links_at_once=3, links_per_turn=5).policy.tuning)
    assert [room.has(number) for number in (4, 3, 3, 2, 1, 0)] == [False, True, False, True, False, True]
