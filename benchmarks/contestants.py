"""The crawlers that are compared, and what each needs to do the same work: every page of a site; title, h1 and
number of links of each, as JSON lines."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from benchmarks.database_server import SETTINGS
from benchmarks.meter import Command
from crawlfleet.shared.engines import FETCH_ENGINES
from tests.site.postgresql_server import PostgresqlServer, programs

PEERS = Path(__file__).parent / "peers"
VENV = Path(".make/peers")
SIMULTANEOUS = 32
_JOB = """\
name: site
seeds: [{base}]
politeness: {{delay: 0s, per_host: {simultaneous}}}
fetch: {{engine: {fetch}}}
parse: {{engine: {parse}}}
hooks: hook.py
sinks: [items.jsonl]
durability: {durability}
frontier: {frontier}
"""
_HOOKS = {
    "turbohtml": """\
def parse(page):
    h1 = page.dom.select_one("h1")
    links = len(page.dom.select("a[href]"))
    return {"title": page.title, "h1": h1 and h1.text, "links": links}
""",
    "lexbor": """\
def parse(page):
    h1 = page.tree.css_first("h1")
    links = len(page.tree.css("a[href]"))
    return {"title": page.title, "h1": h1 and h1.text(), "links": links}
""",
    "bs4": """\
def parse(page):
    soup = page.soup
    title, h1 = soup.title, soup.h1
    return {
        "title": title and title.get_text(),
        "h1": h1 and h1.get_text(),
        "links": len(soup.find_all("a", href=True)),
    }
