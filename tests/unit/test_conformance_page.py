"""The page of conformance names tests: each of them exists, and runs with the engines that it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
TESTS = ROOT / "tests"
SHORT = {"site": "hostile/test_site_crawl.py", "rules": "acceptance/test_rule_site.py"}
CASES = [
    line.strip("|").split("|")
    for line in TEXT.partition("### By cases\n")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| case ")
]


def files_in(cell: str) -> list[Path]:
    """Return the files of tests that a cell names."""
    words = re.findall(r"`([\w/]+(?:\.py)?)`", cell)
    return [TESTS / SHORT.get(word, word) for word in words if word in SHORT or word.endswith(".py")]


def test_every_file_of_tests_that_is_named_exists() -> None:
    names = {path.name for path in TESTS.rglob("*.py")}
    named = {word.rpartition("/")[2] for word in re.findall(r"`((?:[\w-]+/)*[\w-]+\.py)`", TEXT)}
    assert len(named) > 20
    assert {name for name in named if name.startswith("test_")} <= names


@pytest.mark.parametrize("case", CASES, ids=[case[0].strip() for case in CASES])
def test_each_case_is_met_with_the_engines_that_are_said(case: list[str]) -> None:
    _, curl, requests = case
    files = files_in(curl)
    assert files
    for file in files:
        source = file.read_text(encoding="utf-8")
        if file.parent.name == "conformance":  # where engines are a fixture of all tests
            source += (file.parent / "conftest.py").read_text(encoding="utf-8")
        if requests.strip() == "the same":
            assert re.search(r"FETCH_ENGINES|ENGINES|\"requests\"", source), file
