"""Which hosts are asked as one, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core import units
from crawlfleet.coordinator.core.changes import Change, Gone, Put
from crawlfleet.coordinator.core.policy import Unit
from crawlfleet.coordinator.core.rows import Holder, HostRow
from crawlfleet.coordinator.core.unit_rows import AskedDelayRow
from crawlfleet.shared.ranges import MOST
from tests.policies import policy_with
from tests.unit.rule_turns import (
    HOST,
    ORIGIN,
    POLICY,
    Turns,
    after,
    changes,
    held_by,
    host,
    lease,
    leased,
    new,
    origin,
    page,
    put,
)

UNIT = "10.0.0.1"
AT_S = 7.0


def test_the_first_host_of_a_unit_brings_all_that_is_known_of_it(turns: Turns) -> None:
    known = {"last_start_at": 4.0, "next_start_at": 4.0, "ready_at": 9.0, "latency_s": 0.1, "adaptive_s": 0.0}
    mine = host(origins=(ORIGIN,), **known)
    turn = turns(mine, origin(), now=AT_S)
    units.join(turn, HOST, UNIT)
    assert turn.batch() == [new(host(UNIT, is_unit=True, **known)), put(mine, unit=UNIT, ready_at=AT_S)]


def test_a_host_that_is_not_known_yet_is_made_with_its_unit(turns: Turns) -> None:
    turn = turns(delay_s=2.0)
    units.join(turn, "www.a.test", HOST)
    two = {"delay_s": 2.0}
    assert turn.batch() == [new(host(HOST, is_unit=True, **two)), new(host("www.a.test", unit=HOST, **two))]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (UNIT, (host(UNIT),)),
        (HOST, (host(unit="10.0.0.2"), host(UNIT))),
        (HOST, (host(), host(UNIT, unit="10.0.0.2"))),
        (HOST, (host(is_unit=True), host(UNIT))),
    ],
    ids=["itself", "in another unit", "a unit that is in one", "a unit"],
)
def test_who_does_not_join(turns: Turns, name: str, rows: tuple[HostRow, ...]) -> None:
    turn = turns(*rows)
    units.join(turn, name, UNIT)
    assert turn.batch() == []


@pytest.mark.parametrize(
    ("one", "other", "merged"),
    [
        ({"delay_s": 1.0}, {"delay_s": 3.0}, {"delay_s": 3.0}),
        ({"asked_s": None, "delay_s": 2.0}, {}, {"asked_s": 2.0, "delay_s": 2.0}),
        ({"latency_s": 2.0, "adaptive_s": 1.0}, {"latency_s": 1.0}, {"latency_s": 2.0, "adaptive_s": 1.0}),
        ({"hold_until": 5.0}, {"hold_until": 9.0}, {"hold_until": 9.0}),
        ({"ready_at": 5.0}, {"ready_at": 3.0}, {"ready_at": 3.0}),
        ({"ready_at": None}, {"ready_at": 3.0}, {"ready_at": 3.0}),
        ({"pressed_at": 3.0, "refusals": 1}, {"refusals": 2}, {"pressed_at": 3.0, "refusals": 2}),
        ({"origins": ("http://10.0.0.1",)}, {"origins": (ORIGIN,)}, {"origins": ("http://10.0.0.1",)}),
        ({"pages_reserved": 1, "pages_fetched": 2}, {"pages_fetched": 3}, {"pages_reserved": 1, "pages_fetched": 5}),
        ({"bytes_received": 1}, {"bytes_received": 2}, {"bytes_received": 3}),
        ({"bytes_received": MOST}, {"bytes_received": MOST}, {"bytes_received": MOST}),
        ({"began_at": 5.0}, {"began_at": 3.0}, {"began_at": 3.0}),
        ({}, {"began_at": 3.0}, {"began_at": 3.0}),
        ({"next_start_at": 9.0}, {"next_start_at": 5.0}, {"next_start_at": 9.0}),
        (
            {"delay_s": 5.0, "next_start_at": 6.0, "last_start_at": 1.0},
            {"last_start_at": 3.0},
            {"delay_s": 5.0, "next_start_at": 8.0, "last_start_at": 3.0},
        ),
    ],
)
def test_what_a_unit_and_a_host_are_together(
    turns: Turns, one: dict[str, Any], other: dict[str, Any], merged: dict[str, Any]
) -> None:
    unit, mine = host(UNIT, **one), host(**other)
    turn = turns(unit, mine, now=AT_S)
    units.join(turn, HOST, UNIT)
    may_wait = mine.ready_at is not None
    expected = [put(unit, is_unit=True, **merged), put(mine, unit=UNIT, ready_at=AT_S if may_wait else None)]
    assert turn.batch() == expected


@pytest.mark.parametrize(
    ("more", "recalled"),
    [({}, 0), ({"delay_s": 1.0, "next_start_at": 9.0}, 4), ({"hold_until": 9.0}, 4)],
    ids=["free", "delayed", "held"],
)
def test_what_is_under_way_on_both_is_held_by_the_unit_and_comes_back_if_it_may_be_too_near(
    turns: Turns, more: dict[str, Any], recalled: int
) -> None:
    at = "http://b.test"
    one, two, three = leased(page("1"), 3), leased(page("2", at), 4), leased(page("3", at, order=3), 2)
    unit = host(UNIT, is_unit=True, holders=(*held_by(4), Holder("t", ((2, 1),))))
    rows = (one, two, three, lease(3, one), lease(4, two), lease(2, three, session="t"))
    mine = host(holders=held_by(3), **more)
    turn = turns(*rows, unit, mine, host("b.test", unit=UNIT), now=AT_S)
    units.join(turn, HOST, UNIT)
    both = (Holder("s", ((3, 1), (4, 1))), Holder("t", ((2, 1),)))
    joined = {"holders": both, "recalled_under": recalled, **more}
    # With a delay the host was full: pages may wait there, and nobody knows.
    ready_at = AT_S if mine.delay_s else None
    assert turn.batch() == [put(unit, **joined), put(mine, unit=UNIT, holders=(), ready_at=ready_at)]


# Delays


def asked(delay_s: float, files: int = 1) -> AskedDelayRow:
    return AskedDelayRow(unit=UNIT, delay_s=delay_s, files=files)


SLOW = (host(origins=(ORIGIN,), asked_s=5.0, delay_s=5.0), origin(asked_delay_s=5.0))


@pytest.mark.parametrize(
    ("known", "counted"),
    [((), new(asked(5.0))), ((asked(5.0),), put(asked(5.0), files=2)), ((asked(2.0),), new(asked(5.0)))],
    ids=["the first", "one of two", "another one"],
)
def test_the_delays_that_a_host_asks_for_are_counted_when_it_joins(
    turns: Turns, known: tuple[AskedDelayRow, ...], counted: Put
) -> None:
    turn = turns(*SLOW, *known, host(UNIT, is_unit=True))
    units.join(turn, HOST, UNIT)
    assert changes(turn, AskedDelayRow) == [counted]


@pytest.mark.parametrize(
    ("before_s", "delay_s", "expected"),
    [
        (0.0, 5.0, [put(asked(5.0, 2), files=3)]),
        (5.0, 0.0, [put(asked(5.0, 2), files=1)]),
        (2.0, 0.0, [Gone(row=after(asked(2.0)), why="")]),
        (2.0, 5.0, [Gone(row=after(asked(2.0)), why=""), put(asked(5.0, 2), files=3)]),
        (5.0, 5.0, []),
        (0.0, 0.0, []),
    ],
)
def test_files_that_ask_for_a_delay_are_counted(
    turns: Turns, before_s: float, delay_s: float, expected: list[Change]
) -> None:
    turn = turns(asked(2.0), asked(5.0, 2))
    units.count_asked(turn, UNIT, before_s, delay_s)
    assert turn.batch() == expected


@pytest.mark.parametrize(
    ("own", "joined", "longest"),
    [(0.0, (), 0.0), (3.0, (), 3.0), (3.0, (2.0, 5.0), 5.0), (9.0, (2.0, 5.0), 9.0), (0.0, (0.5,), 0.5)],
)
def test_the_longest_delay_counts_whichever_host_of_a_unit_asks_for_it(
    turns: Turns, own: float, joined: tuple[float, ...], longest: float
) -> None:
    at = f"http://{UNIT}"
    unit = host(UNIT, is_unit=True, origins=(at,))
    turn = turns(unit, origin(at, asked_delay_s=own), *map(asked, joined))
    assert units.asked_delay_s(turn, unit) == longest
    units.count_asked(turn, UNIT, 0.0, 99.0)
    assert units.asked_delay_s(turn, unit) == 99.0
    units.count_asked(turn, UNIT, 99.0, 0.0)
    assert units.asked_delay_s(turn, unit) == longest


@pytest.mark.parametrize(
    ("unit", "key"), [(Unit.HOST, "www.a.test"), (Unit.ADDRESS, "www.a.test"), (Unit.DOMAIN, HOST)]
)
def test_a_name_alone_tells_the_unit_of_a_domain(unit: Unit, key: str) -> None:
    assert units.key_of_name("www.a.test", policy_with(POLICY, unit=unit)) == key


@pytest.mark.parametrize(("unit", "key"), [(Unit.HOST, ""), (Unit.ADDRESS, UNIT), (Unit.DOMAIN, "")])
def test_an_address_tells_a_unit_if_the_job_goes_by_addresses(unit: Unit, key: str) -> None:
    assert units.key_of_address(UNIT, policy_with(POLICY, unit=unit)) == key
