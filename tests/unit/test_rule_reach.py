"""What a crawl may reach, rule by rule: by what a URL says, by the first answer for a name, by what the job opens."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core import admission, asking, gates, granting, reach, settle
from crawlfleet.coordinator.core.granting import Asker
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.policy import LinkRules
from crawlfleet.coordinator.core.rows import Gate, HostRow, LedgerRow, TaskRow
from crawlfleet.coordinator.core.turn import existing
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Kind, Outcome, Report
from crawlfleet.shared.web.urls import host_key
from tests.unit.rule_turns import (
    DONE,
    DROPPED,
    HOST,
    ORIGIN,
    OTHER,
    OTHER_HOST,
    PENDING,
    Turns,
    but,
    changes,
    check,
    host,
    lease,
    leased,
    new,
    numbers,
    origin,
    page,
    put,
    report,
    robots,
    sitemap,
)

ANY = ScopeSpec(any_host=True)
INSIDE, INSIDE_HOST = "http://10.0.0.9", "10.0.0.9"
KEPT_OUT: dict[str, Any] = {"outcome": Outcome.DENIED, "status": 0, "reason": "private_address", "detail": "no"}
FREE = host(origins=(ORIGIN,), ready_at=0.0)
SOURCE = page("source", state=DONE)
PRIVATE = ("10.0.0.1", "fd00::1")


def seed(url: str) -> Link:
    return Link(url=url, depth=0, seed=True, always=True)


def test_seeds_that_the_job_names_make_their_hosts_trusted_at_each_port(turns: Turns) -> None:
    turn = turns(known := host(seed_ports=(443,)))
    reach.trust(turn, [seed("http://a.test/1"), seed("http://a.test:8080/"), seed("https://b.test/")])
    other = host(OTHER_HOST, seed_ports=(443,))
    assert turn.batch() == [put(known, seed_ports=(443, 80, 8080)), new(other)]
    assert (turn.reads, turn.misses) == (1, 0)


def test_a_port_that_is_known_changes_nothing(turns: Turns) -> None:
    turn = turns(host(HOST, seed_ports=(80,)))
    reach.trust(turn, [seed("http://a.test/2")])
    assert turn.batch() == []


@pytest.mark.parametrize(
    ("url", "ports", "opened", "refusal"),
    [
        ("http://a.test/", (), (), ""),
        ("http://8.8.8.8/", (), (), ""),
        ("http://10.0.0.9/", (), (), "private_address"),
        ("http://10.0.0.9:8080/", (80,), (), "private_address"),
        ("http://10.0.0.9:8080/", (8080,), (), ""),
        ("https://10.0.0.9/", (8080,), (), ""),
        ("http://10.0.0.9:8081/", (), ("10.0.0.0/8",), ""),
        ("http://[::1]/", (), (), "private_address"),
        ("http://[::1]/", (80,), (), ""),
        ("http://169.254.169.254/", (80,), (), "private_address"),
        ("http://169.254.169.254/", (), ("169.254.169.254",), ""),
        ("http://metadata.google.internal/", (80,), (), "private_address"),
        ("http://metadata.google.internal/", (), ("metadata.google.internal",), ""),
        ("http://224.0.0.1/", (80,), (), "private_address"),
        ("http://a.test:25/", (80,), ("a.test",), "bad_port"),
        ("http://a.test:25/", (25,), (), ""),
        ("http://10.0.0.9:6667/", (80,), ("10.0.0.9",), "bad_port"),
    ],
)
def test_what_a_url_says_may_be_enough_to_keep_the_crawl_out(
    turns: Turns, url: str, ports: tuple[int, ...], opened: tuple[str, ...], refusal: str
) -> None:
    rows = [host(host_key(url), seed_ports=ports)] if ports else []
    turn = turns(*rows, allow_private=opened)
    assert reach.refusal_of(turn, url) == refusal


@pytest.mark.parametrize(
    ("link", "way"),
    [
        (Link(url=f"{INSIDE}/", depth=1, found_on=SOURCE.ref), "link from http://a.test/source"),
        (Link(url=f"{INSIDE}/", depth=1, found_on=sitemap().ref), "listed in the sitemap http://a.test/map.xml"),
        (Link(url=f"{INSIDE}/", depth=0, found_on=robots().ref), "named in http://a.test/robots.txt"),
        (Link(url=f"{INSIDE}/", depth=1, hops=("http://x.test/", "http://y.test/")), "redirect from http://y.test/"),
        (Link(url=f"{INSIDE}/", depth=0, kind=Kind.ROBOTS, serves=ORIGIN), "robots.txt of a page that is wanted"),
        (seed(f"{INSIDE}/"), "seed"),
        (Link(url=f"{INSIDE}/", depth=0, seed=True, seed_line=7), "line of a seeds file"),
        (Link(url=f"{INSIDE}/", depth=0, asked=True), "asked for"),
    ],
)
def test_how_a_url_was_reached_is_told(turns: Turns, link: Link, way: str) -> None:
    turn = turns(SOURCE, sitemap(order=2), robots(order=3))
    assert reach.way_to(turn, link) == way
    assert reach.keep_out(turn, link) == f"10.0.0.9 is no public address; {way}"


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://a.test:25/", "port 25"),
        ("http://metadata.google.internal/", "metadata.google.internal is a metadata service"),
    ],
)
def test_what_is_wrong_with_a_url_is_told(turns: Turns, url: str, what: str) -> None:
    assert reach.keep_out(turns(), Link(url=url, depth=0, asked=True)) == f"{what}; asked for"


@pytest.mark.parametrize(
    ("link", "scope", "row", "named"),
    [
        (seed(f"{INSIDE}/"), ScopeSpec(), None, True),
        (Link(url=f"{INSIDE}/", depth=1), ScopeSpec(hosts=(INSIDE_HOST,)), None, True),
        (Link(url=f"{INSIDE}/", depth=1), ANY, None, False),
        (Link(url=f"{INSIDE}/", depth=0, seed=True, seed_line=7), ANY, None, True),
        (Link(url=f"{INSIDE}/", depth=0, seed=True, seed_line=7, hops=(f"{ORIGIN}/",)), ANY, None, False),
        (seed("http://c.test/"), ANY, host("c.test", seed_ports=(80,), first_addresses=()), False),
        (seed("http://c.test/"), ANY, host("c.test", seed_ports=(80,)), True),
    ],
    ids=[
        "a seed",
        "named by the scope",
        "led there by a page",
        "a line of a seeds file",
        "led there by such a line",
        "public at first",
        "not known yet",
    ],
)
def test_hosts_that_were_meant_to_be_reached_are_named(
    turns: Turns, link: Link, scope: ScopeSpec, row: HostRow | None, named: bool
) -> None:
    ledger = numbers(kept_out=("1.test",))
    turn = turns(ledger, *([row] if row is not None else []), scope=scope)
    reach.keep_out(turn, link, "no")
    reach.keep_out(turn, link, "no")
    name = link.url.split("/")[2]
    assert changes(turn, LedgerRow) == ([put(ledger, kept_out=("1.test", name))] if named else [])


def test_only_some_of_them_are_named(turns: Turns) -> None:
    full = numbers(kept_out=tuple(f"{number}.test" for number in range(reach.NAMED)))
    turn = turns(full)
    reach.keep_out(turn, seed(f"{INSIDE}/"))
    assert turn.batch() == []
    reach.let_in(turn, page("1", "http://3.test"))
    reach.let_in(turn, page("1", "http://3.test"))
    assert turn.batch() == [put(full, kept_out=("0.test", "1.test", "2.test", "4.test"))]


@pytest.mark.parametrize(
    ("row", "url", "inside", "first"),
    [
        (host(), "http://a.test/", (), False),
        (host(seed_ports=(8080,)), "http://a.test/", (), True),
        (host(seed_ports=(8080,)), "http://a.test:8081/", (), False),
        (host(seed_ports=(8080,), first_addresses=()), "http://a.test/", (), False),
        (host(seed_ports=(80,), first_addresses=PRIVATE), "https://a.test/", PRIVATE, False),
        (host(seed_ports=(80,), first_addresses=PRIVATE), "http://a.test:8081/", (), False),
        (host("127.0.0.1", seed_ports=(8080,)), "http://127.0.0.1/", ("127.0.0.1",), False),
        (host("[::1]", seed_ports=(8080,)), "http://[::1]:8080/", ("::1",), False),
        (host("[::1]", seed_ports=(8080,)), "http://[::1]:8081/", (), False),
        (host("8.8.8.8", seed_ports=(80,)), "http://8.8.8.8/", (), False),
        (host("169.254.169.254", seed_ports=(80,)), "http://169.254.169.254/", (), False),
    ],
)
def test_a_trusted_host_may_be_private_at_the_ports_of_its_seeds_and_the_usual_ones(
    row: HostRow, url: str, inside: tuple[str, ...], first: bool
) -> None:
    assert (reach.inside(row, url), reach.is_first(row, url)) == (inside, first)


def test_until_a_trusted_name_has_its_first_answer_one_of_its_tasks_is_granted_at_a_time(turns: Turns) -> None:
    unknown = host(origins=(ORIGIN,), ready_at=0.0, seed_ports=(80,))
    one, two = page("1", order=1), page("2", order=2)
    other = page("1", OTHER, order=3)
    asker = Asker(session="s", want=9, sessions=1)
    turn = turns(one, two, other, origin(), origin(OTHER), unknown, host(OTHER_HOST, origins=(OTHER,), ready_at=0.0))
    granted = granting.grant(turn, asker)
    assert [each.refs for each in granted.leases] == [(one.ref,), (other.ref,)]
    row = existing(turn.hosts[HOST])
    assert (row.first_lease, row.ready_at) == (1, granting.PAUSE_S)
    assert reach.one_at_first(turn, [two, other]) == [other]
    reach.note_first(turn, [other], 9)
    assert existing(turn.hosts[OTHER_HOST]).first_lease == 0


def test_a_lease_that_has_ended_without_a_first_answer_leaves_the_next_one_to_get_it(turns: Turns) -> None:
    turn = turns(page("1"), origin(), but(FREE, seed_ports=(80,), first_lease=7))
    assert reach.one_at_first(turn, [page("1")]) == [page("1")]
    assert reach.one_at_first(turn, [page("1", "http://unknown.test")]) == [page("1", "http://unknown.test")]


@pytest.mark.parametrize(
    ("heard", "kept"),
    [
        ({"first_addresses": PRIVATE}, PRIVATE),
        ({"first_addresses": PRIVATE, "outcome": Outcome.NETWORK_ERROR}, PRIVATE),
        ({"first_addresses": ()}, ()),
        ({"first_addresses": ("10.0.0.1", "8.8.8.8")}, ()),
        ({"first_addresses": ("169.254.169.254",)}, ()),
        ({"first_addresses": ("nonsense",)}, ()),
        ({"first_addresses": ("10.0.0.1",) * (reach.MOST_ADDRESSES + 1)}, ()),
        ({}, ()),
        ({"outcome": Outcome.NETWORK_ERROR, "reason": "dns_failed", "status": 0}, None),
    ],
)
def test_the_first_answer_for_a_trusted_name_is_kept(
    turns: Turns, heard: dict[str, Any], kept: tuple[str, ...] | None
) -> None:
    task, unknown = leased(page("1"), 3), but(FREE, seed_ports=(80,))
    turn = turns(task, unknown)
    reach.hear(turn, task, report(task, **heard))
    assert turn.batch() == ([put(unknown, first_addresses=kept)] if kept is not None else [])


@pytest.mark.parametrize(
    "row",
    [
        FREE,
        but(FREE, seed_ports=(80,), first_addresses=()),
        but(FREE, seed_ports=(80,), first_addresses=("10.0.0.2",)),
        but(FREE, key="127.0.0.1", seed_ports=(80,)),
    ],
    ids=["not trusted", "public", "private", "an address"],
)
def test_the_first_answer_never_changes_and_others_have_none(turns: Turns, row: HostRow) -> None:
    task = leased(page("1", f"http://{row.key}"), 3)
    turn = turns(task, row)
    reach.hear(turn, task, report(task, first_addresses=PRIVATE))
    reach.hear(turn, page("1", "http://unknown.test"), report(task, first_addresses=PRIVATE))
    assert turn.batch() == []


# Where it is decided


@pytest.mark.parametrize(
    "link",
    [
        Link(url=f"{INSIDE}/1", depth=1, found_on=SOURCE.ref),
        Link(url=f"{INSIDE}/1", depth=9, found_on=SOURCE.ref),
        Link(url=f"{INSIDE}/map.xml", depth=0, found_on=SOURCE.ref, kind=Kind.SITEMAP, serves=ORIGIN),
        Link(url=f"{INSIDE}/robots.txt", depth=0, found_on=SOURCE.ref, kind=Kind.ROBOTS, serves=ORIGIN, always=True),
    ],
    ids=["page", "too deep", "sitemap", "robots.txt"],
)
def test_a_link_to_a_private_address_is_dropped_as_such_and_opens_nothing(turns: Turns, link: Link) -> None:
    turn = turns(SOURCE, FREE, numbers(next_order=5), scope=ANY, depth=3)
    admission.want(turn, [link])
    admission.admit(turn, [link])
    task = existing(turn.tasks[link.ref])
    said = "10.0.0.9 is no public address; link from http://a.test/source"
    assert (task.state, task.reason, task.detail) == (DROPPED, "private_address", said)
    assert turn.origins[INSIDE] is None


def test_what_is_out_of_scope_anyway_is_not_told(turns: Turns) -> None:
    link = Link(url=f"{INSIDE}/1", depth=1)
    turn = turns()
    admission.admit(turn, [link])
    assert turn.batch() == []
    assert admission.refusal_of(turn, link) == "host"


def test_an_external_link_to_a_private_address_is_not_checked(turns: Turns) -> None:
    link = Link(url=f"{INSIDE}/1", depth=1, found_on=SOURCE.ref)
    turn = turns(SOURCE, numbers(next_order=5), links=LinkRules(check_external=True))
    admission.admit(turn, [link])
    task = existing(turn.tasks[link.ref])
    assert (task.kind, task.state, task.reason) == (Kind.CHECK, DROPPED, "private_address")


def test_a_check_whose_host_joins_the_scope_becomes_no_page_that_leads_inside(turns: Turns) -> None:
    known = check("1", INSIDE, state=DROPPED, reason="private_address", found_on=SOURCE.ref)
    turn = turns(known, SOURCE, scope=ANY, links=LinkRules(check_external=True))
    assert admission.adopt(turn, known).reason == "private_address"


def test_what_a_job_no_longer_opens_is_dropped_when_known_urls_are_judged_again(turns: Turns) -> None:
    waits, external = page("1", INSIDE, seed=True), check("2", INSIDE, order=2)
    inside = host(INSIDE_HOST, origins=(INSIDE,), ready_at=0.0)
    rows = (waits, external, inside, origin(INSIDE))
    turn = turns(*rows, numbers(), scope=ScopeSpec(hosts=(HOST,)), links=LinkRules(check_external=True))
    admission.reconsider(turn, [waits, external])
    judged = [existing(turn.tasks[each.ref]) for each in (waits, external)]
    assert [(each.state, each.reason) for each in judged] == [(DROPPED, "private_address")] * 2


def test_a_program_that_asks_for_a_private_address_is_told(turns: Turns) -> None:
    dropped = page("1", INSIDE, state=DROPPED, reason="host", order=2)
    turn = turns(dropped, numbers(next_order=5), scope=ANY)
    (found,) = asking.ask(turn, [asking.Wish(f"{INSIDE}/2")])
    assert isinstance(found, TaskRow)
    assert (found.state, found.reason, found.detail) == (
        DROPPED,
        "private_address",
        "10.0.0.9 is no public address; asked for",
    )
    admission.revive(turn, dropped)
    assert turn.tasks[dropped.ref] == dropped


def settled(turns: Turns, task: TaskRow, *rows: Any, sent: Report, **policy: Any) -> Any:
    """Return the turn in which a report counts."""
    turn = turns(task, lease(3, task), *rows, **policy)
    settle.take(turn, "s", [sent])
    return turn


@pytest.mark.parametrize(
    "task",
    [leased(page("1"), 3), leased(sitemap(), 3), leased(check("1", "http://far.test"), 3)],
    ids=["page", "sitemap", "check"],
)
def test_a_task_that_a_worker_keeps_out_is_dropped_at_once(turns: Turns, task: TaskRow) -> None:
    far = host("far.test", origins=("http://far.test",))
    turn = settled(turns, task, origin(), FREE, far, numbers(pages_reserved=1), sent=report(task, **KEPT_OUT))
    last = existing(turn.tasks[task.ref])
    assert (last.state, last.reason, last.detail) == (DROPPED, "private_address", f"no; {reach.way_to(turn, task)}")


WAITING = origin(gate=Gate.WAITING, expires_at=0.0)


def test_the_pages_of_a_robots_txt_that_is_kept_out_are_dropped_at_once(turns: Turns) -> None:
    task, waits = leased(robots(), 3), page("1", order=2)
    turn = settled(turns, task, waits, WAITING, FREE, numbers(), sent=report(task, **KEPT_OUT))
    page_of_it, gate = existing(turn.tasks[waits.ref]), existing(turn.origins[ORIGIN])
    assert (page_of_it.state, page_of_it.reason) == (DROPPED, "private_address")
    said = "http://a.test/robots.txt could not be had: no; robots.txt of a page that is wanted"
    assert page_of_it.detail == said
    assert (gate.gate, gate.failing_since) == (Gate.DISALLOW, None)
    assert turn.ledger.robots_waits.given_up == 0


@pytest.mark.parametrize(
    ("location", "reason"),
    [(f"{INSIDE}/robots.txt", "private_address"), ("http://b.test:25/robots.txt", "bad_port")],
)
def test_a_robots_txt_that_redirects_where_the_crawl_must_not_go_counts_as_kept_out(
    turns: Turns, location: str, reason: str
) -> None:
    task, waits = leased(robots(), 3), page("1", order=2)
    sent = report(task, outcome=Outcome.REDIRECTED, status=302, location=location)
    turn = settled(turns, task, waits, WAITING, FREE, numbers(next_order=5), sent=sent)
    page_of_it = existing(turn.tasks[waits.ref])
    assert (page_of_it.state, page_of_it.reason) == (DROPPED, reason)
    assert f"it redirects to {location}" in page_of_it.detail
    target = Link(url=location, depth=0, kind=Kind.ROBOTS, serves=ORIGIN)
    assert existing(turn.tasks[target.ref]).reason == reason


def test_a_robots_txt_that_is_kept_out_after_a_redirect_is_no_other(turns: Turns) -> None:
    task, waits = leased(robots(url=f"{OTHER}/robots.txt", hops=(f"{ORIGIN}/robots.txt",)), 3), page("1", order=2)
    elsewhere = host(OTHER_HOST, origins=(OTHER,))
    turn = settled(turns, task, waits, WAITING, FREE, elsewhere, numbers(), sent=report(task, **KEPT_OUT))
    page_of_it = existing(turn.tasks[waits.ref])
    assert (page_of_it.state, page_of_it.reason) == (DROPPED, "private_address")
    assert "redirect from http://a.test/robots.txt" in page_of_it.detail


# After the job has changed


def test_what_the_crawl_was_kept_out_of_is_tried_again_by_a_job_that_may_open_it(turns: Turns) -> None:
    dropped: dict[str, Any] = {"state": DROPPED, "reason": "private_address", "detail": "no"}
    one, listed = page("1", order=2, **dropped), sitemap(order=3, **dropped)
    rules = robots(state=DONE, reason="private_address")
    shut = origin(gate=Gate.DISALLOW, why="after a redirect: private_address")
    stays = page("1", INSIDE, order=4, **dropped)
    ledger = numbers(kept_out=(HOST, INSIDE_HOST))
    turn = turns(rules, one, listed, shut, stays, FREE, ledger, now=5.0)
    gates.go_by_new_job(turn, [rules, one, listed, stays])
    assert [existing(turn.tasks[each.ref]).state for each in (rules, one, listed, stays)] == [
        PENDING,
        PENDING,
        PENDING,
        DROPPED,
    ]
    assert existing(turn.origins[ORIGIN]).gate is Gate.WAITING
    assert turn.ledger.kept_out == (INSIDE_HOST,)


def test_what_was_never_let_in_is_let_in_by_a_job_that_opens_it(turns: Turns) -> None:
    kept_out = page("1", INSIDE, order=2, depth=1, state=DROPPED, reason="private_address")
    other = page("2", order=3, depth=9, state=DROPPED, reason="depth")
    known = host(INSIDE_HOST, known=1)
    turn = turns(kept_out, other, known, origin(), FREE, scope=ANY, allow_private=("10.0.0.0/8",))
    gates.go_by_new_job(turn, [kept_out, other])
    assert existing(turn.tasks[kept_out.ref]).state is PENDING
    assert existing(turn.tasks[other.ref]).state is PENDING
    assert existing(turn.origins[INSIDE]).gate is Gate.WAITING
