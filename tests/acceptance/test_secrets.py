"""Secrets of a job in a whole crawl, through each engine: who is sent them, and that nothing else has them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from crawlfleet.shared.engines import FETCH_ENGINES
from tests.acceptance.crawls import CRAWLFLEET, lines
from tests.site.header_site import HeaderSite, header_site

# What begins so is a secret of the test, and found wherever it gets to.
CANARY = "canary-4711-"
QUICK = ("--name", "canary", "--pages", "1", "--set", "politeness.delay=0s", "--workers", "1")
HOOK = """
import resource

from crawlfleet import Page

def parse(page: Page):
    print("reading", page.url, page.headers)
    if page.url.endswith("/boom"):
        raise ValueError(f"a hook that fails on {page.headers}")
    yield {"item": "page", "core": list(resource.getrlimit(resource.RLIMIT_CORE)), "all": str(dict(page.headers))}
"""


class Sites:
    """The job's own site, and others: of another host in scope, at another port, out of scope, for rows, as a proxy."""

    def __init__(self, opened: ExitStack) -> None:
        def serve(pages: dict[str, str], address: str = "127.0.0.1") -> HeaderSite:
            return opened.enter_context(header_site(pages, address))

        self.other = serve({"/target": "<title>target</title>", "/linked": "<title>linked</title>"}, "127.0.0.2")
        self.port = serve({"/port": "<title>port</title>"})
        self.far = serve({"/far": "<title>far</title>"}, "127.0.0.3")
        self.receiver, self.proxy = serve({}), serve({})
        links = ("/moved", "/boom", f"{self.other.base}/linked", f"{self.port.base}/port", f"{self.far.base}/far")
        anchors = "".join(f'<a href="{link}">{link}</a>' for link in links)
        pages = {"/": anchors, "/moved": f"->{self.other.base}/target", "/boom": "<title>boom</title>"}
        self.own = serve(pages)


@pytest.fixture
def sites() -> Iterator[Sites]:
    with ExitStack() as opened:
        yield Sites(opened)


def write_job(folder: Path, sites: Sites, engine: str, literal: str) -> None:
    """Write a job whose secrets are in the environment, in a file, and in itself."""
    (folder / "cookie.txt").write_text(f"\nsession={CANARY}file\n")
    (folder / "hook.py").write_text(HOOK)
    (folder / "job.yaml").write_text(
        "name: canary\n"
        f"seeds: [{sites.own.base}/]\n"
        "scope: {hosts: [127.0.0.1, 127.0.0.2]}\n"
        "politeness: {delay: 0s}\n"
        f"fetch: {{engine: {engine}, retries: 0, headers: {{Accept-Language: en, Cookie: file:cookie.txt}}, "
        "allow_private: [127.0.0.0/8]}\n"
        "sites:\n"
        "  127.0.0.1:\n"
        f"    headers: {{Authorization: env:OWN_SECRET, X-Plain: {CANARY}{literal}}}\n"
        f'  "http://127.0.0.4": {{headers: {{X-Nobody: {CANARY}nobody}}}}\n'
        "links: {check_external: true}\n"
        "hooks: hook.py\n"
        "tables: {urls: urls.csv, links: links.jsonl}\n"
        f'sinks: [items.jsonl, items.sqlite, {{to: "{sites.receiver.base}/rows", headers: {{X-Any: {CANARY}sink}}}}]\n'
    )


def environment(folder: Path, sites: Sites) -> dict[str, str]:
    """Return an environment with a secret, and all that may tell an HTTP client of proxies and passwords."""
    (folder / "home").mkdir(exist_ok=True)
    for name in (".netrc", "_netrc"):
        (folder / "home" / name).write_text(f"default login me password {CANARY}netrc\n")
        (folder / "home" / name).chmod(0o600)
    (folder / "home/.curlrc").write_text(f'header = "X-Curlrc: {CANARY}curlrc"\nproxy = "{sites.proxy.base}"\n')
    home = str(folder / "home")
    proxies = {f"{name}_proxy": sites.proxy.base for name in ("http", "https", "all")}
    proxies |= {name.upper(): value for name, value in proxies.items()}
    own = {"HOME": home, "CURL_HOME": home, "NETRC": f"{home}/.netrc", "XDG_CONFIG_HOME": home, "no_proxy": ""}
    return {**os.environ, **proxies, **own, "OWN_SECRET": f" Bearer {CANARY}env\n"}


def running(folder: Path, sites: Sites, *words: str, program: bool = False) -> tuple[int, str, str]:
    """Run a command, or a program; return its exit code, what it printed, and the command lines of all processes
    meanwhile."""
    command = [*([sys.executable] if program else CRAWLFLEET), *words]
    processes = []
    with (folder / "printed.txt").open("w+") as printed:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(folder, sites),
            stdout=printed,
            stderr=printed,
            stdin=subprocess.DEVNULL,
        )
        while child.poll() is None:
            processes.append(command_lines())
            with suppress(subprocess.TimeoutExpired):
                child.wait(0.3)
        printed.seek(0)
        return child.returncode, printed.read(), "\n".join(processes)


def command_lines() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().decode(errors="replace"))
    return "\n".join(found)


def assert_kept_nowhere(folder: Path) -> None:
    files = [path for path in (folder / "crawls").rglob("*") if path.is_file()]
    assert {path.name for path in files} > {"frontier.db", "log.jsonl", "summary.json", "README.txt"}
    assert [str(path) for path in files if CANARY.encode() in path.read_bytes()] == []


def secrets_in(fields: dict[str, str]) -> set[str]:
    return {name for name, value in fields.items() if CANARY in value}


