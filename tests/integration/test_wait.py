"""Crawls that are kept open for programs (`--wait`)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crawlfleet import connect
from crawlfleet.fleet.arrival import await_coordinator
from crawlfleet.shared.errors import Unreachable
from crawlfleet.shared.messages import ExchangeRequest, Hello
from crawlfleet.shared.wire.manager import FleetManager
from tests.acceptance import crawls
from tests.site.served_crawl import ServedCrawl, served, write_job
from tests.site.small_site import page, serving


@contextmanager
def joined(crawl: ServedCrawl, *sessions: str) -> Iterator[FleetManager]:
    """Let sessions say hello; provide their connection."""
    manager = await_coordinator(crawl.token, 10)
    for session in sessions:
        manager.Queue().hello(Hello(session=session))
    yield manager
    manager.disconnect()


def goodbye(manager: FleetManager, session: str) -> None:
    """End a session. After the last one the coordinator may be gone before it has answered."""
    with suppress(Unreachable):
        manager.Queue().goodbye(session)


def program_opened(crawl: ServedCrawl, session: str) -> None:
    """Do what the coordinator does when a program opens a named object."""
    service, loop = crawl.crawl._service, crawl.crawl._loop
    loop.call(lambda _now: service.program_opened(session))


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def test_a_crawl_without_seeds_serves_programs_until_the_last_one_has_gone(tmp_path: Path) -> None:
    with served(tmp_path, wait=True) as crawl, joined(crawl, "one", "two", "reader") as manager:
        status = manager.Control().status()
        assert (status.finished, status.awaits_programs, status.unfinished) == (False, True, 0)
        program_opened(crawl, "one")
        program_opened(crawl, "two")
        goodbye(manager, "one")
        answer = manager.Queue().exchange(ExchangeRequest(session="reader", want=1))
        assert (answer.finished, answer.leases) == (False, ())
        assert crawl.crawl.status().awaits_programs
        goodbye(manager, "two")
        goodbye(manager, "reader")
        summary = crawl.summary()
    assert (summary.ended, summary.detail, summary.exit_code, summary.fetched) == ("finished", "", 0, 0)


def test_a_program_that_is_lost_keeps_nothing_open(tmp_path: Path) -> None:
    with served(tmp_path, more="lease: 1s\n", wait=True) as crawl, joined(crawl, "one"):
        program_opened(crawl, "one")
        assert crawl.summary().ended == "finished"


def test_a_crawl_that_waits_still_fails_if_none_of_its_seeds_gave_a_page(tmp_path: Path) -> None:
    with serving({}) as site, served(tmp_path, f"{site.base}/", wait=True) as crawl, joined(crawl, "one") as manager:
        with connect(crawl.token) as worker:
            tasks = worker.Queue()
            tasks.get(timeout=10)
            assert tasks.task_failed("http_404", again=False)
        assert not manager.Control().status().finished
        program_opened(crawl, "one")
        goodbye(manager, "one")
        summary = crawl.summary()
    assert (summary.ended, summary.exit_code) == ("failed", 1)
    assert "No seed gave a page" in summary.detail
    assert "http_404: The server answered" in summary.detail


def test_a_job_without_seeds_is_refused_unless_programs_are_waited_for(tmp_path: Path) -> None:
    job = write_job(tmp_path)
    sentence = "own.yaml:2:8: seeds: holds no seed: write an address such as https://example.org/, or serve programs"
    for command in ("run", "coordinator"):
        crawls.assert_refused(crawls.run(tmp_path, command, job), 2, sentence)
    done = crawls.run(tmp_path, "check", job)
    assert (done.returncode, "no seeds (run it with --wait)" in done.stdout) == (0, True)


def test_the_coordinator_of_the_command_line_waits_if_asked_to(tmp_path: Path) -> None:
    coordinator = crawls.start(tmp_path, "coordinator", write_job(tmp_path), "--wait")
    try:
        manager = await_coordinator(tmp_path / "crawls" / "own" / "join-token", 20)
        assert manager.Control().status().awaits_programs
    finally:
        coordinator.send_signal(signal.SIGTERM)
        assert coordinator.wait(20) == 130


def test_workers_of_a_run_that_waits_idle_until_a_program_gives_them_something(tmp_path: Path) -> None:
    with serving({"/": page("home"), "/robots.txt": "User-agent: *\nAllow: /\n"}) as site:
        job = write_job(tmp_path, more="scope: {hosts: [127.0.0.1]}\n")
        run = crawls.start(tmp_path, "run", job, "--wait", "--workers", "1")
        try:
            eventually(lambda: "waiting for programs · 1 worker" in (tmp_path / "out.txt").read_text())
            manager = await_coordinator(tmp_path / "crawls" / "own" / "join-token", 10)
            assert manager.Queue().put(f"{site.base}/") == ""
            items = tmp_path / "crawls" / "own" / "items.jsonl"
            eventually(lambda: len(crawls.lines(items)) == 1)
            assert not manager.Control().status().finished
            assert run.poll() is None
        finally:
            run.send_signal(signal.SIGINT)
            assert run.wait(20) == 130


def test_calls_wait_in_a_crawl_that_had_no_task_left_before_its_job_was_changed(tmp_path: Path) -> None:
    with served(tmp_path, wait=True) as first:
        pass
    os.close(first.crawl.folder._lock)  # as the end of its process would
    with (
        serving({"/": page("home")}) as site,
        served(tmp_path, f"{site.base}/", accept_changes=True) as crawl,
        connect(crawl.token) as fleet,
    ):
        assert fleet.Event("news").wait(0.2) is False
