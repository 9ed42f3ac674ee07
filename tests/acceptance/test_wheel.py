"""The wheel is whole: installed elsewhere, without the checkout, it crawls, and leaves a user's own names alone."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from crawlfleet.demo.server import DemoSite
from tests.acceptance.crawls import lines, whole_site_job

ROOT = Path(__file__).parents[2]
SCRIPT = """\
import crawlfleet, shared, worker, coordinator, config
from crawlfleet import Page, connect
from crawlfleet.errors import Unreachable
print(shared.OURS, worker.OURS, coordinator.OURS, config.OURS, Page.__module__, connect.__module__)
"""
HOOK = """\
from shared.helper import clean
def parse(page):
    yield {"item": "page", "title": clean(page.title)}
"""
TYPED = """\
from crawlfleet import Fleet, Page, connect

def parse(page: Page) -> None:
    reveal_type(page)
    reveal_type(page.title)
    reveal_type(page.fleet.Value("n").add(1))

def look(fleet: Fleet) -> None:
    reveal_type(fleet.status())
    reveal_type(fleet.status().pending)
    reveal_type(fleet.Value("n"))
    reveal_type(fleet.Value("n").add(1))
    reveal_type(fleet.Queue().get())

look(connect("cf2:"))
"""
TYPES = (
    "crawlfleet.worker.extract.page.Page",
    "str | None",
    "int | float",
    "crawlfleet.shared.status.Status",
    "int",
    "crawlfleet.worker.talk.objects.values.Value",
    "int | float",
    "str",
)


def test_the_installed_packages_are_those_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "import crawlfleet; print(crawlfleet.__file__)"
    place = subprocess.check_output([installed / "python", "-c", code], cwd=tmp_path, text=True)
    assert Path(place.strip()).is_relative_to(installed.parent)


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


def test_the_installed_command_knows_the_words_of_the_reference(installed: Path, tmp_path: Path) -> None:
    printed = subprocess.check_output([installed / "crawlfleet", "schema"], cwd=tmp_path, timeout=60)
    assert printed == (ROOT / "config" / "job.schema.json").read_bytes()


def test_the_wheel_installs_one_top_level_package(installed: Path) -> None:
    (wheel,) = installed.parents[1].glob("crawlfleet-*.whl")
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"crawlfleet"}


def test_the_index_would_take_both_files_of_a_release(installed: Path) -> None:
    files = sorted(installed.parents[1].glob("crawlfleet-*"))
    assert [path.name.partition("-")[2].partition("-")[0] for path in files] == ["0.1.0", "0.1.0.tar.gz"]
    twine = [sys.executable, "-m", "twine", "check", "--strict", *map(str, files)]
    done = subprocess.run(twine, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_sdist_has_folders_where_the_repository_has_links(installed: Path) -> None:
    (sdist,) = installed.parents[1].glob("crawlfleet-*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert not [member.name for member in archive if member.issym() or member.islnk()]
        names = {member.name.partition("/")[2] for member in archive}
    assert {f"crawlfleet/{package}/__init__.py" for package in ("shared", "coordinator", "worker")} <= names


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """A folder of a user's, with packages that are called as folders of ours are."""
    for name in ("shared", "worker", "coordinator", "config"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"OURS = '{name} of the user'\n")
    (tmp_path / "shared" / "helper.py").write_text("def clean(text):\n    return f'clean {text}'\n")
    return tmp_path


def test_a_script_beside_folders_of_these_names_imports_its_own(installed: Path, user: Path) -> None:
    (user / "script.py").write_text(SCRIPT)
    printed = subprocess.check_output([installed / "python", "script.py"], cwd=user, text=True)
    own = " ".join(f"{name} of the user" for name in ("shared", "worker", "coordinator", "config"))
    assert printed.strip() == f"{own} crawlfleet.worker.extract.page crawlfleet.fleet.fleet"


def test_the_command_works_beside_folders_of_these_names(installed: Path, user: Path) -> None:
    printed = subprocess.check_output(
        [installed / "python", "-m", "crawlfleet", "worker", "--help"], cwd=user, text=True
    )
    assert printed.startswith("usage: ")


def test_a_hook_imports_the_module_beside_it(installed: Path, user: Path, site: DemoSite) -> None:
    (user / "hook.py").write_text(HOOK)
    (user / "hooked.yaml").write_text(
        f"name: hooked\nseeds: ['{site.base}']\nscope: {{depth: 0}}\npoliteness: {{delay: 0s}}\nhooks: hook.py\n"
    )
    done = subprocess.run(
        [installed / "crawlfleet", "run", "hooked.yaml"],
        cwd=user,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = lines(user / "crawls" / "hooked" / "items.jsonl")
    assert row["title"].startswith("clean ")


def test_a_users_file_sees_real_types(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(installed / "python"), "mine.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = tuple(line.partition('"')[2].rstrip('"') for line in done.stdout.splitlines() if "Revealed type" in line)
    assert tuple(name.replace("builtins.", "") for name in found) == TYPES
