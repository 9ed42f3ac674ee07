"""A crawl that checks the links that lead out of it, over several hosts of loopback, as a user runs it."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.shared.engines import FETCH_ENGINES
from tests.acceptance.crawls import lines, run, start
from tests.local import LOCAL
from tests.site.linked_hosts import Answer, LinkedHost, linked_hosts
from tests.site.robots_hosts import until

RULES = Answer(200, "User-agent: *\nDisallow: /private\n")


def write(folder: Path, seeds: list[str], fetch: str = "retries: 1", scope: str = "") -> Path:
    path = folder / "checked.yaml"
    listed = "".join(f"  - {seed}\n" for seed in seeds)
    path.write_text(
        f"name: checked\nseeds:\n{listed}politeness: {{delay: 0s, adaptive: false}}\n"
        f"links: {{check_external: true}}\nscope: {{{scope}}}\nfetch: {{allow_private: [{LOCAL[0]}], {fetch}}}\n"
    )
    return path


def crawl(folder: Path, job: Path, *arguments: str) -> dict[str, Any]:
    """Run a job to its end, and prove it; return its summary, with what was printed."""
    done = run(folder, "run", job, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    proof = run(folder, "verify", folder / "crawls" / "checked")
    assert proof.returncode == 0, proof.stdout
    summary: dict[str, Any] = json.loads((folder / "crawls" / "checked" / "summary.json").read_text())
    return {**summary, "printed": done.stdout, "proved": proof.stdout}


def rows(folder: Path) -> set[str]:
    return {row["url"] for row in lines(folder / "crawls" / "checked" / "items.jsonl")}


@pytest.fixture
def hosts() -> Iterator[list[LinkedHost]]:
    with linked_hosts(4) as served:
        yield served


@pytest.fixture
def dead() -> Iterator[str]:
    """A host on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.8.250", 0))
        yield f"http://127.0.8.250:{probe.getsockname()[1]}"


@pytest.mark.parametrize("engine", sorted(FETCH_ENGINES))
def test_links_that_lead_out_are_asked_for_once_and_never_read_or_followed(
    tmp_path: Path, hosts: list[LinkedHost], dead: str, engine: str
) -> None:
    home, out, moved, refusing = hosts
    home.has("/", "/a", f"{out.base}/good", f"{out.base}/gone", f"{out.base}/private/x", f"{dead}/x")
    home.has("/a", f"{out.base}/good", f"{moved.base}/from", f"{moved.base}/loop", f"{refusing.base}/head")
    out.answers["/robots.txt"] = RULES
    out.has("/good", "/deeper", f"{home.base}/never-linked")
    moved.moves("/from", f"{out.base}/to")
    out.has("/to", "/deeper")
    moved.moves("/loop", f"{moved.base}/loop")
    refusing.answers |= {"HEAD /head": Answer(405), "GET /head": Answer(200, "x" * 1_000_000)}
    end = crawl(
        tmp_path,
        write(tmp_path, [f"{home.base}/"], f"engine: {engine}, retries: 1"),
    )
    assert rows(tmp_path) == {f"{home.base}/", f"{home.base}/a"}
    assert home.pages() == {"GET /", "GET /a"}
    assert sorted(out.asked) == ["GET /gone", "GET /robots.txt", "HEAD /gone", "HEAD /good", "HEAD /to"]
    assert sorted(moved.asked) == ["GET /robots.txt", "HEAD /from", "HEAD /loop"]
    assert refusing.asked == ["GET /robots.txt", "HEAD /head", "GET /head"]
    assert (end["fetched"], end["discovered"], end["failed"], end["dropped"]) == (2, 2, 0, 0)
    assert (end["external_checked"], end["external_broken"], end["external_unchecked"]) == (7, 3, 1)
    causes = {(each["ended"], each["reason"]): each["url"] for each in end["causes"] if each["ended"] != "retried"}
    assert causes == {
        ("broken", "http_404"): f"{out.base}/gone",
        ("broken", "redirect_loop"): f"{moved.base}/loop",
        ("broken", "connect"): f"{dead}/x",
        ("unchecked", "robots"): f"{out.base}/private/x",
    }
    assert "broken external links:" in end["printed"]
    assert "broken external links:" in end["proved"]


def test_checks_take_no_place_of_the_pages_and_go_on_when_these_are_spent(
    tmp_path: Path, hosts: list[LinkedHost]
) -> None:
    home, out = hosts[:2]
    home.has("/", *(f"/{number}" for number in range(30)), *(f"{out.base}/{number}" for number in range(8)))
    for number in range(30):
        home.has(f"/{number}", f"{out.base}/of/{number}")
    end = crawl(tmp_path, write(tmp_path, [f"{home.base}/"], scope="pages: 3"))
    fetched = rows(tmp_path)
    assert len(fetched) == 3
    found = {f"HEAD /{number}" for number in range(8)}
    found |= {f"HEAD /of/{url.rpartition('/')[2]}" for url in fetched if not url.endswith("/")}
    assert {asked for asked in out.asked if asked.startswith("HEAD")} == found
    assert (end["fetched"], end["external_checked"], end["external_broken"]) == (3, 10, 10)
    assert end["reasons"] == {"budget_pages": 28}


