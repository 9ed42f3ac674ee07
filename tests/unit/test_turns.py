"""Which host is next, by the CPU time that its pages took."""

from __future__ import annotations

from collections import Counter

import pytest

from crawlfleet.worker.turns import MOST_HOSTS, USUAL_S, Turns


def serve(turns: Turns, costs: dict[str, float], pages: int) -> Counter[str]:
    """Serve so many pages of hosts that always have one; return how many of each."""
    served: Counter[str] = Counter()
    for _ in range(pages):
        host = min(costs, key=turns.clock)
        turns.take(host)
        turns.note(host, costs[host])
        served[host] += 1
    return served


def test_hosts_get_equal_parts_of_the_time_not_of_the_pages() -> None:
    turns = Turns()
    served = serve(turns, {"costly": 0.04, "cheap": 0.001}, 410)
    assert 8 <= served["costly"] <= 12
    assert served["cheap"] == 410 - served["costly"]


def test_equal_hosts_take_turns() -> None:
    turns = Turns()
    assert serve(turns, {"a": 0.001, "b": 0.001, "c": 0.001}, 9) == {"a": 3, "b": 3, "c": 3}


def test_a_host_that_comes_has_nothing_saved_up_and_waits_for_nothing() -> None:
    turns = Turns()
    serve(turns, {"early": 0.01}, 100)
    turns.come("late")
    assert abs(turns.clock("late") - turns.clock("early")) <= 0.02
    served = serve(turns, {"early": 0.01, "late": 0.01}, 10)
    assert abs(served["early"] - served["late"]) <= 2
    serve(turns, {"late": 0.01}, 100)
    turns.come("early")
    assert abs(turns.clock("late") - turns.clock("early")) <= 0.02


def test_a_page_counts_as_those_before_it_until_it_has_been_read() -> None:
    turns = Turns()
    turns.come("a")
    turns.take("a")
    assert turns.clock("a") == USUAL_S
    turns.note("a", 1.0)
    assert abs(turns.clock("a") - 1.0) < 1e-9
    turns.take("a")
    assert turns.clock("a") > 1.2


def test_hosts_that_would_begin_anew_are_forgotten() -> None:
    turns = Turns()
    for number in range(MOST_HOSTS + 10):
        turns.come(f"host-{number}")
        turns.take(f"host-{number}")
        turns.note(f"host-{number}", USUAL_S)
        turns.take("all")
    assert len(turns._clocks) <= MOST_HOSTS + 1
    assert turns._typical_s.keys() <= turns._clocks.keys()


def test_what_pages_typically_take_is_an_average_in_which_new_pages_count_most() -> None:
    turns = Turns()
    assert turns.typical_s("a") == USUAL_S
    for _ in range(20):
        turns.take("a")
        turns.note("a", 2.0)
    assert turns.typical_s("a") == pytest.approx(2.0, rel=0.01)
    turns.take("a")
    turns.note("a", 0.0)
    assert turns.typical_s("a") == pytest.approx(1.5, rel=0.01)


def test_what_pages_cost_elsewhere_counts_until_one_has_been_read_here() -> None:
    turns = Turns()
    turns.come("a", 2.0)
    assert turns.typical_s("a") == 2.0
    turns.take("a")
    turns.note("a", 0.0)
    turns.come("a", 2.0)
    assert turns.typical_s("a") == pytest.approx(1.5)
