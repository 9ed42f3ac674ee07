"""The page about a job from a page, run from its own text: what `init` writes, `try --watch` shows, `run` leaves."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT

from crawlfleet.demo.server import DemoSite
from crawlfleet.demo.shop import BOOKS
from tests.acceptance.crawls import CRAWLFLEET, lines, run

PAGE = (Path(__file__).parents[2] / "docs/how-to/write-a-job-from-a-page.md").read_text("utf-8")
SERVED = "http://127.0.0.1:8765/"
WAIT_S = 60


def block(kind: str) -> str:
    (text,) = re.findall(rf"^```{re.escape(kind)}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(text)


def texts() -> list[str]:
    return re.findall(r"^```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def commands() -> list[list[str]]:
    """Return the words of the commands of the page, without the one that serves the shop."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [line.split()[1:] for line in blocks if line.startswith("crawlfleet ")]


def at(site: DemoSite, text: str) -> str:
    return text.replace(SERVED, site.base)


def wait_for(what: Callable[[], bool], said: Callable[[], str]) -> None:
    ends_at = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < ends_at, said()
        time.sleep(0.05)


def test_the_page_shows_what_init_writes(tmp_path: Path, site: DemoSite) -> None:
    to_file, printed = [words for words in commands() if words[0] == "init"]
    done = run(tmp_path, *(at(site, word) for word in to_file))
    assert done.stdout == texts()[0], done.stderr
    written = (tmp_path / "shop.yaml").read_text(encoding="utf-8")
    assert written.endswith(block("yaml init=/catalogue"))
    assert run(tmp_path, "check", "shop.yaml").returncode == 0
    done = run(tmp_path, *(at(site, word) for word in printed))
    assert done.stdout.endswith(block("yaml init=/book/the-amber-lantern-51.html"))


def test_a_job_that_init_writes_is_edited_under_try_and_run(tmp_path: Path, site: DemoSite) -> None:
    first, _, watch, crawl = commands()
    assert run(tmp_path, *(at(site, word) for word in first)).returncode == 0
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"
    with out.open("w") as printed, err.open("w") as told:
        watching = subprocess.Popen([*CRAWLFLEET, *watch], cwd=tmp_path, stdout=printed, stderr=told)
    try:
        wait_for(lambda: "watching shop.yaml" in err.read_text(), err.read_text)
        assert "product: 20 rows" in out.read_text()
        (tmp_path / "shop.yaml").write_text(at(site, block("yaml job=edited")), encoding="utf-8")
        wait_for(lambda: at(site, texts()[1]) in out.read_text(), out.read_text)
        watching.send_signal(SIGINT)
        assert watching.wait(WAIT_S) == 130
    finally:
        watching.kill()
        watching.wait()
    # Once for `init`, and once for `try`, whatever was edited.
    assert site.hits["/catalogue/page-1.html"] == 2
    done = run(tmp_path, *crawl)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = lines(tmp_path / "crawls" / "shop" / "items.jsonl")
    (number,) = re.findall(r"^leaves (\d+) books", PAGE, re.MULTILINE)
    assert sorted(row["title"] for row in rows) == sorted(book.title for book in BOOKS)
    assert len(rows) == int(number)
