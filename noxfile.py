"""What holds on one Python, tried on each from 3.11 to 3.14 that is found: on the path, or kept by pyenv.

`nox` runs everything, `nox --session tests --pythons 3.12` one of it; what stands behind `--` goes to pytest.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# One process more than there are cores, as in the Makefile.
SIDE_BY_SIDE = (
    *("--numprocesses", str((os.cpu_count() or 1) + 1), "--maxprocesses", "4"),
    *("--dist", "loadfile", "--no-loadscope-reorder"),
)
# The simulator and the random histories take half of the time, and go by our own rules alone, as the rules of the code
# do; the tests of commands mostly wait for them, as those of strangers do for limits, and the other tests run their
# parts: for these one Python is enough.
TESTS = (
    *SIDE_BY_SIDE,
    *("-m", "not server and not compose and not long"),
    *("--ignore", "tests/simulation", "--ignore", "tests/property", "--ignore", "tests/architecture"),
    *("--ignore", "tests/acceptance", "--ignore", "tests/hostile"),
)
# Extras without others that need many further packages, and tests of what libraries do: fetch, read, write, one crawl.
MINIMUM_EXTRAS = ("dates", "duckdb", "parquet", "postgres", "postgresql", "zstd")
MINIMUM_TESTS = (
    *("-m", "not server and not compose and not long"),
    *sorted(map(str, Path("tests/unit").glob("test_extract_*.py"))),
    *(f"tests/unit/test_{name}.py" for name in ("conversion", "csv_sink", "curl_multi", "database_sinks", "fetching")),
    *(f"tests/unit/test_{name}.py" for name in ("names", "parquet_sink", "requests_pool", "robots_file")),
    *("tests/conformance/test_sinks.py", "tests/acceptance/test_typed_crawl.py"),
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


@nox.session(python=PYTHONS[:1], venv_backend="uv")
def minimums(session: nox.Session) -> None:
    """Run tests of what libraries do, with exactly the oldest ones that the project allows."""
    extras = [f"--extra={extra}" for extra in MINIMUM_EXTRAS]
    oldest = ("--resolution", "lowest-direct", "--requirement", "pyproject.toml", *extras)
    session.run_install("uv", "pip", "install", "--quiet", *oldest)
    session.install("--no-deps", "--editable", ".")
    session.install("pytest", "pytest-timeout", "pytest-xdist", "hypothesis")
    session.run("python", "-m", "tests.minimums", *MINIMUM_EXTRAS)
    session.run("pytest", *(session.posargs or (*SIDE_BY_SIDE, *MINIMUM_TESTS)))