""",
}


DATABASE = "postgresql"
# Durability and frontier of a job, by what a table calls them.
_KEPT = {"durable": ("process", "sqlite"), "in memory": ("none", "memory"), "in PostgreSQL": ("process", DATABASE)}
_ENGINES = (("curl", "turbohtml"), ("curl", "lexbor"), ("requests", "lexbor"), ("requests", "bs4"))


class Site(NamedTuple):
    """Where the site is, and what wget2 found there: paths of pages."""

    base: str
    pages: Sequence[str]


class Contestant(NamedTuple):
    """A crawler. `prepare` writes what it needs into a folder and returns the commands; `missing` returns why it cannot
    run, empty if it can. An `endless` crawler does not know when it is done: it counts up to its last page."""

    name: str
    prepare: Callable[[Site, Path], list[Command]]
    missing: Callable[[], str] = str
    endless: bool = False
    ours: bool = False


def all_contestants() -> list[Contestant]:
    """Return every crawler that is compared, by falling speed as far as is known before."""
    cores = os.cpu_count() or 1
    return [
        Contestant("wget2", _wget2, lambda: "" if shutil.which("wget2") else "wget2 is not installed"),
        *(_crawlfleet(fetch, parse, kept) for fetch, parse in _ENGINES for kept in ("durable", "in memory")),
        _crawlfleet(*_ENGINES[0], "in PostgreSQL"),
        Contestant("Scrapy", _scrapy(1), _no_venv),
        Contestant(f"Scrapy x{cores}", _scrapy(cores), _no_venv),
        Contestant("scrapy-redis x2", _scrapy_redis, _no_redis, endless=True),
        Contestant("Crawlee (Parsel)", _crawlee("parsel"), _no_venv),
        Contestant("Crawlee (BeautifulSoup)", _crawlee("beautifulsoup"), _no_venv),
    ]


def choose(words: Sequence[str] = ()) -> list[Contestant]:
    """Return the crawlers whose name has one of these words, in any case; without words, all. Install those that may
    be; raise `SystemExit` if there are none."""
    everyone = all_contestants()
    chosen = [each for each in everyone if not words or any(word.lower() in each.name.lower() for word in words)]
    if not chosen:
        raise SystemExit("there is none of that name: " + "; ".join(each.name for each in everyone))
    if any("crapy" in each.name or "Crawlee" in each.name for each in chosen) and (why := make_venv()):
        print(f"peers could not be installed: {why}", file=sys.stderr)
    return chosen


def make_venv() -> str:
    """Install the peers into a venv of their own, unless they are there; return what went wrong, if anything."""
    wanted = (PEERS / "requirements.txt").read_text()
    stamp = VENV / "installed.txt"
    if stamp.is_file() and stamp.read_text() == wanted:
        return ""
    print(f"installing Scrapy, scrapy-redis and Crawlee into {VENV}", file=sys.stderr, flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        install = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--requirement", str(PEERS / "requirements.txt")], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return str(error)
    stamp.write_text(wanted)
    return ""


def _no_venv() -> str:
    return "" if (VENV / "installed.txt").is_file() else f"it could not be installed into {VENV}"


def _no_redis() -> str:
    return _no_venv() or ("" if shutil.which("redis-server") else "redis-server is not installed")


def _crawlfleet(fetch: str, parse: str, kept: str) -> Contestant:
    durability, frontier = _KEPT[kept]

    def prepare(site: Site, folder: Path) -> list[Command]:
        server = _database_server(folder) if frontier == DATABASE else None
        job = _JOB.format(
            base=site.base,
            simultaneous=SIMULTANEOUS,
            fetch=fetch,
            parse=parse,
            durability=durability,
            frontier=server.address() if server else frontier,
        )
        (folder / "site.yaml").write_text(job, encoding="utf-8")
        (folder / "hook.py").write_text(_HOOKS[parse], encoding="utf-8")
        run = Command([sys.executable, "-m", "crawlfleet", "run", "site.yaml"])
        return [run] if server is None else [Command(server.command(), service=True, answers=server.answers), run]

    def missing() -> str:
        if frontier == DATABASE and programs() is None:
            return "PostgreSQL is not installed"
        return "" if fetch in FETCH_ENGINES else f"there is no fetch engine {fetch!r}"

    return Contestant(f"crawlfleet, {fetch} + {parse}, {kept}", prepare, missing, ours=True)


def _database_server(folder: Path) -> PostgresqlServer:
    # Started by root, it runs as a user of its own.
    folder.parent.chmod(0o711)
    return PostgresqlServer(*SETTINGS, syncs=True, within=folder)


def _wget2(site: Site, folder: Path) -> list[Command]:
    arguments = ["wget2", "--quiet", "--recursive", "--level=inf", "--no-robots", f"--directory-prefix={folder}/files"]
    # 8: some link was answered with an error, as real documentation has it.
    return [Command([*arguments, site.base], ok_codes=(0, 8))]


def _scrapy(processes: int) -> Callable[[Site, Path], list[Command]]:
    def prepare(site: Site, folder: Path) -> list[Command]:
        script = [_venv_python(), str(PEERS.absolute() / "scrapy_site.py"), site.base]
        if processes == 1:
            return [Command([*script, "out.jsonl"])]
        starts = folder / "starts.txt"
        starts.write_text("\n".join(site.base.rstrip("/") + quote(page, safe="/?=&") for page in site.pages))
        part = ["--parts", str(processes), "--starts", str(starts)]
        return [Command([*script, f"out-{n}.jsonl", *part, "--part", str(n)]) for n in range(processes)]

    return prepare


def _scrapy_redis(site: Site, folder: Path) -> list[Command]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    redis = [
        "redis-server",
        "--bind",
        "127.0.0.1",
        "--port",
        port,
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
    ]
    script = [_venv_python(), str(PEERS.absolute() / "scrapy_site.py"), site.base]
    shared = ["--redis", f"redis://127.0.0.1:{port}"]
    first = Command([*script, "out-0.jsonl", *shared, "--push"])
    return [Command(redis, service=True), first, Command([*script, "out-1.jsonl", *shared])]


def _crawlee(kind: str) -> Callable[[Site, Path], list[Command]]:
    def prepare(site: Site, _folder: Path) -> list[Command]:
        return [Command([_venv_python(), str(PEERS.absolute() / "crawlee_site.py"), site.base, "out.jsonl", kind])]

    return prepare


def _venv_python() -> str:
    return str((VENV / "bin" / "python").absolute())
