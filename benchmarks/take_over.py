"""How long a crawl in PostgreSQL has no coordinator when its owner dies, is stopped, or its database is replaced.

    python -m benchmarks.take_over [--rounds 10] [--lease 1] [--only killed stopped promoted]

Two coordinators of one crawl, one of which stands by, and a node of two workers that fetch pages meanwhile, are real
processes on this machine; PostgreSQL waits for its disk. In each round the owner is killed, or stopped and continued
after the take-over, or the primary of the database is killed and its synchronous standby promoted. Measured is the time
from there until a program that knows the addresses of both gets an answer: from the other one, or where the database
is replaced, from any. Needs Debian's package of PostgreSQL.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg

from crawlfleet.shared.errors import CrawlfleetError
from crawlfleet.shared.wire.manager import FleetManager
from tests.fault.fleet_processes import FleetProcesses, await_that, kill
from tests.site.generated_site import GeneratedSite, make_graph, serving_graph
from tests.site.postgresql_server import USER, PostgresqlServer

PATIENCE_S = 120.0
LOOK_EVERY_S = 0.01
# A coordinator that is silent during a call is given up after so long: the program is not connected before.
ASK_S = 0.45
PAGES = 2_000
STANDS_BY = "this one stands by at"
KILLED_GOAL_S = 5.0
STOPPED_GOAL_LEASES = 3.0


class Pair:
    """Two coordinators of one crawl at an address, each in a folder of its own, and a node."""

    def __init__(self, folder: Path, site: GeneratedSite, address: str, lease_s: float) -> None:
        job = folder / "crawl.yaml"
        job.write_text(
            f"name: crawl\nseeds: ['{site.base}/']\nlease: {lease_s}s\nfrontier: '{address}'\n"
            "politeness: {delay: 100ms, adaptive: false}\n"
        )
        self.fleets = [self._fleet(folder / name, job) for name in ("one", "other")]
        self._options = (
            "--wait",
            f"--identity={folder / 'identity'}",
            *(f"--advertise=127.0.0.1:{fleet.port}" for fleet in self.fleets),
        )

    @staticmethod
    def _fleet(folder: Path, job: Path) -> FleetProcesses:
        folder.mkdir()
        return FleetProcesses(folder, job)

    def start(self) -> None:
        """Start both, and a node."""
        owner, other = self.fleets
        owner.start_coordinator(*self._options)
        self.await_answer(owner)
        other.start_coordinator(*self._options)
        self.await_standing_by(other, 1)
        owner.start_node()

    def stand_by(self, fleet: FleetProcesses) -> None:
        """Start a coordinator that was killed once more."""
        times = self.times_stood_by(fleet)
        fleet.start_coordinator(*self._options)
        self.await_standing_by(fleet, times + 1)

    def times_stood_by(self, fleet: FleetProcesses) -> int:
        """Return how often a coordinator has said that it stands by."""
        return fleet.output("coordinator").count(STANDS_BY)

    def await_standing_by(self, fleet: FleetProcesses, times: int) -> None:
        """Wait until a coordinator has said so often that it stands by."""
        await_that(lambda: self.times_stood_by(fleet) >= times, PATIENCE_S, "coordinator that stands by")

    def await_answer(self, *fleets: FleetProcesses) -> None:
        """Wait until a program that knows both gets an answer from one of these coordinators."""
        places = [f"127.0.0.1:{fleet.port}" for fleet in fleets]
        addresses = tuple(("127.0.0.1", fleet.port) for fleet in self.fleets)
        manager = FleetManager.joining(replace(self.fleets[0].token(), addresses=addresses), ASK_S)
        await_that(lambda: _answer(manager) in places, PATIENCE_S, "answer of a coordinator")
        manager.disconnect()


def _answer(manager: FleetManager) -> str:
    """Return where the coordinator is that answers; empty if none does."""
    try:
        manager.connect()
        return manager.Control().status().address
    except CrawlfleetError:
        return ""


def killed(folder: Path, site: GeneratedSite, lease_s: float, rounds: int) -> Iterator[float]:
    """Yield the times of take-overs after kill -9 of the owner."""
    with running(folder, site, lease_s) as pair:
        for _ in range(rounds):
            owner, other = pair.fleets
            assert owner.coordinator is not None
            began_at = time.monotonic()
            kill(owner.coordinator)
            pair.await_answer(other)
            yield time.monotonic() - began_at
            pair.stand_by(owner)
            pair.fleets.reverse()


def stopped(folder: Path, site: GeneratedSite, lease_s: float, rounds: int) -> Iterator[float]:
    """Yield the times of take-overs after SIGSTOP of the owner, which goes on after each."""
    with running(folder, site, lease_s) as pair:
        for _ in range(rounds):
            owner, other = pair.fleets
            assert owner.coordinator is not None
            times = pair.times_stood_by(owner)
            began_at = time.monotonic()
            owner.coordinator.send_signal(signal.SIGSTOP)
            pair.await_answer(other)
            yield time.monotonic() - began_at
            owner.coordinator.send_signal(signal.SIGCONT)
            pair.await_standing_by(owner, times + 1)
            pair.fleets.reverse()


def promoted(folder: Path, site: GeneratedSite, lease_s: float, rounds: int) -> Iterator[float]:
    """Yield the times from kill -9 of the primary to an answer, while a script promotes its standby at once."""
    for number in range(rounds):
        with PostgresqlServer(syncs=True) as primary, PostgresqlServer(syncs=True, of=primary) as standby:
            _ask(primary, "ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()")
            address = f"postgresql:///postgres?host={primary.folder},{standby.folder}&user={USER}"
            own = folder / str(number)
            own.mkdir()
            pair = Pair(own, site, address, lease_s)
            with pair.fleets[0], pair.fleets[1]:
                pair.start()
                began_at = time.monotonic()
                primary.kill()
                (primary.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
                standby.promote()
                _ask(standby, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
                pair.await_answer(*pair.fleets)
                yield time.monotonic() - began_at


@contextmanager
def running(folder: Path, site: GeneratedSite, lease_s: float) -> Iterator[Pair]:
    """Run a pair over a server of its own."""
    with ExitStack() as stack:
        server = stack.enter_context(PostgresqlServer(syncs=True))
        pair = Pair(folder, site, server.address(), lease_s)
        for fleet in pair.fleets:
            stack.enter_context(fleet)
        pair.start()
        yield pair


def _ask(server: PostgresqlServer, *queries: str) -> None:
    with psycopg.connect(server.address(), autocommit=True) as db:
        for query in queries:
            db.execute(query.encode())


Kind = Callable[[Path, GeneratedSite, float, int], Iterator[float]]
KINDS: dict[str, Kind] = {"killed": killed, "stopped": stopped, "promoted": promoted}


def report(name: str, times_s: Sequence[float], lease_s: float) -> str:
    """Return a line about the take-overs of a kind."""
    goal_s = STOPPED_GOAL_LEASES * lease_s if name == "stopped" else KILLED_GOAL_S
    median, worst = statistics.median(times_s), max(times_s)
    held = sum(time_s <= goal_s for time_s in times_s)
    return (
        f"{name:10} lease {lease_s:g} s: median {median:.2f} s ({median / lease_s:.2f} leases), worst {worst:.2f} s "
        f"({worst / lease_s:.2f}), {held} of {len(times_s)} within {goal_s:g} s"
    )


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.take_over", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--lease", metavar="SECONDS", type=float, default=1.0)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder, serving_graph(make_graph(1, PAGES), 0.01) as site:
            times_s = []
            for time_s in KINDS[name](Path(folder), site, options.lease, options.rounds):
                times_s.append(time_s)
                print(f"{name}: {time_s:.2f} s", flush=True)
        print(report(name, times_s, options.lease), flush=True)


if __name__ == "__main__":
    main()
