"""What holds for every suite: under CI a skipped test is a failure, since CI can run them all; Ctrl-C is heard, and
logging is as before."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest
import structlog

# Which interpreters a machine has beside the one that runs is not for CI to choose.
MAY_BE_MISSING = ("no Python ",)
UNDER_CI = os.environ.get("CI") == "true"


def pytest_configure() -> None:
    """Let tests, and what they start, hear of Ctrl-C: a shell's background jobs ignore it, and all that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    excused = hasattr(report, "wasxfail") or any(missing in str(report.longrepr) for missing in MAY_BE_MISSING)
    if UNDER_CI and report.skipped and not excused:
        report.outcome = "failed"
        report.longrepr = f"skipped, though CI must run it: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Let no test see how another one has configured logging: `connect` and the commands do that."""
    structlog.reset_defaults()
