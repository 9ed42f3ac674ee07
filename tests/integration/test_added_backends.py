"""A backend is added by one entry in its table: job, fleet, `verify` and `export` know it from there."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from socket import gethostname

import pytest

from crawlfleet.coordinator.frontier.registry import STORES
from crawlfleet.coordinator.job.job import load
from crawlfleet.coordinator.offline.export import export
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.coordinator.sinks.registry import SINKS, SinkEntry
from crawlfleet.shared.engines import FETCH_ENGINES, PARSE_ENGINES, FetchEntry
from crawlfleet.shared.errors import JobError, UsageError
from tests.shapes import QUOTES
from tests.toys import engines, sinks, stores
from tests.unit.durable_crawl import DurableCrawl

ROOT = Path(__file__).parents[2]
HEAD = "name: toy\nseeds: [http://toy.test/]\n"
# What a user's own program would do: add the entries, and be the command line.
PROGRAM = """
import sys
from crawlfleet.__main__ import main
from crawlfleet.coordinator.sinks.registry import SINKS
from crawlfleet.coordinator.frontier.registry import STORES
from crawlfleet.shared.engines import FETCH_ENGINES, PARSE_ENGINES
from tests.toys import engines, sinks, stores

SINKS[".tabs"] = sinks.LINES
SINKS[".none"] = sinks.NONE
FETCH_ENGINES["toy"] = getattr(engines, sys.argv[1])
PARSE_ENGINES["toy"] = engines.PARSE
STORES["toy"] = stores.ENTRY
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(HEAD)
    return path


def problems(job: Path, more: str) -> str:
    job.write_text(HEAD + more)
    with pytest.raises(JobError) as caught:
        load(job)
    return str(caught.value)


