"""The bundled demo site, as a site to crawl."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlfleet.demo.server import DemoSite, serve


@pytest.fixture
def site() -> Iterator[DemoSite]:
    running = serve(slow_s=0.0)
    yield running
    running.shutdown()
    running.server_close()


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build sdist and wheel as `make dist` does, the one from the other, and install the wheel alone.

    Return the folder of programs of an environment of its own.
    """
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    # A copy, since a build leaves its traces in the folder that it builds from.
    for package in ("crawlfleet", "shared", "coordinator", "worker"):
        shutil.copytree(ROOT / package, folder / "src" / package, symlinks=True)
    (folder / "src" / "config").mkdir()
    for paper in ("pyproject.toml", "README.md", "LICENSE", "config/reference.yaml"):
        shutil.copy(ROOT / paper, folder / "src" / paper)
    build = [sys.executable, "-m", "build", "--quiet", "--outdir", str(folder), str(folder / "src")]
    subprocess.run(build, check=True, timeout=120)
    (wheel,) = folder.glob("crawlfleet-*.whl")
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    purelib = sysconfig.get_path("purelib", "venv", {"base": str(environment), "platbase": str(environment)})
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True, timeout=120)
    # The dependencies come from the environment that runs this test; its checkout does not come with them, since the
    # path files of a folder that a path file adds are not read.
    Path(purelib, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"
