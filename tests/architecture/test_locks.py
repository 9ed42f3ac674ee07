"""The locks of the container's wheels: each library that the project needs, in a version that it allows, by hashes."""

from __future__ import annotations

import re
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.minimums import minimums, project, same

ROOT = Path(__file__).resolve().parents[2]
_PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[\w.]+)(?P<rest>.*(?:\n    --hash=.*)*)", re.MULTILINE)


class Pin(NamedTuple):
    """A release that a lock names: for some Pythons, if there are several of one library."""

    name: str
    version: str
    rest: str


def pins(name: str) -> list[Pin]:
    text = (ROOT / name).read_text(encoding="utf-8")
    found = [Pin(match["name"].lower(), match["version"], match["rest"]) for match in _PIN.finditer(text)]
    assert sum(not line.startswith(("#", " ")) for line in text.splitlines()) == len(found)
    return found


def is_as_new(version: str, minimum: str) -> bool:
    numbers = [[int(part) for part in re.findall(r"\d+", text)] for text in (version, minimum)]
    pairs = zip_longest(*numbers, fillvalue=0)
    return next((one > other for one, other in pairs if one != other), True)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-build.lock"])
def test_every_file_that_a_lock_allows_is_known_by_its_hash(lock: str) -> None:
    for pin in pins(lock):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", pin.rest), pin.name


def test_the_lock_has_every_library_in_a_version_that_the_project_allows() -> None:
    locked = pins("requirements.lock")
    told = project()
    for needed in minimums([*told["dependencies"], *told["optional-dependencies"]["postgres"]]):
        versions = [pin.version for pin in locked if pin.name == needed.name]
        assert versions, f"{needed.name}: run `make lock`"
        assert all(is_as_new(version, needed.version) for version in versions), f"{needed}: run `make lock`"


def test_every_minimum_is_one_version() -> None:
    told = project()
    named = [*told["dependencies"], *(each for some in told["optional-dependencies"].values() for each in some)]
    ours = [each for each in named if each.startswith("crawlfleet[")]
    assert len(list(minimums(named))) == len(named) - len(ours)
    assert same("2.0", "2.0.0")
    assert same("2026.1.post1", "2026.1")
    assert not same("2.0", "2.0.1")


def test_the_container_takes_nothing_from_the_index_that_is_not_locked() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", "")
    installs = re.findall(r"pip (?:install|wheel) [^;\n]*", text.replace("$pip ", "pip "))
    assert len(installs) == 4
    assert all("--require-hashes" in each or "--no-index" in each for each in installs), installs
