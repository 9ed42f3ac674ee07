"""Real processes that are stopped, starved, killed by a page or lied to about the time: the crawl ends right."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from crawlfleet.shared.wire.reception import DESCRIPTORS_PART
from tests.fault.fleet_processes import await_that, connections, end_group, kill, python, signal_one
from tests.fault.hindered_crawl import Hindered, prepared, running
from tests.site.generated_site import Graph, make_graph

FAKETIME = sorted(Path(os.environ.get("CRAWLFLEET_FAKETIME", "/usr/lib")).glob("*/faketime/libfaketime.so.1"))
DISK_BYTES = 8 * 1024 * 1024
DESCRIPTORS = 48
DELAY_S = 0.1
TOLERANCE_S = 0.05
REJOIN_S = 3.0  # backoff is 2 s at most; the rest is for a busy machine

pytestmark = [pytest.mark.long, pytest.mark.timeout(150)]


def test_a_worker_that_was_stopped_beyond_its_lease_changes_nothing_and_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, pause_s=0.3) as crawl:
        crawl.await_hits(10)
        stopped = crawl.fleet.worker_at(crawl.site.hits[-1].client)
        assert stopped is not None
        signal_one(stopped, signal.SIGSTOP)
        await_that(crawl.site.repeats, 30, "page that is fetched again")
        signal_one(stopped, signal.SIGCONT)
        await_that(lambda: "saying hello again" in crawl.fleet.output("node"), 20, "worker that joins again")
        assert stopped in crawl.fleet.workers()

        assert crawl.end().refetched >= 1
    assert "a worker died" not in crawl.fleet.output("node")


@pytest.mark.usefixtures("each_store")
def test_what_a_machine_held_that_died_with_the_coordinator_is_done_by_another(tmp_path: Path) -> None:
    with running(tmp_path) as crawl:
        crawl.await_hits(15)
        assert crawl.fleet.node is not None
        assert crawl.fleet.coordinator is not None
        end_group(crawl.fleet.node)
        kill(crawl.fleet.coordinator)
        crawl.start()

        assert crawl.end().refetched >= 1


@pytest.mark.usefixtures("each_store")
def test_workers_outlive_a_coordinator_and_join_it_again_soon(tmp_path: Path) -> None:
    with running(tmp_path, pause_s=0.2) as crawl:
        crawl.await_hits(12)
        workers = sorted(crawl.fleet.joined_workers())
        _restart_coordinator(crawl)
        await_that(lambda: _listens(crawl.fleet.port), 30, "coordinator that listens")
        await_that(lambda: sorted(crawl.fleet.joined_workers()) == workers, REJOIN_S, "worker that joins again")

        crawl.end()
    assert len(workers) == 2
    assert "a worker died" not in crawl.fleet.output("node")


def test_a_second_coordinator_on_a_folder_is_told_who_holds_it(tmp_path: Path) -> None:
    with prepared(tmp_path) as crawl:
        crawl.fleet.start_coordinator()
        crawl.fleet.token()  # it has the folder now, and no worker that could end the crawl
        assert crawl.fleet.coordinator is not None
        command = (*python("crawlfleet.coordinator"), str(crawl.fleet.job), "--crawls", str(crawl.fleet.crawl.parent))
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

        assert second.returncode == 2
        assert f"is in use by the coordinator with process id {crawl.fleet.coordinator.pid}" in second.stderr
        crawl.fleet.start_node()
        crawl.end()


@pytest.mark.usefixtures("each_store")
def test_a_delayed_host_is_not_pressed_when_workers_and_coordinator_die(tmp_path: Path) -> None:
    politeness = f"politeness: {{delay: {DELAY_S}s, adaptive: false}}"
    with prepared(tmp_path, politeness, graph=make_graph(3, 30), pause_s=0.0) as crawl:
        crawl.start()
        for hits, end in ((6, _kill_workers), (14, _restart_coordinator), (22, _kill_workers)):
            crawl.await_hits(hits)
            end(crawl)
        crawl.end()

    starts = crawl.site.starts()
    gaps = sorted(after - before for before, after in pairwise(starts))
    assert gaps[0] >= DELAY_S - TOLERANCE_S, gaps[:5]


def test_a_page_that_kills_its_worker_ends_as_poison_and_all_others_are_fetched(tmp_path: Path) -> None:
    poison = "/page/7"
    (tmp_path / "deadly.py").write_text(
        f"import os\n\n\ndef parse(page):\n    if page.url.endswith({poison!r}):\n        os._exit(1)\n"
    )
    paths = [f"/page/{number}" for number in range(30)]
    star = Graph(links={"/": tuple(paths)} | dict.fromkeys(paths, ()), redirects={}, missing=frozenset())
    with prepared(tmp_path, "hooks: deadly.py", graph=star) as crawl:
        crawl.start()

        crawl.end(poison=frozenset({poison}))
    assert "a worker died" in crawl.fleet.output("node")


def test_a_full_disk_is_told_in_one_sentence_and_the_same_command_goes_on_with_room(tmp_path: Path) -> None:
    with prepared(tmp_path) as crawl, _small_disk(crawl.fleet.crawl.parent) as disk:
        crawl.start()
        crawl.await_hits(15)
        ballast = _fill(disk)
        assert crawl.fleet.coordinator is not None
        code = crawl.fleet.coordinator.wait(30)
        said = crawl.fleet.output("coordinator")
        ballast.unlink()
        crawl.fleet.start_coordinator()
        crawl.end()

    assert code == 1
    assert "Traceback" not in said
    assert "make room" in said


def test_a_coordinator_short_of_descriptors_neither_spins_nor_ends(tmp_path: Path) -> None:
    limit = ("sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh")
    with prepared(tmp_path, preface=limit) as crawl:
        crawl.start()
        crawl.await_hits(8)
        coordinator = crawl.fleet.coordinator
        assert coordinator is not None
        before = _descriptors(coordinator.pid)
        with ExitStack() as silent:
            for _ in range(2 * DESCRIPTORS):
                _knock(silent, crawl.fleet.port)
            crowd = DESCRIPTORS // DESCRIPTORS_PART
            await_that(lambda: _descriptors(coordinator.pid) >= before + crowd - 2, 10, "crowd of strangers")
            assert _descriptors(coordinator.pid) < DESCRIPTORS - 2
            spent_s = _cpu_s(coordinator.pid)
            began_at = time.monotonic()
            crawl.await_hits(25)  # whoever is in goes on
            share = (_cpu_s(coordinator.pid) - spent_s) / (time.monotonic() - began_at)

        crawl.end()
    assert share < 0.6


@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed (Debian: faketime)")
@pytest.mark.parametrize("jump", ["+1h", "-1h"])
def test_a_clock_that_jumps_neither_ends_leases_nor_stalls_the_crawl(tmp_path: Path, jump: str) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    with prepared(tmp_path, "lease: 5s", environment=_lying(clock)) as crawl:
        crawl.start()
        crawl.await_hits(12)
        clock.write_text(f"{jump}\n")

        assert crawl.end().refetched == 0
    assert crawl.losses() == 0


@pytest.mark.skipif(not FAKETIME, reason="libfaketime is not installed (Debian: faketime)")
@pytest.mark.parametrize("jump", ["+1h", "-1h"])
def test_a_crawl_goes_on_when_the_clock_jumped_while_its_coordinator_was_away(tmp_path: Path, jump: str) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    with prepared(tmp_path, environment=_lying(clock)) as crawl:
        crawl.start()
        crawl.await_hits(12)
        assert crawl.fleet.coordinator is not None
        kill(crawl.fleet.coordinator)
        clock.write_text(f"{jump}\n")
        crawl.fleet.start_coordinator()

        crawl.end()


def _kill_workers(crawl: Hindered) -> None:
    for pid in crawl.fleet.joined_workers():
        signal_one(pid, signal.SIGKILL)


def _restart_coordinator(crawl: Hindered) -> None:
    assert crawl.fleet.coordinator is not None
    kill(crawl.fleet.coordinator)
    crawl.fleet.start_coordinator()


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """Mount a small file system on a folder while the block runs; skip the test where that may not be done."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a file system can be mounted by root only: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(disk: Path) -> Path:
    """Take all room that is left; return the file that has it."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


def _knock(silent: ExitStack, port: int) -> None:
    """Open a connection and say nothing; one that is refused is as good."""
    with suppress(OSError):
        silent.enter_context(socket.create_connection(("127.0.0.1", port), 0.2))


def _listens(port: int) -> bool:
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in connections())


def _descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _lying(clock: Path) -> dict[str, str]:
    """Let processes read the wall clock with the offset that a file holds; the monotonic clock stays true."""
    return {
        "LD_PRELOAD": str(FAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
