"""`crawl()` in programs as people write them: it gives rows, and leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.site.small_site import SmallSite, page, serving

NUMBERS = range(1, 21)
PAGES = {
    "/": page("home", *(f"/{number}" for number in NUMBERS)),
    **{f"/{number}": page(f"page {number}", "/") for number in NUMBERS},
}
HEAD = """
import sys
from crawlfleet import crawl
base = sys.argv[1]
titles = {"title": "title"}
"""


@pytest.fixture
def site() -> Iterator[SmallSite]:
    with serving(PAGES) as site:
        yield site


class Programs:
    """Programs with a folder for temporary files of their own, and a mark by which their processes are known."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self._mark = uuid.uuid4().hex

    def start(self, text: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a script, which has no `__main__` guard."""
        script = self.folder / "script.py"
        script.write_text(HEAD + textwrap.dedent(text))
        return subprocess.Popen(
            [sys.executable, str(script), *arguments],
            cwd=self.folder,
            env={**os.environ, "TMPDIR": str(self.temporary), "CRAWLFLEET_MARK": self._mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # as a shell does it: Ctrl-C is for the whole process group
        )

    def run(self, text: str, *arguments: str) -> tuple[str, str]:
        """Run a script to its end; return what it printed, and wrote to standard error."""
        return self.end(self.start(text, *arguments))

    def end(self, program: subprocess.Popen[str]) -> tuple[str, str]:
        """Wait for a program's end; return what it printed, and wrote to standard error. Nothing of it is left."""
        out, err = program.communicate(timeout=60)
        self.check_nothing_is_left()
        return out, err

    def processes(self) -> list[int]:
        """Return the processes that bear the mark."""
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if self._mark in _text(path)]

    def check_nothing_is_left(self, within_s: float = 20.0) -> None:
        """Wait until no process and no folder is left."""
        until = time.monotonic() + within_s
        while (left := (self.processes(), os.listdir(self.temporary))) != ([], []):
            assert time.monotonic() < until, left
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill what is left, so that it does not outlive the test."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("latin-1")
    except OSError:  # it has ended, or is another user's
        return ""


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    try:
        yield programs
    finally:
        programs.kill()


def test_a_loop_gets_each_row_once_and_leaves_nothing_behind(programs: Programs, site: SmallSite) -> None:
    out, err = programs.run(
        """
        for row in crawl(base, items=titles, delay=0):
            print(row["url"], row["title"])
        """,
        site.base + "/",
    )
    wanted = [f"{site.base}/ home", *(f"{site.base}/{number} page {number}" for number in NUMBERS)]
    assert (sorted(out.splitlines()), err) == (sorted(wanted), "")


