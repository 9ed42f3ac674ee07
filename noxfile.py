"""What holds on one Python, tried on each from 3.11 to 3.14 that is found: on the path, or kept by pyenv.

`nox` runs everything, `nox --session tests --pythons 3.12` one of it; what stands behind `--` goes to pytest.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# The simulator and the random histories take half of the time, and go by our own rules alone, as the rules of the code
# do; the tests of commands mostly wait for them, and the other tests run their parts: for these one Python is enough.
# One process more than there are cores, as in the Makefile.
TESTS = (
    *("--numprocesses", str((os.cpu_count() or 1) + 1), "--maxprocesses", "4"),
    *("--dist", "loadfile", "--no-loadscope-reorder"),
    *("-m", "not server and not compose and not long"),
    *("--ignore", "tests/simulation", "--ignore", "tests/property", "--ignore", "tests/architecture"),
    *("--ignore", "tests/acceptance"),
)

nox.needs_version = ">=2026.10.20"
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"
# uv finds in seconds what fits together, pip in minutes.
nox.options.default_venv_backend = "uv|virtualenv"


def _ask_pyenv_for_all_versions() -> None:
    """Let pyenv's commands answer for each Python that it keeps, and not only for the one that is chosen here."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = [path.name for version in PYTHONS for path in sorted((root / "versions").glob(f"{version}.*"))]
    if kept:
        os.environ["PYENV_VERSION"] = os.pathsep.join(kept)
        os.environ["PATH"] += os.pathsep + str(root / "shims")


_ask_pyenv_for_all_versions()


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=PYTHONS)
def types(session: nox.Session) -> None:
    """Check types as each Python's library declares them."""
    session.install("--editable", ".[dev]")
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests that need no installed server, without the simulator."""
    session.install("--editable", ".[dev]")
    session.run("pytest", *(session.posargs or TESTS))
