"""Bad jobs and folders on the command line: one clear sentence, the right exit code, nothing else harmed."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlfleet.demo.server import DemoSite
from tests.acceptance.crawls import CRAWLFLEET, assert_refused, lines, run, whole_site_job

JOB = "name: bad\nseeds:\n  - {seed}\n"
BROKEN_JOBS = {
    "malformed YAML": ("name: [\n", "bad.yaml:2:1: "),
    "an unknown key": ("name: bad\nseeds: [http://127.0.0.1/]\npolitness: {}\n", "bad.yaml:3:1: "),
    "a wrong type": ("name: bad\nseeds: [http://127.0.0.1/]\nscope: {depth: ten}\n", "bad.yaml:3:"),
    "a range in flow form": ("name: bad\nseeds: [http://127.0.0.1/{1..50}]\n", "bad.yaml:2:"),
    "a seed without a scheme": (JOB.format(seed="example.org/"), "bad.yaml:3:"),
    "a broken selector": (
        JOB.format(seed="http://127.0.0.1/") + 'items:\n  - name: a\n    fields: {b: "div["}\n',
        "bad.yaml:6:",
    ),
    "a hook that does not compile": (JOB.format(seed="http://127.0.0.1/") + "hooks: broken.py\n", "broken.py:1:"),
    "a hook that is not there": (JOB.format(seed="http://127.0.0.1/") + "hooks: none.py\n", "bad.yaml:4:"),
}


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port of this machine that is in use, by something that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _job(folder: Path, text: str) -> Path:
    (folder / "broken.py").write_text("def parse(page:\n")
    (folder / "bad.yaml").write_text(text)
    return folder / "bad.yaml"


@pytest.mark.parametrize("command", ["run", "check", "coordinator"])
@pytest.mark.parametrize("case", BROKEN_JOBS)
def test_a_broken_job_is_refused_with_its_place(case: str, command: str, tmp_path: Path) -> None:
    text, place = BROKEN_JOBS[case]
    assert_refused(run(tmp_path, command, _job(tmp_path, text)), 2, place)
    assert not (tmp_path / "crawls").exists()


def test_every_problem_of_a_job_is_told_at_once(tmp_path: Path) -> None:
    job = _job(tmp_path, "name: Bad Name\nseeds: [example.org]\npolitness: {}\n")
    assert_refused(run(tmp_path, "check", job), 2, "bad.yaml:1:", "bad.yaml:2:", "bad.yaml:3:", "politeness")


def test_a_job_that_is_not_there_is_reported(tmp_path: Path) -> None:
    assert_refused(run(tmp_path, "run", "none.yaml"), 2, "none.yaml")


def test_a_seed_that_answers_404_ends_with_1(tmp_path: Path, site: DemoSite) -> None:
    job = whole_site_job(tmp_path, "lost", site.base + "nothing-here")
    assert_refused(run(tmp_path, "run", job), 1, "seed")


def test_a_seed_that_nobody_serves_ends_with_1(tmp_path: Path) -> None:
    job = whole_site_job(tmp_path, "lost", f"http://127.0.0.1:{_free_port()}/")
    job.write_text(job.read_text().replace("politeness: {", "politeness: {robots_wait: 0s, ") + "fetch: {retries: 0}\n")
    assert_refused(run(tmp_path, "run", job), 1, "seed")


def test_a_hook_that_raises_fails_its_pages_and_no_others(tmp_path: Path, site: DemoSite) -> None:
    (tmp_path / "hook.py").write_text(
        "def parse(page):\n"
        "    if '/book/' in page.url:\n"
        "        raise KeyError('no such thing')\n"
        "    yield {'title': str(page.soup.title.string)}\n"
    )
    job = tmp_path / "raises.yaml"
    job.write_text(
        f"name: raises\nseeds: [{site.base}]\npoliteness: {{delay: 0s, per_host: 16, adaptive: false}}\n"
        "fetch: {retries: 2}\nhooks: hook.py\n"
    )
    done = run(tmp_path, "run", job, timeout_s=100)
    assert done.returncode == 0, done.stdout + done.stderr
    urls = sorted(row["url"] for row in lines(tmp_path / "crawls" / "raises" / "items.jsonl"))
    assert urls == sorted(url for url in site.expected().fetched if "/book/" not in url)
    assert "extract_error" in done.stdout


def test_a_hook_may_yield_the_strings_that_beautifulsoup_gives(tmp_path: Path, site: DemoSite) -> None:
    (tmp_path / "hook.py").write_text("def parse(page):\n    yield {'title': page.soup.title.string}\n")
    job = tmp_path / "soup.yaml"
    job.write_text(f"name: soup\nseeds: [{site.base}]\nfollow: []\nhooks: hook.py\n")
    assert run(tmp_path, "run", job).returncode == 0
    assert [row["title"] for row in lines(tmp_path / "crawls" / "soup" / "items.jsonl")] == ["The Loopback Bookshop"]


def test_a_hook_that_does_not_import_is_told_before_anything_is_fetched(tmp_path: Path, site: DemoSite) -> None:
    (tmp_path / "hook.py").write_text("import no_such_module_at_all\n\ndef parse(page):\n    return []\n")
    job = tmp_path / "hooked.yaml"
    job.write_text(f"name: hooked\nseeds: [{site.base}]\nhooks: hook.py\n")
    refused = run(tmp_path, "run", job)
    assert_refused(refused, 2, "no_such_module_at_all")
    assert "The workers ended with an error: mend what is said of it above, or in the log.\n" in refused.stdout
    assert not site.hits


def test_a_crawl_that_kept_no_state_is_not_touched_without_fresh(tmp_path: Path, site: DemoSite) -> None:
    job = whole_site_job(tmp_path, "once", site.base)
    job.write_text(job.read_text() + "durability: none\n")
    assert run(tmp_path, "run", job, timeout_s=100).returncode == 0
    items = tmp_path / "crawls" / "once" / "items.jsonl"
    kept = items.read_bytes()
    assert_refused(run(tmp_path, "run", job), 2, "--fresh")
    assert items.read_bytes() == kept
    assert run(tmp_path, "run", job, "--fresh", timeout_s=100).returncode == 0
    (aside,) = (tmp_path / "crawls").glob("once.*")
    assert (aside / "items.jsonl").read_bytes() == kept
    assert len(lines(items)) == len(site.expected().fetched)


def test_a_finished_crawl_that_is_run_again_asks_for_nothing_and_changes_nothing(
    tmp_path: Path, site: DemoSite
) -> None:
    job = whole_site_job(tmp_path, "once", site.base)
    assert run(tmp_path, "run", job, timeout_s=100).returncode == 0
    items = tmp_path / "crawls" / "once" / "items.jsonl"
    kept, hits = items.read_bytes(), sum(site.hits.values())
    again = run(tmp_path, "run", job)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (items.read_bytes(), sum(site.hits.values())) == (kept, hits)


def test_a_crawls_folder_that_cannot_be_made_is_reported(tmp_path: Path, site: DemoSite) -> None:
    (tmp_path / "file").write_text("in the way")
    job = whole_site_job(tmp_path, "nowhere", site.base)
    assert_refused(run(tmp_path, "run", job, "--crawls", tmp_path / "file"), 2, str(tmp_path / "file"))


@pytest.mark.parametrize("command", ["run", "coordinator"])
@pytest.mark.parametrize("where", ["", "crawls", "crawls/locked"])
def test_a_folder_that_may_not_be_written_is_reported(where: str, command: str, tmp_path: Path) -> None:
    job = whole_site_job(tmp_path, "locked", "http://127.0.0.1/")
    (tmp_path / where).mkdir(parents=True, exist_ok=True)
    (tmp_path / where).chmod(0o500)
    try:
        done = subprocess.run(
            [*_without_privileges(), *CRAWLFLEET, command, job],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        (tmp_path / where).chmod(0o700)
    assert_refused(done, 2, "crawls/locked: Permission denied", "--crawls")


def _without_privileges() -> list[str]:
    """The command that keeps root, as whom containers run this, from writing where its owner may not."""
    return ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []


def test_a_port_in_use_is_reported(tmp_path: Path, taken_port: int) -> None:
    job = whole_site_job(tmp_path, "busy", "http://127.0.0.1/")
    assert_refused(run(tmp_path, "coordinator", job, "--bind", f"127.0.0.1:{taken_port}"), 2, str(taken_port))


@pytest.mark.parametrize("address", ["203.0.113.7:0", "no port", "127.0.0.1:99999", "127.0.0.1:x"])
def test_an_address_that_cannot_be_bound_is_reported(address: str, tmp_path: Path) -> None:
    job = whole_site_job(tmp_path, "nowhere", "http://127.0.0.1/")
    assert_refused(run(tmp_path, "coordinator", job, "--bind", address), 2, address.partition(":")[0])
