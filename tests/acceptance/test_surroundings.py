"""Every command in every surrounding: names of folders, encodings, streams that are full or closed, no home, no rights.

Each runs, or says one sentence with the right exit code; and none turns a finished crawl into a failed one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlfleet.commands.registry import COMMANDS
from tests.site.small_site import page, serving

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

PATIENCE_S = 30
FOLDERS = {
    "plain": b"plain",
    "brackets": b"a [b] {c} [red] [x]",
    "beyond ASCII": "ünï 日本".encode(),
    "no UTF-8": b"x\xff\xfey",
}
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"}
STREAMS = (">/dev/full", "2>/dev/full", ">/dev/full 2>/dev/full", ">&-", "2>&-", "<&- >&- 2>&-")
FULL = "standard output: No space left on device"
# Without rights of root, as root too: a folder of another user is no folder of ours.
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.getuid() == 0 else ()
STRANGER = 65_534

# Of each command that comes to an end by itself: its arguments, in the folder of a crawl.
ARGUMENTS = {
    "run": ("tiny.yaml", "--workers", "1"),
    "try": ("tiny.yaml", "page.html"),
    "schema": (),
    "completion": ("bash",),
    "check": ("tiny.yaml",),
    "verify": ("crawls/tiny",),
    "audit-politeness": ("crawls/tiny",),
    "export": ("crawls/tiny",),
}
# The others, as they end by an error of their user's.
REFUSED = {
    "coordinator": ("none.yaml",),
    "worker": ("--join", "cf2:none"),
    "init": ("none:",),
    "migrate": ("crawls/tiny", "sqlite"),
}
READERS = ("check", "verify", "audit-politeness", "export")


Done = subprocess.CompletedProcess[bytes]


def command(folder: Path, *words: str, to: str = "", **environment: str | None) -> Done:
    """Run a command in a folder by a shell, which redirects its streams `to`; None takes a variable away."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    changed = {name: value for name, value in {**own, **environment}.items() if value is not None}
    line = ["sh", "-c", f'exec "$@" {to}', "sh", *words]
    return subprocess.run(line, cwd=folder, env=changed, capture_output=True, timeout=PATIENCE_S, check=False)


def crawlfleet(folder: Path, *words: str, to: str = "", **environment: str | None) -> Done:
    return command(folder, sys.executable, "-m", "crawlfleet", *words, to=to, **environment)


def assert_ran(done: Done, code: int = 0) -> None:
    assert b"Traceback" not in done.stdout + done.stderr, done.stderr.decode("utf-8", "replace")
    assert done.returncode == code, (done.args, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with serving({"/": page("home")}) as site:
        yield site.base


def crawled(folder: Path, base: str) -> Path:
    """Return a folder, with a job and its finished crawl."""
    folder.mkdir()
    (folder / "page.html").write_text(page("home"))
    (folder / "tiny.yaml").write_text(f"name: tiny\nseeds: ['{base}/']\npoliteness: {{delay: 0s}}\n")
    assert_ran(crawlfleet(folder, "run", *ARGUMENTS["run"]))
    return folder


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, base: str) -> Path:
    name: bytes = FOLDERS[request.param]
    return crawled(tmp_path_factory.mktemp("surroundings") / os.fsdecode(name), base)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, base: str) -> Path:
    return crawled(tmp_path_factory.mktemp("surroundings") / "plain", base)


def test_the_matrix_has_every_command() -> None:
    assert {*ARGUMENTS, *REFUSED} == {each.name for each in COMMANDS}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_any_name_of_a_folder_and_any_encoding_will_do(folder: Path, name: str) -> None:
    words = [str(folder / word) if (folder / word).exists() else word for word in ARGUMENTS[name]]
    words += ["--crawls", str(folder / "crawls")] if name == "run" else []
    for environment in ({"LC_ALL": "C.UTF-8"}, ASCII, {"HOME": None}):
        assert_ran(crawlfleet(folder, name, *words, **environment))


def test_an_output_below_a_name_that_is_no_text_is_refused_in_a_sentence(base: str, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(FOLDERS["no UTF-8"])
    folder.mkdir()
    done = crawlfleet(folder, "run", f"{base}/", "-o", "rows.csv")
    assert_ran(done, 2)
    assert b"has bytes that are no UTF-8 in its name: choose a file elsewhere" in done.stderr
    assert not (folder / "crawls").exists()


@pytest.mark.parametrize("to", STREAMS)
@pytest.mark.parametrize("name", [*ARGUMENTS, "--version", "--help"])
def test_streams_that_are_full_or_closed_end_no_crawl_and_are_told(plain: Path, name: str, to: str) -> None:
    done = crawlfleet(plain, name, *ARGUMENTS.get(name, ()), to=to)
    has_none = name == "export" and to.replace("2>&-", "").find(">&-") >= 0
    assert_ran(done, 2 if has_none else 1 if to.startswith(">/dev/full") and name != "run" else 0)
    if has_none and "2>&-" not in to:
        assert done.stderr == b"crawlfleet: the standard output is closed: name a file by --to\n"
    if to == ">/dev/full":
        (sentence,) = done.stderr.decode().splitlines()
        assert sentence.removeprefix("crawlfleet: cannot write ").removeprefix("to the ") == FULL


@pytest.mark.parametrize("to", STREAMS)
@pytest.mark.parametrize("name", REFUSED)
def test_an_error_keeps_its_code_wherever_it_is_told(plain: Path, name: str, to: str) -> None:
    assert_ran(crawlfleet(plain, name, *REFUSED[name], to=to), 2)


@pytest.mark.parametrize("mode", ["public", "private"])
def test_what_only_reads_reads_the_folders_of_others_or_says_why_not(plain: Path, tmp_path: Path, mode: str) -> None:
    other = tmp_path / "other"
    shutil.copytree(plain, other)
    crawl = other / "crawls" / "tiny"
    for path in crawl.iterdir():
        path.chmod(0o444 if mode == "public" else 0)
    crawl.chmod(0o555)
    for path in (*crawl.iterdir(), crawl) if os.getuid() == 0 else ():
        os.chown(path, STRANGER, STRANGER)
    for name in READERS:
        done = command(other, *POWERLESS, sys.executable, "-m", "crawlfleet", name, *ARGUMENTS[name])
        assert_ran(done, 0 if mode == "public" or name == "check" else 2)
        if done.returncode:
            (sentence,) = done.stderr.decode().splitlines()
            assert "cannot be read: Permission denied; " in sentence
    crawl.chmod(0o755)
