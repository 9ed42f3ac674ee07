"""Two coordinators of one crawl in PostgreSQL, one of which stands by: nothing is lost, nothing doubled, gaps hold."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from crawlfleet import connect
from crawlfleet.coordinator.frontier.registry import place_for
from crawlfleet.errors import CrawlLost, NotOwner
from crawlfleet.shared.exits import INTERRUPTED
from crawlfleet.shared.messages import ExchangeRequest
from crawlfleet.shared.wire.manager import FleetManager
from tests.fault.fleet_processes import FleetProcesses, await_that, kill, unread_from
from tests.fault.torture import write_job
from tests.fault.two_coordinators import AGAIN, DELAY, END_S, OWNED_BY_OTHER, SEED, SERVING, Two, two_coordinators
from tests.site.generated_site import make_graph, serving_graph
from tests.site.postgresql_proxy import Passes, PostgresqlProxy
from tests.site.postgresql_server import PostgresqlServer, programs

ENDED = "its session was ended"

pytestmark = [
    pytest.mark.server,
    pytest.mark.long,
    pytest.mark.timeout(240),
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]


# What reads, and an exchange without changes.
ASKS: tuple[tuple[str, str, tuple[object, ...]], ...] = (
    ("Control", "status", ()),
    ("Queue", "size", ()),
    ("Queue", "exchange", (ExchangeRequest(session="nobody"),)),
    ("dict", "size", ()),
    ("dict", "page", (0, 1)),
)


class Askers:
    """Programs that are connected with one coordinator, and ask it once before it is stopped, and once later."""

    def __init__(self, fleet: FleetProcesses) -> None:
        self._port = fleet.port
        self._token = replace(fleet.token(), addresses=(("127.0.0.1", fleet.port),))
        self._pool = ThreadPoolExecutor(len(ASKS))
        self._may_ask = threading.Event()
        self._have_asked = threading.Barrier(len(ASKS) + 1)
        self._asked = [self._pool.submit(self._ask_twice, ask) for ask in ASKS]
        self._have_asked.wait(END_S)

    def __enter__(self) -> Askers:
        return self

    def __exit__(self, *_: object) -> None:
        self._may_ask.set()
        self._pool.shutdown()

    def ask(self) -> list[Future[object]]:
        """Let them ask again; return once all that they ask is where the coordinator will find it when it goes on."""
        self._may_ask.set()
        await_that(lambda: unread_from(os.getpid(), self._port) == len(ASKS), END_S, "question on its way")
        return self._asked

    def _ask_twice(self, ask: tuple[str, str, tuple[object, ...]]) -> object:
        typeid, method, arguments = ask
        manager = FleetManager.joining(self._token)
        manager.connect()
        asks = getattr(getattr(manager, typeid)(), method)
        asks(*arguments)
        self._have_asked.wait(END_S)
        self._may_ask.wait(END_S)
        return asks(*arguments)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with two_coordinators(tmp_path) as running:
        yield running


def test_the_other_goes_on_when_the_owner_is_killed(two: Two) -> None:
    addresses = {fleet: f"127.0.0.1:{fleet.port}" for fleet in (two.one, two.other)}
    with connect(two.one.token().encode()) as fleet:
        await_that(lambda: fleet.status().standing_by == (addresses[two.other],), END_S, "coordinator that stands by")
        assert fleet.status().address == addresses[two.one]
    assert two.one.coordinator is not None
    kill(two.one.coordinator)
    two.await_said(two.other, SERVING)
    assert two.ends_of(two.other) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_who_stands_by_ends_when_it_is_told_to_and_the_owner_goes_on(two: Two, number: signal.Signals) -> None:
    assert two.other.coordinator is not None
    two.other.coordinator.send_signal(number)
    assert two.other.coordinator.wait(END_S) == INTERRUPTED
    assert "Traceback" not in two.other.output("coordinator")
    assert two.ends_of(two.one) == []


def test_an_owner_ends_when_it_is_told_to_though_its_database_is_silent(tmp_path: Path) -> None:
    with (
        PostgresqlServer(syncs=True) as server,
        PostgresqlProxy(server) as proxy,
        serving_graph(make_graph(SEED), 0.01) as site,
        FleetProcesses(tmp_path, write_job(tmp_path, site.base, DELAY, f'frontier: "{proxy.address()}"')) as fleet,
    ):
        owner = fleet.start_coordinator()
        fleet.token()
        fleet.start_node()
        site.await_hits(10, END_S)
        proxy.passes = Passes.REQUESTS
        before = proxy.round_trips
        await_that(lambda: proxy.round_trips > before, END_S, "question to the database")
        owner.send_signal(signal.SIGTERM)
        assert owner.wait(END_S) == CrawlLost.exit_code
        assert "Traceback" not in fleet.output("coordinator")
        assert "database" in json.loads((fleet.crawl / "summary.json").read_text())["detail"]


def test_who_stands_by_ends_when_it_is_told_to_though_its_database_is_silent(tmp_path: Path) -> None:
    with PostgresqlServer(syncs=True) as server, PostgresqlProxy(server) as proxy:
        job = write_job(tmp_path, "http://127.0.0.1:1", f'frontier: "{proxy.address()}"')
        owner = place_for("process", server.address(), job.stem, tmp_path).open(power=False)
        with closing(owner), FleetProcesses(tmp_path, job) as fleet:
            waiting = fleet.start_coordinator()
            await_that(lambda: OWNED_BY_OTHER in fleet.output("coordinator"), END_S, "coordinator that stands by")
            proxy.passes = Passes.REQUESTS
            before = proxy.round_trips
            await_that(lambda: proxy.round_trips > before, END_S, "question to the database")
            waiting.send_signal(signal.SIGINT)
            assert waiting.wait(END_S) == INTERRUPTED
            assert "Traceback" not in fleet.output("coordinator")


def test_an_owner_that_was_stopped_answers_nothing_and_stands_by_when_it_goes_on(two: Two) -> None:
    assert two.one.coordinator is not None
    with Askers(two.one) as askers:
        two.one.coordinator.send_signal(signal.SIGSTOP)
        two.await_said(two.other, ENDED)
        two.await_said(two.other, SERVING)
        asked = askers.ask()
        two.one.coordinator.send_signal(signal.SIGCONT)
        assert [type(each.exception(END_S)) for each in asked] == [NotOwner] * len(ASKS)
    two.await_said(two.one, AGAIN)
    two.await_said(two.one, OWNED_BY_OTHER)
    assert two.ends_of(two.other, two.one) == []


@pytest.mark.parametrize("away_s", [0.0, 2.0], ids=["at once", "later"])
def test_coordinators_wait_for_a_server_that_was_killed(two: Two, away_s: float) -> None:
    two.server.kill()
    time.sleep(away_s)
    two.server.start()
    two.await_said(two.one, AGAIN)
    assert two.ends_of(two.one, two.other) == []
