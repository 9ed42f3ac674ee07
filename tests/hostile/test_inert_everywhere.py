"""Nothing that a site says drives a terminal, forges a line, becomes a formula or SQL, or names a file.

One crawl of a site that says such things wherever it can, with all kinds of outputs; then every command.
"""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow.parquet
import pytest

from crawlfleet.shared.engines import FETCH_ENGINES
from tests.acceptance.crawls import run
from tests.acceptance.terminal import Terminal
from tests.hostile.inert_site import CONTROLS, FORMULA, InertSite, serving_inert_site

HOOK = """\
def parse(page):
    print(page.title or page.text)
    print(*page.headers.get_all("set-cookie"), page.encoding)
    if page.url.endswith("/raise"):
        raise ValueError(page.title)
    if page.url.endswith(".json"):
        data = page.json()
        yield {"item": data.pop("@type"), **data}
"""
JOB = """\
name: inert
seeds: ['{base}/']
scope: {{depth: 2, sitemaps: true}}
politeness: {{delay: 0s}}
fetch: {{engine: {engine}, retries: 0, types: ["text/*", application/json]}}
links: {{check_external: true}}
hooks: hook.py
items:
  - name: page
    fields: {{title: title, data: {{jsonld: "[0].name"}}, number: {{css: h1, type: int}}}}
  - name: rejected
    fields: {{title: title, missing: {{css: h9, required: true}}}}
sinks: [items.jsonl, items.csv, items.tsv, items.sqlite, items.duckdb, items.parquet]
tables: {{urls: urls.csv, links: links.csv, broken: broken.tsv}}
"""
# What a terminal obeys, and no part of it is ours.
PIECES = ("\x1b]", "\x1b[5;41m", "\x07", "\x08", "\x7f", "\x85", "\x9b", "\u202e", "\u2066", "\u2028")
# What our own output has: colours, the line of progress, a hidden cursor.
OURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Crawl(NamedTuple):
    """A finished crawl: the folder of its job, its site, and what its run has shown on a terminal."""

    folder: Path
    site: InertSite
    shown: str

    @property
    def kept(self) -> Path:
        """Its own folder."""
        return self.folder / "crawls" / "inert"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All its rows. Texts have ends of lines of Unicode."""
        return [json.loads(line) for line in (self.kept / "items.jsonl").read_bytes().split(b"\n") if line]


def assert_inert(text: str) -> None:
    """Assert that nothing of the site's controls is in what a terminal has got, and nothing but text and our own."""
    for piece in PIECES:
        assert piece not in text, ascii(text[max(0, text.index(piece) - 200) :][:400])
    for line in OURS.sub("", text).split("\n"):
        assert line.isprintable(), ascii(line)


@pytest.fixture(scope="module", params=sorted(FETCH_ENGINES))
def crawl(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawl]:
    folder = tmp_path_factory.mktemp("around") / "job"
    folder.mkdir()
    with serving_inert_site() as site:
        (folder / "hook.py").write_text(HOOK)
        (folder / "job.yaml").write_text(JOB.format(base=site.base, engine=request.param))
        with Terminal(folder, "run", "job.yaml", "--workers", "1", columns=200) as terminal:
            assert terminal.end() == 0, terminal.text
        yield Crawl(folder, site, terminal.text)


def test_a_run_shows_what_a_site_says_and_obeys_none_of_it(crawl: Crawl) -> None:
    assert_inert(crawl.shown)
    assert crawl.shown.count("\\x1b]0;owned") > 5
    for reason in ("http_404", "bad_status_line", "bad_framing", "bad_encoding", "content_type", "extract_error"):
        assert f" {reason}: " in crawl.shown, crawl.shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("check job.yaml", "is fine"),
        ("verify crawls/inert", "holds"),
        ("audit-politeness crawls/inert", "nothing to audit"),
        ("export crawls/inert", "evil"),
        ("export crawls/inert --table links", "evil"),
        ("try job.yaml", "evil"),
        ("try job.yaml --json", "evil"),
        ("try job.yaml {base}/item.json", "evil"),
        ("try job.yaml {base}/raise", "evil"),
        ("init {base}/", "evil"),
        ("init {base}/nowhere", "redirect_invalid"),
        ("run job.yaml --workers 1 --set name=other --set sinks=[] --json", "evil"),
        ("run job.yaml --workers 1 --set name=unmet --set sinks=[] --set expect.rows.page=1000 --quiet", "Expected"),
    ],
)
def test_no_command_lets_a_site_drive_the_terminal(crawl: Crawl, words: str, said: str) -> None:
    arguments = words.format(base=crawl.site.base).split()
    with Terminal(crawl.folder, *arguments, columns=200) as terminal:
        terminal.end()
    assert said in terminal.text
    assert "Traceback" not in terminal.text
    assert_inert(terminal.text)


