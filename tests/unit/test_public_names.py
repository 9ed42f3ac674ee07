"""The names that users import, and the names that they must not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import crawlfleet
from crawlfleet import errors
from crawlfleet.shared import errors as tree

ROOT = Path(__file__).resolve().parents[2]
NAMES = {
    "AsyncResult",
    "Crawl",
    "Fleet",
    "JobFinished",
    "Page",
    "PageIterator",
    "Pool",
    "Queue",
    "Results",
    "Rows",
    "SharedObjects",
    "Status",
    "__version__",
    "connect",
    "crawl",
}
ERRORS = {
    "CrawlFailed",
    "CrawlLost",
    "CrawlfleetError",
    "JobError",
    "JoinError",
    "NotOwner",
    "PageFailed",
    "PageRefused",
    "RemoteError",
    "Unreachable",
    "UsageError",
    "VersionError",
    "WireError",
}
WARNINGS = {"CrawlWarning"}


def test_the_public_names_are_these() -> None:
    assert set(crawlfleet.__all__) == NAMES
    assert all(getattr(crawlfleet, name) for name in NAMES)


def test_the_public_errors_are_the_whole_tree() -> None:
    assert set(errors.__all__) == ERRORS | WARNINGS == {name for name in vars(tree) if name[0].isupper()}
    assert all(issubclass(getattr(errors, name), errors.CrawlfleetError) for name in ERRORS)
    assert all(issubclass(getattr(errors, name), UserWarning) for name in WARNINGS)


def test_a_name_that_is_not_there_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Crawler'"):
        _ = crawlfleet.Crawler


@pytest.mark.parametrize("package", ["shared", "coordinator", "worker"])
def test_a_folder_of_the_checkout_is_no_package_of_its_own(package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {package}"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    expected = (
        f"ImportError: `{package}` is a folder of the project, not a package of its own: import crawlfleet.{package}"
    )
    assert done.stderr.strip().splitlines()[-1] == expected
