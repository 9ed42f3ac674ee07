"""What a report leads to, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core import leads
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.rows import TaskRow
from crawlfleet.shared.brief import UrlSpec
from crawlfleet.shared.messages import Outcome, Report, SitemapEntry
from tests.policies import policy_with
from tests.unit.rule_turns import ORIGIN, OTHER, POLICY, Turns, but, leased, page, report, robots, sitemap

TASK = leased(page("1", depth=1), 3)
NEW, SAME, NEARER, DEEP = page("2"), page("3", depth=2), page("4", depth=1), page("5", depth=3)
HONEST = leads.BadRefs()
MOVED: dict[str, Any] = {"outcome": Outcome.REDIRECTED, "status": 301}


def of_page(turns: Turns, sent: Report, bad: leads.BadRefs = HONEST) -> tuple[list[Link], bytes]:
    turn = turns(TASK, SAME, NEARER, DEEP)
    refs = leads.outlink_refs(sent, 9)
    turn.depths.read(refs)
    found = leads.leads_of_page(turn, TASK, sent, refs, bad)
    assert (turn.batch(), turn.misses) == ([], 0)
    return found


def link(task: TaskRow) -> Link:
    return Link(url=task.url, depth=2, found_on=TASK.ref)


def test_links_that_are_new_or_nearer_now_are_told_apart_from_those_known_as_they_are(turns: Turns) -> None:
    sent = report(TASK, outlinks=tuple(task.url for task in (SAME, NEW, NEARER, DEEP)))
    assert of_page(turns, sent) == ([link(NEW), link(DEEP)], SAME.ref + NEARER.ref)


def test_what_is_named_by_fingerprint_comes_first_and_as_it_came_but_for_what_is_cut_off(turns: Turns) -> None:
    sent = report(TASK, outlinks=(SAME.url,), known=NEARER.ref + DEEP.ref + b"cut")
    assert of_page(turns, sent) == ([], NEARER.ref + DEEP.ref + SAME.ref)


def test_a_workers_word_is_not_taken_for_strangers(turns: Turns) -> None:
    sent = report(TASK, known=NEARER.ref + NEW.ref + DEEP.ref)
    assert of_page(turns, sent, leads.BadRefs(strangers={NEW.ref})) == ([], NEARER.ref + DEEP.ref)


def test_what_is_not_what_it_claims_to_be_leads_nowhere(turns: Turns) -> None:
    sent = report(TASK, outlinks=(NEW.url, SAME.url))
    assert of_page(turns, sent, leads.BadRefs(unsound={NEW.ref})) == ([], SAME.ref)


@pytest.mark.parametrize("outcome", [Outcome.HTTP_ERROR, Outcome.TOO_LARGE, Outcome.NOT_MODIFIED])
def test_a_report_that_failed_names_no_outlinks(turns: Turns, outcome: Outcome) -> None:
    sent = report(TASK, outcome=outcome, outlinks=(NEW.url,), known=SAME.ref)
    assert [*leads.outlink_refs(sent, 9), *leads.known_refs(sent)] == []
    assert of_page(turns, sent) == ([], b"")


def test_a_page_whose_extraction_failed_names_its_outlinks_up_to_the_cap() -> None:
    sent = report(TASK, outcome=Outcome.EXTRACT_ERROR, outlinks=(NEW.url, SAME.url), known=DEEP.ref + NEARER.ref)
    assert leads.outlink_refs(sent, 1) == [NEW.ref]
    assert list(leads.known_refs(sent)) == [DEEP.ref, NEARER.ref]


@pytest.mark.parametrize(
    ("task", "sent", "led_to"),
    [
        (robots(), {"body": b"Sitemap: /1.xml\nSitemap: /2.xml\n"}, ["1.xml"]),
        (robots(), {"outcome": Outcome.HTTP_ERROR, "body": b"Sitemap: /1.xml\n"}, []),
        (sitemap(), {"entries": (SitemapEntry(NEW.url),), "sitemaps": (f"{ORIGIN}/2.xml",)}, ["2"]),
        (sitemap(), {"sitemaps": ("nonsense", f"{ORIGIN}/2.xml")}, ["2.xml"]),
        (sitemap(), {"outcome": Outcome.EXTRACT_ERROR, "entries": (SitemapEntry(NEW.url),)}, ["2"]),
        (sitemap(), {"outcome": Outcome.HTTP_ERROR, "entries": (SitemapEntry(NEW.url),)}, []),
        (sitemap(depth=2), {"sitemaps": (f"{ORIGIN}/2.xml",)}, []),
        (TASK, {**MOVED, "location": NEW.url}, ["2"]),
        (TASK, {**MOVED, "location": TASK.url}, []),
    ],
    ids=["robots", "no robots", "a map", "an index", "broken", "not there", "too deep", "redirect", "loop"],
)
def test_what_else_is_discovered_up_to_the_cap(task: TaskRow, sent: dict[str, Any], led_to: list[str]) -> None:
    found = leads.other_leads(task, report(task, 3, **sent), policy_with(POLICY, sitemaps=True), 1)
    assert [each.url for each in found] == [f"{ORIGIN}/{name}" for name in led_to]


@pytest.mark.parametrize(
    ("task", "location", "serves"),
    [
        (TASK, f"{OTHER}/1", ""),
        (robots(), f"{OTHER}/rules", ORIGIN),
        (sitemap(), f"{OTHER}/map.xml", ORIGIN),
        (sitemap(), "https://a.test/map.xml", "https://a.test"),
    ],
    ids=["page", "robots", "sitemap elsewhere", "sitemap on its host"],
)
def test_the_target_of_a_redirect_goes_on_in_place_of_what_was_asked(task: TaskRow, location: str, serves: str) -> None:
    (found,) = leads.other_leads(task, report(task, 3, **MOVED, location=location), POLICY, 9)
    kept: dict[str, Any] = {"depth": task.depth, "kind": task.kind, "priority": task.priority}
    assert found == Link(url=location, found_on=task.ref, hops=(task.url,), always=True, serves=serves, **kept)


@pytest.mark.parametrize("task", [TASK, sitemap(), robots()], ids=["page", "sitemap", "robots"])
def test_only_pages_have_to_be_what_the_job_takes_for_an_address(task: TaskRow) -> None:
    policy = policy_with(POLICY, urls=UrlSpec(drop_query=("from",)))
    one = Link(url=f"{ORIGIN}/?from=1", depth=0, kind=task.kind)
    assert leads.is_sound(one, policy) is (task is not TASK)
    assert not leads.is_sound(Link(url="http://A.test/", depth=0, kind=task.kind), policy)


@pytest.mark.parametrize(("task", "most"), [(page("1"), 10), (sitemap(), 10), (robots(), 5)])
def test_redirects_are_followed_to_a_limit_of_their_kind(task: TaskRow, most: int) -> None:
    for hops, error in ((most - 1, ""), (most, "too_many_redirects")):
        sent = but(task, hops=tuple(map(str, range(hops))))
        assert leads.redirect_error(sent, NEW.url, POLICY) == error
