"""Joining as the coordinator says: its commands work as they are printed, and show the token to no other user."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crawlfleet.demo.server import DemoSite
from crawlfleet.shared.wire.join_token import JoinToken
from tests.acceptance.crawls import CRAWLFLEET, assert_refused, lines, whole_site_job
from tests.acceptance.processes import descendants


@contextmanager
def coordinator(folder: Path, site: DemoSite) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Serve a job in a folder, which is told by its name; give the process and the three lines that it printed to be
    copied."""
    job = whole_site_job(folder, "served", site.base)
    command = [*CRAWLFLEET, "coordinator", job.name, "--crawls", "my crawls"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("coordinator for served on ")
            copied: list[str] = []
            while len(copied) < 3:
                line = process.stdout.readline()
                assert line, copied
                if line.startswith(("crawlfleet worker", "cf2:")):
                    copied.append(line.strip())
            yield process, copied
        finally:
            process.kill()


def words_of(command: str) -> list[str]:
    """Return a printed command as the words of one that runs here."""
    program, *words = shlex.split(command)
    assert program == "crawlfleet"
    return [*CRAWLFLEET, *words]


def command_lines(process: subprocess.Popen[str]) -> str:
    """Return what `ps` shows of a process and of all that it has started."""
    numbers = [process.pid, *descendants(process.pid)]
    return "\n".join(Path(f"/proc/{number}/cmdline").read_text() for number in numbers)


@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_a_printed_command_joins_and_keeps_the_token_out_of_sight(place: str, tmp_path: Path, site: DemoSite) -> None:
    here = tmp_path / "here"
    here.mkdir()
    with coordinator(here, site) as (process, (on_this_machine, on_another, token)):
        assert JoinToken.parse(token).encode() == token
        assert token not in on_this_machine + on_another
        command = on_this_machine if place == "here" else on_another
        with subprocess.Popen(
            [*words_of(command), "--processes", "1"],
            cwd=here if place == "here" else tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as worker:
            assert worker.stdin is not None
            assert worker.stdout is not None
            seen = ""
            while "worker" not in seen:  # a process that has just begun shows nothing
                seen = command_lines(process) + command_lines(worker)
            if place == "elsewhere":
                worker.stdin.write(f"{token}\nwhat follows is left alone\n")
                worker.stdin.flush()
            said = worker.stdout.read()
            assert worker.wait(timeout=60) == 0, said
        assert process.wait(timeout=30) == 0
    assert token not in seen
    rows = lines(here / "my crawls" / "served" / "items.jsonl")
    assert {row["url"] for row in rows} == site.expected().fetched


@pytest.mark.parametrize("line", [b"", b"\n", b"hello\n", b"\xff\xfe\n", b"cf2:AAAA\n"])
def test_a_line_that_is_no_token_is_reported(line: bytes, tmp_path: Path) -> None:
    command = [*CRAWLFLEET, "worker", "--join", "-"]
    done = subprocess.run(command, cwd=tmp_path, input=line, capture_output=True, timeout=60, check=False)
    printed = subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())
    assert_refused(printed, 2, "token")
