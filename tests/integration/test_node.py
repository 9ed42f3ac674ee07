"""A real node with real worker processes, against a hand-written coordinator and a web server on loopback."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.shared.brief import Brief, HookSpec, ScopeSpec
from crawlfleet.shared.messages import (
    Ack,
    AckState,
    ExchangeAnswer,
    ExchangeRequest,
    Hello,
    Kind,
    Lease,
    Outcome,
    Report,
    Task,
    Welcome,
    decode,
    encode,
)
from crawlfleet.shared.wire.control_port import FleetServer
from crawlfleet.shared.wire.identity import Identity, load_or_create
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.shared.wire.manager import FleetManager
from crawlfleet.worker.node import SHORT_RUNS
from tests.local import local_spec

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0
PER_LEASE = 4


class Site(ThreadingHTTPServer):
    """Pages that link to the next one; those below /slow/ are not answered before the gate opens."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.gate = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        if self.path.startswith("/slow/"):
            self.server.gate.wait(PATIENCE_S)
        body = f"<title>{self.path}</title><a href='/next{self.path}'>next</a>".encode()
        with contextlib.suppress(ConnectionError):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class HandQueue:
    """Just enough of a coordinator: grants, settles once, takes back what a dead session held."""

    def __init__(self, urls: list[str], brief: Brief) -> None:
        self.brief = brief
        self.changed = threading.Condition()
        self.pending = dict(enumerate(urls))
        self.held: dict[int, tuple[str, set[int]]] = {}
        self.settled: dict[int, tuple[int, Report]] = {}
        self.stale: list[Report] = []
        self.started: set[int] = set()
        self.hellos: list[Hello] = []
        self.goodbyes: list[str] = []
        self.urls: dict[int, str] = dict(self.pending)
        self.resent = 0
        self.addresses: tuple[tuple[str, int], ...] = ()
        self.before_answer: Callable[[ExchangeRequest], None] = lambda _: None
        self._lease = 0

    def hello(self, data: bytes) -> bytes:
        hello = decode(data, Hello)
        with self.changed:
            self.hellos.append(hello)
            self._take_back(hello.replaces)
            self.changed.notify_all()
        return encode(Welcome(epoch=1, lease_s=15.0, brief=self.brief, addresses=self.addresses))

    def exchange(self, data: bytes) -> bytes:
        request = decode(data, ExchangeRequest)
        with self.changed:
            acks = tuple(self._settle(report) for report in request.reports)
            for lease in request.released:
                self._give_back(lease)
            self.started.update(int(ref) for _, ref in request.started)
            self._take_back(request.session, request.holding)
            leases = tuple(self._grant(request.session, request.want))
            finished = not self.pending and not any(refs for _, refs in self.held.values())
            self.changed.notify_all()
        self.before_answer(request)
        return encode(ExchangeAnswer(acks=acks, leases=leases, finished=finished, idle_s=0.05))

    def goodbye(self, session: str) -> None:
        with self.changed:
            self.goodbyes.append(session)
            self._take_back(session)
            self.changed.notify_all()

    def until(self, holds: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(holds, PATIENCE_S), self

    def _settle(self, report: Report) -> Ack:
        ref = int(report.ref)
        _, refs = self.held.get(report.lease, ("", set()))
        known = self.settled.get(ref)
        if ref in refs:
            refs.remove(ref)
            self.settled[ref] = (report.lease, report)
        elif known is not None and known[0] == report.lease:
            self.resent += 1
        else:
            self.stale.append(report)
            return Ack(lease=report.lease, ref=report.ref, state=AckState.STALE)
        return Ack(lease=report.lease, ref=report.ref, state=AckState.OK)

    def _grant(self, session: str, want: int) -> Iterator[Lease]:
        if want and self.pending:
            refs = sorted(self.pending)[: min(want, PER_LEASE)]
            self._lease += 1
            self.held[self._lease] = (session, set(refs))
            tasks = tuple(
                Task(ref=str(ref).encode(), kind=Kind.PAGE, url=self.pending.pop(ref), depth=0) for ref in refs
            )
            yield Lease(id=self._lease, host="127.0.0.1", tasks=tasks, slots=8)

    def _take_back(self, session: str, holding: tuple[int, ...] = ()) -> None:
        """What a session does not hold, though it was granted, was lost with an answer."""
        for lease, (holder, _) in list(self.held.items()):
            if holder == session and lease not in holding:
                self._give_back(lease)

    def _give_back(self, lease: int) -> None:
        _, refs = self.held.pop(lease)
        self.pending.update({ref: self.urls[ref] for ref in refs})


class Stage:
    """A site, a coordinator, and the nodes that a test starts; everything ends with the test."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.site = site
        self.identity: Identity = load_or_create(folder / "identity")
        self.nodes: list[subprocess.Popen[str]] = []
        self.server: FleetServer | None = None
        self.queue: HandQueue

    def serve(self, paths: list[str], hook: HookSpec | None = None) -> None:
        brief = Brief(job="test", scope=ScopeSpec(hosts=("127.0.0.1",)), fetch=local_spec(timeout_s=60.0), hook=hook)
        self.queue = HandQueue([self.site.url(path) for path in paths], brief)
        self.listen(0)

    def listen(self, port: int) -> None:
        manager = FleetManager.serving({"Queue": self.queue}, self.identity, "127.0.0.1", port)
        self.server = manager.get_server()
        self.server.start()

    @property
    def token(self) -> JoinToken:
        assert self.server is not None
        return self.server.join_token()

    def node(self, *arguments: str, processes: int = 2) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "crawlfleet.worker", "--processes", str(processes), *arguments]
        node = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self.nodes.append(node)
        return node

    def hurried_node(self, *arguments: str) -> subprocess.Popen[str]:
        """A node of one worker that starts another as soon as one has died."""
        code = "import sys; from crawlfleet.worker import node; node.LAST_PAUSE_S = 0.0\n"
        code += "from crawlfleet.commands.registry import run_alone; sys.exit(run_alone('worker'))"
        command = [sys.executable, "-c", code, "--processes", "1", "--start-method", "fork", *arguments]
        node = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self.nodes.append(node)
        return node

    def join(self, *arguments: str, processes: int = 2) -> subprocess.Popen[str]:
        return self.node("--join", self.token.encode(), *arguments, processes=processes)

    def close(self) -> None:
        self.site.gate.set()
        for node in self.nodes:
            node.kill()
            node.communicate(timeout=PATIENCE_S)
        if self.server is not None:
            self.server.stop()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    site = Site()
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    stage = Stage(tmp_path, site)
    yield stage
    stage.close()
    site.shutdown()
    thread.join()
    site.server_close()


def ended(node: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a node's end; return its exit code and what it said."""
    _, said = node.communicate(timeout=PATIENCE_S)
    return node.returncode, said


def workers_of(node: subprocess.Popen[str]) -> list[int]:
    """The process ids of a node's workers."""
    children = Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
    return [int(child) for child in children if b"tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_crawl_is_worked_off_once_whatever_the_start_method(stage: Stage, method: str) -> None:
    stage.serve([f"/{number}" for number in range(40)])
    code, said = ended(stage.join("--start-method", method))
    queue = stage.queue
    assert (code, "Traceback" in said) == (0, False), said
    assert len(queue.settled) == 40
    assert {report.outcome for _, report in queue.settled.values()} == {Outcome.FETCHED}
    assert queue.settled[7][1].outlinks == (stage.site.url("/next/7"),)
    assert not queue.stale
    assert len(queue.hellos) == len(set(queue.goodbyes)) == 2


def test_a_drained_node_reports_what_runs_gives_back_the_rest_and_ends_well(stage: Stage) -> None:
    stage.serve([f"/slow/{number}" for number in range(60)])
    node = stage.join("--threads", "2")
    queue = stage.queue
    queue.until(lambda: len(queue.started) == 4)
    node.send_signal(signal.SIGTERM)
    queue.until(lambda: sum(len(refs) for _, refs in queue.held.values()) <= 8)
    stage.site.gate.set()
    code, said = ended(node)
    assert (code, "Traceback" in said) == (0, False), said
    assert set(queue.settled) == queue.started
    assert len(queue.settled) == 4
    assert not any(refs for _, refs in queue.held.values())
    assert len(queue.goodbyes) == 2


def test_a_second_signal_stops_at_once(stage: Stage) -> None:
    stage.serve([f"/slow/{number}" for number in range(PER_LEASE + 1)])
    node = stage.join("--threads", "3", processes=1)
    queue = stage.queue
    queue.until(lambda: len(queue.started) == 3 and not queue.pending)
    node.send_signal(signal.SIGINT)
    queue.until(lambda: len(queue.pending) == 1)
    node.send_signal(signal.SIGINT)
    code, said = ended(node)
    assert (code, "Traceback" in said) == (130, False), said
    assert not queue.settled


def test_a_killed_worker_is_replaced_and_its_session_named(stage: Stage) -> None:
    stage.serve([f"/slow/{number}" for number in range(10)])
    node = stage.join(processes=1)
    queue = stage.queue
    queue.until(lambda: len(queue.started) == 8)
    (victim,) = workers_of(node)
    os.kill(victim, signal.SIGKILL)
    queue.until(lambda: len(queue.hellos) == 2)
    stage.site.gate.set()
    code, said = ended(node)
    assert code == 0, said
    first, second = queue.hellos
    assert second.replaces == first.session != second.session
    assert (len(queue.settled), queue.stale) == (10, [])


def test_a_page_that_crashes_the_worker_is_named_by_the_next_one(stage: Stage) -> None:
    source = (
        "import os, signal\n"
        "def parse(page):\n"
        "    if page.url.endswith('/3'):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return []\n"
    )
    stage.serve([f"/{number}" for number in range(6)], HookSpec(path="/nowhere/hook.py", source=source))
    stage.join("--threads", "1", processes=1)
    queue = stage.queue
    queue.until(lambda: len(queue.hellos) == 2)
    assert b"3" in {ref for _, ref in queue.hellos[1].began}


def test_a_worker_that_breaks_again_and_again_ends_the_node_with_its_error(stage: Stage) -> None:
    stage.serve(["/1"])

    def refuse(_request: ExchangeRequest) -> None:
        raise ValueError("nothing of the kind")

    stage.queue.before_answer = refuse
    code, said = ended(stage.hurried_node("--join", stage.token.encode()))
    assert code == 1
    *_, last = said.splitlines()
    assert last.startswith("crawlfleet: the worker broke (ValueError: nothing of the kind)")
    assert len(stage.queue.hellos) == SHORT_RUNS


def test_a_fetch_thread_that_ends_ends_its_worker(stage: Stage) -> None:
    source = (
        "from crawlfleet.worker.fetch.curl_multi import CurlFetcher\n"
        "def broken(*_):\n"
        "    raise LookupError('the engine broke')\n"
        "CurlFetcher.wait = broken\n"
        "def parse(page): ...\n"
    )
    stage.serve(["/1"], HookSpec(path="/nowhere/hook.py", source=source))
    code, said = ended(stage.hurried_node("--join", stage.token.encode()))
    *_, last = said.splitlines()
    assert (code, last.startswith("crawlfleet: the worker broke (LookupError: the engine broke)")) == (1, True), said
    assert stage.queue.hellos[1].replaces == stage.queue.hellos[0].session


def test_a_worker_that_ends_without_a_word_has_died_even_with_exit_code_0(stage: Stage) -> None:
    source = "import os\nos._exit(0)\ndef parse(page): ...\n"
    stage.serve(["/1"], HookSpec(path="/nowhere/hook.py", source=source))
    code, said = ended(stage.hurried_node("--join", stage.token.encode()))
    *_, last = said.splitlines()
    assert (code, last) == (1, f"crawlfleet: worker 0 died {SHORT_RUNS} times in a row within 60 s (exit code 0)")
    assert stage.queue.hellos[1].death == "exit code 0"


def test_pages_that_kill_their_readers_do_not_end_the_node(stage: Stage) -> None:
    source = "import os\ndef parse(page):\n    os._exit(9)\n"
    stage.serve(["/1"], HookSpec(path="/nowhere/hook.py", source=source))
    node = stage.hurried_node("--join", stage.token.encode(), "--threads", "1")
    stage.queue.until(lambda: len(stage.queue.hellos) > SHORT_RUNS + 1)
    assert node.poll() is None


def test_workers_end_when_their_node_is_killed(stage: Stage) -> None:
    stage.serve(["/slow/1", "/slow/2"])
    node = stage.join()
    queue = stage.queue
    queue.until(lambda: len(queue.started) == 2 and len(queue.hellos) == 2)
    handles = [os.pidfd_open(worker) for worker in workers_of(node)]
    assert len(handles) == 2
    node.kill()
    for handle in handles:
        assert select.select([handle], [], [], PATIENCE_S)[0]
        os.close(handle)


def test_workers_outlive_a_restart_of_the_coordinator_and_send_again_what_was_not_acked(stage: Stage) -> None:
    stage.serve([f"/{number}" for number in range(30)])
    queue = stage.queue
    arrived, restarted = threading.Event(), threading.Event()

    def lose_the_answer(request: ExchangeRequest) -> None:
        if request.reports and not restarted.is_set():
            arrived.set()
            restarted.wait(PATIENCE_S)

    queue.before_answer = lose_the_answer
    node = stage.join()
    assert arrived.wait(PATIENCE_S)
    assert stage.server is not None
    port = stage.server.address[1]
    stage.server.stop()
    restarted.set()
    stage.listen(port)
    code, said = ended(node)
    assert (code, "Traceback" in said) == (0, False), said
    assert queue.resent > 0
    assert (len(queue.settled), queue.stale) == (30, [])
    assert len({hello.session for hello in queue.hellos}) == 2


def test_a_worker_that_replaces_another_knows_the_addresses_that_were_named_to_that(stage: Stage) -> None:
    stage.serve(["/slow/1"])
    queue, first = stage.queue, stage.server
    assert first is not None
    token = stage.token
    stage.listen(0)
    assert stage.server is not None
    queue.addresses = (stage.server.address,)
    node = stage.node("--join", token.encode(), processes=1)
    queue.until(lambda: len(queue.started) == 1)
    first.stop()
    os.kill(workers_of(node)[0], signal.SIGKILL)
    queue.until(lambda: len({hello.session for hello in queue.hellos}) == 2)
    stage.site.gate.set()
    code, said = ended(node)
    assert (code, len(queue.settled)) == (0, 1), said


def test_a_token_of_another_coordinator_ends_the_node_with_one_sentence(stage: Stage, tmp_path: Path) -> None:
    stage.serve(["/1"])
    stranger = load_or_create(tmp_path / "stranger")
    token = JoinToken(addresses=stage.token.addresses, fingerprint=stranger.fingerprint, secret=stranger.secret)
    code, said = ended(stage.node("--join", token.encode()))
    assert code == 2
    assert said.startswith("crawlfleet: ")
    assert said.count("\n") == 1


def test_a_hook_that_does_not_import_ends_the_node_with_one_sentence(stage: Stage) -> None:
    stage.serve(["/1"], HookSpec(path="/nowhere/hook.py", source="import no_such_module_at_all\n"))
    code, said = ended(stage.join())
    assert code == 2
    assert "no_such_module_at_all" in said
    assert "Traceback" not in said


def test_a_node_waits_for_its_token_to_appear(stage: Stage, tmp_path: Path) -> None:
    stage.serve(["/1"])
    file = tmp_path / "join"
    node = stage.node("--join-file", str(file), "--start-method", "fork")
    assert node.stderr is not None
    assert "waiting for the join token" in node.stderr.readline()
    hidden = tmp_path / "hidden"
    hidden.touch(mode=0o600)
    hidden.write_text(stage.token.encode())
    hidden.rename(file)
    code, said = ended(node)
    assert code == 0, said


def test_a_node_that_waits_for_its_token_can_be_stopped(stage: Stage, tmp_path: Path) -> None:
    node = stage.node("--join-file", str(tmp_path / "join"))
    assert node.stderr is not None
    assert "waiting for the join token" in node.stderr.readline()
    node.send_signal(signal.SIGTERM)
    assert ended(node) == (0, "")


def test_text_that_is_no_token_is_refused(stage: Stage) -> None:
    code, said = ended(stage.node("--join", "hello"))
    assert (code, said.count("\n")) == (2, 1)
