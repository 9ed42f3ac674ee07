"""The script that promotes a standby, as the page about crawls in PostgreSQL has it; and a primary that comes back."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.shared.errors import UsageError
from tests.fault.crawl_checks import check
from tests.fault.fleet_processes import FleetProcesses, await_that, kill
from tests.fault.torture import see_off, write_job
from tests.site.driven_crawl import PAGES, driven
from tests.site.generated_site import make_graph, serving_graph
from tests.site.postgresql_server import AS_USER, USER, PostgresqlServer, programs
from tests.site.replicated_servers import address_of_both, replicated

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/keep-a-crawl-in-postgresql.md").read_text("utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"^```\w+ (\w+=[\w.]+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
#: What is different where the command of the page is used: both servers, and what stops the old primary.
PRINTED = (
    "host=a.test user=postgres",
    "host=b.test user=postgres",
    "ssh a.test sudo systemctl disable --now postgresql",
)
DELAY = "politeness: {delay: 100ms, per_host: 4, adaptive: false}"

pytestmark = [
    pytest.mark.server,
    pytest.mark.long,
    pytest.mark.timeout(240),
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]
SLOW = "has acknowledged nothing for"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'crawlfleet' AND wait_event = 'SyncRep'"
Servers = tuple[PostgresqlServer, PostgresqlServer]


@pytest.fixture
def servers() -> Iterator[Servers]:
    with replicated() as servers:
        yield servers


def promote(primary: PostgresqlServer, standby: PostgresqlServer, *fence: str) -> tuple[int, str]:
    """Run the page's command for these servers; return its exit code and the last line that it has said."""
    command = BLOCKS["promote=standby"]
    own = [f"host={server.folder} user={USER} dbname=postgres" for server in (primary, standby)]
    for printed, used in zip(PRINTED, (*own, shlex.join(fence)), strict=True):
        assert command.count(printed) == 1
        command = command.replace(printed, used)
    done = subprocess.run(("sh", "-c", command), cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    return done.returncode, (done.stdout + done.stderr).strip().rpartition("\n")[2]


def stopping(server: PostgresqlServer) -> tuple[str, ...]:
    return (*AS_USER, f"{programs()}/pg_ctl", "-D", f"{server.folder}/data", "-m", "immediate", "stop")


def assert_refused(primary: PostgresqlServer, standby: PostgresqlServer, fence: str, why: str) -> None:
    """Run the page's command where it must promote nothing."""
    code, said = promote(primary, standby, fence)
    assert (code, why in said, "nothing was" in said) == (1, True, True), said


def test_a_crawl_goes_on_with_the_standby_that_is_promoted_once_the_primary_is_down(
    servers: Servers, tmp_path: Path
) -> None:
    primary, standby = servers
    assert_refused(primary, standby, "false", "the old primary may be running")
    assert_refused(primary, standby, "true", "still answers")
    assert_refused(standby, primary, "true", "is no standby")
    with serving_graph(make_graph(2)) as site:
        job = write_job(tmp_path, site.base, DELAY, f"frontier: '{address_of_both(*servers)}'")
        with FleetProcesses(tmp_path, job) as fleet:
            fleet.start_coordinator()
            fleet.start_node()
            assert site.await_hits(20, 60)
            code, said = promote(primary, standby, *stopping(primary))
            assert (code, "is the primary now" in said) == (0, True), said
            assert see_off(fleet) == []
        assert "opens the crawl again when it can" in fleet.output("coordinator")
        findings = check(fleet.crawl, site)
        assert findings.is_clean, findings


def test_a_primary_that_comes_back_acknowledges_nothing_without_its_standby(servers: Servers, tmp_path: Path) -> None:
    primary, standby = servers
    with serving_graph(make_graph(2)) as site:
        job = write_job(tmp_path, site.base, DELAY, f"frontier: '{address_of_both(*servers)}'")
        with FleetProcesses(tmp_path, job) as fleet:
            fleet.start_coordinator()
            fleet.start_node()
            assert site.await_hits(20, 60)
            assert fleet.coordinator is not None
            kill(fleet.coordinator)
            assert promote(primary, standby, *stopping(primary))[0] == 0
            primary.start()
            waiting = fleet.start_coordinator()
            with psycopg.connect(primary.address(), autocommit=True) as db:
                await_that(lambda: db.execute(WAITING).fetchone() == (1,), 60, "coordinator that waits for a standby")
            await_that(lambda: SLOW in fleet.output("coordinator"), 60, "word of the coordinator that it waits")
            primary.stop()
            assert waiting.wait(60) != 0
            fleet.start_coordinator()
            assert see_off(fleet) == []
        findings = check(fleet.crawl, site)
        assert findings.is_clean, findings


def test_a_primary_that_comes_back_is_refused_for_what_it_lacks(tmp_path: Path) -> None:
    with PostgresqlServer(syncs=True) as primary, PostgresqlServer(syncs=True, of=primary) as standby:
        stored = f"frontier: '{address_of_both(primary, standby)}'"
        with driven(tmp_path, 1, more=stored) as crawl:
            path = crawl.folder.path
        assert promote(primary, standby, *stopping(primary))[0] == 0
        with driven(tmp_path, PAGES - 1, more=stored):
            pass
        primary.start()
        with pytest.raises(UsageError, match="has lost commits that were acknowledged"), driven(tmp_path, more=stored):
            pass
        primary.stop()
        assert verify(path).holds
