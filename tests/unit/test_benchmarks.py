"""What the benchmarks make of what they have seen."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import by_turns
from benchmarks.by_turns import Crawled, Place, table, take_turns
from benchmarks.contestants import choose
from benchmarks.database_server import Spent
from benchmarks.lock_handing import Held
from benchmarks.lock_handing import judge as judge_handings
from benchmarks.many_hosts import Arrival, host_name, number_of
from benchmarks.meter import Command, measure, value_at
from benchmarks.polite_speed import judge
from benchmarks.steady import steady
from benchmarks.turnover import Look, Relation
from benchmarks.turnover import table as table_of_relations


def test_crawlers_are_chosen_by_words_of_their_names_in_any_case() -> None:
    assert [crawler.name for crawler in choose(["WGET2", "curl + lexbor, durable"])] == [
        "wget2",
        "crawlfleet, curl + lexbor, durable",
    ]
    with pytest.raises(SystemExit, match="there is none of that name: wget2; crawlfleet, curl"):
        choose(["wget3"])


@pytest.mark.parametrize(("number", "name"), [(0, "127.1.0.1"), (249, "127.1.0.250"), (1000, "127.1.4.1")])
def test_each_simulated_host_has_an_address_of_its_own(number: int, name: str) -> None:
    assert host_name(number) == name
    assert number_of(name) == number


def arrivals(starts_at: dict[int, float], gap_s: float, count: int) -> list[Arrival]:
    robots = [Arrival(at - gap_s, host_name(host), "/robots.txt") for host, at in starts_at.items()]
    pages = [Arrival(at + n * gap_s, host_name(host), "/p/1") for host, at in starts_at.items() for n in range(count)]
    return [*robots, *pages]


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.999])
def test_hosts_that_are_asked_whenever_they_may_be_reach_the_limit_whatever_their_phases(phase: float) -> None:
    outcome = judge(arrivals({0: 5.0, 1: 5.0 + phase}, 1.0, 20), hosts=2, delay_s=1.0, seconds=10.0)
    assert outcome.share == pytest.approx(1.0)
    assert outcome.least_arrival_gap_s == pytest.approx(1.0)


def test_a_host_that_is_asked_half_as_often_shows() -> None:
    slow = arrivals({0: 5.0}, 2.0, 20)
    outcome = judge([*slow, *arrivals({1: 5.0}, 1.0, 20)], hosts=2, delay_s=1.0, seconds=10.0)
    assert outcome.share == pytest.approx(0.75)
    assert outcome.slowest_host == pytest.approx(5.0)


def test_a_gap_below_the_delay_shows_wherever_it_is() -> None:
    outcome = judge([*arrivals({0: 5.0}, 1.0, 20), Arrival(4.5, host_name(0), "/robots.txt")], 1, 1.0, 10.0)
    assert outcome.least_arrival_gap_s == pytest.approx(0.5)


def test_the_steady_state_leaves_out_the_first_and_the_last_tenth() -> None:
    slow_start = [0.0] * 10 + [100.0 + number for number in range(80)] + [1e6] * 10
    middle = steady(slow_start)
    assert (middle.began, middle.ended, middle.pages) == (100.0, 179.0, 79)
    assert middle.per_s == pytest.approx(1.0)


@pytest.mark.parametrize(("at", "value"), [(5.0, 0.0), (10.0, 0.0), (14.0, 1.4), (20.0, 2.0), (99.0, 2.0)])
def test_a_growing_value_is_told_between_its_samples(at: float, value: float) -> None:
    assert value_at([(10.0, 0.0), (12.0, 1.2), (20.0, 2.0)], at) == pytest.approx(value)


def test_a_lock_is_handed_on_from_one_thread_to_another_one_of_whatever_program() -> None:
    turn = judge_handings(
        [
            Held(acquired=1.0, released=1.1, thread=0, program=0),
            Held(acquired=1.4, released=1.5, thread=0, program=1),
            Held(acquired=1.2, released=1.3, thread=0, program=0),
            Held(acquired=1.8, released=2.0, thread=1, program=1),
        ]
    )
    assert turn is not None
    assert turn.median_us == pytest.approx(200_000)
    assert (turn.handings, turn.acquisitions, turn.seconds) == (2, 4, 1.0)


def test_a_lock_that_one_thread_keeps_to_itself_is_not_handed_on() -> None:
    assert judge_handings(Held(float(at), at + 0.5, thread=3, program=0) for at in range(5)) is None


def test_commands_begin_when_their_service_answers_and_it_ends_after_them(tmp_path: Path) -> None:
    serves, ended = tmp_path / "serves", tmp_path / "ended"
    text = f"from pathlib import Path; Path({str(serves)!r}).touch(); import time; time.sleep(100)"
    service = Command([sys.executable, "-c", text], service=True, answers=serves.exists)
    look = f"from pathlib import Path; assert Path({str(serves)!r}).exists(); Path({str(ended)!r}).touch()"
    cost = measure([Command([sys.executable, "-c", look]), service], tmp_path)
    assert ended.exists()
    assert serves.stat().st_mtime <= cost.began <= ended.stat().st_mtime <= cost.ended


def test_places_take_turns_and_each_round_begins_with_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    places: dict[Place, str] = {}

    @contextmanager
    def place(kind: str, _settings: object) -> Iterator[Place]:
        new = Place(None)
        places[new] = kind
        yield new

    def crawl(place: Place) -> Crawled:
        order.append(places[place])
        return Crawled(100, 1.0, 0.01)

    order: list[str] = []
    monkeypatch.setattr(by_turns, "_place", place)
    turns = take_turns(("a", "b", "c"), 2, crawl)
    assert order == ["a", "b", "c", "b", "c", "a"]
    assert {kind: len(found) for kind, found in turns.items()} == {"a": 2, "b": 2, "c": 2}


def test_a_kind_of_place_is_compared_with_the_first_one_round_by_round() -> None:
    fast, slow = Crawled(1_000, 1.0, 0.1), Crawled(1_000, 2.0, 0.2)
    dear = Crawled(1_000, 4.0, 0.15, 0.3, Spent(cpu_s=0.05, log_bytes=2_000_000))
    line = table({"sqlite": [fast, slow], "postgresql": [slow, dear]}).splitlines()[3]
    assert [cell.strip() for cell in line.split("|")[1:-1]] == [
        "postgresql",
        "375 (250-500)",
        "0.50 (0.50-0.50)",
        "175 (150-200)",
        "1.38 (0.75-2.00)",
        "150 (0-300)",
        "25 (0-50)",
        "",
        "1,000 (0-2,000)",
    ]


def test_of_each_relation_its_growth_and_the_most_of_its_dead_rows_are_told() -> None:
    looks = [
        Look(0, {"hosts": Relation("hosts", 10**6, 20, 9, 0, 0, 0)}),
        Look(1_000, {"hosts": Relation("hosts", 3 * 10**6, 20, 3, 200, 190, 1)}),
    ]
    lines = table_of_relations(looks).splitlines()
    assert lines[2] == "| hosts | 1.0 | 3.0 | 20 | 9 | 200 | 95.0% | 1 |"
    assert lines[-1] == "2,000 bytes more for each settled page"
