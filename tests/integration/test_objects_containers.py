"""Containers of the fleet on a real coordinator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from crawlfleet import Fleet, connect
from crawlfleet.fleet.results import Results
from tests.site.served_crawl import served
from tests.site.small_site import page, serving


@pytest.fixture
def fleets(tmp_path: Path) -> Iterator[tuple[Fleet, Fleet]]:
    with (
        serving({"/": page("home")}) as site,
        served(tmp_path, f"{site.base}/") as crawl,
        connect(crawl.token) as one,
        connect(crawl.token) as other,
    ):
        yield one, other


def test_a_dict_with_a_name_is_shared_and_without_one_it_is_the_results(fleets: tuple[Fleet, Fleet]) -> None:
    one, other = fleets
    assert isinstance(one.dict(), Results)
    one.dict("d", a=2**70).update({(1, "x"): {3}})
    assert other.dict("d").copy() == {"a": 2**70, (1, "x"): {3}}
    with pytest.raises(KeyError) as caught:
        other.dict("d").pop(("b",))
    assert caught.value.args == (("b",),)
    one.set("s").update(range(1_000))
    assert other.set("s").copy() == set(range(1_000))
    shared = one.list("l", range(10))
    shared.append("end")
    shared[2:4] = []
    other.list("l").reverse()
    assert one.list("l")[:] == ["end", 9, 8, 7, 6, 5, 4, 1, 0]
    with pytest.raises(IndexError, match="list index out of range"):
        other.list("l")[9]
    one.Namespace("n", x=1).y = "z"
    assert str(other.Namespace("n")) == "Namespace(x=1, y='z')"


def test_what_does_not_fit_into_a_message_is_refused_and_large_contents_are_read(fleets: tuple[Fleet, Fleet]) -> None:
    one, other = fleets
    d = one.dict("large")
    with pytest.raises(ValueError, match="more than 8388608 bytes"):
        d["k"] = "x" * 9_000_000
    for number in range(3):
        d[number] = bytes(8_000_000)
    assert cast(dict[int, bytes], other.dict("large").copy()) == dict.fromkeys(range(3), bytes(8_000_000))


def test_a_value_and_an_array_of_two_programs(fleets: tuple[Fleet, Fleet]) -> None:
    one, other = fleets
    value = one.Value("n", "i", 5)
    with value.get_lock():
        value.value += 1
        assert other.Value("n").acquire(blocking=False) == 0
    assert other.Value("n", "i").value == 6
    with pytest.raises(OverflowError, match="does not fit typecode 'i'"):
        value.value = 2**40
    with pytest.raises(OverflowError, match="does not fit typecode 'i'"):
        value.add(2**31 - 1)
    one.Value("big").set(2**100)
    assert other.Value("big").add(1) == 2**100 + 1
    numbers = one.Array("a", "d", 1_000_000)
    numbers[::100_000] = range(10)
    assert sum(other.Array("a")[:]) == 45
