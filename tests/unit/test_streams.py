"""The standard streams of a command: closed, full, without a reader, or in an encoding that lacks characters."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from crawlfleet.shared import exits, streams
from crawlfleet.shared.exits import Verdict, exit_code_of, run_and_exit
from crawlfleet.shared.paths import shown
from crawlfleet.shared.streams import Output, lead_nowhere, make_ready


def full(**options: Any) -> Output:
    """Return an output whose disk is full."""
    return Output(io.BufferedWriter(io.FileIO(os.open("/dev/full", os.O_WRONLY), "w")), encoding="utf-8", **options)


def test_what_cannot_be_written_is_kept_once_and_all_that_follows_goes_nowhere() -> None:
    for output in (full(), full(write_through=True)):
        with output:
            assert output.write("x" * 100_000) == 100_000
            output.flush()
            first = output.take_failure()
            assert first is not None
            assert first.strerror == "No space left on device"
            assert output.write("more") == 4
            output.flush()
            assert output.take_failure() is None


def test_a_descriptor_leads_nowhere(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY)
    lead_nowhere(descriptor)
    os.write(descriptor, b"lost")
    os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b""
    taken = _next_descriptor()
    lead_nowhere(taken)
    os.close(taken)


def _next_descriptor() -> int:
    """Return the descriptor that the next file gets: that of a stream which was closed."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def test_closed_streams_are_opened_and_others_escape_what_their_encoding_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nowhere: list[int] = []
    monkeypatch.setattr(os, "fstat", lambda number: None if number == 1 else _raise())
    monkeypatch.setattr(streams, "lead_nowhere", nowhere.append)
    written = (tmp_path / "out").open("w", encoding="ascii")
    for name, value in (("stdin", None), ("stdout", written), ("stderr", None)):
        monkeypatch.setattr(sys, name, value)
    make_ready()
    print("ünï \udcff", flush=True)
    ours = (sys.stdin, sys.stdout, sys.stderr)
    monkeypatch.undo()
    assert nowhere == [0, 2]
    assert ours[0] is not None
    assert isinstance(ours[1], Output)
    assert isinstance(ours[2], Output)
    assert (ours[1].was_closed, ours[2].was_closed) == (False, True)
    assert (tmp_path / "out").read_text() == "\\xfcn\\xef \\udcff\n"
    ours[1].close()


def _raise() -> Any:
    raise OSError("bad file descriptor")


@pytest.mark.parametrize(
    ("code", "ends_with", "told"), [(0, 1, 1), (Verdict(0), 0, 1), (2, 2, 0), (Verdict(1), 1, 1)], ids=str
)
def test_a_full_output_fails_what_only_prints_and_no_crawl(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int, ends_with: int, told: int
) -> None:
    with full() as output:
        monkeypatch.setattr(sys, "stdout", output)

        def command() -> int:
            print("hello")
            return code

        assert exit_code_of(lambda: exit_code_of(command)) == ends_with
        assert capsys.readouterr().err.count("cannot write to the standard output: No space left on device") == told
        monkeypatch.undo()


@pytest.mark.parametrize(("code", "ends_with"), [(2, 2), (None, 0), (0, 0)])
def test_a_process_ends_with_the_code_of_its_command_line(
    monkeypatch: pytest.MonkeyPatch, code: int | None, ends_with: int
) -> None:
    monkeypatch.setattr(exits, "make_ready", lambda: None)

    def command() -> int:
        raise SystemExit(code)

    with pytest.raises(SystemExit) as end:
        run_and_exit(command)
    assert end.value.code == ends_with


def test_a_process_ends_with_the_code_of_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exits, "make_ready", lambda: None)

    def leave(code: int) -> NoReturn:
        raise KeyboardInterrupt(code)

    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(KeyboardInterrupt, match="7"):
        run_and_exit(lambda: 7)


def test_names_of_files_that_are_no_text_are_shown_escaped() -> None:
    assert shown(Path(os.fsdecode(b"a\xff/\xc3\xbc"))) == "a\\xff/ü"
    assert shown("plain ü") == "plain ü"
