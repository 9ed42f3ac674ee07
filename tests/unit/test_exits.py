"""What a command printed has left the process when it ends well, or its exit code says that it has not."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crawlfleet.shared.errors import JobError, UsageError
from crawlfleet.shared.exits import INTERRUPTED, exit_code_of

JOB = "name: j\nseeds: [http://h.example/]\n"


@pytest.fixture
def command(tmp_path: Path) -> str:
    (tmp_path / "job.yaml").write_text(JOB)
    return f"{sys.executable} -m crawlfleet check {tmp_path / 'job.yaml'}"


@pytest.mark.parametrize(
    ("output", "code", "message"),
    [
        ("> /dev/null", 0, ""),
        (">&-", 0, ""),
        ("> /dev/full", 1, "crawlfleet: cannot write to the standard output: No space left on device\n"),
    ],
)
def test_output_that_cannot_be_written_is_reported(command: str, output: str, code: int, message: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        f"{command} {output}", shell=True, env=environment, stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, message)


class Output:
    """A standard output that cannot be written; what lies below is the end of a pipe that nobody reads."""

    def __init__(self, error: OSError) -> None:
        self._error = error
        reader, self._writer = os.pipe()
        os.close(reader)

    def flush(self) -> None:
        raise self._error

    def fileno(self) -> int:
        return self._writer


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("no such file: name another"), 2, "crawlfleet: no such file: name another\n"),
        (JobError(("job.yaml:1: no seeds", "job.yaml:2: no name")), 2, "job.yaml:1: no seeds\njob.yaml:2: no name\n"),
        (KeyboardInterrupt(), INTERRUPTED, ""),
    ],
)
def test_an_error_is_told_in_its_own_words(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(raising(error)) == code
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BrokenPipeError(), ""),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device\n"),
    ],
)
def test_what_is_still_to_be_written_does_not_fail_again_at_exit(
    error: OSError, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Output(error)
    monkeypatch.setattr(sys, "stdout", output)
    assert exit_code_of(lambda: 0) == 1
    assert capsys.readouterr().err.rpartition(": ")[2] == message
    assert os.write(output.fileno(), b"the rest") == 8
    os.close(output.fileno())


def test_a_reader_that_goes_away_in_the_middle_is_no_error_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Output(BrokenPipeError())
    monkeypatch.setattr(sys, "stdout", output)
    assert exit_code_of(raising(BrokenPipeError())) == 1
    assert capsys.readouterr().err == ""
    os.close(output.fileno())


def test_a_command_whose_output_was_closed_ends_as_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert exit_code_of(lambda: 3) == 3
