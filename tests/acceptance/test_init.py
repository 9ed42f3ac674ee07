"""`crawlfleet init` as a user runs it: what it asks a site for, prints, writes, and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crawlfleet.coordinator.job.job import load
from tests.acceptance.crawls import assert_refused, run
from tests.site.small_site import Moved, Page, SmallSite, serving

LIST = "<title>T</title>" + "".join(f"<li class=row><a href=/{n}>Row {n}</a> <b>{n}</b></li>" for n in range(5))
OFFERS = json.dumps({"offers": [{"name": f"n{n}", "price": n} for n in range(3)]})
PAGES: dict[str, Page] = {
    "/list": LIST,
    "/old": Moved("/list"),
    "/cyrillic": "\ufeff<h1>Съешь же ещё</h1><p class=text>булок</p>".encode("utf-16-le"),
    "/offers": OFFERS,
    "/private/list": LIST,
    "/empty": b"",
    "/robots.txt": "User-agent: *\nDisallow: /private/\n",
}


def paths(site: SmallSite) -> list[str]:
    return [path for path, _ in site.requests]


def test_a_page_is_asked_for_once_and_its_job_is_printed(tmp_path: Path) -> None:
    with serving(PAGES) as site:
        done = run(tmp_path, "init", f"{site.base}/old")
    assert done.returncode == 0, done.stderr
    assert paths(site) == ["/robots.txt", "/old", "/list"]
    assert f"  - {site.base}/list\n" in done.stdout
    assert done.stderr == "1 item rule, guessed from this page, with 5 rows of entry on it\n"
    (tmp_path / "job.yaml").write_text(done.stdout, encoding="utf-8")
    job = load(tmp_path / "job.yaml")
    assert (job.name, [item.name for item in job.items]) == ("127-0-0-1", ["entry"])
    assert list(tmp_path.iterdir()) == [tmp_path / "job.yaml"]


def test_what_is_written_is_what_is_printed_but_for_its_name(tmp_path: Path) -> None:
    with serving(PAGES) as site:
        printed = run(tmp_path, "init", f"{site.base}/list").stdout
        done = run(tmp_path, "init", f"{site.base}/list", "-o", "a job.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("a job.yaml: 1 item rule")
    assert (tmp_path / "a job.yaml").read_text(encoding="utf-8") == printed.replace("job.yaml", "'a job.yaml'")


@pytest.mark.parametrize("is_link", [False, True])
def test_no_file_is_written_over_and_then_nothing_is_asked_for(tmp_path: Path, *, is_link: bool) -> None:
    file = tmp_path / "job.yaml"
    if is_link:
        file.symlink_to("nowhere")
    else:
        file.write_text("mine")
    with serving(PAGES) as site:
        assert_refused(run(tmp_path, "init", f"{site.base}/list", "-o", "job.yaml"), 2, "job.yaml is there already")
    assert not site.requests
    assert is_link or file.read_text() == "mine"


def test_a_job_beside_the_schema_of_jobs_names_it(tmp_path: Path) -> None:
    (tmp_path / "job.schema.json").write_text(run(tmp_path, "schema").stdout)
    with serving(PAGES) as site:
        assert run(tmp_path, "init", f"{site.base}/list", "-o", "job.yaml").returncode == 0
    first = (tmp_path / "job.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=job.schema.json"
    assert load(tmp_path / "job.yaml").items


def test_pages_that_are_not_read_have_a_sentence_and_leave_no_file(tmp_path: Path) -> None:
    with serving(PAGES) as site:
        for path, words in {"/private/list": "robots.txt", "/nix": "http_404"}.items():
            assert_refused(
                run(tmp_path, "init", f"{site.base}{path}", "-o", "job.yaml"), 1, f"{path} was not read", words
            )
    assert "/private/list" not in paths(site)
    assert_refused(run(tmp_path, "init", "http://127.0.0.1:1/"), 1, "was not read: connect")
    assert_refused(run(tmp_path, "init", "job.yaml"), 2, "'job.yaml' is no address")
    assert_refused(run(tmp_path, "init", "ftp://example.org/"), 2, "no http or https address")
    assert not list(tmp_path.iterdir())


def test_other_encodings_and_kinds_of_answers_are_read(tmp_path: Path) -> None:
    with serving(PAGES) as site:
        assert "# Съешь же ещё\n" in run(tmp_path, "init", f"{site.base}/cyrillic").stdout
        assert "jmespath: 'offers[]'" in run(tmp_path, "init", f"{site.base}/offers").stdout
        done = run(tmp_path, "init", f"{site.base}/empty")
    assert (done.returncode, "No rule could be guessed" in done.stdout) == (0, True)
    assert done.stderr.startswith("no rule could be guessed")


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with serving(PAGES) as site:
        done = run(tmp_path, "init", f"{site.base}/list", "-o", "none/job.yaml")
    assert_refused(done, 2, "none/job.yaml cannot be written (No such file or directory)")
