"""What a user is told of a crawl that is run, edited and run again."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.acceptance.crawls import run, start
from tests.acceptance.processes import end_with_descendants

HOOK = """\
def parse(page):
    print("looked at", page.url)
    if page.url.endswith("/bad"):
        raise KeyError("price")
    return {"title": page.title, "by": ""}
"""


class _Site(BaseHTTPRequestHandler):
    """A page with a link to another."""

    def do_GET(self) -> None:
        body = b'<title>home</title><a href="/bad">bad</a>' if self.path == "/" else b"<title>bad</title>"
        self.send_response(404 if self.path == "/robots.txt" else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def seed() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def job(folder: Path, seed: str, more: str = "") -> Path:
    path = folder / "told.yaml"
    path.write_text(f"name: told\nseeds: ['{seed}']\npoliteness: {{delay: 0s}}\nhooks: hook.py\n{more}")
    return path


def test_a_crawl_that_is_edited_and_run_again_says_what_happened_and_what_can_be_done(
    tmp_path: Path, seed: str
) -> None:
    (tmp_path / "hook.py").write_text(HOOK)
    first = run(tmp_path, "run", job(tmp_path, seed), "--workers", "1")
    told = first.stdout
    assert first.returncode == 0
    assert "1 extract_error: The page could not be parsed, or its hook failed.\n" in told
    assert f"the hook raised KeyError: 'price' at {tmp_path / 'hook.py'}:4\n      last: {seed}bad\n" in told
    assert "  1 item, on 1 page; empty: by 100%\n" in told
    assert "Nothing was done" not in told
    assert "looked at" not in told
    assert f"looked at {seed}\n" in first.stderr
    summary = tmp_path / "crawls" / "told" / "summary.json"
    left = summary.read_text()
    assert json.loads(left)["causes"][0]["detail"].startswith("the hook raised KeyError")

    (tmp_path / "hook.py").write_text(HOOK.replace("price", "name"))
    second = run(tmp_path, "run", job(tmp_path, seed, "sinks: [rows.jsonl]\n"), "--workers", "1")
    assert "The job has changed since the last run (sinks, the text of the hook): 2 pages fetched" in second.stdout
    assert "Nothing was done: this crawl had finished before." in second.stdout
    assert "--fresh" in second.stdout
    assert f"last: {seed}bad\n" in second.stdout
    assert summary.read_text() == left


def test_a_fleet_says_who_came_and_how_it_ended(tmp_path: Path, seed: str) -> None:
    (tmp_path / "hook.py").write_text(HOOK)
    coordinator = start(tmp_path, "coordinator", job(tmp_path, seed), "--json")
    try:
        worker = run(tmp_path, "worker", "--join-file", "crawls/told/join-token", "--processes", "1")
        assert coordinator.wait(30) == 0
    finally:
        end_with_descendants(coordinator)
    said = worker.stdout.splitlines()
    assert said[0] == "told: joined with 1 process"
    assert re.fullmatch(r"told: the crawl is finished · 3 URLs done here · \d s", said[-1])
    end = json.loads((tmp_path / "out.txt").read_text())
    assert (end["job"], end["ended"], end["fetched"]) == ("told", "finished", 1)

    done = run(tmp_path, "run", job(tmp_path, seed), "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_crawl_that_failed_says_why_though_it_is_quiet(tmp_path: Path, seed: str) -> None:
    (tmp_path / "hook.py").write_text(HOOK)
    failed = run(tmp_path, "run", job(tmp_path, f"{seed}bad"), "--quiet", "--workers", "1")
    assert (failed.returncode, failed.stdout) == (1, "")
    checked = run(tmp_path, "check", "told.yaml")
    assert "1 seed, the hook hook.py (it is not run here), into items.jsonl" in checked.stdout
    exported = run(tmp_path, "export", "crawls/told", "--to", "rows.jsonl")
    assert exported.stdout == "rows.jsonl: 0 rows of 0 fetched pages\n"
    audited = run(tmp_path, "audit-politeness", "crawls/told")
    assert audited.stdout == "No host of this crawl has a delay: there is nothing to audit.\n"
    assert "crawlfleet: No seed gave a page: see crawls/told/log.jsonl.\n  extract_error: The page" in failed.stderr
