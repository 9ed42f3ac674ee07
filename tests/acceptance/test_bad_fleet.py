"""A fleet that does not fit together: one clear sentence, the right exit code, nothing else harmed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from crawlfleet.demo.server import DemoSite
from crawlfleet.shared.wire.join_token import JoinToken
from tests.acceptance.crawls import CRAWLFLEET, assert_refused, lines, run, start, whole_site_job

OTHER_VERSION = """\
import sys
from crawlfleet.shared import messages
from crawlfleet.worker import app
class Hello(messages.Hello, frozen=True, kw_only=True):
    protocol_major: int = messages.PROTOCOL_MAJOR + 1
app.Hello = Hello
from crawlfleet.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("token", ["", "cf2:", "cf2:AAAA", "cf1:AAAA", "cf9:AAAA", "hello"])
def test_a_token_that_is_none_is_reported(token: str, tmp_path: Path) -> None:
    assert_refused(run(tmp_path, "worker", "--join", token), 2, "token")


@contextmanager
def _coordinator(folder: Path, seed: str, more: str = "") -> Iterator[tuple[subprocess.Popen[str], JoinToken]]:
    """Serve a job without any worker; give the process and the token that it printed."""
    job = whole_site_job(folder, "served", seed)
    job.write_text(job.read_text() + more)
    command = [*CRAWLFLEET, "coordinator", str(job)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, JoinToken.parse(next(line for line in process.stdout if line.startswith("cf2:")))
        finally:
            process.kill()


def _altered(token: JoinToken, **changes: object) -> str:
    values = {name: getattr(token, name) for name in ("addresses", "fingerprint", "secret")}
    return JoinToken(**{**values, **changes}).encode()


@pytest.mark.parametrize("part", ["secret", "fingerprint"])
def test_a_token_of_another_coordinator_is_refused(part: str, tmp_path: Path) -> None:
    with _coordinator(tmp_path, "http://127.0.0.1/") as (process, token):
        assert_refused(run(tmp_path, "worker", "--join", _altered(token, **{part: bytes(32)})), 2, "token")
        assert process.poll() is None


def test_a_worker_of_another_protocol_version_is_refused(tmp_path: Path) -> None:
    with _coordinator(tmp_path, "http://127.0.0.1/") as (process, token):
        command = [sys.executable, "-c", OTHER_VERSION, "worker", "--join", token.encode(), "--start-method", "fork"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert_refused(done, 2, "protocol 2", "1", "install")
        assert process.poll() is None


@pytest.mark.parametrize("more", [(), (("127.0.0.1", 1), ("127.0.0.2", 1))], ids=["alone", "among others"])
def test_a_port_where_nobody_listens_is_told_once_for_all_workers_and_tried_on(
    tmp_path: Path, more: tuple[tuple[str, int], ...]
) -> None:
    with _coordinator(tmp_path, "http://127.0.0.1/") as (_, token), socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        port = taken.getsockname()[1]
        elsewhere = _altered(token, addresses=(("127.0.0.1", port), *more))
        worker = start(tmp_path, "worker", "--join", elsewhere, "--processes", "3")
        _wait_for_line(tmp_path / "out.txt", f"no coordinator answers at 127.0.0.1:{port}", worker)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=30) == 0
    found = [line for line in (tmp_path / "out.txt").read_text().splitlines() if "no coordinator answers" in line]
    assert len(found) == 1


def test_strangers_on_the_control_port_change_nothing(tmp_path: Path, site: DemoSite) -> None:
    marker = tmp_path / "loaded"
    pickle_bytes = b"cos\nsystem\n(S'touch " + os.fsencode(marker) + b"'\ntR."
    with _coordinator(tmp_path, site.base) as (process, token):
        silent = [socket.create_connection(token.addresses[0]) for _ in range(100)]
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
    with socket.create_connection(token.addresses[0], timeout=20) as connection:
        # While a hundred others are silent, the door may be shut in our face.
        with suppress(OSError):
            connection.sendall(noise)
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            assert b"Traceback" not in connection.recv(65536)


def test_a_worker_outlives_its_coordinator_and_drains_when_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_site:
        seed = f"http://127.0.0.1:{silent_site.getsockname()[1]}/"
        with _coordinator(tmp_path, seed, "lease: 1s\n") as (process, token):
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
