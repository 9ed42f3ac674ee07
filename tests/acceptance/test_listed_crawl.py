"""Seeds from a file, as a user has them: rows, what is said of bad lines, the next run, and the first page before the
last line."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.crawls import assert_refused, lines, run, start
from tests.site.small_site import Moved, SmallSite, serving

JOB = "name: list\nseeds: [{file: urls.csv, column: url}]\npoliteness: {delay: 0s, per_host: 16, adaptive: false}\n"
JOB += "fetch: {allow_private: [127.0.0.1]}\n"
PAGES = {f"/{number}": f"<title>{number}</title><a href=/linked>x</a>" for number in range(1, 40)}


@pytest.fixture
def site() -> Iterator[SmallSite]:
    with serving({**PAGES, "/linked": "<title>linked</title>", "/moved": Moved("/1"), "/gone": Moved("/2")}) as found:
        yield found


def test_rows_have_the_address_as_given_and_the_other_columns(site: SmallSite, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB + "sinks: [items.jsonl, items.csv]\n")
    given = [f"{site.base}/moved#top", f"{site.base.upper()}/3", f"{site.base}/x/../4", "no address"]
    table = "".join(f'{number};"{url}";note {number}\n' for number, url in enumerate(given))
    (tmp_path / "urls.csv").write_bytes(gzip.compress(("\ufeffid;url;note\n" + table).encode()))
    done = run(tmp_path, "run", "job.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "urls.csv: 1 line is skipped, such as urls.csv:5: " in done.stdout.replace("\n", " ")
    rows = {row["url"].removeprefix(site.base): row for row in lines(tmp_path / "crawls/list/items.jsonl")}
    assert rows["/1"]["requested"] == given[0]
    assert rows["/1"]["seed"] == {"id": "0", "note": "note 0"}
    assert (rows["/3"]["requested"], rows["/3"]["seed"]) == (given[1], {"id": "1", "note": "note 1"})
    assert rows["/4"]["requested"] == given[2]
    assert {"requested", "seed"} & rows["/linked"].keys() == set()
    head, *_ = (tmp_path / "crawls/list/items.csv").read_text().splitlines()
    assert head.startswith("url,requested,seed,status,content_type,title,")
    log = lines(tmp_path / "crawls/list/log.jsonl")
    (told,) = (line["detail"] for line in log if line["event"] == "seed line skipped")
    assert told.startswith("urls.csv:5: 'no address' holds a space")
    assert run(tmp_path, "verify", "crawls/list").returncode == 0
    exported = run(tmp_path, "export", "crawls/list")
    assert exported.stdout == (tmp_path / "crawls/list/items.jsonl").read_text()


def test_the_next_run_takes_new_lines_and_says_what_is_new_and_gone(site: SmallSite, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB + "follow: []\n")
    addresses = [f"{site.base}/{number}\n" for number in range(1, 6)]
    (tmp_path / "urls.csv").write_text("url\n" + "".join(addresses))
    assert run(tmp_path, "run", "job.yaml").returncode == 0
    before = lines(tmp_path / "crawls/list/items.jsonl")
    (tmp_path / "urls.csv").write_text("url\n" + "".join([*addresses[2:], f"{site.base}/7\n"]))
    done = run(tmp_path, "run", "job.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Seeds of files: 1 new, 2 gone since the last run" in done.stdout.replace("\n", " ")
    rows = lines(tmp_path / "crawls/list/items.jsonl")
    assert rows[: len(before)] == before
    assert [row["requested"] for row in rows[len(before) :]] == [f"{site.base}/7"]
    assert site.hits("/1") == 1
    assert run(tmp_path, "verify", "crawls/list").returncode == 0


def test_the_first_page_is_fetched_while_the_file_is_read(site: SmallSite, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB + "follow: []\n")
    number = 30_000
    (tmp_path / "urls.csv").write_text("url\n" + "".join(f"{site.base}/{each}\n" for each in range(1, number)))
    site.hold("/1")
    process = start(tmp_path, "run", "job.yaml", "--set", "scope.pages=10")
    try:
        site.await_held()
        said = (tmp_path / "crawls/list/log.jsonl").read_text()
        site.release()
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
    assert "crawl finished" not in said
    assert {row["requested"] for row in lines(tmp_path / "crawls/list/items.jsonl")} <= {
        f"{site.base}/{each}" for each in range(1, number)
    }


def test_a_file_that_is_not_there_or_has_no_such_column_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    assert_refused(run(tmp_path, "run", "job.yaml"), 2, "job.yaml:2:16: seeds[0].file: 'urls.csv' is not there: paths")
    (tmp_path / "urls.csv").write_text("address\n")
    assert_refused(run(tmp_path, "check", "job.yaml"), 2, "has no column 'url': its first line names 'address'")


def test_check_reads_the_file_and_names_bad_lines(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    (tmp_path / "urls.csv").write_text("url\nhttp://a.test/\nexample.org\n")
    done = run(tmp_path, "check", "job.yaml")
    assert done.stdout.splitlines() == [
        "job.yaml: job 'list' is fine: those of urls.csv, 0 item rules, into items.jsonl",
        "job.yaml: warning: urls.csv:3: 'example.org' has no scheme: write 'https://example.org'",
        "job.yaml: warning: urls.csv: 1 line is skipped, such as urls.csv:3: 'example.org' has no scheme: write "
        "'https://example.org'.",
    ]
