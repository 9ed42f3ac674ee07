"""Ctrl-C at a run, from a terminal: every process of it is reached at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crawlfleet import demo_site
from tests.acceptance.processes import descendants, end_with_descendants

PATIENCE_S = 30


@pytest.mark.parametrize("later_s", [0.0, 0.2, 0.5])
def test_ctrl_c_while_a_run_starts_ends_it_in_order(tmp_path: Path, later_s: float) -> None:
    site = demo_site.serve()
    (tmp_path / "shop.yaml").write_text(f"name: shop\nseeds: [{site.base}]\npoliteness: {{delay: 300ms}}\n")
    command = [sys.executable, "-m", "crawlfleet", "run", "shop.yaml"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + PATIENCE_S
        # Coordinator, node, and what watches over their shared memory.
        while len(list(descendants(process.pid))) < 3 and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(later_s)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, "Traceback" in said) == (130, False), said
        assert "Nothing is lost" in said
    finally:
        end_with_descendants(process)
        site.shutdown()
        site.server_close()
