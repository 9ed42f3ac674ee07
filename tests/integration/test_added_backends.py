"""A backend is added by one entry in its table: job, fleet, `verify` and `export` know it from there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crawlfleet.coordinator.job.job import load
from crawlfleet.coordinator.offline.export import export
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.coordinator.sinks.registry import SINKS, SinkEntry
from crawlfleet.shared.engines import FETCH_ENGINES, PARSE_ENGINES, FetchEntry
from crawlfleet.shared.errors import JobError, UsageError
from tests.shapes import QUOTES
from tests.toys import engines, sinks
from tests.unit.durable_crawl import DurableCrawl

ROOT = Path(__file__).parents[2]
HEAD = "name: toy\nseeds: [http://toy.test/]\n"
# What a user's own program would do: add the entries, and be the command line.
PROGRAM = """
import sys
from crawlfleet.__main__ import main
from crawlfleet.coordinator.sinks.registry import SINKS
from crawlfleet.shared.engines import FETCH_ENGINES, PARSE_ENGINES
from tests.toys import engines, sinks

SINKS[".tabs"] = sinks.LINES
SINKS[".none"] = sinks.NONE
FETCH_ENGINES["toy"] = getattr(engines, sys.argv[1])
PARSE_ENGINES["toy"] = engines.PARSE
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
    assert "wants 'auto', 'lexbor' or 'bs4', not 'toy'" in problems(job, "parse: {engine: toy}\n")
    monkeypatch.setitem(FETCH_ENGINES, "toy", engines.FETCH)
    monkeypatch.setitem(PARSE_ENGINES, "toy", engines.PARSE)
    assert "wants 'auto', 'curl', 'requests' or 'toy', not 'x'" in problems(job, "fetch: {engine: x}\n")
    assert "wants 'auto', 'lexbor', 'bs4' or 'toy', not 'x'" in problems(job, "parse: {engine: x}\n")
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