@pytest.mark.parametrize("engine", sorted(FETCH_ENGINES))
def test_a_secret_is_sent_to_its_site_and_to_be_found_nowhere_else(engine: str, sites: Sites, tmp_path: Path) -> None:
    write_job(tmp_path, sites, engine, "literal")
    code, printed, processes = running(tmp_path, sites, "run", "job.yaml", "--workers", "1")
    assert code == 0, printed
    assert CANARY not in printed + processes
    assert "fetch.headers.Cookie is taken for a secret, and sent to the job's own seeds alone" in printed
    assert "reading" in printed
    rows = lines(tmp_path / "crawls/canary/items.jsonl")
    assert {tuple(row["core"]) for row in rows} == {(0, 0)}
    assert_kept_nowhere(tmp_path)

    assert {path for path, _ in sites.own.seen} == {"/robots.txt", "/", "/moved", "/boom"}
    for _, fields in sites.own.seen:
        assert secrets_in(fields) == {"Authorization", "Cookie", "X-Plain"}
        expected = (f"Bearer {CANARY}env", f"session={CANARY}file", f"{CANARY}literal", "en")
        assert tuple(fields[name] for name in ("Authorization", "Cookie", "X-Plain", "Accept-Language")) == expected
    asked = {"/robots.txt", "/target", "/linked"}, {"/robots.txt", "/port"}, {"/robots.txt", "/far"}
    for site, paths in zip((sites.other, sites.port, sites.far), asked, strict=True):
        assert {path for path, _ in site.seen} == paths
        assert [secrets_in(fields) for _, fields in site.seen] == [set()] * len(site.seen)
        assert [fields for _, fields in site.seen if "Authorization" in fields or "Cookie" in fields] == []
    assert sites.receiver.rows
    assert {(fields["X-Any"], fields.get("Authorization")) for _, fields in sites.receiver.seen} == {
        (f"{CANARY}sink", None)
    }
    assert sites.proxy.seen == []


def test_what_else_is_said_of_a_job_has_no_secret(sites: Sites, tmp_path: Path) -> None:
    write_job(tmp_path, sites, "curl", "literal")
    assert running(tmp_path, sites, "run", "job.yaml", "--workers", "1")[0] == 0
    write_job(tmp_path, sites, "curl", "another")
    setting = f'sites."127.0.0.1".headers.X-Set={CANARY}set'
    for words, exit_code, said in (
        (("check", "job.yaml"), 0, "job 'canary' is fine"),
        (("check", "job.yaml", "--set", setting), 0, "sites.127.0.0.1.headers.X-Set stands on the command line"),
        (("check", "job.yaml", "--set", f"fetch.headers.Cookie=*{CANARY}"), 2, "its value is no YAML"),
        (("check", "job.yaml", "--set", f"fetch.headers={CANARY}"), 2, "--set fetch.headers=...: fetch.headers: wants"),
        (("try", "job.yaml", "--json"), 0, '"state"'),
        (("run", "job.yaml", "--set", setting, "--workers", "1"), 0, "stands on the command line"),
        (("verify", "crawls/canary"), 0, ""),
        (("export", "crawls/canary", "--to", "out.jsonl"), 0, ""),
        (("run", sites.own.base, *QUICK, "--set", f"fetch.headers.Cookie={CANARY}quick"), 0, "on the command line"),
    ):
        code, printed, _ = running(tmp_path, sites, *words)
        assert code == exit_code, printed
        assert said in printed
        assert CANARY not in printed
    logged = [line for path in (tmp_path / "crawls").glob("*/log.jsonl") for line in lines(path)]
    changed = {line["detail"] for line in logged if line["event"] == "job changed"}
    assert "+ sites.127.0.0.1.headers: X-Plain (its value is not shown)" in changed
    assert_kept_nowhere(tmp_path)


def test_a_secret_that_is_not_there_ends_the_start_in_a_sentence(sites: Sites, tmp_path: Path) -> None:
    write_job(tmp_path, sites, "curl", "literal")
    (tmp_path / "job.yaml").write_text((tmp_path / "job.yaml").read_text().replace("OWN_SECRET", "NOT_THERE"))
    for command in ("check", "run"):
        code, printed, _ = running(tmp_path, sites, command, "job.yaml")
        assert (code, printed) == (
            2,
            "job.yaml:8:30: sites.127.0.0.1.headers.Authorization: "
            "the environment has no NOT_THERE: set it where the coordinator runs\n",
        )
    assert not (tmp_path / "crawls").exists()


PROGRAM = """
import os, resource, sys
from crawlfleet import crawl

def limits(page):
    yield {"core": list(resource.getrlimit(resource.RLIMIT_CORE)), "url_again": page.url}

secret = os.environ["OWN_SECRET"].strip()
keys = {"politeness.delay": "0s", "sites": {"127.0.0.1": {"headers": {"X-Key": secret, "X-Own": "env:OWN_SECRET"}}}}
print(list(crawl(sys.argv[1], parse=limits, pages=1, workers=1, folder="crawls/canary", set=keys)))
try:
    crawl(sys.argv[1], set={"sites": {"127.0.0.1": {"headers": {"X-Key": [secret]}}}})
except Exception as error:
    print(error)
"""


def test_a_program_gives_secrets_to_its_crawl_alone(sites: Sites, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    code, printed, processes = running(tmp_path, sites, str(tmp_path / "program.py"), sites.own.base, program=True)
    assert code == 0, printed
    assert CANARY not in printed + processes
    assert "'core': [0, 0]" in printed
    assert "set={'sites': ...}: sites.127.0.0.1.headers.X-Key: wants text: put the value in quotes" in printed
    assert {(fields["X-Key"], fields["X-Own"]) for _, fields in sites.own.seen} == {(f"Bearer {CANARY}env",) * 2}
    assert_kept_nowhere(tmp_path)
