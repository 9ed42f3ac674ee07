"""`crawlfleet try`: one page goes through the code of a crawl, and its user sees what it gives, and why not more."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.demo.server import DemoSite
from tests.acceptance.crawls import assert_refused, lines, run
from tests.acceptance.terminal import Terminal
from tests.hostile.site_server import HostileHosts
from tests.site.hostile_site import Visitor, reply, saying
from tests.site.small_site import Moved, SmallSite, page, serving

ENGINES = [("curl", "lexbor"), ("requests", "bs4")]
JOB = """\
name: shop
seeds: [{base}]
politeness: {{delay: 0s, adaptive: false}}
fetch: {{engine: {fetch}}}
parse: {{engine: {parse}}}
scope: {{exclude: ["/stock.html"]}}
hooks: hook.py
items:
  - name: book
    each: div.detail
    fields:
      title: h1::text
      price: {{css: p.price, type: price}}
      facts: {{each: table.product tr, fields: {{name: th::text, value: td::text}}}}
  - name: listing
    each: article.product
    fields: {{title: h3 > a::text, stars: p.stars::text}}
"""
NONE = reply(b"404 Not Found")
HOOK = """\
def parse(page):
    yield {"item": "seen", "title": page.title, "size": len(page.body)}
"""
PLAIN = "name: small\nseeds: [{base}/]\npoliteness: {{delay: 0s}}\n"


def shop_job(folder: Path, base: str, engines: tuple[str, str] = ENGINES[0]) -> Path:
    (folder / "hook.py").write_text(HOOK)
    job = folder / "shop.yaml"
    job.write_text(JOB.format(base=base, fetch=engines[0], parse=engines[1]))
    return job


def small_job(folder: Path, site: SmallSite, more: str = "") -> Path:
    job = folder / "small.yaml"
    job.write_text(PLAIN.format(base=site.base) + more)
    return job


def tried(folder: Path, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    """Try a page, and return what is told of it."""
    done = run(folder, "try", *arguments, "--json")
    assert done.returncode == code, done.stderr
    (line,) = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.parametrize("engines", ENGINES, ids="-".join)
def test_a_page_gives_what_it_gives_in_a_crawl(site: DemoSite, tmp_path: Path, engines: tuple[str, str]) -> None:
    job = shop_job(tmp_path, site.base, engines)
    tables = "tables={urls: urls.jsonl, links: links.jsonl}"
    assert run(tmp_path, "run", job, "--set", tables).returncode == 0
    rows, links = (lines(tmp_path / f"crawls/shop/{name}.jsonl") for name in ("items", "links"))
    for path in ("", "catalogue/page-1.html", "book/the-silent-harbour-1.html"):
        url = site.base + path
        found = tried(tmp_path, job, url)
        assert (found["state"], found["status"], found["encoding"]) == ("read", 200, "utf-8")
        assert found["rows"] == [row for row in rows if row["url"] == url]
        assert found["rows"]
        listed = [(link["target"], link["why"] or "") for link in links if link["source"] == url]
        assert [(link["url"], link["why"]) for link in found["links"]] == listed
    home = {link["url"]: link["why"] for link in tried(tmp_path, job)["links"]}
    assert home[f"{site.base}admin/"] == "robots"
    assert home[f"{site.base}stock.html"] == "exclude"


@pytest.mark.parametrize("engines", ENGINES, ids="-".join)
def test_an_empty_field_is_told_with_what_would_match(site: DemoSite, tmp_path: Path, engines: tuple[str, str]) -> None:
    job = shop_job(tmp_path, site.base, engines)
    wrong = ("--set", "items.1.fields.title=h3 > a.tilte::text", "--set", "items.1.fields.price=p.prise::text")
    found = tried(tmp_path, job, *wrong, "--set", "items.0.each=article.prodct")
    gaps = {f"{gap['item']}.{gap['field']}": gap for gap in found["gaps"]}
    assert gaps["listing.title"]["hint"].startswith("`h3 > a.tilte` finds nothing; nearest: `h3 > a`, 1 match: ")
    assert gaps["listing.price"]["hint"].startswith("`p.prise` finds nothing; nearest: `p.price`, 1 match: '")
    assert (gaps["listing.price"]["empty"], gaps["listing.price"]["rows"]) == (8, 8)
    assert gaps["book."]["hint"] == "`article.prodct` finds nothing; nearest: `article.product`, 8 matches"


def test_a_page_is_asked_for_once_and_a_forbidden_one_never(site: DemoSite, tmp_path: Path) -> None:
    job = shop_job(tmp_path, site.base)
    found = tried(tmp_path, job, f"{site.base}catalogue/page-2.html")
    assert found["robots"] == [{"url": f"{site.base}robots.txt", "verdict": "allows the page", "delay_s": 0.0}]
    assert dict(site.hits) == {"/robots.txt": 1, "/catalogue/page-2.html": 1}
    found = tried(tmp_path, job, f"{site.base}admin/", code=1)
    assert (found["state"], found["reason"]) == ("refused", "robots")
    assert found["robots"][0]["verdict"] == "forbids the page"
    assert site.hits["/admin/"] == 0
    assert site.hits["/robots.txt"] == 2


def test_redirects_are_followed_as_far_as_a_crawl_would(site: DemoSite, tmp_path: Path) -> None:
    job = shop_job(tmp_path, site.base)
    found = tried(tmp_path, job, f"{site.base}news")
    assert [(hop["status"], hop["url"]) for hop in found["hops"]] == [
        (301, f"{site.base}news"),
        (302, f"{site.base}newsletter"),
    ]
    assert found["url"] == f"{site.base}newsletter.html"
    found = tried(tmp_path, job, f"{site.base}news", "--set", "scope.exclude=[/newsletter.html]", code=1)
    assert (found["state"], found["reason"], len(found["hops"])) == ("refused", "exclude", 2)
    assert site.hits["/newsletter.html"] == 1
    with serving({"/": Moved("/a"), "/a": Moved("/")}) as small:
        found = tried(tmp_path, small_job(tmp_path, small), code=1)
    assert (found["state"], found["reason"]) == ("failed", "redirect_loop")


def test_a_redirect_widens_the_scope_of_a_seed_and_of_no_other_page(tmp_path: Path) -> None:
    with serving({"/": page("there", "/b"), "/b": page("b")}) as there:
        elsewhere = there.base.replace("127.0.0.1", "localhost")
        with serving({"/": Moved(f"{elsewhere}/"), "/x": Moved(f"{elsewhere}/")}) as here:
            job = small_job(tmp_path, here, "fetch: {allow_private: [localhost]}\n")
            found = tried(tmp_path, job)
            assert [(link["url"], link["why"]) for link in found["links"]] == [(f"{elsewhere}/b", "")]
            found = tried(tmp_path, job, f"{here.base}/x", code=1)
            assert (found["reason"], found["url"]) == ("host", f"{elsewhere}/")


def test_what_cannot_be_fetched_is_told_by_its_reason(site: DemoSite, tmp_path: Path) -> None:
    job = shop_job(tmp_path, site.base)
    found = tried(tmp_path, job, f"{site.base}nothing", code=1)
    assert (found["state"], found["reason"], found["status"]) == ("failed", "http_404", 404)
    assert found["meaning"] == "The server answered with status 404 (Not Found)."
    found = tried(tmp_path, job, "http://other.test/", code=1)
    assert (found["state"], found["reason"], found["meaning"]) == (
        "refused",
        "host",
        "The host is outside of `scope.hosts`.",
    )
    found = tried(tmp_path, "http://127.0.0.1:9/", code=1)
    assert (found["state"], found["reason"]) == ("waits", "connect")
    found = tried(tmp_path, job, "--set", "fetch.types=[text/plain]", code=1)
    assert (found["state"], found["reason"]) == ("refused", "content_type")


def endless_film(visitor: Visitor) -> None:
    visitor.say(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n")
    visitor.flood(b"x" * 65_536)


@pytest.mark.parametrize("engine", ["curl", "requests", "session"])
def test_a_body_of_a_type_that_is_refused_is_not_read(tmp_path: Path, engine: str) -> None:
    (tmp_path / "hook.py").write_text(HOOK + "def session(session):\n    session.headers['X-Key'] = 'a'\n")
    fetch = f"engine: {engine}" if engine != "session" else "engine: auto"
    hooks = "hooks: hook.py\n" if engine == "session" else ""
    job = tmp_path / "film.yaml"
    with HostileHosts(["127.0.0.1"], lambda _, target: endless_film if target == "/" else saying(NONE)) as hosts:
        seed = f"http://127.0.0.1:{hosts.port}/"
        job.write_text(f"name: film\nseeds: [{seed}]\nfetch: {{{fetch}, types: [text/html]}}\n{hooks}")
        found = tried(tmp_path, job, code=1)
        assert (found["state"], found["reason"], found["content_type"]) == ("refused", "content_type", "video/mp4")
        found = tried(tmp_path, job, "--set", "fetch.types=[video/mp4]", code=1)
        assert (found["state"], found["reason"]) == ("failed", "body_too_large")
        shown = run(tmp_path, "try", job).stdout
        assert "video/mp4 · fetched in" in shown


def test_an_address_alone_is_enough(site: DemoSite, tmp_path: Path) -> None:
    found = tried(tmp_path, site.base)
    (row,) = found["rows"]
    assert (row["item"], row["title"]) == ("page", "The Loopback Bookshop")
    assert found["gaps"] == []


def test_a_line_of_a_seeds_file_is_a_seed(site: DemoSite, tmp_path: Path) -> None:
    job = tmp_path / "list.yaml"
    seeds = "name: list\nseeds: [{file: urls.csv, column: url}]\nfollow: []\n"
    job.write_text(f"{seeds}politeness: {{delay: 0s}}\nfetch: {{allow_private: [127.0.0.1]}}\n")
    (tmp_path / "urls.csv").write_text(f"url,id\nnothing,0\n{site.base}news,1\n{site.base}stock.html,2\n")
    (row,) = tried(tmp_path, job)["rows"]
    assert (row["url"], row["requested"], row["seed"]) == (
        f"{site.base}newsletter.html",
        f"{site.base}news",
        {"id": "1"},
    )
    (row,) = tried(tmp_path, job, f"{site.base}stock.html")["rows"]
    assert row["seed"] == {"id": "2"}
    assert tried(tmp_path, job, f"{site.base}catalogue/page-1.html", code=1)["reason"] == "host"


def test_a_file_is_read_as_if_it_came_from_an_address(site: DemoSite, tmp_path: Path) -> None:
    job = shop_job(tmp_path, site.base)
    (tmp_path / "saved.html").write_bytes(site.pages["/book/the-silent-harbour-1.html"])
    url = f"{site.base}book/the-silent-harbour-1.html"
    found = tried(tmp_path, job, "saved.html", "--url", url)
    assert not site.hits
    assert found["rows"] == tried(tmp_path, job, url)["rows"]
    assert found["file"] == "saved.html"
    assert tried(tmp_path, job, "saved.html")["url"] == site.base
    (tmp_path / "answer.json").write_text('{"books": [{"name": "a"}, {"name": "b"}]}')
    rule = "items=[{name: b, each: {jmespath: books}, fields: {name: {jmespath: name}, no: {jmespath: nmae}}}]"
    found = tried(tmp_path, job, "answer.json", "--set", rule)
    assert [row["name"] for row in found["rows"] if row["item"] == "b"] == ["a", "b"]
    assert "nearest: `name`" in found["gaps"][0]["hint"]


def test_in_a_pipe_all_is_plain_and_on_a_terminal_it_fits(site: DemoSite, tmp_path: Path) -> None:
    job = shop_job(tmp_path, site.base)
    done = run(tmp_path, "try", job)
    assert "\x1b" not in done.stdout
    assert "listing: 8 rows" in done.stdout
    assert "   1  title  The Silent Harbour" in done.stdout
    assert not re.search("[\u2500-\u257f]", done.stdout)
    for columns in (40, 60):
        with Terminal(tmp_path, "try", job, columns=columns) as terminal:
            assert terminal.end() == 0
            boxes = [line for line in terminal.text.splitlines() if "\u2502" in line]
            assert boxes
            assert all(len(re.sub("\x1b\\[[0-9;]*m", "", line)) <= columns for line in boxes)


def test_nothing_of_a_page_controls_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;evil\x07\x9b31m\u202e\x1b[2J"
    links = f'<a href="/{evil}">x</a><a href="x:{evil}">y</a>'
    with serving({"/": f'<!doctype html><h1 class="{evil}">{evil}&#x9b;7m</h1>{links}'}) as site:
        job = small_job(tmp_path, site, "items: [{name: it, fields: {h: h1::text, no: h1::attr(id)}}]\n")
        done = run(tmp_path, "try", job)
        with Terminal(tmp_path, "try", job, columns=200) as terminal:
            terminal.end()
        as_json = run(tmp_path, "try", job, "--json").stdout
    for text in (done.stdout, as_json, re.sub("\x1b\\[[0-9;]*m", "", terminal.text)):
        assert "evil" in text
        assert all(char.isprintable() or char == "\n" for char in text), text
    assert json.loads(as_json)["rows"][0]["h"].startswith("\x1b]0;evil")
    assert "\x1b[2J" not in terminal.text


def test_a_hook_that_never_returns_is_ended_at_its_limit(site: DemoSite, tmp_path: Path) -> None:
    job = shop_job(tmp_path, site.base)
    (tmp_path / "hook.py").write_text("def parse(page):\n    while True:\n        pass\n")
    found = tried(tmp_path, job, "--set", "limits.cpu=500ms", code=1)
    assert (found["state"], found["reason"], found["status"]) == ("failed", "cpu_limit", 200)
    assert re.search(r"the hook at .*hook\.py:[23] took more than 500ms of CPU time", found["detail"])
    (tmp_path / "hook.py").write_text("import re\ndef parse(page):\n    re.match('(a+)+b', 'a' * 60)\n")
    found = tried(tmp_path, job, "--set", "limits.cpu=500ms", code=1)
    assert (found["state"], found["reason"]) == ("failed", "cpu_limit")


def test_ctrl_c_ends_a_hook_that_never_returns_and_says_where_it_was(site: DemoSite, tmp_path: Path) -> None:
    job = shop_job(tmp_path, site.base)
    (tmp_path / "hook.py").write_text("import time\ndef parse(page):\n    print('waits')\n    time.sleep(1000)\n")
    with Terminal(tmp_path, "try", job) as terminal:
        terminal.await_text("waits", "hook.py:4; Ctrl-C stops it")
        terminal.press_ctrl_c()
        assert terminal.end() == 130
        assert f"crawlfleet: stopped while reading {site.base}: the hook at {tmp_path}/hook.py:4" in terminal.text


def test_a_page_that_ends_its_process_is_told(site: DemoSite, tmp_path: Path) -> None:
    job = shop_job(tmp_path, site.base)
    (tmp_path / "hook.py").write_text("import os, signal\ndef parse(page):\n    os.kill(os.getpid(), signal.SIGSEGV)\n")
    found = tried(tmp_path, job, code=1)
    assert (found["state"], found["reason"]) == ("failed", "poison")
    assert found["detail"] == "reading it has ended its process (SIGSEGV)"


def test_a_page_that_takes_all_memory_is_told(site: DemoSite, tmp_path: Path) -> None:
    job = shop_job(tmp_path, site.base)
    (tmp_path / "hook.py").write_text("def parse(page):\n    return [{'n': len(bytes(10**14))}]\n")
    found = tried(tmp_path, job, code=1)
    assert (found["state"], found["reason"], found["status"]) == ("failed", "out_of_memory", 200)
    assert "hook.py:2" in found["detail"]


def test_a_hook_fails_and_prints_as_in_a_crawl(site: DemoSite, tmp_path: Path) -> None:
    job = shop_job(tmp_path, site.base)
    (tmp_path / "hook.py").write_text("def parse(page):\n    print('to stderr')\n    return [{'a': 1}, 1 / 0]\n")
    done = run(tmp_path, "try", job)
    assert done.returncode == 1
    assert "to stderr" in done.stderr
    assert "to stderr" not in done.stdout
    assert "result   failed: extract_error." in done.stdout
    assert f"the hook raised ZeroDivisionError: division by zero at {tmp_path}/hook.py:3" in done.stdout


def test_a_hook_finds_objects_of_a_fleet(site: DemoSite, tmp_path: Path) -> None:
    job = shop_job(tmp_path, site.base)
    (tmp_path / "hook.py").write_text(
        "def parse(page):\n    with page.fleet.Lock('door'):\n        n = page.fleet.Value('n', 'i', 3)\n"
        "        n.value += 1\n        yield {'n': n.value}\n"
    )
    (row, *_) = [row for row in tried(tmp_path, job)["rows"] if row["item"] == "item"]
    assert row["n"] == 4


def test_a_hook_may_start_processes(site: DemoSite, tmp_path: Path) -> None:
    job = shop_job(tmp_path, site.base)
    (tmp_path / "hook.py").write_text(
        "import multiprocessing\n\ndef work():\n    raise SystemExit(7)\n\ndef parse(page):\n"
        "    child = multiprocessing.get_context('fork').Process(target=work)\n"
        "    child.start()\n    child.join()\n    yield {'code': child.exitcode}\n"
    )
    (row,) = [row for row in tried(tmp_path, job)["rows"] if row["item"] == "item"]
    assert row["code"] == 7


def test_rejected_rows_are_told_apart(site: DemoSite, tmp_path: Path) -> None:
    job = shop_job(tmp_path, site.base)
    rule = "items.1.fields.stars={css: p.stars, required: true}"
    found = tried(tmp_path, job, "--set", rule)
    assert {row["item"] for row in found["rows"]} == {"seen"}
    assert found["rejected"][0]["reason"] == "stars is required, and empty"
    assert [gap["field"] for gap in found["gaps"] if gap["item"] == "listing"] == ["stars"]


def test_mistakes_of_a_user_are_told_in_a_sentence(site: DemoSite, tmp_path: Path) -> None:
    job = shop_job(tmp_path, site.base)
    assert_refused(run(tmp_path, "try", job, "gone.html"), 2, "gone.html is no address, and there is no such file")
    assert_refused(run(tmp_path, "try", job, "ftp://x/"), 2, "'ftp://x/' is no http or https address")
    assert_refused(run(tmp_path, "try", job, "--url", site.base), 2, "--url is the address that a file is read as")
    assert_refused(run(tmp_path, "try", site.base, "x"), 2, "name the job first")
    assert_refused(run(tmp_path, "try", site.base, "--watch"), 2, "name its file")
    assert_refused(run(tmp_path, "try", "no.yaml"), 2, "no.yaml: there is no such file")
    assert_refused(run(tmp_path, "try", job, "--set", "itmes=[]"), 2, "did you mean 'items'?")
    (tmp_path / "hook.py").write_text("import nowhere\ndef parse(page): ...\n")
    assert_refused(run(tmp_path, "try", job), 2, "hook.py:1: the hook does not import")
    (tmp_path / "large.html").write_bytes(b"x" * 2000)
    done = run(tmp_path, "try", job, "large.html", "--set", "fetch.max_size=1KiB")
    assert_refused(done, 2, "large.html is larger than fetch.max_size")
    assert not site.hits
