"""Programs with the token that open sessions by the thousand, fall silent, cut requests, or read no answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.coordinator_process import connect
from benchmarks.mutated_frames import SEEDS, Keeper, await_end, finish
from benchmarks.object_servers import coordinator
from benchmarks.strangers import Insider, grown_since, holdings
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.shared.messages import ExchangeRequest, Hello
from crawlfleet.shared.objects import OPEN, ObjectCall
from crawlfleet.shared.pools import Ask, AskRequest
from crawlfleet.shared.wire import frames
from crawlfleet.shared.wire.frames import WireConnection
from crawlfleet.shared.wire.intake import INTAKE_BYTES
from crawlfleet.shared.wire.join_token import read_token

pytestmark = pytest.mark.long

LEASE = "lease: 20s\npoliteness: {delay: 0s, per_host: 4}\n"
SESSIONS = 2_000
CUT = 60
UNREAD = 20
PATIENCE_S = 90.0
MB = 1024 * 1024


class Port(NamedTuple):
    """A coordinator that has three pages: its process, and the file of its token."""

    pid: int
    join: Path

    def member(self) -> WireConnection:
        """Return a connection that is let in, for saying what no proxy would say."""
        token = read_token(self.join)
        connection = frames.connect(token.fingerprint, token.addresses[0], token.secret)
        connection.within(PATIENCE_S)
        return connection

    def assert_ends_right(self, keeper: Keeper) -> None:
        """Let an honest worker do what is left, once nobody keeps the crawl open any more, and prove the crawl."""
        with ThreadPoolExecutor(1) as pool:
            fetched = pool.submit(finish, self.join)
            keeper.close()
            assert fetched.result(PATIENCE_S) >= len(SEEDS)
        await_end(self.pid)
        proof = verify(self.join.parent / "crawls" / "objects")
        assert proof.holds, proof.invariants
        assert not proof.unfinished


@pytest.fixture
def port() -> Iterator[Port]:
    with coordinator("process", LEASE, SEEDS) as (pid, join):
        yield Port(pid, join)


class Program:
    """One program, which opens sessions that may take pages, hold objects, ask for pages, and do nothing more."""

    def __init__(self, join: Path) -> None:
        self.fleet = connect(join)
        self._queue, self._objects, self._pools = self.fleet.Queue(), self.fleet.Objects(), self.fleet.Pools()

    def open_session(self, number: int) -> None:
        """Open one more session."""
        session = f"session-{number}"
        self._queue.hello(Hello(session=session, worker=f"worker-{number}", fetches=number % 2 == 0))
        self._queue.exchange(ExchangeRequest(session=session, want=number % 3))
        name = f"lock-{number % 500}"
        self._objects.call(
            ObjectCall(
                session=session, thread=0, slot=0, number=1, kind="Lock", name=name, method=OPEN, args=(), timeout_s=0.0
            )
        )
        ask = Ask(ticket=1, url=f"http://a.test/asked-{number % 500}")
        self._pools.ask(AskRequest(session=session, pool=1, asks=(ask,)))


def test_thousands_of_sessions_of_one_program_are_forgotten_when_they_are_silent(port: Port) -> None:
    program, keeper, insider = Program(port.join), Keeper(port.join), Insider(port.join)
    control = program.fleet.Control()
    most = control.status().sessions
    before = holdings(port.pid)
    for number in range(SESSIONS):
        program.open_session(number)
        if number % 20 == 0:
            keeper.renew()
            most = max(most, control.status().sessions)
    until = time.monotonic() + PATIENCE_S
    while control.status().sessions > 1:
        assert time.monotonic() < until
        keeper.renew()
        time.sleep(0.1)
    grown = grown_since(port.pid, before)
    insider.stop()
    print(f"{most:,} sessions at once, grown by {grown}; the longest answer took {insider.longest_s:.2f} s")
    assert most > 100
    assert max(grown.descriptors - 2, grown.threads - 1) <= 0  # those of checkpoints
    assert grown.memory_mb < 40
    program.fleet.disconnect()
    port.assert_ends_right(keeper)


def test_whoever_says_hello_and_falls_silent_holds_pages_for_the_time_of_a_lease(port: Port) -> None:
    keeper = Keeper(port.join)
    with ExitStack() as stack:
        for number in range(CUT):
            program = Program(port.join)
            stack.callback(program.fleet.disconnect)
            program.open_session(number)
            keeper.renew()
        port.assert_ends_right(keeper)


def test_requests_that_are_cut_in_the_middle_take_no_more_room_than_there_is(port: Port) -> None:
    insider = Insider(port.join)
    before = holdings(port.pid)
    size = frames.FRAME_LIMIT
    cut = [port.member() for _ in range(CUT)]
    try:
        for connection in cut:
            connection.within(1.0)
            with suppress(TimeoutError):
                connection.write(size.to_bytes(4) + bytes(size - 1))
        held = holdings(port.pid)
    finally:
        for connection in cut:
            connection.close()
        insider.stop()
    print(
        f"{CUT} cut requests of {size / MB:.0f} MiB: {held}, before {before}; others waited {insider.longest_s:.2f} s"
    )
    assert held.threads - before.threads == CUT
    assert held.memory_mb - before.memory_mb < 1.2 * INTAKE_BYTES / MB < CUT * size / MB / 2
    grown = grown_since(port.pid, before)
    assert max(grown.descriptors, grown.threads) <= 0


def read_nothing(connection: WireConnection) -> None:
    """Ask for the status until no more can be sent, and read no answer."""
    connection.send([None, "accept_connection", ["test"], {}])
    incarnation = connection.recv()[1]
    with suppress(OSError):
        while True:
            connection.send([f"Control:{incarnation}", "status", [], {}])


def test_whoever_never_reads_an_answer_is_ended(port: Port) -> None:
    insider = Insider(port.join)
    before = holdings(port.pid)
    unread = [port.member() for _ in range(UNREAD)]
    with ThreadPoolExecutor(UNREAD) as pool:
        over = [pool.submit(read_nothing, connection) for connection in unread]
        held = holdings(port.pid)
        for each in over:
            each.result(2 * PATIENCE_S)
    insider.stop()
    grown = grown_since(port.pid, before)
    print(f"{UNREAD} unread: {held}, before {before}; grown by {grown}; others waited {insider.longest_s:.2f} s")
    assert max(grown.descriptors, grown.threads) <= 0
    assert grown.memory_mb < 40
    for connection in unread:
        connection.close()
