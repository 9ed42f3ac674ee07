"""The programs of the tutorial, run from its own text: each step with the standard library and on the fleet."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.crawls import lines, run, start
from tests.site.small_site import SmallSite, serving

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCKS: dict[str, str] = dict(
    re.findall(r"^```([^\n]+)\n(.*?)^```$", TUTORIAL.read_text("utf-8"), re.DOTALL | re.MULTILINE)
)
STEPS = [kind.partition("=")[2] for kind in BLOCKS if kind.startswith("python standard=")]
SITE = "https://www.cnblogs.com"
LISTINGS: dict[str, str | bytes] = {
    f"/sitehome/p/{page}": f'<a class="post-item-title" href="/{page}.html">Post {page}</a><a href="/">Home</a>'
    for page in range(1, 51)
}


@pytest.fixture
def site() -> Iterator[SmallSite]:
    with serving(LISTINGS) as site:
        yield site


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the board of the tutorial, which a prompt keeps open; it closes when that is left."""
    folder = tmp_path_factory.mktemp("board")
    (folder / "board.yaml").write_text(BLOCKS["yaml board"], encoding="utf-8")
    coordinator = start(folder, "coordinator", "board.yaml", "--wait")
    prompt = subprocess.Popen(
        [sys.executable, "-i"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert prompt.stdin is not None
        assert prompt.stdout is not None
        prompt.stdin.write(BLOCKS["python board"] + "\n")
        prompt.stdin.flush()
        assert prompt.stdout.readline() == "False\n"
        yield folder
        prompt.communicate(timeout=30)
        coordinator.wait(30)
    finally:
        prompt.kill()
        prompt.communicate()
        coordinator.kill()
        coordinator.wait()
    assert coordinator.returncode == 0, (folder / "out.txt").read_text()


def program(folder: Path, text: str) -> str:
    """Run a program to its end; return what it printed."""
    (folder / "program.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("step", STEPS)
def test_a_step_prints_the_same_with_the_standard_library_and_on_the_fleet(step: str, board: Path) -> None:
    standard = program(board, BLOCKS[f"python standard={step}"])
    assert standard.strip()
    assert program(board, BLOCKS[f"python fleet={step}"]) == standard


def test_every_step_is_there_twice() -> None:
    assert [kind.partition("=")[2] for kind in BLOCKS if kind.startswith("python fleet=")] == STEPS
    assert STEPS == ["threads", "pool", "processes", "queue", "pipe", "lock", "values", "manager"]


def test_a_pool_of_processes_and_one_of_the_fleet_print_the_same(site: SmallSite, tmp_path: Path) -> None:
    standard, fleet = (BLOCKS[f"python pages={kind}"].replace(SITE, site.base) for kind in ("standard", "fleet"))
    job = BLOCKS["yaml listings"].replace(SITE.removeprefix("https://"), "127.0.0.1").replace("delay: 1s", "delay: 0s")
    job += "fetch: {allow_private: [127.0.0.1]}\n"
    (tmp_path / "listings.yaml").write_text(job, encoding="utf-8")
    crawl = start(tmp_path, "run", "listings.yaml", "--wait", "--workers", "2")
    try:
        while not (tmp_path / "crawls/listings/join-token").exists():
            assert crawl.poll() is None
            time.sleep(0.05)
        printed = program(tmp_path, fleet)
        assert crawl.wait(30) == 0, (tmp_path / "out.txt").read_text()
    finally:
        crawl.kill()
        crawl.wait()
    asked = [path for path, _ in site.requests]
    assert sorted(asked) == sorted(["/robots.txt", *LISTINGS])
    assert printed == program(tmp_path, standard)
    assert len(printed.splitlines()) == len(LISTINGS)


def test_the_job_gives_the_rows_that_the_script_prints(site: SmallSite, tmp_path: Path) -> None:
    printed = program(tmp_path, BLOCKS["python"].replace(SITE, site.base) + "\n\nmain()\n")
    job = BLOCKS["yaml job"].replace(SITE, site.base).replace("delay: 1s", "delay: 0s")
    (tmp_path / "job.yaml").write_text(f"{job}sinks: [items.jsonl]\n", encoding="utf-8")
    done = run(tmp_path, "run", "job.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = lines(tmp_path / "crawls" / "cnblogs" / "items.jsonl")
    assert sorted(f"{row['address']} {row['text']}" for row in rows) == sorted(printed.splitlines())
    assert len(rows) == len(LISTINGS)
