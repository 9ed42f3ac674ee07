"""The examples do what they say, also when one of them is killed in the middle."""

from __future__ import annotations

import ast
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbclient
import nbformat
import pytest

from crawlfleet import connect
from crawlfleet.demo.server import serve as serve_shop
from tests.acceptance.crawls import CRAWLFLEET, lines, run
from tests.acceptance.processes import end_with_descendants
from tests.site.served_crawl import served
from tests.site.small_site import SmallSite, page, serving

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
GUIDE = ROOT / "docs" / "your-own-code.md"
POOL_GUIDES = (ROOT / "README.md", GUIDE, ROOT / "docs" / "reference" / "pools.md")
NUMBERS = range(1, 21)
PAGES = {
    "/": page("home", *(f"/{number}" for number in NUMBERS), "http://elsewhere.example/"),
    **{f"/{number}": page(f"page {number}", "/", f"/{number % 20 + 1}") for number in NUMBERS},
}
TITLES = {"/": "home", **{f"/{number}": f"page {number}" for number in NUMBERS}}
LEASE = "lease: 1s\n"


class Programs:
    """The examples as a person starts them, none of which outlives the test."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def example(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        return self.start(sys.executable, str(EXAMPLES / name), *arguments)

    def victim(self, token: str, what: str) -> subprocess.Popen[str]:
        """Start a program that opens or takes something of the fleet, and holds it until it is killed."""
        lines = ("import sys, time", "from crawlfleet import connect", "fleet = connect(sys.argv[1])")
        code = "\n".join((*lines, f"print({what}, flush=True)", "time.sleep(60)"))
        return self.start(sys.executable, "-c", code, token)

    def start(self, *command: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.end_with_test(child)
        return child

    def end_with_test(self, child: subprocess.Popen[str]) -> None:
        """Let a program, and all that it starts, not outlive the test."""
        self._stack.callback(child.communicate)
        self._stack.callback(end_with_descendants, child)


@pytest.fixture
def programs() -> Iterator[Programs]:
    with ExitStack() as stack:
        yield Programs(stack)


@pytest.fixture
def site() -> Iterator[SmallSite]:
    with serving(PAGES) as site:
        yield site


def ended_well(program: subprocess.Popen[str]) -> str:
    """Wait for the end of a program; return what it printed."""
    out, err = program.communicate(timeout=60)
    assert (program.returncode, err) == (0, "")
    return out


def test_a_worker_is_killed_in_the_middle_and_every_page_has_one_result(
    programs: Programs, site: SmallSite, tmp_path: Path
) -> None:
    site.hold("/7")
    with served(tmp_path, f"{site.base}/", more=LEASE) as crawl:
        consumer = programs.example("print_results.py", crawl.token)
        victim = programs.example("own_worker.py", crawl.token)
        site.await_held()  # the one who asks for this page holds its URL
        victim.kill()
        ended_well(programs.example("own_worker.py", crawl.token))
        printed = ended_well(consumer).splitlines()
        summary = crawl.summary()
    assert sorted(printed) == sorted(f"{site.base}{path} {{'title': '{title}'}}" for path, title in TITLES.items())
    rows = lines(tmp_path / "crawls" / "own" / "items.jsonl")
    assert sorted(row["url"] for row in rows) == sorted(site.base + path for path in TITLES)
    assert (summary.fetched, summary.rows, summary.leases_lost) == (21, 21, 1)
    assert (site.hits("/7"), site.hits("/robots.txt")) == (2, 1)


def test_a_worker_of_ones_own_goes_on_after_a_page_that_cannot_be_had(programs: Programs, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens there
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        with serving({"/": page("home", dead, "/last"), "/last": page("last")}) as site:
            no_robots = "politeness: {delay: 0s, ignore_robots: [{host: 127.0.0.1, reason: a test}]}\n"
            fetch = "fetch: {retries: 0, allow_private: [127.0.0.1]}\n"
            with served(tmp_path, f"{site.base}/", more=no_robots + fetch) as crawl:
                ended_well(programs.example("own_worker.py", crawl.token))
                summary = crawl.summary()
    assert (summary.fetched, summary.failed) == (2, 1)


def test_a_worker_of_ones_own_and_one_of_crawlfleet_share_a_job(
    programs: Programs, site: SmallSite, tmp_path: Path
) -> None:
    site.hold("/7")
    items = 'items:\n  - name: page\n    fields: {title: "title::text"}\n'
    with served(tmp_path, f"{site.base}/", more=items) as crawl, connect(crawl.token) as fleet:
        fleet.Queue()  # a second session from the start: none has the host for itself
        own = programs.example("own_worker.py", crawl.token)
        site.await_held()
        node = programs.start(*CRAWLFLEET, "worker", "--join", crawl.token, "--processes", "1")
        results = fleet.dict()
        while len(results) < len(TITLES) - 1:
            assert own.poll() is node.poll() is None
        site.release()
        ended_well(own)
        node.communicate(timeout=30)
        assert node.returncode == 0
        found = dict(results)
    assert found[f"{site.base}/7"] == {"title": "page 7"}
    titles = {url: value["title"] if isinstance(value, dict) else value[0]["title"] for url, value in found.items()}
    assert titles == {site.base + path: title for path, title in TITLES.items()}
    assert any(isinstance(value, list) for value in found.values())


def test_the_hook_does_something_once_and_counts_the_pages_of_the_whole_fleet(tmp_path: Path) -> None:
    shop = serve_shop(slow_s=0)
    try:
        job = tmp_path / "shop.yaml"
        job.write_text(
            f"name: shop\nseeds: [{shop.base}]\npoliteness: {{delay: 0s, per_host: 8, adaptive: false}}\n"
            f"hooks: {EXAMPLES / 'do_once_in_hook.py'}\nsinks: [items.jsonl]\n"
        )
        end = run(tmp_path, "run", job, "--workers", "2", timeout_s=100)
    finally:
        shop.shutdown()
        shop.server_close()
    assert end.returncode == 0, end.stdout + end.stderr
    rows = lines(tmp_path / "crawls" / "shop" / "items.jsonl")
    assert {row["url"] for row in rows} == shop.expected().fetched
    assert sorted(row["number"] for row in rows) == list(range(1, len(shop.expected().fetched) + 1))
    assert {row["preparations"] for row in rows} == {1}


def test_what_a_worker_of_a_queue_had_taken_comes_back_when_it_is_killed(programs: Programs, tmp_path: Path) -> None:
    with served(tmp_path, wait=True, more=LEASE) as crawl:
        victim = programs.victim(crawl.token, 'fleet.JoinableQueue("numbers").get()')
        asker = programs.example("work_queue.py", crawl.token, "1", "2", "3")
        assert victim.stdout is not None
        assert victim.stdout.readline() == "1\n"
        victim.kill()
        programs.example("work_queue.py", crawl.token)
        assert ended_well(asker) == "{1: 1, 2: 4, 3: 9}\n"


def test_what_is_to_be_done_once_is_done_by_the_next_one_if_the_first_is_killed(
    programs: Programs, tmp_path: Path
) -> None:
    with served(tmp_path, wait=True, more=LEASE) as crawl, connect(crawl.token) as held:
        held.Event("held").is_set()  # the crawl waits for this program, however slowly the others start
        victim = programs.victim(crawl.token, 'fleet.Lock("squares").acquire()')
        assert victim.stdout is not None
        assert victim.stdout.readline() == "1\n"
        others = [programs.example("do_once.py", crawl.token) for _ in range(3)]
        victim.kill()
        printed = [ended_well(other).splitlines() for other in others]
    squares = str([number * number for number in range(10)])
    assert sorted(printed, key=len) == [[squares], [squares], ["I do it", squares]]


def test_no_phase_begins_before_all_have_ended_the_one_before(programs: Programs, tmp_path: Path) -> None:
    with served(tmp_path, wait=True) as crawl:
        together = [programs.example("phases_with_barrier.py", crawl.token, "3") for _ in range(3)]
        assert sorted(map(ended_well, together)) == [f"{place}: 3 parts are there\n" for place in range(3)]


def test_a_phase_that_lost_a_program_says_so(programs: Programs, tmp_path: Path) -> None:
    with served(tmp_path, wait=True, more=LEASE) as crawl, connect(crawl.token) as fleet:
        victim, other = (programs.example("phases_with_barrier.py", crawl.token, "3") for _ in range(2))
        while fleet.Barrier("phases", 3).n_waiting < 2:
            assert victim.poll() is other.poll() is None
        victim.kill()
        out, err = other.communicate(timeout=60)
        assert (other.returncode, out, err) == (1, "", "another one died, or gave up, before its part was there\n")


def test_the_counter_is_seen_while_it_grows(programs: Programs, site: SmallSite, tmp_path: Path) -> None:
    site.hold("/7")
    with served(tmp_path, f"{site.base}/", more=f"hooks: {EXAMPLES / 'live_counter.py'}\n") as crawl:
        counter = programs.example("live_counter.py", crawl.token)
        node = programs.start(*CRAWLFLEET, "worker", "--join", crawl.token, "--processes", "1")
        assert counter.stdout is not None
        while counter.stdout.readline() != f"{len(TITLES) - 1}\n":
            assert counter.poll() is node.poll() is None
        site.release()
        ended_well(counter)
        node.communicate(timeout=30)
        assert node.returncode == 0
    rows = lines(tmp_path / "crawls" / "own" / "items.jsonl")
    assert sorted(row["number"] for row in rows) == list(range(1, len(TITLES) + 1))


def test_the_guide_to_ones_own_code_runs_from_top_to_bottom(
    site: SmallSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    with served(tmp_path, f"{site.base}/1") as crawl:
        names: dict[str, Any] = {"token": crawl.token}
        for snippet in snippets[:-1]:
            exec(compile(snippet, str(GUIDE), "exec"), names)
        asked = SimpleNamespace(fleet=names["fleet"], title="home")
        assert list(names["parse"](asked)) == [{"item": "page", "title": "home"}]
        exec(compile(snippets[-1], str(GUIDE), "exec"), names)
        assert crawl.summary().ended == "finished"
    printed = capsys.readouterr().out
    assert "the crawl is over\n" in printed
    assert f"{site.base}/1 {{'size': {len(PAGES['/1'])}}}\n" in printed
    assert "we are number 1\n1 1\n" in printed


@pytest.mark.parametrize("guide", POOL_GUIDES, ids=lambda path: path.name)
def test_what_the_documents_show_of_pools_runs(
    guide: Path, programs: Programs, site: SmallSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    snippets = re.findall(r"^```python pool\n(.*?)^```$", guide.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    urls = [f"{site.base}/{number}" for number in (*NUMBERS, 99)]
    more = "scope: {hosts: [127.0.0.1]}\nfetch: {retries: 0, allow_private: [127.0.0.1]}\n"
    with served(tmp_path, wait=True, more=more) as crawl:
        node = programs.start(*CRAWLFLEET, "worker", "--join", crawl.token, "--processes", "1")
        with connect(crawl.token) as fleet:
            fleet.Event("here").is_set()  # the crawl waits for this program until it goes
            for snippet in snippets:
                given = urls if "return_exceptions" in snippet else urls[:-1]
                exec(compile(snippet, str(guide), "exec"), {"token": crawl.token, "fleet": fleet, "urls": given})
        assert crawl.summary().fetched == len(NUMBERS)
        node.communicate(timeout=30)
    printed = capsys.readouterr().out
    assert all(f"{url} " in printed for url in urls[:-1])
    assert ("http_404" in printed) == ("return_exceptions" in "".join(snippets))


def test_the_notebook_runs_in_a_kernel(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_bytes((ROOT / "config" / "demo.yaml").read_bytes())
    command = (*CRAWLFLEET, "run", "demo.yaml", "--wait", "--workers", "1")
    shop = (sys.executable, "-m", "crawlfleet.demo", "--port", "8765", "--", *command)
    with (tmp_path / "out.txt").open("w") as out:
        crawl = subprocess.Popen(shop, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=out, stderr=out, text=True)
    programs.end_with_test(crawl)
    text = (EXAMPLES / "pool_in_notebook.ipynb").read_text("utf-8")
    notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]  # it has no types
    nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = ["".join(out.get("text", "") for out in cell.get("outputs", ())) for cell in notebook.cells]
    assert printed[3] == "200 20\n"
    assert printed[5].startswith("12 pages, 2 failed\nhttp_404 http://127.0.0.1:8765/catalogue/page-1")
    assert printed[7] == "240 rows\n"
    assert crawl.wait(60) == 0, (tmp_path / "out.txt").read_text()


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_an_example_is_at_most_twenty_statements_and_needs_crawlfleet_alone_of_ours(name: str) -> None:
    tree = ast.parse((EXAMPLES / name).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not modules & {"shared", "worker", "coordinator"}
    assert "crawlfleet" in modules
    statements = [
        node for node in ast.walk(tree) if isinstance(node, ast.stmt) and not isinstance(node, ast.ImportFrom)
    ]
    assert len(statements) <= 20
