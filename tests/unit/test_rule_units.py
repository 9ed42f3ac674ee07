"""Which hosts are asked as one, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.coordinator.core import units
from crawlfleet.coordinator.core.policy import Unit
from crawlfleet.coordinator.core.rows import Holder, HostRow
from crawlfleet.shared.ranges import MOST
from tests.policies import policy_with
from tests.unit.rule_turns import HOST, ORIGIN, POLICY, Turns, held_by, host, lease, leased, new, page, put

UNIT = "10.0.0.1"
EMPTY = {"origins": (), "names": (), "holders": (), "ready_at": None}


def test_the_first_host_of_a_unit_brings_all_that_is_known_of_it(turns: Turns) -> None:
    known = {"last_start_at": 4.0, "next_start_at": 4.0, "ready_at": 9.0, "latency_s": 0.1, "adaptive_s": 0.0}
    mine = host(origins=(ORIGIN,), **known)
    turn = turns(mine)
    units.join(turn, HOST, UNIT)
    assert turn.batch() == [new(host(UNIT, names=(HOST,), origins=(ORIGIN,), **known)), put(mine, unit=UNIT, **EMPTY)]


def test_a_host_that_is_not_known_yet_is_made_with_its_unit(turns: Turns) -> None:
    turn = turns(delay_s=2.0)
    units.join(turn, "www.a.test", HOST)
    two = {"delay_s": 2.0}
    assert turn.batch() == [new(host(HOST, names=("www.a.test",), **two)), new(host("www.a.test", unit=HOST, **two))]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (UNIT, (host(UNIT),)),
        (HOST, (host(unit="10.0.0.2"), host(UNIT))),
        (HOST, (host(), host(UNIT, unit="10.0.0.2"))),
    ],
    ids=["itself", "in another unit", "a unit that is in one"],
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
        ({"origins": ("a", "b")}, {"origins": ("b", "c")}, {"origins": ("a", "b", "c")}),
        ({"names": ("x",)}, {"names": ("y",)}, {"names": ("x", HOST, "y")}),
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
    turn = turns(unit, mine)
    units.join(turn, HOST, UNIT)
    assert turn.batch() == [put(unit, **{"names": (HOST,), **merged}), put(mine, unit=UNIT, **EMPTY)]


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
    unit = host(UNIT, names=("b.test",), holders=(*held_by(4), Holder("t", ((2, 1),))))
    rows = (one, two, three, lease(3, one), lease(4, two), lease(2, three, session="t"))
    mine = host(holders=held_by(3), **more)
    turn = turns(*rows, unit, mine, host("b.test", unit=UNIT))
    units.join(turn, HOST, UNIT)
    both = (Holder("s", ((3, 1), (4, 1))), Holder("t", ((2, 1),)))
    joined = {"names": ("b.test", HOST), "holders": both, "recalled_under": recalled, **more}
    assert turn.batch() == [put(unit, **joined), put(mine, unit=UNIT, **EMPTY)]


@pytest.mark.parametrize(
    ("unit", "key"), [(Unit.HOST, "www.a.test"), (Unit.ADDRESS, "www.a.test"), (Unit.DOMAIN, HOST)]
)
def test_a_name_alone_tells_the_unit_of_a_domain(unit: Unit, key: str) -> None:
    assert units.key_of_name("www.a.test", policy_with(POLICY, unit=unit)) == key


@pytest.mark.parametrize(("unit", "key"), [(Unit.HOST, ""), (Unit.ADDRESS, UNIT), (Unit.DOMAIN, "")])
def test_an_address_tells_a_unit_if_the_job_goes_by_addresses(unit: Unit, key: str) -> None:
    assert units.key_of_address(UNIT, policy_with(POLICY, unit=unit)) == key
