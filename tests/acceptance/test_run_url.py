"""A crawl that is begun by an address: its rows, its name, and what its next run does."""

from __future__ import annotations

import csv
import os
import shlex
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from crawlfleet.demo.server import DemoSite
from tests.acceptance.crawls import assert_refused, lines, run, start
from tests.acceptance.processes import end_with_descendants

pytestmark = pytest.mark.timeout(300)  # several runs, one after another

NAME = "127-0-0-1"
PATIENCE_S = 100
QUICK = ("--workers", "1", "--set", "politeness.delay=0s", "--set", "politeness.per_host=8")
SLOW = ("--workers", "1", "--delay", "200ms")


def urls(path: Path) -> list[str]:
    found = pq.read_table(path)["url"].to_pylist() if path.suffix == ".parquet" else [row["url"] for row in rows(path)]
    assert len(found) == len(set(found))
    return found


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def interrupted(folder: Path, *arguments: str) -> None:
    """Begin a run, and kill it when it has recorded some pages."""
    process = start(folder, *arguments)
    until = time.monotonic() + PATIENCE_S
    try:
        while "pages ·" not in (folder / "out.txt").read_text():
            assert process.poll() is None, (folder / "out.txt").read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        end_with_descendants(process)
    lock = folder / "crawls" / NAME / "lock"
    while subprocess.run(["flock", "--nonblock", lock, "true"], check=False).returncode:
        assert time.monotonic() < until
        time.sleep(0.05)


def typed(printed: str, ending: str) -> list[str]:
    """Return the words of the command in a text that ends so, without the program's name."""
    (line,) = (line for line in printed.splitlines() if line.startswith("  crawlfleet ") and line.endswith(ending))
    return shlex.split(line)[1:]


def test_an_address_gives_a_row_a_page_and_the_next_run_crawls_anew(site: DemoSite, tmp_path: Path) -> None:
    command = ("run", site.base, "--pages", "12", "--depth", "1", "-o", "out/pages.parquet", *QUICK)
    first = run(tmp_path, *command, "--save-job", "job.yaml")
    assert first.returncode == 0, first.stdout + first.stderr
    assert len(urls(tmp_path / "out/pages.parquet")) == 12
    assert set(pq.read_table(tmp_path / "out/pages.parquet")["depth"].to_pylist()) == {0, 1}
    again = run(tmp_path, "run", "job.yaml", "--workers", "1")
    assert "Nothing was done: this crawl had finished before." in again.stdout

    second = run(tmp_path, *command, "-o", "pages.csv")
    assert second.returncode == 0, second.stdout + second.stderr
    (moved,) = (tmp_path / "crawls").glob(f"{NAME}.*")
    assert f"the earlier run is now in crawls/{moved.name}; moved into it: " in second.stdout
    assert len(urls(moved / "outputs/pages.parquet")) == 12
    assert sorted(urls(tmp_path / "out/pages.parquet")) == sorted(urls(tmp_path / "pages.csv"))
    assert run(tmp_path, "verify", moved).returncode == 0


def test_rows_are_in_the_crawls_folder_unless_they_are_to_be_elsewhere(site: DemoSite, tmp_path: Path) -> None:
    bare = site.base.removeprefix("http://").rstrip("/")
    done = run(tmp_path, "run", bare, "--name", "demo", "--depth", "0", *QUICK, "--set", "sinks=[rows.jsonl]")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{bare} is taken for http://{bare}: write https://{bare} if that is meant" in done.stdout
    assert [row["url"] for row in lines(tmp_path / "crawls/demo/rows.jsonl")] == [site.base]


def test_an_unfinished_crawl_goes_on_by_the_command_that_is_told(site: DemoSite, tmp_path: Path) -> None:
    interrupted(tmp_path, "run", site.base, "--pages", "25", "-o", "pages.csv", *SLOW)
    refused = run(tmp_path, "run", site.base, "--pages", "9", "-o", "pages.csv", *QUICK)
    assert_refused(refused, 2, "'127-0-0-1' is unfinished, and was begun with other options", "+ scope.pages: 9")
    resumed = run(tmp_path, *typed(refused.stderr, "-o pages.csv"))
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert len(urls(tmp_path / "pages.csv")) == 25
    assert run(tmp_path, "verify", f"crawls/{NAME}").returncode == 0


