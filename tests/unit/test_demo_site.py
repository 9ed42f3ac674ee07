"""The demo site keeps its promises: the same pages in every run, and `expected()` is the whole truth."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from lxml import html

from crawlfleet.demo import shop as demo_shop
from crawlfleet.demo.server import DemoSite, main, serve

ROOT = Path(__file__).resolve().parents[2]
Get = Callable[[str], tuple[int, dict[str, str], bytes]]


@pytest.fixture
def site() -> Iterator[DemoSite]:
    running = serve(slow_s=0.0)
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def get(site: DemoSite) -> Iterator[Get]:
    """Fetch by path over one kept-alive connection."""
    with closing(http.client.HTTPConnection("127.0.0.1", site.server_port, timeout=10)) as connection:

        def fetch(path: str) -> tuple[int, dict[str, str], bytes]:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

        yield fetch


def _texts(body: bytes, xpath: str) -> list[str]:
    found = html.document_fromstring(body.decode()).xpath(xpath)
    assert isinstance(found, list)
    return [str(text) for text in found]


def _links(base: str, body: bytes) -> set[str]:
    targets = (urldefrag(urljoin(base, link)).url for link in _texts(body, "//a/@href"))
    return {target for target in targets if target.startswith("http")}


def _crawl(site: DemoSite, get: Get) -> dict[str, set[str]]:
    ends: dict[str, set[str]] = {
        "fetched": set(),
        "not_found": set(),
        "disallowed": set(),
        "redirected": set(),
    }
    waiting, seen = [site.base], {site.base}
    while waiting:
        url = waiting.pop()
        found = set()
        if urlsplit(url).path.startswith("/admin/"):
            ends["disallowed"].add(url)
        else:
            found = _visit(url, get, ends)
        waiting += found - seen
        seen |= found
    return ends


def _visit(url: str, get: Get, ends: dict[str, set[str]]) -> set[str]:
    status, headers, body = get(urlsplit(url).path)
    while status == 503:
        status, headers, body = get(urlsplit(url).path)
    if status in (301, 302):
        ends["redirected"].add(url)
        return {urljoin(url, headers["Location"])}
    ends["fetched" if status == 200 else "not_found"].add(url)
    return _links(url, body) if status == 200 else set()


def test_a_whole_crawl_finds_exactly_what_the_site_says_it_will(site: DemoSite, get: Get) -> None:
    truth = site.expected()
    ends = _crawl(site, get)
    assert ends == {name: set(getattr(truth, name)) for name in ends}
    assert len(truth.fetched) == 300


def test_every_run_makes_the_same_pages() -> None:
    assert demo_shop.pages() == demo_shop.pages()
    code = "import zlib; from crawlfleet.demo.shop import pages; print(zlib.crc32(repr(pages()).encode()))"
    digests = {subprocess.check_output([sys.executable, "-R", "-c", code]) for _ in range(2)}
    assert len(digests) == 1


def test_the_shaky_page_fails_twice_then_answers(site: DemoSite, get: Get) -> None:
    assert [get(demo_shop.SHAKY_PATH)[0] for _ in range(4)] == [503, 503, 200, 200]
    assert site.hits[demo_shop.SHAKY_PATH] == 4


def test_redirects_name_their_targets_and_one_chain_has_two_hops(get: Get) -> None:
    first, second = get("/news"), get("/newsletter")
    assert (first[0], first[1]["Location"]) == (301, "/newsletter")
    assert (second[0], second[1]["Location"]) == (302, "/newsletter.html")
    assert get("/newsletter.html")[0] == 200


def test_a_book_shows_its_facts_where_the_selectors_look(get: Get) -> None:
    book = demo_shop.BOOKS[7]
    body = get(book.path)[2]
    assert _texts(body, "//h1/text()") == [book.title]
    assert _texts(body, "//p[@class='price']/text()") == [book.price_text]
    assert _texts(body, "//p[@class='availability']/text()") == [book.availability]
    assert _texts(body, "//ul[@class='tags']/li/a[@class='tag']/text()") == list(book.tags)
    assert _texts(body, "//ul[@class='breadcrumb']//a/text()") == ["Home", "Catalogue"]
    assert _texts(body, "//table[@class='product']//td/text()")[0] == "00008"


def test_every_list_shows_twenty_products(get: Get) -> None:
    body = get(demo_shop.list_path(3))[2]
    assert len(_texts(body, "//article[@class='product']/h3/a/@href")) == 20
    assert len(_texts(body, "//article[@class='product']/p[@class='price']/text()")) == 20


def test_robots_forbid_the_staff_pages_which_exist(get: Get) -> None:
    status, headers, body = get("/robots.txt")
    assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert b"Disallow: /admin/" in body
    assert [get(path)[0] for path in demo_shop.DISALLOWED] == [200, 200, 200]


def test_an_unknown_path_is_answered_404_and_not_counted(site: DemoSite, get: Get) -> None:
    assert get("/nothing-here")[0] == 404
    assert "/nothing-here" not in site.hits


def test_head_sends_no_body_and_keeps_the_connection_in_step(site: DemoSite) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", site.server_port, timeout=10)) as connection:
        connection.request("HEAD", "/")
        answer = connection.getresponse()
        assert int(answer.headers["Content-Length"]) > 0
        assert answer.read() == b""
        connection.request("GET", "/robots.txt")
        assert connection.getresponse().status == 200


def test_the_site_lives_as_long_as_its_command_and_hands_on_the_exit_code() -> None:
    code = (
        "import sys, urllib.request as r, os; "
        "sys.exit(7 if r.urlopen('http://127.0.0.1:' + sys.argv[1] + '/').status == 200 else 1)"
    )
    port = str(_free_port())
    arguments = ["-m", "crawlfleet.demo", "--port", port, "--", sys.executable, "-c", code, port]
    assert subprocess.run([sys.executable, *arguments], timeout=60, check=False).returncode == 7


def test_a_command_that_a_signal_ended_is_told_as_the_shell_tells_it() -> None:
    command = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    arguments = ["-m", "crawlfleet.demo", "--port", "0", "--", *command]
    finished = subprocess.run([sys.executable, *arguments], timeout=60, check=False)
    assert finished.returncode == 128 + signal.SIGKILL


def test_a_port_in_use_is_told_in_one_sentence(site: DemoSite, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", str(site.server_port)]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert f"127.0.0.1:{site.server_port}" in printed
    assert "--port" in printed


def test_sigterm_ends_the_site_in_peace() -> None:
    command = [sys.executable, "-m", "crawlfleet.demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("demo site: http://127.0.0.1:")
        process.terminate()
        assert process.wait(timeout=30) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_port_in_use_is_told_with_what_can_be_done(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == main(["--port", str(port), "--", "true"]) == 2
    alone, beside = capsys.readouterr().err.splitlines()
    assert alone.startswith(f"demo site: cannot listen on 127.0.0.1:{port}: ")
    assert alone.endswith("choose another --port")
    assert beside.endswith(f"stop what listens there, or choose another port (make run DEMO_PORT={port + 1})")


def test_some_rows_are_shown_after_a_command_that_went_well(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "items.jsonl"
    rows.write_text("".join(f'{{"n":{number},"text":"{"x" * 200}"}}\n' for number in range(5)))
    for command, code in (("true", 0), ("false", 1)):
        arguments = ["--port", "0", "--show", str(rows), "--", command]
        assert subprocess.run([sys.executable, "-m", "crawlfleet.demo", *arguments], check=False).returncode == code
    shown = capfd.readouterr().out.splitlines()
    assert (shown[0], len(shown)) == (f"{rows} has 5 rows, such as:", 4)
    assert shown[1].startswith('  {"n":0,"text":"xxx')
    assert shown[1].endswith("xxx...")


def test_make_crawls_the_demo_site_on_whatever_port_it_is_served() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "run", "DEMO_PORT=9123"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (
        "sed 's|http://127.0.0.1:8765/|http://127.0.0.1:9123/|' config/demo.yaml >.make/demo-9123.yaml" in done.stdout
    )
    assert "crawlfleet.demo --port 9123" in done.stdout
    assert "crawlfleet run .make/demo-9123.yaml" in done.stdout