def test_a_broken_link_is_no_failed_seed_and_a_seed_that_leads_out_is_one(
    tmp_path: Path, hosts: list[LinkedHost]
) -> None:
    home, out = hosts[:2]
    home.moves("/", f"{out.base}/")
    out.has("/")
    job = write(tmp_path, [f"{home.base}/"], scope="hosts: [127.0.8.1]")
    done = run(tmp_path, "run", job)
    assert done.returncode == 1
    assert f"host: The host is outside of `scope.hosts`. ({out.base}/)" in done.stdout
    assert out.asked == []


def test_what_include_leaves_out_is_checked_and_what_exclude_matches_is_not_asked_for(
    tmp_path: Path, hosts: list[LinkedHost]
) -> None:
    home, out = hosts[:2]
    home.has("/docs/", "/docs/a", "/blog", "/docs/private", "/private", f"{out.base}/private", f"{out.base}/x")
    home.has("/docs/a", "/docs/b")
    home.has("/docs/b")
    home.has("/blog", "/blog/more")
    out.has("/x")
    scope = "include: [/docs/], exclude: [private], depth: 1"
    crawl(tmp_path, write(tmp_path, [f"{home.base}/docs/"], scope=scope))
    assert home.pages() == {"GET /docs/", "GET /docs/a", "HEAD /blog"}
    assert out.pages() == {"HEAD /x"}


def test_the_header_fields_of_a_job_go_to_its_own_hosts_only(tmp_path: Path, hosts: list[LinkedHost]) -> None:
    home, out = hosts[:2]
    home.has("/", "/elsewhere", f"{out.base}/x")
    out.has("/x")
    crawl(tmp_path, write(tmp_path, [f"{home.base}/"], "headers: {X-Key: secret}"))
    assert {"secret" in seen for seen in home.headers} == {True}
    assert out.asked == ["GET /robots.txt", "HEAD /x"]
    assert {"secret" in seen for seen in out.headers} == {False}


def test_a_checked_link_is_fetched_as_a_page_once_its_host_joins_the_scope(
    tmp_path: Path, hosts: list[LinkedHost]
) -> None:
    home, late, joined = hosts[:3]
    home.has("/", f"{joined.base}/gone-at-first", f"{joined.base}/there", "/more")
    home.has("/more", f"{joined.base}/late")
    joined.answers["HEAD /gone-at-first"] = Answer(404)
    joined.answers["GET /gone-at-first"] = Answer(404)
    for path in ("/there", "/late", "/new", "/start"):
        joined.has(path, "/new")
    # The second seed answers only when the checks are over.
    checks = {"HEAD /there", "HEAD /late", "GET /gone-at-first"}

    def moved() -> Answer:
        until(lambda: checks <= set(joined.asked))
        return Answer(302, "", (("Location", f"{joined.base}/start"),))

    late.answering["/"] = moved
    end = crawl(tmp_path, write(tmp_path, [f"{home.base}/", f"{late.base}/"]))
    pages = {f"{joined.base}{path}" for path in ("/start", "/there", "/late", "/new")}
    assert rows(tmp_path) == pages | {f"{home.base}/", f"{home.base}/more"}
    assert (end["external_checked"], end["external_broken"]) == (0, 0)
    assert end["reasons"] == {"http_404": 1}
    assert [asked for asked in joined.asked if asked.endswith("/there")] == ["HEAD /there", "GET /there"]


def test_checks_go_on_after_an_interruption_and_none_is_made_twice(tmp_path: Path, hosts: list[LinkedHost]) -> None:
    home, out = hosts[:2]
    home.has("/", *(f"{out.base}/{number}" for number in range(12)))
    for number in range(12):
        out.has(f"/{number}")
    job = write(tmp_path, [f"{home.base}/"])
    job.write_text(job.read_text().replace("delay: 0s", "delay: 300ms"))
    with start(tmp_path, "run", job) as process:
        until(lambda: len(out.asked) > 4)
        process.send_signal(signal.SIGINT)
        process.wait(60)
    before = len(out.asked)
    assert before < 13
    end = crawl(tmp_path, job)
    assert sorted(out.asked) == sorted(["GET /robots.txt", *(f"HEAD /{number}" for number in range(12))])
    assert (end["external_checked"], end["external_broken"], end["external_waiting"]) == (12, 0, 0)
    again = crawl(tmp_path, job)
    assert len(out.asked) == 13
    assert again["external_checked"] == 12
