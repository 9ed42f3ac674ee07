"""What is refused as part of a trap, and what is counted, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core import traps
from crawlfleet.coordinator.core.policy import TrapLimits
from crawlfleet.coordinator.core.rows import TrapRow
from crawlfleet.shared.brief import ScopeSpec
from tests.unit.rule_turns import HOST, ORIGIN, Turns, host, new, origin, put

QUERY, DAY, SESSION = f"{ORIGIN}/list?n=1", f"{ORIGIN}/2031/04/", f"{ORIGIN}/page;jsessionid=7"
PORT = "http://a.test:81/"
HEX = "0123456789abcdef" * 2
SUB = "http://s.a.test/"
ALL = TrapLimits(query_variants=2, calendar=2, sessions=2, subdomains=2)
ANY = ScopeSpec(hosts=(HOST, "named.a.test"), any_host=True)
WITH_SUBDOMAINS = ScopeSpec(hosts=(HOST, "named.a.test"), subdomains=True)


def patterns(url: str) -> traps.TrapPatterns:
    found = traps.patterns_of(url)
    assert found is not None
    return found


def row(number: int = 2, sessions: int = 0) -> TrapRow:
    """Return what was let in of a.test: `number` of each pattern."""
    return TrapRow(
        key=HOST, patterns={patterns(QUERY).query: number, patterns(DAY).calendar: number}, sessions=sessions
    )


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        (f"{ORIGIN}/1", ()),
        (QUERY, (HOST,)),
        (PORT, (".a.test",)),
        (f"{PORT}?1", (HOST, ".a.test")),
        (SUB, (".a.test",)),
        ("http://named.a.test/", ()),
    ],
)
def test_which_rows_judging_an_address_looks_up(turns: Turns, url: str, keys: tuple[str, ...]) -> None:
    turn = turns(host(origins=(ORIGIN,)), origin(), traps=ALL, scope=WITH_SUBDOMAINS)
    assert traps.keys_of(turn, url) == keys
    traps.refusal(turn, url)
    traps.count(turn, url)
    assert turn.traps.keys() == set(keys)


@pytest.mark.parametrize(
    ("url", "limits", "reason"),
    [
        (f"{ORIGIN}/{'b' * 100}", {"url_length": 100}, "trap_length"),
        (f"{ORIGIN}/{'b' * 86}", {"url_length": 100}, ""),
        (f"{ORIGIN}/a/a/a/a", {"repetition": 3}, "trap_repetition"),
        (f"{ORIGIN}/a/a/a/", {"repetition": 3}, ""),
        (f"{ORIGIN}/x?/a/a/a/a", {"repetition": 3}, ""),
        (QUERY, {"query_variants": 2}, "trap_query"),
        (QUERY, {"query_variants": 3}, ""),
        (QUERY.replace("list", "other"), {"query_variants": 2}, ""),
        (DAY, {"calendar": 2}, "trap_calendar"),
        (DAY.replace("31", "32"), {"calendar": 2}, "trap_calendar"),
        (DAY, {"calendar": 3}, ""),
        (SESSION, {"sessions": 2}, "trap_session"),
        (SESSION, {"sessions": 3}, ""),
        (QUERY, {"sessions": 2}, ""),
        (f"{ORIGIN}/a/a/a/a?sid=1", {}, ""),
    ],
)
def test_an_address_is_part_of_a_trap_whose_limit_is_reached(
    turns: Turns, url: str, limits: dict[str, int], reason: str
) -> None:
    turn = turns(row(sessions=2), host(origins=(ORIGIN,)), origin(), traps=TrapLimits(**limits))
    assert traps.refusal(turn, url) == reason
    assert traps.shape(url, turn.policy) == (reason if limits.keys() & {"url_length", "repetition"} else "")


@pytest.mark.parametrize(
    ("url", "scope", "reason"),
    [
        (SUB, WITH_SUBDOMAINS, "trap_subdomain"),
        (PORT, WITH_SUBDOMAINS, "trap_subdomain"),
        ("http://named.a.test/", WITH_SUBDOMAINS, ""),
        (f"{ORIGIN}/1", WITH_SUBDOMAINS, ""),
        (SUB, ScopeSpec(hosts=(HOST,)), ""),
        ("http://s.b.test/", WITH_SUBDOMAINS, ""),
        ("http://known.a.test/", WITH_SUBDOMAINS, ""),
        (SUB, ANY, "trap_subdomain"),
        ("http://named.a.test/", ANY, ""),
        ("http://s.b.test/", ANY, ""),
    ],
    ids=[
        *("a subdomain", "a port", "named", "its own", "none in scope", "another domain", "known"),
        *("a subdomain of any", "named of any", "another domain of any"),
    ],
)
def test_a_domain_opens_so_many_origins_and_no_more(turns: Turns, url: str, scope: ScopeSpec, reason: str) -> None:
    known = (origin("http://known.a.test"), host("known.a.test", origins=("http://known.a.test",)))
    turn = turns(TrapRow(key=".a.test", origins=2), *known, traps=TrapLimits(subdomains=2), scope=scope)
    assert traps.refusal(turn, url) == reason


@pytest.mark.parametrize(
    ("url", "limits", "counted"),
    [
        (f"{ORIGIN}/1", ALL, None),
        (QUERY, ALL, {"patterns": {patterns(QUERY).query: 1}}),
        (DAY, ALL, {"patterns": {patterns(DAY).calendar: 1}}),
        (SESSION, ALL, {"sessions": 1}),
        (QUERY, TrapLimits(sessions=9), {}),
        (DAY, TrapLimits(sessions=9), {}),
    ],
    ids=["nothing", "query", "calendar", "session", "a query that does not count", "a day that does not"],
)
def test_what_is_let_in_is_counted_if_it_may_be_part_of_a_trap(
    turns: Turns, url: str, limits: TrapLimits, counted: dict[str, Any] | None
) -> None:
    turn = turns(host(origins=(ORIGIN,)), origin(), traps=limits)
    traps.count(turn, url)
    assert turn.batch() == ([] if counted is None else [new(TrapRow(key=HOST, **counted))])


def test_what_is_let_in_adds_to_what_was(turns: Turns) -> None:
    turn = turns(row(), host(origins=(ORIGIN,)), origin(), traps=ALL)
    traps.count(turn, QUERY)
    assert turn.batch() == [put(row(), patterns={**row().patterns, patterns(QUERY).query: 3})]


def test_an_origin_that_is_let_in_is_counted_for_its_domain(turns: Turns) -> None:
    turn = turns(TrapRow(key=".a.test", origins=1), traps=ALL, scope=WITH_SUBDOMAINS)
    traps.count(turn, SUB)
    assert turn.batch() == [put(TrapRow(key=".a.test", origins=1), origins=2)]


def test_a_sketch_that_is_full_forgets_what_it_saw_once() -> None:
    full = dict.fromkeys(range(traps.SKETCH - 1), 1) | {99: 2}
    assert traps.counted(full, 100) == {99: 1}
    assert traps.counted(full, 99) == full | {99: 3}


def test_an_address_may_match_several_patterns() -> None:
    found = patterns(f"{ORIGIN}/2031/04?sid={HEX}")
    assert (found.query > 0, found.calendar > 0, found.session) == (True, True, True)
