"""The log of a process: one JSON line an event, and nothing from the web that drives a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from crawlfleet.shared import log


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    yield
    for processor in structlog.get_config()["processors"]:
        if hasattr(processor, "_file"):
            with suppress(OSError):  # /dev/full has still no room
                processor._file.close()
    structlog.reset_defaults()


def test_an_event_is_a_json_line_on_stderr_and_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(tmp_path / "log.jsonl")
    structlog.get_logger().info("page", url="http://a/", status=200)
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    event = json.loads(line)
    assert {key: event[key] for key in ("event", "level", "url", "status")} == {
        "event": "page",
        "level": "info",
        "url": "http://a/",
        "status": 200,
    }
    assert event["at"].endswith("Z")
    assert json.loads(capsys.readouterr().err) == event


def test_without_a_console_the_file_has_it_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(tmp_path / "log.jsonl", console=False)
    structlog.get_logger().warning("slow")
    assert json.loads((tmp_path / "log.jsonl").read_text())["event"] == "slow"
    assert capsys.readouterr().err == ""


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(level="error")
    structlog.get_logger().warning("slow")
    assert capsys.readouterr().err == ""


def test_control_characters_are_made_visible(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()
    structlog.get_logger().info("page", url="http://a/\x1b[2J\x9b\u2028\u202e", host="a")
    event = json.loads(capsys.readouterr().err)
    assert (event["url"], event["host"]) == ("http://a/\\x1b[2J\\x9b\\u2028\\u202e", "a")


def test_a_traceback_keeps_its_lines_and_controls_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()
    try:
        raise ValueError("\x1b]0;title\x07\r")
    except ValueError:
        structlog.get_logger().exception("a bug")
    trace = json.loads(capsys.readouterr().err)["exception"].splitlines()
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "ValueError: \\x1b]0;title\\x07\\r"


def test_a_full_disk_costs_lines_of_the_file_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure(Path("/dev/full"))
    structlog.get_logger().info("page")
    assert json.loads(capsys.readouterr().err)["event"] == "page"
