"""Bad input on the command line: one clear sentence, the right exit code, nothing else harmed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from crawls import CRAWLFLEET, lines, run, start, whole_site_job

from crawlfleet.demo_site import DemoSite, serve
from shared.join_token import JoinToken

JOB = "name: bad\nseeds:\n  - {seed}\n"
BROKEN_JOBS = {
    "malformed YAML": ("name: [\n", "bad.yaml:2:1: "),
    "an unknown key": ("name: bad\nseeds: [http://127.0.0.1/]\npolitness: {}\n", "bad.yaml:3:1: "),
    "a wrong type": ("name: bad\nseeds: [http://127.0.0.1/]\nscope: {depth: ten}\n", "bad.yaml:3:"),
    "a range in flow form": ("name: bad\nseeds: [http://127.0.0.1/{1..50}]\n", "bad.yaml:2:"),
    "a seed without a scheme": (JOB.format(seed="example.org/"), "bad.yaml:3:"),
    "a broken selector": (
        JOB.format(seed="http://127.0.0.1/") + 'items:\n  - name: a\n    fields: {b: "div["}\n',
        "bad.yaml:6:",
    ),
    "a hook that does not compile": (JOB.format(seed="http://127.0.0.1/") + "hooks: broken.py\n", "broken.py:1:"),
    "a hook that is not there": (JOB.format(seed="http://127.0.0.1/") + "hooks: none.py\n", "bad.yaml:4:"),
}


@pytest.fixture
def site() -> Iterator[DemoSite]:
    running = serve(slow_s=0.0)
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port of this machine that is in use, by something that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _job(folder: Path, text: str) -> Path:
    (folder / "broken.py").write_text("def parse(page:\n")
    (folder / "bad.yaml").write_text(text)
    return folder / "bad.yaml"


def _assert_refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    told = done.stdout + done.stderr
    assert done.returncode == code, told
    assert "Traceback" not in told
    for word in words:
        assert word in told, told


@pytest.mark.parametrize("command", ["run", "check", "coordinator"])
@pytest.mark.parametrize("case", BROKEN_JOBS)
def test_a_broken_job_is_refused_with_its_place(case: str, command: str, tmp_path: Path) -> None:
    text, place = BROKEN_JOBS[case]
    _assert_refused(run(tmp_path, command, _job(tmp_path, text)), 2, place)
    assert not (tmp_path / "crawls").exists()


def test_every_problem_of_a_job_is_told_at_once(tmp_path: Path) -> None:
    job = _job(tmp_path, "name: Bad Name\nseeds: [example.org]\npolitness: {}\n")
    _assert_refused(run(tmp_path, "check", job), 2, "bad.yaml:1:", "bad.yaml:2:", "bad.yaml:3:", "politeness")


def test_a_job_that_is_not_there_is_told(tmp_path: Path) -> None:
    _assert_refused(run(tmp_path, "run", "none.yaml"), 2, "none.yaml")


def test_a_seed_that_answers_404_ends_with_1(tmp_path: Path, site: DemoSite) -> None:
    job = whole_site_job(tmp_path, "lost", site.base + "nothing-here")
    _assert_refused(run(tmp_path, "run", job), 1, "seed")


def test_a_seed_that_nobody_serves_ends_with_1(tmp_path: Path) -> None:
    job = whole_site_job(tmp_path, "lost", f"http://127.0.0.1:{_free_port()}/")
    job.write_text(job.read_text() + "fetch: {retries: 0}\n")
    _assert_refused(run(tmp_path, "run", job), 1, "seed")


def test_a_hook_that_raises_fails_its_pages_and_no_others(tmp_path: Path, site: DemoSite) -> None:
    (tmp_path / "hook.py").write_text(
        "def parse(page):\n"
        "    if '/book/' in page.url:\n"
        "        raise KeyError('no such thing')\n"
        "    yield {'title': str(page.soup.title.string)}\n"
    )
    job = tmp_path / "raises.yaml"
    job.write_text(
        f"name: raises\nseeds: [{site.base}]\npoliteness: {{delay: 0s, per_host: 16}}\n"
        "fetch: {retries: 2}\nhooks: hook.py\n"
    )
    done = run(tmp_path, "run", job, timeout_s=100)
    assert done.returncode == 0, done.stdout + done.stderr
    urls = sorted(row["url"] for row in lines(tmp_path / "crawls" / "raises" / "items.jsonl"))
    assert urls == sorted(url for url in site.expected().fetched if "/book/" not in url)
    assert "extract_error" in done.stdout


def test_a_hook_may_yield_the_strings_that_beautifulsoup_gives(tmp_path: Path, site: DemoSite) -> None:
    (tmp_path / "hook.py").write_text("def parse(page):\n    yield {'title': page.soup.title.string}\n")
    job = tmp_path / "soup.yaml"
    job.write_text(f"name: soup\nseeds: [{site.base}]\nfollow: []\nhooks: hook.py\n")
    assert run(tmp_path, "run", job).returncode == 0
    assert [row["title"] for row in lines(tmp_path / "crawls" / "soup" / "items.jsonl")] == ["The Loopback Bookshop"]


def test_a_hook_that_does_not_import_is_told_before_anything_is_fetched(tmp_path: Path, site: DemoSite) -> None:
    (tmp_path / "hook.py").write_text("import no_such_module_at_all\n\ndef parse(page):\n    return []\n")
    job = tmp_path / "hooked.yaml"
    job.write_text(f"name: hooked\nseeds: [{site.base}]\nhooks: hook.py\n")
    _assert_refused(run(tmp_path, "run", job), 2, "no_such_module_at_all")
    assert not site.hits


def test_results_are_not_overwritten_without_fresh(tmp_path: Path, site: DemoSite) -> None:
    job = whole_site_job(tmp_path, "once", site.base)
    assert run(tmp_path, "run", job, timeout_s=100).returncode == 0
    kept = (tmp_path / "crawls" / "once" / "items.jsonl").read_bytes()
    _assert_refused(run(tmp_path, "run", job), 2, "--fresh")
    assert (tmp_path / "crawls" / "once" / "items.jsonl").read_bytes() == kept


def test_a_crawls_folder_that_cannot_be_made_is_told(tmp_path: Path, site: DemoSite) -> None:
    (tmp_path / "file").write_text("in the way")
    job = whole_site_job(tmp_path, "nowhere", site.base)
    _assert_refused(run(tmp_path, "run", job, "--crawls", tmp_path / "file"), 2, str(tmp_path / "file"))


def test_a_port_in_use_is_told(tmp_path: Path, taken_port: int) -> None:
    job = whole_site_job(tmp_path, "busy", "http://127.0.0.1/")
    _assert_refused(run(tmp_path, "coordinator", job, "--bind", f"127.0.0.1:{taken_port}"), 2, str(taken_port))


@pytest.mark.parametrize("address", ["203.0.113.7:0", "no port", "127.0.0.1:99999", "127.0.0.1:x"])
def test_an_address_that_cannot_be_bound_is_told(address: str, tmp_path: Path) -> None:
    job = whole_site_job(tmp_path, "nowhere", "http://127.0.0.1/")
    _assert_refused(run(tmp_path, "coordinator", job, "--bind", address), 2, address.partition(":")[0])


@pytest.mark.parametrize("token", ["", "cf1:", "cf1:AAAA", "cf9:AAAA", "hello"])
def test_a_token_that_is_none_is_told(token: str, tmp_path: Path) -> None:
    _assert_refused(run(tmp_path, "worker", "--join", token), 2, "token")


@contextmanager
def _coordinator(folder: Path, seed: str) -> Iterator[tuple[subprocess.Popen[str], JoinToken]]:
    """Serve a job without any worker; give the process and the token that it printed."""
    job = whole_site_job(folder, "served", seed)
    command = [*CRAWLFLEET, "coordinator", str(job)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            line = next(line for line in process.stdout if "--join" in line)
            yield process, JoinToken.parse(line.rpartition("--join")[2])
        finally:
            process.kill()


def _altered(token: JoinToken, **changes: object) -> str:
    values = {name: getattr(token, name) for name in ("addresses", "port", "fingerprint", "secret")}
    return JoinToken(**{**values, **changes}).encode()


@pytest.mark.parametrize("part", ["secret", "fingerprint"])
def test_a_token_of_another_coordinator_is_refused(part: str, tmp_path: Path) -> None:
    with _coordinator(tmp_path, "http://127.0.0.1/") as (process, token):
        _assert_refused(run(tmp_path, "worker", "--join", _altered(token, **{part: bytes(32)})), 2, "token")
        assert process.poll() is None


def test_strangers_on_the_control_port_change_nothing(tmp_path: Path, site: DemoSite) -> None:
    marker = tmp_path / "loaded"
    pickle_bytes = b"cos\nsystem\n(S'touch " + os.fsencode(marker) + b"'\ntR."
    with _coordinator(tmp_path, site.base) as (process, token):
        silent = [socket.create_connection((token.addresses[0], token.port)) for _ in range(20)]
        for noise in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(4096), pickle_bytes):
            _say(token, noise)
            _say(token, len(noise).to_bytes(4, "big") + noise)
        worker = run(tmp_path, "worker", "--join", token.encode(), "--processes", "1", timeout_s=100)
        assert worker.returncode == 0, worker.stdout + worker.stderr
        assert process.wait(timeout=30) == 0
        for connection in silent:
            connection.close()
    assert not marker.exists()
    rows = lines(tmp_path / "crawls" / "served" / "items.jsonl")
    assert {row["url"] for row in rows} == site.expected().fetched


def _say(token: JoinToken, noise: bytes) -> None:
    with socket.create_connection((token.addresses[0], token.port), timeout=20) as connection:
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert b"Traceback" not in connection.recv(65536)


def test_a_worker_outlives_its_coordinator_and_drains_when_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_site:
        seed = f"http://127.0.0.1:{silent_site.getsockname()[1]}/"
        with _coordinator(tmp_path, seed) as (process, token):
            worker = start(tmp_path, "worker", "--join", token.encode(), "--processes", "1")
            held = silent_site.accept()[0]  # the worker holds a lease, and waits for its page
            process.kill()
            process.wait()
        _wait_for_line(tmp_path / "out.txt", "lost", worker)
        assert worker.poll() is None
        worker.send_signal(signal.SIGTERM)
        held.close()
        assert worker.wait(timeout=30) == 0
    assert "Traceback" not in (tmp_path / "out.txt").read_text()


def _wait_for_line(path: Path, word: str, process: subprocess.Popen[str]) -> None:
    """Wait until a process has said a word; the test's own time limit ends a wait in vain."""
    while word not in path.read_text():
        assert process.poll() is None, path.read_text()
        time.sleep(0.02)
