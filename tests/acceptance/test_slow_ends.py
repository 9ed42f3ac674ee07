"""A crawl whose outputs take long at its end: they are waited for, unless somebody does not want that."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from crawlfleet.demo.server import DemoSite
from tests.acceptance.crawls import CRAWLFLEET, lines
from tests.acceptance.processes import end_with_descendants

# The coordinator takes its time after the last row, and `run` has little patience.
SLOW = """\
import time
import crawlfleet.run.local, crawlfleet.run.processes
from crawlfleet.coordinator.sinks.follower import Follower

for module in (crawlfleet.run.local, crawlfleet.run.processes):
    module.FAREWELL_S = 0.2
stop = Follower.stop

def stop_late(self):
    stop(self)
    time.sleep({seconds})

Follower.stop = stop_late
"""
PATIENCE_S = 100
Begin: TypeAlias = Callable[..., subprocess.Popen[str]]
WAITS = "The crawl is over, and its outputs are being written to their ends."


@pytest.fixture
def begin(tmp_path: Path, site: DemoSite) -> Iterator[Begin]:
    """Begin a run whose outputs take so many seconds at the end."""
    begun: list[subprocess.Popen[str]] = []

    def begin(seconds: int, *options: str) -> subprocess.Popen[str]:
        (tmp_path / "sitecustomize.py").write_text(SLOW.format(seconds=seconds))
        with (tmp_path / "out.txt").open("w") as out:
            command = [*CRAWLFLEET, "run", site.base, "--workers", "1", *options]
            environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
            process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=out, stderr=out, text=True)
        begun.append(process)
        return process

    yield begin
    for process in begun:
        end_with_descendants(process)


def wait_for(text: str, folder: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while text not in (folder / "out.txt").read_text():
        assert time.monotonic() < until, (folder / "out.txt").read_text()
        time.sleep(0.05)


def test_outputs_are_waited_for(begin: Begin, tmp_path: Path) -> None:
    process = begin(3, "--depth", "0")
    assert process.wait(PATIENCE_S) == 0, (tmp_path / "out.txt").read_text()
    assert WAITS in (tmp_path / "out.txt").read_text()
    assert len(lines(tmp_path / "crawls/127-0-0-1/items.jsonl")) == 1


def test_outputs_are_waited_for_when_the_crawl_is_interrupted(begin: Begin, tmp_path: Path) -> None:
    process = begin(3)
    wait_for(" pages · ", tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 130, (tmp_path / "out.txt").read_text()
    printed = (tmp_path / "out.txt").read_text()
    assert WAITS in printed
    assert "Nothing is lost: the same command resumes the crawl." in printed


def test_nobody_has_to_wait(begin: Begin, tmp_path: Path) -> None:
    process = begin(2 * PATIENCE_S, "--depth", "0")
    wait_for(WAITS, tmp_path)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert process.wait(PATIENCE_S) == 1
    assert "the coordinator ended unexpectedly (exit code -9)" in (tmp_path / "out.txt").read_text()