def test_neither_a_coordinator_nor_a_worker_lets_a_site_drive_its_terminal(crawl: Crawl) -> None:
    options = ("--set", "name=apart", "--set", "sinks=[]", "--join-file", "token")
    with Terminal(crawl.folder, "coordinator", "job.yaml", *options, columns=200) as coordinator:
        with Terminal(crawl.folder, "worker", "--join-file", "token", "--processes", "1", columns=200) as worker:
            assert worker.end() == 0, worker.text
        assert coordinator.end() == 0, coordinator.text
    for text in (coordinator.text, worker.text):
        assert "evil" in text
        assert_inert(text)


def test_logs_and_summaries_have_no_controls(crawl: Crawl) -> None:
    for name in ("log.jsonl", "summary.json", "README.txt"):
        text = (crawl.kept / name).read_text(encoding="utf-8")
        assert all(line.isprintable() for line in text.split("\n")), name
    assert "evil" in (crawl.kept / "log.jsonl").read_text()
    assert "evil" in (crawl.kept / "summary.json").read_text()


@pytest.mark.parametrize(("ending", "separator"), [("csv", ","), ("tsv", "\t")])
def test_no_cell_is_a_formula(crawl: Crawl, ending: str, separator: str) -> None:
    files = sorted(crawl.kept.glob(f"*.{ending}"))
    assert files
    marked = 0
    for file in files:
        with file.open(newline="", encoding="utf-8") as opened:
            cells = [cell for row in csv.reader(opened, delimiter=separator) for cell in row]
        assert not [cell for cell in cells if cell[:1] and cell[0] in "=+-@\t\r\n\0"], file.name
        marked += sum(cell.startswith(f"'{FORMULA}") for cell in cells)
    assert marked


def test_all_outputs_have_the_same_rows_and_databases_no_other_tables(crawl: Crawl) -> None:
    titles = sorted(row["title"] for row in crawl.rows if row["item"] == "page")
    assert titles
    assert FORMULA in titles[0]
    assert CONTROLS[:20] in titles[0]
    with closing(sqlite3.connect(crawl.kept / "items.sqlite")) as small:
        assert sorted(title for (title,) in small.execute("SELECT title FROM page")) == titles
        tables = {name for (name,) in small.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    with closing(duckdb.connect(crawl.kept / "items.duckdb", read_only=True)) as large:
        assert sorted(title for (title,) in large.execute("SELECT title FROM page").fetchall()) == titles
        assert {name for (name,) in large.execute("SELECT table_name FROM duckdb_tables()").fetchall()} == tables
    assert {"page", "rejected", "other"} < tables
    assert all(re.fullmatch("[a-z_]+", table) for table in tables)
    columns = pyarrow.parquet.read_table(crawl.kept / "items.page.parquet")
    assert sorted(columns["title"].to_pylist()) == titles


def test_names_of_items_and_fields_from_a_page_are_values(crawl: Crawl) -> None:
    (row,) = [row for row in crawl.rows if row["url"].endswith(".json") and row["item"] != "page"]
    assert row["item"].startswith(FORMULA)
    with closing(sqlite3.connect(crawl.kept / "items.sqlite")) as database:
        ((item, rest),) = database.execute("SELECT item, rest FROM other")
    assert item == row["item"]
    assert json.loads(rest) == {key: value for key, value in row.items() if key not in ("url", "item")}


def test_nothing_is_written_but_what_the_job_names(crawl: Crawl) -> None:
    assert [path.name for path in crawl.folder.parent.iterdir()] == ["job"]
    names = {path.name for path in crawl.kept.iterdir()}
    assert all(re.fullmatch(r"[\w.-]+", name, re.ASCII) for name in names), names
    assert {path.name for path in (crawl.folder / "crawls").iterdir()} <= {"inert", "other", "unmet", "apart"}


def test_elsewhere_an_export_is_what_the_sink_has(crawl: Crawl) -> None:
    done = run(crawl.folder, "export", "crawls/inert")
    assert done.stdout == (crawl.kept / "items.jsonl").read_text(encoding="utf-8")
