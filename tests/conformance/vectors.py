"""Third-party test data: where it lies, and the counts that `docs/conformance.md` publishes for it.

It is no part of the project. `CRAWLFLEET_VECTORS` names its folder, which is `shared/vectors` beside the checkout if it
does not.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BESIDE = ROOT.parent / "shared" / "vectors"
PUBLISHED = ROOT / "docs" / "conformance.md"

_COUNTS = re.compile(r"^\| (?P<name>[^|]+) \| (?P<cases>[\d,]+) \| (?P<agree>[\d,]+) \|", re.MULTILINE)


def vectors(name: str) -> Path:
    """Return a file of the vectors, or skip the test where there are none."""
    folder = Path(os.environ.get("CRAWLFLEET_VECTORS") or BESIDE)
    if not folder.is_dir():
        pytest.skip(f"no test vectors in {folder}: set CRAWLFLEET_VECTORS to their folder")
    return folder / name


def published(name: str) -> tuple[int, int]:
    """Return how many cases a row of the published tables counts, and how many agree."""
    rows = {row["name"]: row for row in _COUNTS.finditer(PUBLISHED.read_text(encoding="utf-8"))}
    return _number(rows[name]["cases"]), _number(rows[name]["agree"])


def _number(digits: str) -> int:
    return int(digits.replace(",", ""))
