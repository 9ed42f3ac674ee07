"""What a process of ours loads, and what it does without."""

from __future__ import annotations

import subprocess
import sys

import pytest


def said_by(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("loads", ["crawlfleet.run.node_process", "crawlfleet.worker.app"])
def test_what_fetches_does_without_rich(loads: str) -> None:
    program = (
        "from crawlfleet.shared.lean import load_structlog; load_structlog(); import sys, structlog\n"
        f"import {loads}\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'rich', 'pygments', 'structlog'}))"
    )
    assert said_by(program) == "['structlog']"


def test_rich_can_be_imported_afterwards() -> None:
    program = (
        "from crawlfleet.shared.lean import load_structlog; load_structlog()\n"
        "from rich.console import Console; Console().print('here')\n"
        "import structlog; print(structlog.dev.rich)"
    )
    assert said_by(program) == "here\nNone"


def test_a_program_that_has_structlog_or_rich_keeps_it_as_it_is() -> None:
    for first in ("structlog", "rich"):
        program = (
            f"import {first}; from crawlfleet.shared.lean import load_structlog; load_structlog()\n"
            "import rich, structlog; print(structlog.dev.rich is rich)"
        )
        assert said_by(program) == "True"