def run(fetch: str, *arguments: str | Path) -> str:
    command = [sys.executable, "-c", PROGRAM, fetch, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("entry", [sinks.LINES, sinks.TABLE], ids=lambda entry: entry.name)
def test_a_sink_is_accepted_written_and_verified(
    entry: SinkEntry, job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"items{entry.name}"
    more = f"sinks: [{name}]\n"
    known = ", ".join(SINKS)
    assert problems(job, more).endswith(f"name a file that ends in {known}")
    monkeypatch.setitem(SINKS, entry.name, entry)
    assert problems(job, "sinks: [items.xyz]\n").endswith(f"name a file that ends in {known}, {entry.name}")
    job.write_text(HEAD + more)
    assert load(job).sinks == (name,)

    folder = tmp_path / "crawl"
    folder.mkdir()
    crawl = DurableCrawl(folder, sinks=(name, "items.jsonl"))
    crawl.begin()
    crawl.finish()
    crawl.close()
    proof = verify(folder)
    assert proof.holds
    assert [(each.name, each.checked) for each in proof.invariants[-2:]] == [
        (f"{name} has the rows of the results, each once", 4),
        ("items.jsonl has the rows of the results, each once", 4),
    ]
    (folder / name).unlink()
    assert [each.broken for each in verify(folder).invariants[-2:]] == [4, 0]


@pytest.mark.parametrize("entry", [sinks.LINES, sinks.TABLE], ids=lambda entry: entry.name)
def test_a_sink_can_be_exported(entry: SinkEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SINKS, entry.name, entry)
    crawl = DurableCrawl(tmp_path, sinks=(f"items{entry.name}",))
    crawl.begin()
    crawl.finish()
    crawl.close()
    out = tmp_path / f"out{entry.name}"
    assert export(tmp_path, out) == (4, 4, 0, "", (out,))
    kind = entry.made_for(QUOTES)
    assert list(kind.read(out, whole=True)) == list(kind.read(tmp_path / f"items{entry.name}", whole=True))
    with pytest.raises(UsageError, match=r"no sink writes .*out\.xyz: the endings that exist are \.jsonl, "):
        export(tmp_path, tmp_path / "out.xyz")
    assert export(tmp_path, tmp_path / "out").results == 4


def test_a_sink_that_cannot_be_read_back_is_named_by_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = SinkEntry(name=".table", place=sinks.TABLE.place, transactional=True, reads_back=False)
    monkeypatch.setitem(SINKS, ".table", entry)
    crawl = DurableCrawl(tmp_path, sinks=("items.table",))
    crawl.begin()
    crawl.finish()
    crawl.close()
    proof = verify(tmp_path)
    assert proof.holds
    assert proof.invariants[-1].name == "items.table cannot be read back, and was not looked at"


def test_engines_are_accepted_and_listed(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "wants 'auto', 'curl' or 'requests', not 'toy'" in problems(job, "fetch: {engine: toy}\n")
    assert "wants 'auto', 'turbohtml', 'lexbor' or 'bs4', not 'toy'" in problems(job, "parse: {engine: toy}\n")
    monkeypatch.setitem(FETCH_ENGINES, "toy", engines.FETCH)
    monkeypatch.setitem(PARSE_ENGINES, "toy", engines.PARSE)
    assert "wants 'auto', 'curl', 'requests' or 'toy', not 'x'" in problems(job, "fetch: {engine: x}\n")
    assert "wants 'auto', 'turbohtml', 'lexbor', 'bs4' or 'toy', not 'x'" in problems(job, "parse: {engine: x}\n")
    job.write_text(f"{HEAD}fetch: {{engine: toy}}\nparse: {{engine: toy}}\n")
    assert (load(job).fetch.engine, load(job).parse.engine) == ("toy", "toy")


@pytest.mark.parametrize("prepares", [False, True])
def test_an_engine_says_whether_a_hook_can_prepare_its_sessions(
    job: Path, prepares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = FetchEntry(name="toy", place=engines.FETCH.place, prepares_sessions=prepares)
    monkeypatch.setitem(FETCH_ENGINES, "toy", entry)
    job.with_name("hook.py").write_text("def parse(page): pass\ndef session(session): pass\n")
    more = "hooks: hook.py\nfetch: {engine: toy}\n"
    if prepares:
        job.write_text(HEAD + more)
        assert load(job).fetch.engine == "toy"
        assert "write auto or requests or toy" in problems(job, "hooks: hook.py\nfetch: {engine: curl}\n")
    else:
        assert "'toy' has no session for the hook's session() to prepare: write auto or requests" in problems(job, more)


@pytest.mark.parametrize("fetch", ["FETCH", "FETCH_MANY"])
def test_a_crawl_uses_what_was_added(fetch: str, job: Path, tmp_path: Path) -> None:
    job.write_text(
        f"{HEAD}politeness: {{delay: 0s}}\nfetch: {{engine: toy}}\nparse: {{engine: toy}}\n"
        "items: [{name: page, fields: {heading: h1::text}}]\nsinks: [items.tabs]\n"
    )
    run(fetch, "run", job, "--crawls", tmp_path, "--workers", "1")
    folder = tmp_path / "toy"
    head, *lines = (folder / "items.tabs").read_text().splitlines()
    assert head.split("\t") == ["url", "item", "heading"]
    assert sorted([json.loads(value) for value in line.split("\t")] for line in lines) == [
        ["http://toy.test/", "page", "home"],
        ["http://toy.test/a", "page", "one"],
        ["http://toy.test/b", "page", "two"],
    ]
    assert "items.tabs has the rows of the results, each once" in " ".join(run(fetch, "verify", folder).split())
    run(fetch, "export", folder, "--to", tmp_path / "again.tabs")
    assert (tmp_path / "again.tabs").read_text() == (folder / "items.tabs").read_text()


def test_a_crawl_is_stored_where_its_job_says(job: Path, tmp_path: Path) -> None:
    job.write_text(f"{HEAD}politeness: {{delay: 0s}}\nfetch: {{engine: toy}}\nparse: {{engine: toy}}\n")
    (tmp_path / "database").mkdir()
    address = stores.toy_address(tmp_path / "database")
    command = ("run", job, "--crawls", tmp_path / "crawls", "--workers", "1", "--frontier", address)
    run("FETCH", *command)
    folder = tmp_path / "crawls" / "toy"
    rows = (folder / "items.jsonl").read_bytes()
    assert len(rows.splitlines()) == 3
    assert not (folder / "frontier.db").exists()
    assert f"{address}?crawl=toy" in (folder / "frontier.json").read_text()
    assert "finished before" in " ".join(run("FETCH", *command).split())
    for crawl in (folder, f"{address}?crawl=toy"):
        run("FETCH", "verify", crawl)
        assert run("FETCH", "export", crawl).encode() == rows
    assert f"the earlier run is now in {folder}." in " ".join(run("FETCH", *command, "--fresh").split())
    assert len(list((tmp_path / "database").iterdir())) == 2


def rows_of(crawls: Path) -> int:
    """Count the rows of a folder, which all of its files have."""
    folder = crawls / "toy"
    plain = (folder / "items.jsonl").read_bytes()
    assert gzip.decompress((folder / "items.jsonl.gz").read_bytes()) == plain
    with closing(sqlite3.connect(folder / "items.sqlite")) as db:
        (found,) = db.execute("SELECT count(*) FROM page").fetchone()
    assert found == len(plain.splitlines())
    return int(found)


def stale_of(crawls: Path) -> set[str]:
    """Name the files of a folder that are told to be stale; all else must hold."""
    proof = verify(crawls / "toy")
    assert proof.holds
    return {each.name for each in proof.invariants if "stale" in each.name}


def test_the_next_machine_that_serves_a_crawl_writes_its_files_whole(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STORES, "toy", stores.ENTRY)
    for name in ("database", "put"):
        (tmp_path / name).mkdir()
    put = tmp_path / "put" / "rows.csv"
    job.write_text(
        f"{HEAD}politeness: {{delay: 0s}}\nfetch: {{engine: toy}}\nparse: {{engine: toy}}\n"
        f"sinks: [items.jsonl, items.jsonl.gz, items.sqlite, 'file://{put}']\n"
        f"frontier: '{stores.toy_address(tmp_path / 'database')}'\n"
    )
    one, other = tmp_path / "one", tmp_path / "other"

    def served(crawls: Path, pages: int) -> str:
        command = ("run", job, "--crawls", crawls, "--workers", "1", "--pages", str(pages), "--accept-changes")
        return " ".join(run("FETCH", *command).split())

    assert "served from" not in served(one, 1)
    assert "served from" not in served(one, 1)
    assert (rows_of(one), len(put.read_text().splitlines())) == (1, 2)
    told = served(other, 3)
    assert f"The crawl was served from {one / 'toy'} on {gethostname()} before: its files there are stale now" in told
    assert (rows_of(one), rows_of(other), len(put.read_text().splitlines())) == (1, 3, 4)
    on_other = f"is stale, and was not looked at: the crawl went on in {other / 'toy'} on {gethostname()}"
    files = ("items.jsonl", "items.jsonl.gz", "items.sqlite", f"file://{put}")
    assert stale_of(one) == {f"{name} {on_other}" for name in files}
    assert stale_of(other) == set()
    assert "its files there are stale now" in served(one, 3)
    assert rows_of(one) == 3
    assert stale_of(one) == set()


def test_rows_that_a_sink_rejects_are_told_and_end_nothing(job: Path, tmp_path: Path) -> None:
    job.write_text(
        f"{HEAD}politeness: {{delay: 0s}}\nfetch: {{engine: toy}}\nparse: {{engine: toy}}\n"
        "items: [{name: page, fields: {heading: h1::text}}]\nsinks: [items.none, items.jsonl]\n"
    )
    said = " ".join(run("FETCH", "run", job, "--crawls", tmp_path, "--workers", "1").split())
    folder = tmp_path / "toy"
    assert "rejected │ 3" in said
    assert f"3 rows were rejected, and set aside with the reason: {folder}/rejected.jsonl" in said
    assert json.loads((folder / "summary.json").read_text())["rows_rejected"] == 3
    assert len((folder / "items.jsonl").read_text().splitlines()) == 3
    rejected = folder / "rejected.jsonl"
    assert {json.loads(line)["sink"] for line in rejected.read_text().splitlines()} == {"items.none"}
    proof = " ".join(run("FETCH", "verify", folder).split())
    assert "rejected.jsonl has the rows that are rejected, each once" in proof
    for sinks_, aside in (("items.none, more.none", 6), ("more.none", 3), ("items.jsonl", 0)):
        job.write_text(re.sub(r"sinks: \[.*\]", f"sinks: [{sinks_}]", job.read_text()))
        run("FETCH", "run", job, "--crawls", tmp_path, "--workers", "1")
        assert len(rejected.read_bytes().splitlines() if rejected.exists() else ()) == aside
        run("FETCH", "verify", folder)
