"""The files by which tools and people work on the project: they parse, and name what is there."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import noxfile

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / ".github" / "ISSUE_TEMPLATE"


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


def _names(requirements: list[str]) -> list[str]:
    return [re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower() for requirement in requirements]


def test_pre_commit_runs_tools_of_the_project_and_fetches_none() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    assert [hook["id"] for hook in repository["hooks"]] == ["ruff", "ruff-format", "mypy"]
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        python, option, module, *_ = hook["entry"].split()
        assert (python, option) == (".venv/bin/python", "-m")
        assert module in _names(_project()["optional-dependencies"]["dev"])


def test_editorconfig_agrees_with_ruff() -> None:
    parser = configparser.ConfigParser()
    parser.read_string("[root]\n" + (ROOT / ".editorconfig").read_text())
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    assert parser["*"]["max_line_length"] == str(ruff["line-length"])


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("[!c]*.yml")), ids=lambda path: path.stem)
def test_an_issue_template_is_a_form(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    names = [field["id"] for field in fields]
    assert len(set(names)) == len(names) > 0
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert all(field["attributes"]["label"] for field in fields)


def test_nox_tries_every_python_that_is_promised() -> None:
    promised = {name.rpartition(" ")[2] for name in _project()["classifiers"] if "Python :: 3." in name}
    assert promised <= set(noxfile.PYTHONS)
    assert _project()["requires-python"] == f">={noxfile.PYTHONS[0]}"


def test_every_dependency_has_its_reason() -> None:
    """The page of the decision names those of the project, and no others."""
    page = (ROOT / "docs" / "decisions" / "0005-dependencies.md").read_text(encoding="utf-8")
    core = re.findall(r"^\| `([\w-]+)` \| +\d+ \| \S", page, re.MULTILINE)
    extras = re.findall(r"^\| `(\w+)` \| `([\w-]+)` \| \S", page, re.MULTILINE)
    project = _project()
    assert sorted(core) == sorted(_names(project["dependencies"]))
    given = [(extra, name) for extra, names in project["optional-dependencies"].items() for name in _names(names)]
    assert sorted((extra, name.lower()) for extra, name in extras) == sorted(given)
