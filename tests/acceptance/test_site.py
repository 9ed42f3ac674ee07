"""The site that `make docs` builds: without a warning, with a search and the names that users import."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import crawlfleet
from crawlfleet import errors

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    command += ["--doctree-dir", str(folder / "trees"), "docs", str(folder / "html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


def test_every_page_is_built_and_the_first_one_is_the_index(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert all((site / page).exists() for page in pages)
    assert (site / "index.html").read_bytes() == (site / "README.html").read_bytes()


def test_the_search_finds_words_without_a_server(site: Path) -> None:
    script = (site / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(script.removeprefix("Search.setIndex(").removesuffix(")"))
    names = {"terms": "frontier", "titleterms": "polit"}  # words are kept by their stems
    assert {kind: word in index[kind] for kind, word in names.items()} == {"terms": True, "titleterms": True}
    assert "reference/jobs" in index["docnames"]


def test_the_python_reference_has_every_name_that_users_import(site: Path) -> None:
    page = (site / "reference" / "api.html").read_text(encoding="utf-8")
    names = {f"crawlfleet.{name}" for name in crawlfleet.__all__ if name != "__version__"}
    described = set(re.findall(r'id="(crawlfleet\.[\w.]+)"', page))
    assert names <= described
    homes = {f"crawlfleet.errors.{name}" for name in errors.__all__}
    assert homes <= described


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//')
    assert not [page for page in site.rglob("*.html") if loaded.search(page.read_text(encoding="utf-8"))]
