"""Few file descriptors: what processes make of their limit, and that their lack is no fault of a host."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import Any

import pytest

from crawlfleet.shared import descriptors
from crawlfleet.shared.messages import Outcome
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.lanes import Lanes
from tests.unit.test_agenda import FAR, lease

ENGINES = ("curl", "requests")
_LOOK = """
import json, os, resource, sys
from crawlfleet.shared import descriptors
soft, hard = map(int, sys.argv[1:3])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
descriptors.raise_limit()
print(json.dumps([
    resource.getrlimit(resource.RLIMIT_NOFILE)[0], descriptors.limit(), descriptors.fetches_within(256),
    descriptors.idle_connections_within(512), descriptors.are_exhausted(),
]))
"""
_FETCH = """
import json, os, resource, socket, sys
from crawlfleet.shared.brief import FetchSpec
from crawlfleet.worker.fetch.registry import open_fetcher
listening = socket.create_server(("127.0.0.1", 0))
free = socket.create_server(("127.0.0.1", 0))
nobody = free.getsockname()[1]
free.close()
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
fetcher = open_fetcher(FetchSpec(engine=sys.argv[1], timeout_s=5.0, allow_private=("127.0.0.0/8", "::1")))
urls = [f"http://127.0.0.1:{listening.getsockname()[1]}/", f"http://127.0.0.1:{nobody}/", "http://localhost:1/"]
fetcher.fetch(urls[1])  # imports what it needs
held = []
try:
    while True:
        held.append(os.dup(0))
except OSError:
    pass
without = [fetcher.fetch(url) for url in urls]
os.close(held.pop())
if sys.argv[1] == "curl":  # needs two for a moment
    without[0] = fetcher.fetch(urls[0])
for descriptor in held:
    os.close(descriptor)
after = fetcher.fetch(urls[1])
print(json.dumps([[fetched.failure, fetched.reason] for fetched in (*without, after)]))
"""


def output_of(code: str, *arguments: object) -> Any:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


@pytest.mark.parametrize(
    ("soft", "hard", "fetches", "idle"), [(256, 4_096, 256, 512), (256, 256, 41, 69), (64, 128, 16, 26), (50, 50, 0, 1)]
)
def test_a_process_raises_its_limit_and_lives_within_it(soft: int, hard: int, fetches: int, idle: int) -> None:
    assert output_of(_LOOK, soft, hard) == [hard, hard, fetches, idle, False]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_lack_of_descriptors_is_told_apart_from_a_host_that_is_down(engine: str) -> None:
    *without, after = output_of(_FETCH, engine)
    assert without == [[Outcome.NETWORK_ERROR, Reason.DESCRIPTORS]] * 3
    assert after == [Outcome.NETWORK_ERROR, Reason.CONNECT]


def test_an_attempt_that_could_not_be_made_frees_its_slot_and_goes_back() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "x y", slots=1), 0, FAR)
    attempt = lanes.pop_ready(0)
    assert attempt is not None
    assert lanes.pop_ready(0) is None
    lanes.give_back(attempt)
    assert lanes.take_news() == ((attempt.key,), (attempt.key,), ())
    assert lanes.running == 0
    following = lanes.pop_ready(0)
    assert following is not None
    assert following.task.ref == b"y"


def test_descriptors_count_as_used_wherever_free_ones_lie() -> None:
    code = """
import json, os, resource
from crawlfleet.shared import descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
held = []
try:
    while True:
        held.append(os.dup(0))
except OSError:
    pass
answers = [descriptors.are_exhausted()]
for free in (held[:10], held[10:60]):
    for descriptor in free:
        os.close(descriptor)
    answers.append(descriptors.are_exhausted())
print(json.dumps(answers))
"""
    assert output_of(code) == [True, True, False]


def test_a_system_that_lets_no_limit_be_raised_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[int, int]] = []

    def refuse(_which: int, limits: tuple[int, int]) -> None:
        tried.append(limits)
        raise ValueError("not allowed")

    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, 1_000_000))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    descriptors.raise_limit()
    assert [limit for limit, _ in tried] == [1_000_000, 10_240]
