"""What the command line costs before it does anything."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement

IMPORTED = """\
import runpy, sys
module, *sys.argv = sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
print("imported:", *{name.partition(".")[0] for name in sys.modules})
"""
HELP = {
    "crawlfleet": ["crawlfleet", "crawlfleet", "--help"],
    "crawlfleet run": ["crawlfleet", "crawlfleet", "run", "--help"],
    "crawlfleet worker": ["crawlfleet", "crawlfleet", "worker", "--help"],
    "python -m crawlfleet.worker": ["crawlfleet.worker", "worker", "--help"],
    "python -m crawlfleet.coordinator": ["crawlfleet.coordinator", "coordinator", "--help"],
}


def _libraries() -> set[str]:
    """The modules of everything that crawlfleet depends on."""
    wanted = {Requirement(text).name for text in metadata.requires("crawlfleet") or ()}
    return {module for module, owners in metadata.packages_distributions().items() if wanted.intersection(owners)}


@pytest.mark.parametrize("command", HELP)
def test_help_imports_no_library(command: str) -> None:
    out = subprocess.check_output([sys.executable, "-c", IMPORTED, *HELP[command]], text=True, timeout=60)
    text, _, imported = out.rpartition("imported: ")
    assert "usage: " in text
    libraries = _libraries()
    assert {"requests", "rich", "pydantic", "structlog", "lxml", "cryptography", "msgspec"} <= libraries
    assert not libraries.intersection(imported.split())
