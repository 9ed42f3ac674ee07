"""Two coordinators of one crawl in PostgreSQL, one of which stands by, and the workers of both, as real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from crawlfleet.coordinator.known_commits import COMMITS
from crawlfleet.coordinator.offline.audit import audit
from tests.fault.crawl_checks import check
from tests.fault.fleet_processes import FleetProcesses, await_that
from tests.fault.torture import see_off, write_job
from tests.site.generated_site import GeneratedSite, make_graph, serving_graph
from tests.site.postgresql_server import PostgresqlServer

END_S = 90.0
OWNED_BY_OTHER = "owns the crawl since"
SERVING = "start workers on this machine with:"
#: What an owner says that has lost its crawl.
AGAIN = "opens the crawl again when it can"

SEED = 1
DELAY = "politeness: {delay: 100ms, per_host: 4, adaptive: false}"


class Progress(NamedTuple):
    """How far a crawl is, by what a coordinator has noted: in which opening, and how many commits."""

    epoch: int = 0
    commits: int = 0


class TwoCoordinators:
    """`one` and the `other`, each in a folder of its own; both have the identity and the addresses of the crawl."""

    def __init__(self, folder: Path, job: Path, frontiers: Sequence[str]) -> None:
        """`frontiers` has two addresses of the database: by which each of the two comes to it."""
        self.one, self.other = (_fleet(folder / name, job) for name in ("one", "other"))
        self._frontiers = dict(zip((self.one, self.other), frontiers, strict=True))
        self._options = (
            f"--identity={folder / 'identity'}",
            *(f"--advertise=127.0.0.1:{fleet.port}" for fleet in (self.one, self.other)),
        )
        self._leaves = ExitStack()

    def __enter__(self) -> Self:
        """Start one, the other, and then the workers. All are killed at the end."""
        with ExitStack() as entered:
            for fleet in (self.one, self.other):
                entered.enter_context(fleet)
            self.start(self.one)
            self.one.token()
            self.start(self.other)
            self.await_said(self.other, OWNED_BY_OTHER)
            self.other.node = self.one.start_node()
            self._leaves = entered.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaves.close()

    def start(self, fleet: FleetProcesses) -> None:
        """Start the coordinator of one of the two, or start it again."""
        fleet.start_coordinator(*self._options, "--frontier", self._frontiers[fleet])

    def owner(self) -> FleetProcesses:
        """Return who has opened the crawl last."""
        return max((self.one, self.other), key=progress_of)

    def progress(self) -> Progress:
        """Return how far the crawl is."""
        return max(map(progress_of, (self.one, self.other)))

    def is_opened_after(self, epoch: int) -> bool:
        """Say whether the crawl was opened again after this opening."""
        return self.progress().epoch > epoch

    def await_said(self, fleet: FleetProcesses, words: str, times: int = 1) -> None:
        """Wait until a coordinator has said some words so often."""

        def is_said() -> bool:
            return fleet.output("coordinator").count(words) >= times

        await_that(is_said, END_S, f"{words!r} of a coordinator")


class Two(TwoCoordinators):
    """Two coordinators that crawl a site, and the server of their database."""

    def __init__(self, folder: Path, site: GeneratedSite, server: PostgresqlServer) -> None:
        self.site = site
        self.server = server
        super().__init__(folder, write_job(folder, site.base, DELAY), [server.address()] * 2)

    def ends_of(self, *fleets: FleetProcesses) -> list[str]:
        """Wait until coordinators have ended, and return what is wrong with what the last of them has left."""
        problems = [problem for fleet in fleets for problem in see_off(fleet)]
        last = last_of(fleets)
        findings = check(last, self.site)
        return [*problems, *audited(last), *([] if findings.is_clean else [str(findings)])]


@contextmanager
def two_coordinators(folder: Path) -> Iterator[Two]:
    """Run two coordinators and their workers over a server of their own, until they are at work."""
    graph = make_graph(SEED)
    with PostgresqlServer(syncs=True) as server, serving_graph(graph, 0.01) as site, Two(folder, site, server) as two:
        site.await_hits(10, END_S)
        yield two


def progress_of(fleet: FleetProcesses) -> Progress:
    """Return how far a crawl is by what the folder of a coordinator has noted."""
    with suppress(OSError, ValueError):  # it has noted nothing yet, or does so now
        known = json.loads((fleet.crawl / COMMITS).read_bytes())
        return Progress(known["epoch"], known["commits"])
    return Progress()


def audited(crawl: Path) -> list[str]:
    """Compare the gaps between the requests of a crawl with those that were required; return which were too short."""
    return [f"{host.host} was asked too soon: {host}" for host in audit(crawl).hosts if host.too_soon]


def last_of(fleets: Sequence[FleetProcesses]) -> Path:
    """Return the folder of a crawl that has ended: of the coordinator that has written its rows last."""
    return max((fleet.crawl for fleet in fleets), key=lambda crawl: (crawl / "items.jsonl").stat().st_mtime)


def _fleet(folder: Path, job: Path) -> FleetProcesses:
    folder.mkdir()
    return FleetProcesses(folder, job, start_method="fork")
