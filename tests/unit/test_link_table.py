"""The tables of links: how they are recorded, where they lead, and which are broken."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from crawlfleet.__main__ import main
from crawlfleet.coordinator.core.policy import HostLimits
from crawlfleet.coordinator.frontier.registry import FRONTIER, open_reader
from crawlfleet.coordinator.offline import link_table
from crawlfleet.coordinator.offline.link_table import BROKEN, LINKS, broken_rows, link_rows
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.coordinator.sinks.registry import SINKS
from crawlfleet.shared.messages import Kind, Lease, Outcome, Report, Task
from crawlfleet.shared.web.link_records import LinkRecord, pack
from tests.policies import policy_with
from tests.unit.durable_crawl import POLICY, SEED, DurableCrawl, report

ONE, TWO, THREE, FOUR, DEEP = (f"{SEED}{number}" for number in "12345")
OUTLINKS = {SEED: (ONE, TWO, THREE), ONE: (SEED, FOUR, DEEP)}
#: 2 is gone, 3 moves to 2, 4 is a page whose hook fails, and has a link of its own; 5 has no address.
LISTED = {
    SEED: [
        LinkRecord(ONE, "a", "", "one"),
        LinkRecord(TWO, "a", "next", "two"),
        LinkRecord(THREE, "a"),
        LinkRecord("http://other.test/", "a", "", "elsewhere", "host"),
        LinkRecord("http://[::1", "a", "", "odd", "not_http"),
        LinkRecord("mailto:a@b", "a", "", "mail", "not_http"),
    ],
    ONE: [LinkRecord(SEED, "a"), LinkRecord(FOUR, "a"), LinkRecord(DEEP, "a"), LinkRecord(TWO, "a", why="nofollow")],
    FOUR: [LinkRecord(TWO, "area", "", "from four")],
}


def answer(lease: Lease, task: Task) -> Report:
    links, _ = pack(LISTED.get(task.url, []))
    said = replace(report(lease, task), outlinks=OUTLINKS.get(task.url, ()), links=links)
    bare = Report(lease=lease.id, ref=task.ref, outcome=Outcome.REDIRECTED, status=301, location=TWO, age_s=0.0)
    match task.url:
        case _ if task.kind is Kind.ROBOTS:
            return said
        case url if url == TWO:
            return replace(bare, outcome=Outcome.HTTP_ERROR, status=404, reason="http_404", location="")
        case url if url == THREE:
            return bare
        case url if url == FOUR:
            return replace(said, outcome=Outcome.EXTRACT_ERROR, reason="extract_error", rows=())
        case url if url == DEEP:
            return replace(bare, outcome=Outcome.NETWORK_ERROR, status=0, reason="dns_failed", location="")
    return said


def crawled(folder: Path, *, keeps_links: bool = True, tables: dict[str, str] | None = None, **policy: Any) -> None:
    crawl = DurableCrawl(folder, policy_with(POLICY, keeps_links=keeps_links, retries=0, **policy))
    asked = tables if tables is not None else {"links": "links.jsonl"} if keeps_links else {}
    crawl.store.keep("job", msgspec.json.encode({"sinks": crawl.sinks, "tables": asked}))
    crawl.begin()
    granted = crawl.ask()
    while granted:
        granted = crawl.ask(*(answer(lease, task) for lease, task in granted))
    crawl.write_sinks()
    crawl.close()


def links_of(folder: Path) -> list[dict[str, Any]]:
    with closing(open_reader(folder)) as reader:
        return list(link_rows(reader))


def broken_of(folder: Path) -> list[dict[str, Any]]:
    with closing(open_reader(folder)) as reader:
        return list(broken_rows(reader))


def test_there_is_a_row_for_each_link_of_each_page_that_was_read(tmp_path: Path) -> None:
    crawled(tmp_path)
    rows = links_of(tmp_path)
    assert [(row["source"], row["target"]) for row in rows] == [
        (source, record.target) for source in (SEED, ONE, FOUR) for record in LISTED[source]
    ]
    assert {tuple(row) for row in rows} == {tuple(column.name for column in LINKS.columns)}
    assert rows[1] == {
        "source": SEED,
        "target": TWO,
        "element": "a",
        "rel": "next",
        "text": "two",
        "followed": True,
        "why": None,
        "final_url": TWO,
        "state": "failed",
        "status": 404,
        "reason": "http_404",
    }
    assert (rows[2]["target"], rows[2]["final_url"], rows[2]["status"]) == (THREE, TWO, 404)
    assert (rows[3]["followed"], rows[3]["why"], rows[3]["final_url"], rows[3]["state"]) == (False, "host", None, None)
    assert (rows[9]["followed"], rows[9]["why"], rows[9]["status"]) == (False, "nofollow", 404)


def test_the_coordinator_tells_why_it_did_not_go_on(tmp_path: Path) -> None:
    crawled(tmp_path, depth=1)
    (deep,) = (row for row in links_of(tmp_path) if row["target"] == DEEP)
    assert (deep["followed"], deep["why"], deep["state"]) == (False, "depth", "dropped")


def test_a_link_that_was_not_admitted_is_told(tmp_path: Path) -> None:
    crawled(tmp_path, limits=HostLimits(known_per_host=3))
    (deep,) = (row for row in links_of(tmp_path) if row["target"] == DEEP)
    assert (deep["followed"], deep["why"], deep["state"]) == (False, "not_admitted", None)


def test_broken_links_are_those_that_lead_to_nothing_with_their_pages(tmp_path: Path) -> None:
    crawled(tmp_path)
    rows = broken_of(tmp_path)
    assert [(row["target"], row["status"], row["reason"], row["source"]) for row in rows] == [
        (TWO, 404, "http_404", SEED),
        (THREE, 404, "http_404", SEED),
        ("http://[::1", None, "not_http", SEED),
        (DEEP, None, "dns_failed", ONE),
        (TWO, 404, "http_404", ONE),
        (TWO, 404, "http_404", FOUR),
    ]
    assert {tuple(row) for row in rows} == {tuple(column.name for column in BROKEN.columns)}
    assert rows[-1]["text"] == "from four"


def test_rows_are_the_same_whatever_is_looked_up_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crawled(tmp_path)
    whole = links_of(tmp_path)
    monkeypatch.setattr(link_table, "AT_ONCE", 1)
    monkeypatch.setattr("crawlfleet.coordinator.offline.known_tasks.REMEMBERED", 0)
    assert links_of(tmp_path) == whole


def test_links_that_nobody_asked_for_are_not_kept_whatever_a_worker_sends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crawled(tmp_path, keeps_links=False)
    assert links_of(tmp_path) == []
    assert main(["export", str(tmp_path), "--table", "broken"]) == 2
    assert "recorded no links" in capsys.readouterr().err
    assert main(["export", str(tmp_path), "--table", "urls"]) == 0


def test_a_table_of_links_without_a_link_is_empty(tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path, policy_with(POLICY, keeps_links=True))
    crawl.store.keep("job", b'{"sinks": [], "tables": {"links": null, "broken": "b.jsonl"}}')
    crawl.close()
    assert main(["export", str(tmp_path), "--table", "links", "--to", str(tmp_path / "links.jsonl")]) == 0
    assert (tmp_path / "links.jsonl").read_bytes() == b""


def test_what_is_damaged_in_the_links_of_a_page_leaves_those_of_others(tmp_path: Path) -> None:
    crawled(tmp_path)
    with closing(sqlite3.connect(tmp_path / FRONTIER)) as db:
        db.execute("UPDATE links SET row = x'00' WHERE seq = 1")
        db.commit()
    assert [row["source"] for row in links_of(tmp_path)] == [ONE] * 4 + [FOUR]


def test_verify_knows_the_links_of_each_page(tmp_path: Path) -> None:
    crawled(tmp_path)
    name = "the links of each page are recorded as its report had them, once"
    found = {each.name: (each.checked, each.broken) for each in verify(tmp_path).invariants}
    assert found[name] == (3, 0)
    with closing(sqlite3.connect(tmp_path / FRONTIER)) as db:
        db.execute("DELETE FROM links WHERE seq = 2")
        db.execute("UPDATE links SET row = x'00' WHERE seq = 1")
        db.commit()
    (broken,) = (each for each in verify(tmp_path).invariants if each.broken)
    assert (broken.name, broken.checked, broken.broken) == (name, 3, 2)
    assert broken.where == [
        f"{SEED}: 1 bytes of links, not {len(pack(LISTED[SEED])[0])}",
        f"{ONE}: its links are missing",
    ]


def test_verify_compares_the_files_of_the_tables(tmp_path: Path) -> None:
    files = {"urls": "urls.jsonl", "links": "links.jsonl", "broken": "broken.jsonl"}
    crawled(tmp_path, tables=files)
    for name, file in list(files.items())[:2]:
        assert main(["export", str(tmp_path), "--table", name, "--to", str(tmp_path / file)]) == 0
    found = {each.name: (each.checked, each.broken) for each in verify(tmp_path).invariants[-3:]}
    assert found == {
        "urls.jsonl has the rows of the table urls, each once": (7, 0),
        "links.jsonl has the rows of the table links, each once": (11, 0),
        "broken.jsonl is not there, or cannot be read back, and was not looked at": (0, 0),
    }
    lines = (tmp_path / "links.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "links.jsonl").write_bytes(b"".join([*lines[1:], lines[1]]))
    assert verify(tmp_path).invariants[-2].broken == 2


@pytest.mark.parametrize("ending", SINKS)
def test_tables_are_written_in_every_format_of_sinks_and_verified(ending: str, tmp_path: Path) -> None:
    files = {"urls": f"urls{ending}", "links": f"links{ending}", "broken": f"broken{ending}"}
    crawled(tmp_path, tables=files)
    for name, file in files.items():
        assert main(["export", str(tmp_path), "--table", name, "--to", str(tmp_path / file)]) == 0
    found = {each.name: (each.checked, each.broken) for each in verify(tmp_path).invariants[-3:]}
    assert found == {
        f"urls{ending} has the rows of the table urls, each once": (7, 0),
        f"links{ending} has the rows of the table links, each once": (11, 0),
        f"broken{ending} has the rows of the table broken, each once": (6, 0),
    }


def test_a_page_that_is_read_again_has_its_links_once(tmp_path: Path) -> None:
    crawled(tmp_path)
    with closing(sqlite3.connect(tmp_path / FRONTIER)) as db:
        (task, row) = db.execute("SELECT task, row FROM links WHERE seq = 1").fetchone()
        db.execute("INSERT OR REPLACE INTO links (task, row) VALUES (?, ?)", (task, row))
        db.commit()
    rows = links_of(tmp_path)
    assert [row["source"] for row in rows] == [ONE] * 4 + [FOUR] + [SEED] * 6
    assert verify(tmp_path).holds


def test_links_are_exported_by_their_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crawled(tmp_path)
    assert main(["export", str(tmp_path), "--table", "broken"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == broken_of(tmp_path)
