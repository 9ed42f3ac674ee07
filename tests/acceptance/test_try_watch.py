"""`crawlfleet try --watch`: edits of a job and of its hook, over one answer, on a terminal and in a pipe."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from crawlfleet.demo.server import DemoSite
from tests.acceptance.crawls import CRAWLFLEET
from tests.acceptance.terminal import Terminal

JOB = """\
name: shop
seeds: [{base}]
politeness: {{delay: 0s}}
fetch: {{engine: {fetch}}}
parse: {{engine: {parse}}}
hooks: hook.py:parse
items:
  - name: listing
    each: article.product
    fields:
      title: h3 > b::text
"""
HOOK = "def parse(page):\n    yield {'item': 'seen', 'words': 'first words'}\n"


@pytest.fixture(params=[("curl", "lexbor"), ("requests", "bs4")], ids="-".join)
def job(request: pytest.FixtureRequest, site: DemoSite, tmp_path: Path) -> Path:
    fetch, parse = request.param
    (tmp_path / "hook.py").write_text(HOOK)
    path = tmp_path / "shop.yaml"
    path.write_text(JOB.format(base=site.base, fetch=fetch, parse=parse))
    return path


def edit(file: Path, before: str, after: str) -> None:
    """Edit a file as many editors do: the new one takes its place."""
    text = file.read_text()
    assert before in text
    other = file.with_suffix(".new")
    other.write_text(text.replace(before, after))
    other.replace(file)


def test_edits_on_a_terminal(job: Path, site: DemoSite) -> None:
    hook = job.with_name("hook.py")
    with Terminal(job.parent, "try", job, "--watch") as terminal:
        terminal.await_text("h3 > b` finds nothing; nearest: `h3`", "first words", "watching shop.yaml, hook.py")
        edit(job, "h3 > b", "h3 > a")
        shown = terminal.await_text("The Silent Harbour", "watching")
        assert "shop.yaml has changed" in shown
        assert "finds nothing" not in shown
        edit(job, "items:", "itmes:")
        terminal.await_text("itmes: is not a known key: did you mean 'items'?", "watching")
        edit(job, "itmes:", "items:")
        terminal.await_text("The Silent Harbour", "watching")
        edit(hook, "first words", "second words")
        terminal.await_text("hook.py has changed", "second words", "watching")
        edit(hook, "def parse", "def prase")
        terminal.await_text("defines no parse", "watching")
        edit(hook, "def prase", "def parse")
        terminal.await_text("second words", "watching")
        terminal.press_ctrl_c()
        assert terminal.end() == 130
        assert "Traceback" not in terminal.text
    assert dict(site.hits) == {"/robots.txt": 1, "/": 1}


def test_an_edit_ends_a_hook_that_never_returns(job: Path, site: DemoSite) -> None:
    hook = job.with_name("hook.py")
    hook.write_text("import time\ndef parse(page):\n    print('it hangs')\n    time.sleep(1000)\n")
    with Terminal(job.parent, "try", job, "--watch") as terminal:
        terminal.await_text("it hangs")
        hook.write_text(HOOK)
        terminal.await_text("given up while reading", "hook.py:4", "first words", "watching")
        terminal.press_ctrl_c()
        assert terminal.end() == 130
    assert site.hits["/"] == 1


def test_edits_in_a_pipe(job: Path, site: DemoSite) -> None:
    command = [*CRAWLFLEET, "try", str(job), "--watch", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            assert [gap["field"] for gap in json.loads(process.stdout.readline())["gaps"]] == ["title"]
            edit(job, "h3 > b", "h3 > a")
            found = json.loads(process.stdout.readline())
            assert found["gaps"] == []
            assert found["rows"][0]["title"] == "The Silent Harbour"
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        finally:
            process.kill()
    assert dict(site.hits) == {"/robots.txt": 1, "/": 1}


def test_what_is_watched_in_a_pipe_is_plain(job: Path) -> None:
    command = [*CRAWLFLEET, "try", str(job), "--watch"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            lines = list(iter(process.stdout.readline, "listing: 8 rows\n"))
            edit(job, "h3 > b", "h3 > a")
            lines += iter(process.stdout.readline, "   1  title  The Silent Harbour\n")
        finally:
            process.kill()
    assert not [line for line in lines if not line.removesuffix("\n").isprintable()]


def test_no_process_stays_behind_if_the_command_is_killed(job: Path, site: DemoSite) -> None:
    with Terminal(job.parent, "try", job, "--watch") as terminal:
        terminal.await_text("watching")
        children = Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text().split()
        assert children
    until = time.monotonic() + 20
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < until, children
        time.sleep(0.05)
    assert site.hits["/"] == 1
