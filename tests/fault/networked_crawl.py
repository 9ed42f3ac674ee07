"""A crawl whose databases, two coordinators and four workers have a machine each; its site is where the test runs."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from crawlfleet import connect
from crawlfleet.coordinator.crawl_folder import JOIN
from crawlfleet.shared.wire.join_token import JoinToken, read_token
from crawlfleet.shared.wire.manager import FleetManager
from tests.fault.crawl_checks import check
from tests.fault.fleet_processes import await_that, end_group, python
from tests.fault.machines import ROOM, Machine, Network
from tests.fault.torture import NODE_END_S, NODE_FAREWELL_S, write_job
from tests.site.generated_site import GeneratedSite, make_graph, serving_graph
from tests.site.postgresql_server import USER, PostgresqlServer

NAME = "networks"
PORT = 7320
EVERYWHERE = "listen_addresses=*"
WORKERS = 4
END_S = 90.0
SERVING = "start workers on this machine with:"
OWNED_BY_OTHER = "owns the crawl since"
AGAIN = "opens the crawl again when it can"
PAGES_PER_S, PER_HOST = 10, 4
JOB = (
    f"politeness: {{delay: 50ms, per_host: {PER_HOST}, adaptive: false}}",
    "lease: 2s",
    "fetch: {timeout: 2s, connect_timeout: 1s, retries: 20}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinator:
    """A coordinator, its machine, and its folder there."""

    machine: Machine
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def crawl(self) -> Path:
        """The crawl's folder on its machine."""
        return self.folder / "crawls" / NAME

    def count(self, words: str) -> int:
        """Count how often it has said some words."""
        return (self.folder / "said.txt").read_text(errors="replace").count(words)

    def await_said(self, words: str, times: int = 1) -> None:
        """Wait until it has said some words so often."""
        await_that(lambda: self.count(words) >= times, END_S, f"{words!r} of a coordinator")