def test_an_unfinished_crawl_is_moved_aside_by_the_command_that_is_told(site: DemoSite, tmp_path: Path) -> None:
    interrupted(tmp_path, "run", site.base, "--pages", "25", "-o", "pages.parquet", "-o", "pages.sqlite", *SLOW)
    refused = run(tmp_path, "run", site.base, "--pages", "9", "-o", "pages.parquet", "-o", "pages.sqlite", *QUICK)
    anew = run(tmp_path, *typed(refused.stderr, "--fresh"))
    assert anew.returncode == 0, anew.stdout + anew.stderr
    assert len(urls(tmp_path / "pages.parquet")) == 9
    (moved,) = (tmp_path / "crawls").glob(f"{NAME}.*")
    assert (moved / "outputs/pages.sqlite").exists()
    assert run(tmp_path, "verify", f"crawls/{NAME}").returncode == 0


def test_a_file_that_the_crawl_did_not_write_is_replaced_only_if_that_is_allowed(
    site: DemoSite, tmp_path: Path
) -> None:
    (tmp_path / "pages.csv").write_text("mine\n")
    command = ("run", site.base, "--depth", "0", "-o", "pages.csv", *QUICK)
    assert_refused(run(tmp_path, *command), 2, "pages.csv exists already", "--overwrite")
    assert not (tmp_path / "crawls").exists()
    assert run(tmp_path, *command, "--overwrite").returncode == 0
    assert urls(tmp_path / "pages.csv") == [site.base]


def test_files_of_a_job_are_relative_to_it_and_options_beat_it(site: DemoSite, tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/rows.py").write_text("def parse(page):\n    yield {'title': page.title}\n")
    (tmp_path / "jobs/demo.yaml").write_text(
        f"name: demo\nseeds: ['{site.base}']\nhooks: rows.py\nscope: {{pages: 5, depth: 0}}\n"
        "politeness: {delay: 0s}\nsinks: [{file: ../rows.csv}, rows.jsonl]\n"
    )
    first = run(tmp_path, "run", "jobs/demo.yaml", "--workers", "1")
    assert first.returncode == 0, first.stdout + first.stderr
    assert len(rows(tmp_path / "rows.csv")) == len(lines(tmp_path / "crawls/demo/rows.jsonl")) == 1
    (tmp_path / "copies").mkdir()
    options = ("--fresh", "--pages", "9", "--depth", "1", "--set", "scope.pages=3", "--save-job", "copies/demo.yaml")
    second = run(tmp_path, "run", "jobs/demo.yaml", "--workers", "1", *options)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "moved into it: " in second.stdout
    assert len(rows(tmp_path / "rows.csv")) == 3
    third = run(tmp_path, "run", "copies/demo.yaml", "--workers", "1")
    assert "Nothing was done" in third.stdout, third.stdout + third.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["example.org", "job.yaml"], ["job.yaml is no address: give one job file alone, or addresses"]),
        (["nothere.yaml"], ["nothere.yaml: there is no such file"]),
        (["ftp://example.org/"], ["URL: seeds[0]: 'ftp://example.org/' is no http or https address"]),
        (["https://example.org/", "--pages", "many"], ["--pages many: scope.pages: wants a whole number"]),
        (["https://example.org/", "--depth", "-1"], ["--depth -1: scope.depth: -1 is out of range"]),
        (["https://example.org/", "--set", "politeness.dely=1s"], ["--set politeness.dely=1s", "did you mean 'delay'"]),
        (["https://example.org/", "--set", "dely"], ["argument --set: 'dely': expected KEY=VALUE"]),
        (["https://example.org/", "--name", "Example"], ["--name Example: name: wants 1 to 64 of a-z"]),
        (["https://example.org/", "-o", "rows.xls"], ["-o: sinks[0].file: ", "rows.xls", ".parquet"]),
        (["https://example.org/", "--save-job", "there.yaml"], ["--save-job there.yaml exists already", "--overwrite"]),
        (["https://example.org/", "--save-job", "no/job.yaml"], ["--save-job no/job.yaml cannot be written"]),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    (tmp_path / "there.yaml").touch()
    assert_refused(run(tmp_path, "run", *arguments), 2, *words)
    assert os.listdir(tmp_path) == ["there.yaml"]
