"""What a command printed has left the process when it ends well, or its exit code says that it has not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

JOB = "name: j\nseeds: [http://h.example/]\n"


@pytest.fixture
def command(tmp_path: Path) -> str:
    (tmp_path / "job.yaml").write_text(JOB)
    return f"{sys.executable} -m crawlfleet check {tmp_path / 'job.yaml'}"


@pytest.mark.parametrize(
    ("output", "code", "told"),
    [
        ("> /dev/null", 0, ""),
        (">&-", 0, ""),
        ("> /dev/full", 1, "crawlfleet: cannot write to the standard output: No space left on device\n"),
    ],
)
def test_output_that_cannot_be_written_is_told(command: str, output: str, code: int, told: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        f"{command} {output}", shell=True, env=environment, stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, told)
