"""Seeds from files, from the job to the first grant: what a job says of them, how they are added, and what is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crawlfleet.coordinator.conduct import seeding as seeding_module
from crawlfleet.coordinator.conduct.seeding import LineTally
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.core.rows import TaskRow
from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.coordinator.core.seed_lines import Listed
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.job.change import take_job
from crawlfleet.coordinator.job.job import MAX_JOINING_HOSTS, Job, as_data, brief, load, policy
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.coordinator.results.columns import layout_of
from crawlfleet.coordinator.seed_files import SeedFiles
from crawlfleet.screen.progress import words
from crawlfleet.shared.brief import Brief
from crawlfleet.shared.errors import JobError, UsageError
from crawlfleet.shared.messages import ExchangeRequest, Hello, Kind
from crawlfleet.shared.status import Status
from crawlfleet.shared.web.urls import page_fingerprint
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.fetch.port import Fetched, Headers
from tests.policies import policy_with
from tests.unit.core_crawl import POLICY
from tests.unit.durable_crawl import POLICY as OF_DURABLE
from tests.unit.durable_crawl import DurableCrawl

PORTION = 100
LIST = "name: list\nseeds: [{file: urls.txt}]\n"
TABLE = "name: list\nseeds: [{file: urls.csv, column: url}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "urls.txt").write_text("http://a.test/\n")
    (tmp_path / "urls.csv").write_text("url,id,note\nhttp://a.test/,1,x\n")
    return tmp_path


def job_of(text: str, folder: Path) -> Job:
    (folder / "job.yaml").write_text(text)
    return load(folder / "job.yaml")


# The job


def test_a_job_keeps_the_name_of_the_file_and_its_columns_and_none_of_its_lines(folder: Path) -> None:
    more = "urls.csv, column: url}, {sitemap: http://a.test/map.xml}, http://b.test/, {file: urls.txt"
    job = job_of(LIST.replace("urls.txt", more), folder)
    data = as_data(job)
    assert data["seeds"] == [
        {"file": "urls.csv", "column": "url"},
        {"sitemap": "http://a.test/map.xml"},
        "http://b.test/",
        {"file": "urls.txt", "column": None},
    ]
    assert data["seed_columns"] == ["id", "note"]
    assert layout_of(data).tables[0].columns[1].name == "requested"
    assert brief(job).scope.hosts == ("b.test", "a.test")
    assert brief(job).reserved == ("requested", "seed")
    assert "seed_columns" not in as_data(job_of("name: a\nseeds: [http://a.test/]\n", folder))


def test_columns_of_several_files_are_put_together(folder: Path) -> None:
    (folder / "more.csv").write_text("url,Note,size\n")
    seeds = "{file: urls.csv, column: url}, {file: more.csv, column: url}"
    assert as_data(job_of(f"name: a\nseeds: [{seeds}]\n", folder))["seed_columns"] == ["id", "note", "size"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (LIST.replace("urls.txt", "none.txt"), r"job.yaml:2:16: seeds\[0\].file: 'none.txt' is not there: paths are"),
        (LIST.replace("urls.txt", "urls.csv"), r"seeds\[0\].file: 'urls.csv' is a CSV file: name the column"),
        (TABLE.replace("column: url", "column: uri"), r"has no column 'uri': its first line names 'url', 'id', 'note'"),
        (LIST.replace("{file", "{fil"), r"seeds\[0\].fil: is not a known key: did you mean 'file'"),
        (
            LIST.replace("urls.txt", "urls.txt, colum: a"),
            r"seeds\[0\].colum: .* did you mean 'column'",
        ),
        (LIST.replace("file: urls.txt", "column: a"), r"seeds\[0\].file: is missing: add it"),
        (LIST.replace("urls.txt", "7"), r"seeds\[0\].file: wants text, not the number 7"),
        (LIST.replace("urls.txt", "'a\\tb'"), r"seeds\[0\].file: .* is not there"),
        (LIST.replace("urls.txt", '"a\\tb"'), r"seeds\[0\].file: .* is no file name: write printable characters"),
        (
            f"{LIST}items: [{{name: a, fields: {{b: b, seed: h1}}}}]\n",
            r"items\[0\].fields.seed: is a name that",
        ),
        (f"{LIST}columns: {{a: {{requested: int}}}}\n", r"columns.a.requested: is a name that rows have of their line"),
    ],
)
def test_what_is_wrong_with_a_seeds_file_is_told_at_its_place(text: str, why: str, folder: Path) -> None:
    with pytest.raises(JobError, match=why):
        job_of(text, folder)


def test_other_jobs_may_have_fields_of_these_names(folder: Path) -> None:
    job = job_of("name: a\nseeds: [http://a.test/]\nitems: [{name: a, fields: {seed: h1, requested: h2}}]\n", folder)
    assert brief(job).reserved == ()


@pytest.mark.parametrize(
    ("more", "listed", "joining"),
    [
        ("", True, MAX_JOINING_HOSTS),
        ("scope: {hosts: subdomains}\n", True, MAX_JOINING_HOSTS),
        ("scope: {hosts: any, pages: 5}\n", False, 0),
        ("scope: {hosts: [a.test]}\n", False, 0),
        ("follow: []\n", True, 0),
        ("follow: []\nscope: {sitemaps: true}\n", True, MAX_JOINING_HOSTS),
        ("follow: []\nlinks: {check_external: true}\n", True, MAX_JOINING_HOSTS),
        ("follow: []\nhooks: hook.py\n", True, MAX_JOINING_HOSTS),
    ],
)
def test_lines_are_let_in_and_their_hosts_join_as_scope_and_follow_say(
    more: str, listed: bool, joining: int, folder: Path
) -> None:
    (folder / "hook.py").write_text("def parse(page): pass\n")
    job = job_of(LIST + more, folder)
    extent = policy(job, brief(job)).extent
    assert (extent.listed_hosts, extent.joining_hosts, job.follows) == (
        listed,
        joining,
        "follow" not in more or joining > 0,
    )


def test_new_lines_and_columns_need_no_accepting_and_another_file_does(folder: Path) -> None:
    store = MemoryStore()
    take_job(store, as_data(job_of(TABLE, folder)), accept=False)
    (folder / "urls.csv").write_text("url,id,size\nhttp://b.test/,1,x\n")
    changed = take_job(store, as_data(job_of(TABLE, folder)), accept=False)
    assert changed is not None
    assert changed.keys == ("the columns of seeds files",)
    with pytest.raises(UsageError, match=r"- seeds: .*urls.csv.*\n.*\+ seeds: .*urls.txt"):
        take_job(store, as_data(job_of(LIST, folder)), accept=False)


def test_a_hook_that_gives_a_name_of_the_line_fails(folder: Path) -> None:
    page = Fetched(url="http://a.test/", status=200, headers=Headers(()), body=b"")
    for text, error in (
        (LIST, "gave a row with 'requested', which rows have"),
        ("name: a\nseeds: [http://a.test/]", ""),
    ):
        extractor = Extractor(brief(job_of(text, folder)), lambda _page: {"requested": 1})
        assert error in extractor.extract(page).error
        assert bool(error) == bool(extractor.extract(page).error)


# Adding them


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding_module, "SEEDS_PER_TURN", PORTION)


def some_lines(number: int) -> Iterator[tuple[str, SeedLine]]:
    for each in range(number):
        url = f"http://h{each}.test/"
        yield url, SeedLine(url.upper())


def service_of(store: MemoryStore | SqliteStore, **policy: Any) -> Service:
    values = {"listed_hosts": True, **policy}
    service = Service(store, policy_with(POLICY, **values), Brief(job="test", scope=POLICY.scope), 7, lambda _: None)
    service.hello(Hello(session="s"), 0.0)
    return service


def granted(service: Service) -> str:
    """Ask for tasks; return a mark if there are some."""
    answer = service.exchange(ExchangeRequest(session="s", want=8), 0.0)
    assert not answer.finished
    service.flush(0.0)
    return "x" if answer.leases else " "


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize(("is_open", "grants"), [(False, "   x"), (True, " xxx")])
def test_nothing_is_granted_before_the_last_line_unless_pages_lead_nowhere(is_open: bool, grants: str) -> None:
    service = service_of(MemoryStore())
    service.expect_seeds((), (), some_lines(3 * PORTION), is_open=is_open)
    seen, more = [], []
    for _ in range(3):
        seen.append(granted(service))
        more.append(service.add_some_seeds(0.0))
    assert "".join([*seen, granted(service)]) == grants
    assert more == [True, True, False]
    assert (service.seeding.added, service.seeding.total) == (3 * PORTION, 3 * PORTION)


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize("lines", [0, 1, PORTION - 1, PORTION, PORTION + 1])
def test_lines_come_after_the_seeds_of_the_job_and_each_portion_is_full(lines: int) -> None:
    pages = tuple(f"http://p{number}.test/" for number in range(PORTION + 1))
    store = MemoryStore()
    service = service_of(store)
    service.expect_seeds(pages, (), some_lines(lines))
    sizes = []
    is_more = True
    while is_more:
        before = service.seeding.added
        is_more = service.add_some_seeds(0.0)
        sizes.append(service.seeding.added - before)
    number = PORTION + 1 + lines
    assert sum(sizes) == service.seeding.added == service.seeding.total == number
    assert sizes[:-1] == [PORTION] * (len(sizes) - 1)
    assert sum(count for (kind, _), count in store.counts().items() if kind is Kind.PAGE) == number
    assert service.seeding.is_over


def test_a_file_without_an_address_is_no_seeding_that_never_ends() -> None:
    service = service_of(MemoryStore())
    service.expect_seeds((), (), iter(()))
    assert not service.is_finished
    assert not service.add_some_seeds(0.0)
    assert service.is_finished


def test_lines_are_admitted_by_the_url_that_the_job_s_policy_makes_of_them() -> None:
    store = MemoryStore()
    service = service_of(store, urls=msgspec.structs.replace(POLICY.urls, index_pages=("index.html",)))
    lines = [("http://a.test/index.html", SeedLine("one")), ("http://a.test/", SeedLine("two"))]
    service.expect_seeds((), (), lines)
    service.add_some_seeds(0.0)
    ref = page_fingerprint("http://a.test/")
    assert store.rows(TaskRow, [ref])[ref].seed
    assert (service.seeding.tally.lines, service.seeding.tally.repeated) == (2, 1)


def test_the_progress_says_about_how_many_there_are() -> None:
    status = Status(job="big", elapsed_s=7.0, seeds=100_000, seeds_added=40_000, seeds_estimated=True)
    assert words(status, 0.0) == "big: adding seeds: 40,000 of about 100,000 · 7 s"
    assert "5 pages · 0/s · 0 to go · 0 rows · adding seeds: 40,000 of about 100,000 · " in words(
        msgspec.structs.replace(status, fetched=5), 0.0
    )


# What is told


def findings(text: str, folder: Path, store: MemoryStore, more: str = "follow: []\n", **policy: Any) -> tuple[str, ...]:
    """Return what is told of a file with this text, after all of its lines were added."""
    (folder / "urls.txt").write_text(text)
    files = SeedFiles(job_of(LIST + more, folder))
    service = service_of(store, **policy)
    service.expect_seeds((), (), files)
    while service.add_some_seeds(0.0):
        pass
    service.flush(0.0)
    return files.findings(service.seeding.tally, store)


def test_what_is_new_and_what_is_gone_is_told_by_the_next_run(folder: Path) -> None:
    store = MemoryStore()
    lines = [f"HTTP://a.test/{number}\n" for number in range(20)]
    assert findings("".join(lines), folder, store) == ()
    assert findings("".join(lines), folder, store) == ()
    assert findings("".join(reversed(lines)), folder, store) == ()
    assert findings("".join([*lines[5:], "http://b.test/\n"]), folder, store) == (
        "Seeds of files: 1 new, 5 gone since the last run (such as 'HTTP://a.test/0', 'HTTP://a.test/1', "
        "'HTTP://a.test/2': what is known of them stays).",
    )
    assert findings("".join([*lines[4:], "http://b.test/\n"]), folder, store) == (
        "Seeds of files: 1 new, 0 gone since the last run.",
    )
    assert findings("".join([*lines[4:], "http://b.test/\n"]), folder, store) == ()


def test_what_was_not_read_is_not_gone(folder: Path) -> None:
    store = MemoryStore()
    findings("http://a.test/1\nhttp://a.test/2\n", folder, store)
    files = SeedFiles(job_of(LIST, folder))
    (folder / "urls.txt").unlink()
    assert list(files) == []
    sentence = "urls.txt is not there: paths are relative to the job file; nothing was taken from it."
    assert files.findings(LineTally(), store) == (sentence,)
    assert findings("http://a.test/1\n", folder, store) == (
        "Seeds of files: 0 new, 1 gone since the last run (such as 'http://a.test/2': what is known of them stays).",
    )


def test_lines_that_lead_to_one_page_and_late_ones_are_counted(folder: Path) -> None:
    text = "http://a.test/1\nhttp://a.test/1#x\nhttp://a.test/2\nHTTP://a.test/1\nbad\n"
    bad, repeated = findings(text, folder, MemoryStore())
    assert bad.startswith("urls.txt: 1 line is skipped, such as urls.txt:5: 'bad' has no scheme")
    assert repeated == (
        "2 lines lead to a page of an earlier line: it is fetched once, and its rows have that earlier line."
    )
    files, tally = SeedFiles(job_of(LIST, folder)), LineTally()
    tally.note([Listed(8, True, True), Listed(9, False, True), Listed(9, False, True)])
    assert (tally.lines, tally.repeated, tally.late, tally.numbers) == (3, 1, 1, b"\x00\x03")
    *_, once, late = files.findings(tally, MemoryStore())
    assert once.startswith("1 line leads to a page of an earlier line")
    assert late.startswith("1 line names a page that was fetched before as a link of the crawl: rows that are recorded")


def test_hosts_whose_links_are_not_followed_are_told(folder: Path) -> None:
    text = "".join(f"http://h{number}.test/\n" for number in range(5))
    (said,) = findings(text, folder, MemoryStore(), "", joining_hosts=3)
    assert said.startswith("Seeds of files have more than 1,000 hosts: links to the others are not followed (2 lines).")
    assert findings(text, folder, MemoryStore(), "follow: []\n", joining_hosts=0) == ()
    assert findings(text, folder, MemoryStore(), "scope: {hosts: any, pages: 9}\n", joining_hosts=0) == ()


def test_how_many_lines_are_left_is_estimated_by_what_is_read(folder: Path) -> None:
    (folder / "urls.txt").write_text("http://a.test/\n" * 100_000)
    files = SeedFiles(job_of(LIST, folder))
    lines = iter(files)
    for _ in range(10_000):
        next(lines)
    assert 60_000 < files.estimated_left < 95_000
    assert sum(1 for _ in lines) == 90_000
    assert files.estimated_left == 0


def test_a_line_is_proved_with_the_crawl(tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path, policy_with(OF_DURABLE, listed_hosts=True))
    crawl.service.expect_seeds((), (), [("http://a.test/", SeedLine("HTTP://a.test", {"id": "7"}))])
    crawl.service.add_some_seeds(crawl.now)
    crawl.service.hello(Hello(session="s"), crawl.now)
    crawl.service.flush(crawl.now)
    crawl.finish()
    crawl.close()
    proof = verify(tmp_path)
    assert proof.holds
    (lines,) = (each for each in proof.invariants if "seeds file" in each.name)
    assert lines.checked == 1
    with closing(SqliteStore(tmp_path / FRONTIER)) as store:
        rows = [result.seed_line for result in store.results(0, 9)]
    assert rows[0] == SeedLine("HTTP://a.test", {"id": "7"})
    assert rows[1:] == [None] * 3