LEAVE = {
    "break": "for row in crawl(base, items=titles, delay=0): break",
    "an exception": """
        try:
            for row in crawl(base, items=titles, delay=0): raise KeyError(1)
        except KeyError: pass
    """,
    "an exception that nobody catches": "for row in crawl(base, items=titles, delay=0): raise SystemExit",
    "garbage collection": """
        import gc
        class Knot: pass
        knot = Knot()
        knot.crawl, knot.self = crawl(base, items=titles, delay=0), knot
        next(iter(knot.crawl))
        del knot
        gc.collect()
    """,
    "being forgotten": "crawl(base, items=titles, delay=0)",
    "close": "crawl(base, items=titles, delay=0).close()",
    "with": "with crawl(base, items=titles, delay=0) as it: print(next(iter(it)))",
    "the end of the program": "it = crawl(base, items=titles, delay=0); rows = iter(it); next(rows)",
    "a generator of its own": """
        def some():
            yield from crawl(base, items=titles, delay=0)
        next(some())
    """,
    "an asyncio loop that is left": """
        import asyncio
        async def main():
            async for row in crawl(base, items=titles, delay=0): break
        asyncio.run(main())
    """,
    "a task that is cancelled": """
        import asyncio
        async def read():
            async for row in crawl(base, items=titles, delay=0): pass
        async def main():
            task = asyncio.ensure_future(read())
            await asyncio.sleep(1)
            task.cancel()
            try: await task
            except asyncio.CancelledError: pass
        asyncio.run(main())
    """,
}
# Ctrl-C while a row is waited for, in a notebook: it keeps the last error, and with it what frames of functions name.
INTERRUPTED = """
        import signal
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 3)
        kept = None
        try:
            {wait}
        except KeyboardInterrupt as error: kept = error
        assert kept is not None
"""
WAITS = {
    "a loop": "for row in crawl(base, items=titles, delay=600): pass",
    "a frame": "crawl(base, items=titles, delay=600).to_pandas()",
    "a list": "rows = list(crawl(base, items=titles, delay=600))",
    "a loop of asyncio": "asyncio.run(read())",
}
LEAVE |= {f"Ctrl-C in {what}": INTERRUPTED.format(wait=wait) for what, wait in WAITS.items()}
LEAVE["Ctrl-C in a loop of asyncio"] = """
        import asyncio
        async def read():
            async for row in crawl(base, items=titles, delay=600): pass
""" + LEAVE["Ctrl-C in a loop of asyncio"]
# The program goes on, and looks by itself whether something is left.
AFTERWARDS = """
import glob, os, time
until = time.monotonic() + 20
def left():
    folders = os.listdir(os.environ["TMPDIR"])
    children = open(f"/proc/self/task/{os.getpid()}/children").read().split()  # those, too, that only wait to be buried
    mark = os.environ["CRAWLFLEET_MARK"].encode()
    found = children
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            if mark in open(path, "rb").read() and path != f"/proc/{os.getpid()}/environ": found.append(path)
        except OSError: pass
    return folders, found
if "wait" in sys.argv:
    while left() != ([], []):
        assert time.monotonic() < until, left()
        time.sleep(0.05)
print("nothing is left")
"""


@pytest.mark.parametrize("how", LEAVE)
def test_nothing_is_left_behind_by(how: str, programs: Programs, site: SmallSite) -> None:
    site.hold("/7")  # the crawl itself does not end
    goes_on = how not in ("an exception that nobody catches", "the end of the program")
    text = textwrap.dedent(LEAVE[how]) + (AFTERWARDS if goes_on else "")
    out, err = programs.run(text, f"{site.base}/", *(["wait"] if goes_on else []))
    assert (out.endswith("nothing is left\n"), err) == (goes_on, "")


LOOP = """
it = crawl(base, items=titles, delay=0, **({"folder": sys.argv[2]} if len(sys.argv) > 2 else {}))
for row in it:
    print(row["title"], flush=True)
"""


def first_row_of(program: subprocess.Popen[str]) -> str:
    """Wait for the first line that a program prints."""
    assert program.stdout is not None
    return program.stdout.readline()


