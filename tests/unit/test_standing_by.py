"""How a coordinator waits for its turn, and for a database that is away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from crawlfleet.coordinator.frontier.port import Owner, StoreUnreachable
from crawlfleet.coordinator.listening import Listening
from crawlfleet.coordinator.sinks.port import SinkUnreachable
from crawlfleet.coordinator.standing_by import LOOK_S, RETRY_S, SAID_EVERY_S, StandingBy
from crawlfleet.errors import CrawlFailed, CrawlLost, NotOwner, Unreachable
from crawlfleet.shared.wire.manager import FleetManager

LEASE_S = 3.0
SINCE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ALIVE = Owner(epoch=4, silent_s=0.1, name="one:7", since=SINCE, address="127.0.0.1:1")
QUIET = ALIVE._replace(silent_s=3.1)
SILENT = ALIVE._replace(silent_s=4.6)


class Crawl:
    """A crawl in a database: who owns it at each look, and what was asked of it."""

    def __init__(self, *owners: Owner | None) -> None:
        self._owners = list(owners)
        self.waiting: list[str] = []
        self.terminated = 0

    def owner(self) -> Owner | None:
        return self._owners.pop(0)

    def say_waiting(self, address: str) -> None:
        self.waiting.append(address)

    def terminate_owner(self) -> bool:
        self.terminated += 1
        return True

    @property
    def is_owned(self) -> bool:
        return bool(self._owners)


class Waiting:
    """A coordinator with a clock of its own; `open` opens a crawl once nobody owns it."""

    def __init__(self, folder: Path, *, waits: bool = True) -> None:
        self.now = 0.0
        self.listening = Listening(folder, ("127.0.0.1", 0))
        self.standing_by = StandingBy(self.listening, LEASE_S, waits=waits, clock=lambda: self.now, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def open(self, crawl: Crawl) -> Callable[[], Crawl]:
        def opened() -> Crawl:
            while_owned = self.standing_by.candidate().while_owned
            assert while_owned is not None
            while crawl.is_owned:
                while_owned(crawl)
            return crawl

        return opened


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    waiting = Waiting(tmp_path)
    yield waiting
    waiting.listening.close()


def test_who_waits_says_once_who_owns_the_crawl_and_is_seen_by_it(waiting: Waiting) -> None:
    crawl = Crawl(ALIVE, ALIVE, ALIVE._replace(epoch=5, name="two:8"))
    with capture_logs() as logs:
        waiting.standing_by.until_open(waiting.open(crawl))
    address = waiting.listening.address
    assert [entry["event"] for entry in logs] == [
        f"the coordinator {name} owns the crawl since 2026-01-02 03:04:05 UTC: "
        f"this one stands by at {address}, and takes over when that one ends"
        for name in ("one:7", "two:8")
    ]
    assert (crawl.waiting, crawl.terminated) == ([address] * 3, 0)


def test_who_waits_refuses_members_and_names_the_owner_until_it_serves(waiting: Waiting) -> None:
    server, token = waiting.listening.open()
    manager = FleetManager.joining(token)
    waiting.standing_by._look(Crawl(ALIVE))
    with pytest.raises(Unreachable, match=f"another one at {ALIVE.address} owns the crawl"):
        manager.connect()
    waiting.standing_by.until_open(waiting.open(Crawl()))
    with pytest.raises(NotOwner, match="another one owns the crawl"):
        manager.connect()
    server.share({})
    server.start()
    manager.connect()
    manager.disconnect()


def test_who_waits_sends_nobody_to_an_owner_that_is_quiet(waiting: Waiting) -> None:
    _, token = waiting.listening.open()
    waiting.standing_by._look(Crawl(QUIET))
    with pytest.raises(NotOwner, match="another one owns the crawl"):
        FleetManager.joining(token).connect()


def test_an_owner_that_is_quiet_is_looked_at_more_often(waiting: Waiting) -> None:
    looks = []

    class Watched(Crawl):
        def owner(self) -> Owner | None:
            looks.append(waiting.now)
            return super().owner()

    waiting.standing_by.until_open(waiting.open(Watched(ALIVE, ALIVE, QUIET, QUIET, QUIET)))
    pauses_s = [after - before for before, after in pairwise(looks)]
    assert pauses_s == pytest.approx([LOOK_S, LOOK_S, 0.3, 0.3], abs=0.1)


@pytest.mark.parametrize(
    ("owners", "terminated"),
    [
        ((SILENT, SILENT, SILENT), 1),
        ((SILENT, ALIVE, SILENT), 0),
        ((SILENT, SILENT._replace(epoch=5)), 0),
        ((None, SILENT), 0),
    ],
    ids=["silent", "for a moment", "another one", "none yet"],
)
def test_the_session_of_an_owner_is_ended_only_if_it_stays_silent(
    waiting: Waiting, owners: tuple[Owner | None, ...], terminated: int
) -> None:
    crawl = Crawl(*owners)
    waiting.standing_by.until_open(waiting.open(crawl))
    assert crawl.terminated == terminated


def test_a_database_that_is_away_at_the_start_is_told_at_once(waiting: Waiting) -> None:
    def away() -> None:
        raise StoreUnreachable("cannot connect")

    with pytest.raises(StoreUnreachable, match="cannot connect"):
        waiting.standing_by.until_open(away)


@pytest.mark.parametrize("error", [StoreUnreachable, SinkUnreachable])
def test_who_has_served_waits_for_its_databases_and_says_so_every_ten_seconds(
    waiting: Waiting, error: type[CrawlFailed]
) -> None:
    until = 2.5 * SAID_EVERY_S

    def back() -> float:
        if waiting.now < until:
            raise error("cannot connect to it")
        return waiting.now

    waiting.standing_by.until_open(waiting.open(Crawl()))
    with capture_logs() as logs:
        waiting.standing_by.note_loss(CrawlLost("the connection was lost"))
        assert waiting.standing_by.until_open(back) == until
    assert [entry["event"] for entry in logs] == [
        "the connection was lost: this coordinator opens the crawl again when it can",
        *["cannot connect to it: this coordinator waits for it, and goes on then"] * 3,
    ]


def test_a_crawl_that_is_lost_again_and_again_is_opened_after_a_pause_and_that_is_said_every_ten_seconds(
    waiting: Waiting,
) -> None:
    with capture_logs() as logs:
        while waiting.now < 2.5 * SAID_EVERY_S:
            before = waiting.now
            waiting.standing_by.until_open(lambda: None)
            waiting.standing_by.note_loss(CrawlLost("the database has no room"))
            assert waiting.now == before + RETRY_S
    assert len(logs) == 3


def test_a_crawl_that_was_served_for_a_while_is_opened_again_at_once(waiting: Waiting) -> None:
    waiting.standing_by.until_open(lambda: None)
    waiting.now = lost_at = 2 * RETRY_S
    waiting.standing_by.note_loss(CrawlLost("the connection was lost"))
    assert waiting.now == lost_at


def test_only_who_wants_to_waits_for_its_first_turn_and_all_do_later(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path, waits=False)
    assert waiting.standing_by.candidate().while_owned is None
    waiting.standing_by.until_open(lambda: None)
    assert waiting.standing_by.candidate().while_owned is not None
    waiting.listening.close()