class NetworkedCrawl:
    """The running crawl: who owns it is asked of its database, the first or, once that has ended, the second of
    `databases`. The test can always reach them."""

    def __init__(self, network: Network, site: GeneratedSite, databases: Sequence[Machine], query: str) -> None:
        hosts = ",".join(machine.address for machine in databases)
        self.address = f"postgresql://{USER}@{hosts}/postgres?target_session_attrs=read-write{query}"
        self.network = network
        self.site = site
        self.databases = databases
        self.workers = [network.add() for _ in range(WORKERS)]
        self.coordinators: list[Coordinator] = []
        self._nodes: list[subprocess.Popen[bytes]] = []

    def start(self, folder: Path, seed: int) -> None:
        """Start a coordinator, another one that stands by, and the workers; wait until the crawl is under way."""
        job = write_job(folder, self.site.base, *JOB, f'frontier: "{self.address}"', name=NAME)
        machines = [self.network.add() for _ in range(2)]
        advertised = [f"--advertise={machine.address}:{PORT}" for machine in machines]
        for machine, said in zip(machines, (SERVING, OWNED_BY_OTHER), strict=True):
            own = folder / machine.address
            own.mkdir()
            options = ("--bind", f"{machine.address}:{PORT}", *advertised, "--identity", str(folder / "identity"))
            command = (*python("crawlfleet.coordinator"), str(job), *options, "--crawls", str(own / "crawls"))
            process = machine.start(own / "said.txt", *command)
            self.coordinators.append(Coordinator(machine=machine, folder=own, process=process))
            self.coordinators[-1].await_said(said)
        join = ("--join-file", str(self.coordinators[0].crawl / JOIN))
        how = ("--processes", "1", "--threads", "4", "--start-method", ("fork", "spawn")[seed % 2])
        for number, machine in enumerate(self.workers):
            node = machine.start(folder / f"node{number}.txt", *python("crawlfleet.worker"), *join, *how)
            self._nodes.append(node)
        assert self.site.await_hits(10, END_S)

    def end(self) -> None:
        """End all that still runs."""
        for process in (*self._nodes, *(each.process for each in self.coordinators)):
            end_group(process)

    @property
    def owner(self) -> Coordinator:
        """The coordinator that owns the crawl."""
        return self._ledger()[0]

    @property
    def epoch(self) -> int:
        """How often the crawl has been opened."""
        return self._ledger()[1]

    def other(self, coordinator: Coordinator) -> Coordinator:
        """Return the coordinator that is not this one."""
        (found,) = (each for each in self.coordinators if each is not coordinator)
        return found

    def is_over(self) -> bool:
        """Say whether a coordinator has ended."""
        return any(each.process.poll() is not None for each in self.coordinators)

    def put(self, coordinator: Coordinator) -> None:
        """Ask one coordinator to fetch a page that the site does not have: nobody will have asked for it in the end."""
        manager = FleetManager.joining(self._token_of(coordinator), END_S)
        try:
            manager.Queue().put(f"{self.site.base}/put")
        finally:
            manager.disconnect()

    def await_workers(self, owner: Coordinator) -> None:
        """Wait until all workers have joined the owner."""
        with connect(self._token_of(owner).encode(), END_S) as fleet:
            await_that(lambda: fleet.status().workers == WORKERS, END_S, "owner with all workers")

    def problems(self) -> list[str]:
        """Wait until all have ended; return what is wrong, with how they ended, or with what they left."""
        programs = [each.process for each in self.coordinators]
        await_that(lambda: all(each.poll() is not None for each in programs), END_S, "end of the crawl")
        found = [f"a coordinator ended with exit code {each.returncode}" for each in programs if each.returncode]
        found += [f"a node ended with exit code {code}" for code in map(_see_off, self._nodes) if code]
        last = max(self.coordinators, key=lambda each: (each.crawl / "items.jsonl").stat().st_mtime)
        findings = check(last.crawl, self.site)
        command = (*python("crawlfleet"), "audit-politeness", str(last.crawl))
        audit = subprocess.run(command, capture_output=True, text=True, check=False)
        found += [audit.stdout + audit.stderr] if audit.returncode else []
        return found + ([] if findings.is_clean else [str(findings)])

    def _ledger(self) -> tuple[Coordinator, int]:
        with psycopg.connect(self.address) as db:
            address, epoch = db.execute(f"SELECT address, epoch FROM crawl_{NAME}.ledger".encode()).fetchone() or (
                "",
                0,
            )
        (owner,) = (each for each in self.coordinators if address == f"{each.machine.address}:{PORT}")
        return owner, epoch

    def _token_of(self, coordinator: Coordinator) -> JoinToken:
        token = read_token(self.coordinators[0].crawl / JOIN)
        return replace(token, addresses=((coordinator.machine.address, PORT),))


@contextmanager
def database_on(network: Network) -> Iterator[tuple[Machine, PostgresqlServer]]:
    """Run a database on a machine of its own."""
    machine = network.add()
    server = PostgresqlServer(EVERYWHERE, syncs=True, preface=machine.enter)
    with (server.folder / "data" / "pg_hba.conf").open("a") as access:
        access.write(f"host all all {ROOM} trust\n")
    with server:
        yield machine, server


@contextmanager
def crawling(
    folder: Path, seed: int, pages: int, network: Network, *databases: Machine, query: str = ""
) -> Iterator[NetworkedCrawl]:
    """Run a crawl of so many pages in one of some databases, whose address has this query, too. Its site gives
    `PAGES_PER_S` while it pauses."""
    with serving_graph(make_graph(seed, pages), PER_HOST / PAGES_PER_S, network.here.address) as site:
        crawl = NetworkedCrawl(network, site, databases, query)
        try:
            crawl.start(folder, seed)
            yield crawl
        finally:
            crawl.end()


def _see_off(node: subprocess.Popen[bytes]) -> int:
    """Let a node end, or end it if it looks for a coordinator; return its exit code."""
    try:
        return node.wait(NODE_FAREWELL_S)
    except subprocess.TimeoutExpired:
        node.send_signal(signal.SIGTERM)
        return node.wait(NODE_END_S)
