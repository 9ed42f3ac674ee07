"""A crawl of two workers over a generated site, as real processes, to be hindered by a test and then judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crawlfleet.coordinator.crawl_folder import LOG
from tests.fault.crawl_checks import Findings, check
from tests.fault.fleet_processes import FleetProcesses
from tests.fault.torture import see_off, write_job
from tests.fault.toxic_proxy import ToxicProxy, hindering
from tests.site.generated_site import GeneratedSite, Graph, make_graph, serving_graph

SIZE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindered:
    """A crawl to be hindered: its processes and its site."""

    fleet: FleetProcesses
    site: GeneratedSite

    def start(self) -> None:
        """Start the coordinator and the node."""
        self.fleet.start_coordinator()
        self.fleet.start_node()

    def await_hits(self, count: int) -> None:
        """Wait until the site has been asked so often."""
        assert self.site.await_hits(count, 30), self.said()

    def losses(self) -> int:
        """Count the leases that the coordinator has lost so far."""
        return (self.fleet.crawl / LOG).read_text().count('"lease lost"')

    def said(self) -> str:
        """Return all that the processes have said."""
        return self.fleet.output("node") + self.fleet.output("coordinator")

    def end(self, *, poison: frozenset[str] = frozenset()) -> Findings:
        """Wait for the end; return what the crawl came to, having made sure that nothing is wrong with it."""
        problems = see_off(self.fleet)
        assert problems == [], self.said()
        findings = check(self.fleet.crawl, self.site, poison=poison)
        assert findings.is_clean, findings
        return findings


@contextmanager
def prepared(
    folder: Path,
    *lines: str,
    graph: Graph | None = None,
    pause_s: float = 0.05,
    preface: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    places: int = 1,
) -> Iterator[Hindered]:
    """Serve a site, and have a crawl over it ready to be started; `lines` are further lines of its job."""
    with serving_graph(graph or make_graph(1, SIZE), pause_s) as site:
        job = write_job(folder, site.base, *lines)
        with FleetProcesses(
            folder, job, start_method="fork", preface=preface, environment=environment, places=places
        ) as fleet:
            yield Hindered(fleet=fleet, site=site)


@contextmanager
def running(folder: Path, *lines: str, pause_s: float = 0.05) -> Iterator[Hindered]:
    """Run a crawl."""
    with prepared(folder, *lines, pause_s=pause_s) as crawl:
        crawl.start()
        yield crawl


@contextmanager
def behind_proxy(folder: Path, *lines: str, pause_s: float = 0.05) -> Iterator[tuple[Hindered, ToxicProxy]]:
    """Run a crawl whose workers reach the coordinator through a proxy only, and wait until it is under way."""
    with prepared(folder, *lines, pause_s=pause_s) as crawl:
        crawl.fleet.start_coordinator()
        crawl.fleet.token()
        with hindering(crawl.fleet.port) as proxy:
            crawl.fleet.start_node(crawl.fleet.token(proxy.port))
            crawl.await_hits(8)
            yield crawl, proxy
