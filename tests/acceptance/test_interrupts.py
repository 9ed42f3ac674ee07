"""Ctrl-C at a run, from a terminal, where every process of it is reached at once; and a run that is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crawlfleet.demo import server as demo_site
from tests.acceptance.processes import descendants, end_with_descendants

PATIENCE_S = 30


@pytest.mark.parametrize("later_s", [0.0, 0.2, 0.5])
def test_ctrl_c_while_a_run_starts_ends_it_in_order(tmp_path: Path, later_s: float) -> None:
    site = demo_site.serve()
    process = _start(tmp_path, site.base)
    try:
        _await_processes(process)
        time.sleep(later_s)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, "Traceback" in said) == (130, False), said
        assert "Nothing is lost" in said
    finally:
        end_with_descendants(process)
        site.shutdown()
        site.server_close()


def test_a_second_ctrl_c_stops_at_once_with_the_same_exit_code(tmp_path: Path) -> None:
    site = demo_site.serve()
    silent = socket.create_server(("127.0.0.2", 0))  # what is in flight there would take 20 seconds
    process = _start(tmp_path, f"{site.base}, http://127.0.0.2:{silent.getsockname()[1]}/")
    try:
        items = tmp_path / "crawls" / "shop" / "items.jsonl"
        until = time.monotonic() + PATIENCE_S
        while not (items.exists() and items.stat().st_size) and time.monotonic() < until:
            time.sleep(0.02)
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.5)
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, "Traceback" in said) == (130, False), said
        assert "Nothing is lost" in said
    finally:
        end_with_descendants(process)
        silent.close()
        site.shutdown()
        site.server_close()


@pytest.mark.parametrize("later_s", [0.0, 0.3, 1.5])
def test_no_process_of_a_run_outlives_the_one_that_was_started(tmp_path: Path, later_s: float) -> None:
    site = demo_site.serve()
    process = _start(tmp_path, site.base)
    try:
        _await_processes(process)
        time.sleep(later_s)
        others = list(descendants(process.pid))
        process.kill()
        process.communicate(timeout=PATIENCE_S)  # all of them write to one pipe
        until = time.monotonic() + PATIENCE_S
        while any(Path(f"/proc/{pid}").exists() for pid in others):
            assert time.monotonic() < until, "a process was left behind"
            time.sleep(0.02)
    finally:
        end_with_descendants(process)
        site.shutdown()
        site.server_close()


def _start(folder: Path, base: str) -> subprocess.Popen[str]:
    (folder / "shop.yaml").write_text(f"name: shop\nseeds: [{base}]\npoliteness: {{delay: 300ms}}\n")
    return subprocess.Popen(
        [sys.executable, "-m", "crawlfleet", "run", "shop.yaml"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _await_processes(process: subprocess.Popen[str]) -> None:
    """Wait until there are coordinator and node."""
    until = time.monotonic() + PATIENCE_S
    while len(list(descendants(process.pid))) < 2 and time.monotonic() < until:
        time.sleep(0.005)
