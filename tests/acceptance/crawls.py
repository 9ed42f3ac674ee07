"""Running the command line as a person does, and reading what it leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CRAWLFLEET = [sys.executable, "-m", "crawlfleet"]


def whole_site_job(folder: Path, name: str, base: str) -> Path:
    """Write a job that crawls all of a site, at full speed whatever it answers, and takes one row a page: its title."""
    path = folder / f"{name}.yaml"
    path.write_text(
        f"name: {name}\n"
        f"seeds:\n  - {base}\n"
        "politeness: {delay: 0s, per_host: 16, adaptive: false}\n"
        'items:\n  - name: page\n    fields: {title: "title::text"}\n'
        "sinks: [items.jsonl]\n"
    )
    return path


def start(folder: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start the command line in a folder, with its output in `out.txt` there."""
    with (folder / "out.txt").open("w") as out:
        command = [*CRAWLFLEET, *map(str, arguments)]
        return subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, text=True
        )


def run(folder: Path, *arguments: str | Path, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder to its end."""
    command = [*CRAWLFLEET, *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def assert_refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Assert that a command ended with a code and printed some words, and no traceback."""
    printed = done.stdout + done.stderr
    assert done.returncode == code, printed
    assert "Traceback" not in printed
    for word in words:
        assert word in printed, printed
