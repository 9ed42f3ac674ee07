"""No command leaves a core file, which would hold its secrets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_CHILD = """
import resource, subprocess, sys
from crawlfleet.shared.exits import run_and_exit

def command():
    child = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))"
    print(resource.getrlimit(resource.RLIMIT_CORE), flush=True)
    return subprocess.run([sys.executable, "-c", child]).returncode

run_and_exit(command)
"""


def test_neither_a_command_nor_what_it_starts_leaves_a_core_file(tmp_path: Path) -> None:
    limited = ["sh", "-c", 'ulimit -S -c "$(ulimit -H -c)"; exec "$@"', "sh", sys.executable, "-c", _CHILD]
    done = subprocess.run(limited, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split("\n")) == (0, ["(0, 0)", "(0, 0)", ""]), done.stderr
