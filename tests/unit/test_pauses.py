"""When pages of costly hosts wait for those of others, and when they don't."""

from __future__ import annotations

import pytest

from crawlfleet.worker.pauses import COSTLY_HOSTS, LAST_PAGES, LATELY_S, MOST_S, TIMES_LONGER, Pauses

CHEAP_S, COSTLY_S = 0.001, 0.1


class Worker:
    """Pages that were read, at a given time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.typical_s: dict[str, float] = {}
        self.pauses = Pauses(lambda host: self.typical_s.get(host, CHEAP_S), lambda: self.now)

    def read(self, host: str, cost_s: float, pages: int = 1, *, took_s: float = 0.0, is_spaced: bool = False) -> None:
        self.typical_s[host] = cost_s
        for _ in range(pages):
            self.now += cost_s
            self.pauses.note(host, cost_s, took_s, is_spaced)

    def left_s(self, host: str) -> float:
        return self.pauses.left_s(host)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_a_costly_host_pauses_for_longer_than_its_page_took_and_others_go_on(worker: Worker) -> None:
    worker.read("honest", CHEAP_S, 10)
    worker.read("costly", COSTLY_S)
    assert worker.left_s("costly") == pytest.approx(TIMES_LONGER * COSTLY_S)
    assert worker.left_s("honest") == worker.left_s("new") == 0.0
    worker.now += TIMES_LONGER * COSTLY_S
    assert worker.left_s("costly") == 0.0


def test_hosts_whose_pages_cost_about_the_same_never_pause(worker: Worker) -> None:
    worker.read("one", COSTLY_S / 3, 10)
    worker.read("other", COSTLY_S, 10)
    assert worker.left_s("one") == worker.left_s("other") == 0.0


def test_pages_that_take_no_time_worth_mentioning_are_followed_by_no_pause(worker: Worker) -> None:
    worker.read("honest", CHEAP_S, 10)
    worker.read("some", 0.015, 10)
    assert worker.left_s("some") == 0.0


def test_a_host_alone_does_not_pause(worker: Worker) -> None:
    worker.read("costly", COSTLY_S, 10)
    assert worker.left_s("costly") == 0.0


def test_nothing_pauses_for_hosts_that_wait_for_their_next_start_anyway(worker: Worker) -> None:
    worker.read("polite", CHEAP_S, 10, is_spaced=True)
    worker.read("costly", COSTLY_S)
    assert worker.left_s("costly") == 0.0


def test_nothing_pauses_for_hosts_with_few_pages_or_none_lately(worker: Worker) -> None:
    worker.read("honest", CHEAP_S, 5)
    worker.now += 0.9 * LATELY_S
    worker.read("costly", COSTLY_S)
    assert worker.left_s("costly") == 0.0
    worker.read("honest", CHEAP_S, 10)
    worker.now += LATELY_S + 1.0
    worker.read("costly", COSTLY_S)
    assert worker.left_s("costly") == 0.0


def test_pauses_add_up_but_none_takes_long(worker: Worker) -> None:
    worker.read("honest", CHEAP_S, 10)
    worker.read("costly", 30.0, took_s=30.0)
    worker.read("honest", CHEAP_S, 10)
    worker.read("costly", 30.0, took_s=30.0)
    assert worker.left_s("costly") == 0.0  # nothing was read for so long
    worker.read("honest", CHEAP_S, 10)
    worker.pauses.note("costly", 30.0, 30.0, False)
    worker.pauses.note("costly", 30.0, 30.0, False)
    assert worker.left_s("costly") == pytest.approx(2 * MOST_S)


def test_on_a_busy_machine_a_pause_grows_with_the_time_that_a_page_took(worker: Worker) -> None:
    worker.read("honest", CHEAP_S, 10)
    worker.read("costly", COSTLY_S, took_s=2 * COSTLY_S)
    assert worker.left_s("costly") == pytest.approx(TIMES_LONGER * 2 * COSTLY_S)
    worker.now += 1.0
    worker.read("costly", COSTLY_S, took_s=60.0)  # its hook waited
    assert worker.left_s("costly") == pytest.approx(TIMES_LONGER * 3 * COSTLY_S)


def test_many_costly_hosts_beside_one_other_have_more_of_the_time(worker: Worker) -> None:
    worker.read("honest", CHEAP_S, 40)
    for number in range(3 * COSTLY_HOSTS):
        worker.typical_s[f"costly{number}"] = COSTLY_S
        worker.pauses.note(f"costly{number}", CHEAP_S, 0.0, False)
    worker.read("costly0", COSTLY_S)
    assert worker.left_s("costly5") == pytest.approx(TIMES_LONGER * COSTLY_S / 3)


def test_what_is_remembered_is_bounded(worker: Worker) -> None:
    worker.read("honest", CHEAP_S, 10 * LAST_PAGES)
    assert len(worker.pauses._last) == LAST_PAGES
