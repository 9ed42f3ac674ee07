"""The wheel is whole: installed elsewhere, without the checkout, the command crawls."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from crawlfleet.demo_site import DemoSite
from tests.acceptance.crawls import lines, whole_site_job

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel alone into an environment of its own; give that environment's folder of programs."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    # A copy, since a build leaves its traces in the folder that it builds from.
    for package in ("crawlfleet", "shared", "coordinator", "worker"):
        shutil.copytree(ROOT / package, folder / "src" / package)
    for paper in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / paper, folder / "src")
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, folder / "src"], check=True, timeout=120)
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


def test_the_installed_packages_are_those_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "import crawlfleet, shared, coordinator, worker; print(crawlfleet.__file__)"
    told = subprocess.check_output([installed / "python", "-c", code], cwd=tmp_path, text=True)
    assert Path(told.strip()).is_relative_to(installed.parent)


def test_the_installed_command_crawls_outside_the_checkout(installed: Path, tmp_path: Path, site: DemoSite) -> None:
    job = whole_site_job(tmp_path, "outside", site.base)
    done = subprocess.run(
        [installed / "crawlfleet", "run", job, "--workers", "2"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = lines(tmp_path / "crawls" / "outside" / "items.jsonl")
    assert sorted(row["url"] for row in rows) == sorted(site.expected().fetched)