@pytest.mark.parametrize("folder", [(), ("kept",)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_program_is_ended_by(
    number: signal.Signals, folder: tuple[str, ...], programs: Programs, site: SmallSite
) -> None:
    site.hold("/7")
    program = programs.start(LOOP, f"{site.base}/", *folder)
    assert first_row_of(program) == "home\n"
    os.killpg(program.pid, number)
    _, err = programs.end(program)
    assert program.returncode == -number
    assert ("KeyboardInterrupt" in err) == (number is signal.SIGINT)


def test_ctrl_c_while_a_crawl_begins_leaves_nothing_behind(programs: Programs, site: SmallSite) -> None:
    program = programs.start("print('ready', flush=True)" + LOOP, f"{site.base}/")
    first_row_of(program)
    while len(programs.processes()) < 2:
        assert program.poll() is None
    os.killpg(program.pid, signal.SIGINT)
    programs.end(program)
    assert program.returncode == -signal.SIGINT


def test_a_killed_program_whose_forked_child_lives_leaves_no_crawl_behind(programs: Programs, site: SmallSite) -> None:
    site.hold("/7")
    text = """
        import os, time
        it = crawl(base, items=titles, delay=0)
        rows = iter(it)
        print(next(rows)["title"], flush=True)
        child = os.fork()
        if child == 0:
            try: next(iter(it))
            except RuntimeError as error: os.write(1, f"{error}\\n".encode())
            del it, rows
            time.sleep(600)
        # A line in one piece: both write to the same pipe.
        os.write(1, f"{child}\\n".encode())
        for row in rows: os.write(1, f"{row['title']}\\n".encode())
    """
    program = programs.start(text, f"{site.base}/")
    refused = "this crawl belongs to the process that began it: call crawl() in each process\n"
    said = [first_row_of(program) for _ in range(2)]
    while refused not in said or not any(line.strip().isdigit() for line in said):
        said.append(first_row_of(program))
        assert said[-1], said
    (child,) = (int(line) for line in said if line.strip().isdigit())
    program.kill()
    program.wait()
    until = time.monotonic() + 20
    while programs.processes() != [child]:
        assert time.monotonic() < until, programs.processes()
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    programs.end(program)


@pytest.mark.parametrize("victim", ["supervisor", "coordinator", "node"])
def test_a_program_is_told_when_a_process_of_its_crawl_is_killed(
    victim: str, programs: Programs, site: SmallSite
) -> None:
    site.hold("/7")
    text = """
        from crawlfleet.errors import CrawlFailed
        it = crawl(base, items=titles, delay=0)
        try:
            for row in it: print(row["title"], flush=True)
        except CrawlFailed as error: print("failed:", error)
    """
    program = programs.start(text, f"{site.base}/")
    assert first_row_of(program) == "home\n"
    (supervisor,) = children(program.pid)
    coordinator, node = sorted(children(supervisor))
    os.kill({"supervisor": supervisor, "coordinator": coordinator, "node": node}[victim], signal.SIGKILL)
    out, _ = programs.end(program)
    assert "failed: " in out


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def test_two_crawls_at_once_and_one_in_a_thread(programs: Programs, site: SmallSite) -> None:
    text = """
        import threading
        rows = []
        thread = threading.Thread(target=lambda: rows.extend(crawl(base, items=titles, delay=0)))
        thread.start()
        pairs = list(zip(crawl(base, items=titles, delay=0), crawl(base, delay=0)))
        thread.join()
        print(len(rows), len(pairs), {first["item"] for first, _ in pairs}, {second["item"] for _, second in pairs})
    """
    out, err = programs.run(text, f"{site.base}/")
    assert (out, err) == ("21 21 {'item'} {'page'}\n", "")


HOOKS = {
    "does not import": ("import nothing_of_this_name\ndef parse(page): ...\n", "hooks.py:1: the hook does not import"),
    "raises": (
        "def parse(page):\n    return {'t': 1 / (not page.url.endswith('/7'))}\n",
        "1 page failed: 1 extract_error (the hook raised ZeroDivisionError",
    ),
    "ends its process": (
        "import os\ndef parse(page):\n    os._exit(0) if page.url.endswith('/7') else None\n    return {'t': 1}\n",
        "1 page failed: 1 poison",
    ),
}


@pytest.mark.parametrize("how", HOOKS)
def test_a_broken_hook_is_told_and_leaves_nothing_behind(how: str, programs: Programs, site: SmallSite) -> None:
    source, said = HOOKS[how]
    (programs.folder / "hooks.py").write_text(source)
    text = """
        import warnings
        warnings.simplefilter("always")
        try:
            rows = list(crawl(base, parse="hooks.py", delay=0, set={"lease": "1s"}))
        except Exception as error:
            print(type(error).__name__, error)
        else:
            print(len(rows), "rows")
    """
    out, err = programs.run(text, f"{site.base}/")
    assert said in out + err
    assert out.startswith({"does not import": "CrawlFailed", "raises": "20 rows", "ends its process": "20 rows"}[how])


def test_a_function_of_the_script_makes_the_rows_and_what_is_below_the_call_happens_once(
    programs: Programs, site: SmallSite
) -> None:
    text = """
        print("above")
        def titles(page):
            yield {"title": page.title.upper()}
        rows = list(crawl(base, parse=titles, delay=0, workers=1))
        print(len(rows), rows[0]["title"])
    """
    out, err = programs.run(text, f"{site.base}/")
    # A worker executes what is above the call, too; what it prints goes to standard error.
    assert (out, err) == ("above\n21 HOME\n", "above\n")
