"""Secrets while a crawl runs: searched for in all that it says, shows and leaves, with everything logged."""

from __future__ import annotations

import re
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from crawlfleet import connect
from crawlfleet.shared.engines import FETCH_ENGINES
from tests.acceptance.crawls import run
from tests.acceptance.terminal import Terminal
from tests.acceptance.test_secrets import (
    CANARY,
    Sites,
    assert_kept_nowhere,
    command_lines,
    environment,
    write_job,
)
from tests.site.robots_hosts import until

# Found by each interpreter that starts: what is logged in detail is logged, also by libraries.
DEBUG = """
import functools, logging
from crawlfleet.shared import log

configure = log.configure
logging.basicConfig(level=logging.DEBUG)

@functools.wraps(configure)
def configure_all(*args, **options):
    configure(*args, **{**options, "level": "debug"})

log.configure = configure_all
"""
LIVE = ("--set", "politeness.delay=700ms", "--join-file", "token")


def core_limits(words: str) -> set[str]:
    """Return the limits of core files of all processes with these words in their command lines."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if words in (path / "cmdline").read_bytes().decode(errors="replace"):
                limits = (path / "limits").read_text()
                found.update(re.findall(r"Max core file size\s+(\S+)\s+(\S+)", limits))
    return {" ".join(each) for each in found}


def said_by_commands(folder: Path, sites: Sites) -> dict[str, str]:
    """Run commands that have to do with the job, or with its finished crawl; return what each printed."""
    said = {}
    for words in (
        ("check", "job.yaml"),
        ("check", "job.yaml", "--set", "sites.127.0.0.1=1"),
        ("try", "job.yaml"),
        ("try", "job.yaml", "--json"),
        ("try", "job.yaml", f"{sites.own.base}/boom"),
        ("run", "job.yaml", "--fresh", "--json", "--workers", "1"),
        ("verify", "crawls/canary"),
        ("audit-politeness", "crawls/canary"),
        ("export", "crawls/canary"),
    ):
        done = run(folder, *words)
        said[" ".join(words)] = done.stdout + done.stderr
    with Terminal(folder, "try", "job.yaml", "--watch", columns=200) as watched:
        watched.await_text("watching")
        said["try --watch"] = watched.text
    return said


def said_while_it_runs(folder: Path) -> tuple[dict[str, str], set[str]]:
    """Run the job; return what coordinator, worker, a program and `ps` show, and limits of core files."""
    said = {}
    with Terminal(folder, "coordinator", "job.yaml", *LIVE, columns=200) as coordinator:
        until((folder / "token").exists)
        with Terminal(folder, "worker", "--join-file", "token", "--processes", "1", columns=200) as worker:
            with closing(connect((folder / "token").read_text().strip())) as fleet:
                until(lambda: fleet.status().fetched > 0)
                status = fleet.status()
                assert status.unfinished
                said["status of a program"] = repr(status)
                said["results of a program"] = repr(dict(fleet.dict().items()))
                said["ps"] = command_lines()
                cores = core_limits("--join-file\0token")
            assert worker.end() == 0, worker.text
        assert coordinator.end() == 0, coordinator.text
    return {**said, "coordinator": coordinator.text, "worker": worker.text}, cores


@pytest.mark.parametrize("engine", sorted(FETCH_ENGINES))
def test_no_secret_is_in_anything_that_a_crawl_says_shows_or_leaves(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as opened:
        sites = Sites(opened)
        write_job(tmp_path, sites, engine, "literal")
        (tmp_path / "debug").mkdir()
        (tmp_path / "debug" / "sitecustomize.py").write_text(DEBUG)
        for name, value in environment(tmp_path, sites).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "debug"))
        live, cores = said_while_it_runs(tmp_path)
        said = live | said_by_commands(tmp_path, sites)
    assert cores == {"0 0"}
    assert {name for name, text in said.items() if not text.strip()} == set()
    assert {name for name, text in said.items() if CANARY in text} == set()
    log = "".join(path.read_text() for path in (tmp_path / "crawls").rglob("log.jsonl"))
    assert '"level": "debug"' in log
    assert_kept_nowhere(tmp_path)
    assert any(CANARY in "".join(fields.values()) for _, fields in sites.own.seen)
