"""Names are resolved once at a time, each within its time, and slow ones hold up no other."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crawlfleet.shared import descriptors
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.fetch import names as names_module
from crawlfleet.worker.fetch.names import SERVERS_VARIABLE, Names, of_process
from crawlfleet.worker.fetch.port import Name, host_of, is_address
from tests.site.name_server import NameServer

PATIENCE_S = 20.0
# Longer than any test: what is not answered has no answer.
NEVER_S = 60.0


@pytest.fixture
def server() -> Iterator[NameServer]:
    with NameServer(slow_s=1.0) as running:
        yield running


@pytest.fixture
def names(server: NameServer) -> Iterator[Names]:
    with closing(Names(PATIENCE_S, [server.address])) as opened:
        yield opened


class Answers:
    """Collects answers by name."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[str, Name]] = queue.SimpleQueue()

    def put(self, host: str, name: Name) -> None:
        self._queue.put((host, name))

    def take(self, number: int) -> dict[str, Name]:
        return dict(self._queue.get(timeout=PATIENCE_S) for _ in range(number))


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("a.quick.test", {"127.0.0.1"}),
        ("7.quick.test", {"127.1.0.8"}),
        ("a.slow.test", {"127.0.0.1"}),
        ("a.both.test", {"127.0.0.1", "::1"}),
        ("a_b.quick.test", {"127.0.0.1"}),
        ("a.quick.test.", {"127.0.0.1"}),
        ("127.1.2.3", {"127.1.2.3"}),
        ("2001:db8::1", {"2001:db8::1"}),
    ],
)
def test_a_name_has_its_addresses(names: Names, host: str, addresses: set[str]) -> None:
    name = names.resolve(host)
    assert (set(name.addresses), name.reason) == (addresses, "")


def test_localhost_and_names_in_the_hosts_file_are_no_questions(names: Names, server: NameServer) -> None:
    for host in ("localhost", "a.b.localhost"):
        assert "127.0.0.1" in names.resolve(host).addresses
    lines = [line.partition("#")[0].split() for line in Path("/etc/hosts").read_text().splitlines()]
    for address, host in [(words[0], words[-1]) for words in lines if words and ":" not in words[0]]:
        assert address in names.resolve(host).addresses
    assert not server.questions


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("a.missing.test", "no such name"),
        ("a.empty.test", "no address"),
        ("a.broken.test", "SERVFAIL"),
        ("a.refused.test", "REFUSED"),
        (f"{'a' * 70}.test", "no valid name"),
        ("a..test", "no valid name"),
        (f"{'ä' * 70}.test", "cannot be looked up"),
    ],
)
def test_a_name_without_an_address_says_why(names: Names, host: str, text: str) -> None:
    name = names.resolve(host)
    is_of_servers = text in ("SERVFAIL", "REFUSED")
    assert (name.addresses, name.reason) == ((), Reason.DNS_UNAVAILABLE if is_of_servers else Reason.DNS_FAILED)
    assert text in name.detail


def test_a_name_that_is_never_answered_ends_at_its_time(server: NameServer) -> None:
    with closing(Names(0.3, [server.address])) as names:
        name = names.resolve("a.dead.test")
        assert (name.reason, name.detail) == (Reason.DNS_TIMEOUT, "no name server answered within 0.3 s")
        assert names.resolve("a.quick.test").addresses


def test_a_server_that_is_not_there_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
    with closing(Names(PATIENCE_S, [f"127.0.0.1:{port}"])) as names:
        name = names.resolve("a.quick.test")
    assert (name.reason, name.detail) == (Reason.DNS_UNAVAILABLE, "no name server can be reached")


def test_the_next_server_is_asked_when_one_fails(server: NameServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
    with closing(Names(PATIENCE_S, [f"127.0.0.1:{port}", server.address])) as names:
        assert names.resolve("a.quick.test").addresses


def test_a_name_is_asked_for_once_however_many_wait(names: Names, server: NameServer) -> None:
    answers = Answers()
    for _ in range(50):
        names.ask("a.slow.test", answers.put)
    answers.take(50)
    once = server.questions["a.slow.test"]
    names.resolve("a.slow.test")
    assert server.questions["a.slow.test"] == once
    # Both kinds of addresses, and again while the server does not answer.
    assert once < 50


def test_names_that_are_never_answered_hold_up_no_other(server: NameServer) -> None:
    with closing(Names(NEVER_S, [server.address])) as names:
        for number in range(600):
            names.ask(f"{number}.dead.test", lambda *_: None)
        answers = Answers()
        for number in range(300):
            names.ask(f"{number}.quick.test", answers.put)
        assert all(name.addresses for name in answers.take(300).values())


def test_600_slow_names_are_resolved_side_by_side(names: Names) -> None:
    answers = Answers()
    began_at = time.monotonic()
    for number in range(600):
        names.ask(f"{number}.slow.test", answers.put)
    assert all(name.addresses for name in answers.take(600).values())
    # One after another would take ten minutes.
    assert time.monotonic() - began_at < 60


def test_answers_are_kept_for_a_while(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names.known("a.missing.test") is None
    failed = names.resolve("a.missing.test")
    assert names.known("a.missing.test") == names.resolve("a.missing.test") == failed
    monkeypatch.setattr(names_module, "ADDRESSES_KEPT_S", 0.0)
    first = names.resolve("a.quick.test")
    assert names.known("a.quick.test") is None
    assert names.usable("a.quick.test") == first
    assert names.resolve("a.quick.test").kept_until > first.kept_until
    assert names.usable("b.quick.test").addresses == ("127.0.0.1",)
    assert names.usable("127.0.0.1") == names.known("127.0.0.1") == Name(("127.0.0.1",))


def test_no_answer_is_kept_for_longer_than_a_minute(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names_module.ADDRESSES_KEPT_S + names_module.CHANNEL_USED_S <= 60
    monkeypatch.setattr(names_module, "ADDRESSES_KEPT_S", 0.0)
    monkeypatch.setattr(names_module, "CHANNEL_USED_S", 0.0)
    with closing(Names(10.0, [server.address])) as names:
        names.resolve("a.quick.test")
        asked = server.questions["a.quick.test"]
        names.resolve("a.quick.test")
    assert server.questions["a.quick.test"] > asked


def test_only_so_many_answers_are_kept(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module, "ANSWERS_KEPT", 2)
    for number in range(3):
        names.resolve(f"{number}.quick.test")
    kept = [names.known(f"{number}.quick.test") is not None for number in range(3)]
    assert kept == [False, True, True]


def test_only_so_many_are_young_at_once_and_age_makes_room(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module, "YOUNG_AT_ONCE", 5)
    monkeypatch.setattr(names_module, "YOUNG_S", NEVER_S)
    with closing(Names(1.0, [server.address])) as names:
        answers = Answers()
        for number in range(5):
            names.ask(f"{number}.dead.test", answers.put)
        names.ask("a.quick.test", answers.put)
        # It is not even asked for before one of the others has ended.
        assert set(answers.take(1)) != {"a.quick.test"}
        assert "a.quick.test" in answers.take(5)
    monkeypatch.setattr(names_module, "YOUNG_S", 0.01)
    with closing(Names(NEVER_S, [server.address])) as names:
        for number in range(20):
            names.ask(f"{number}.dead.test", answers.put)
        names.ask("a.quick.test", answers.put)
        assert set(answers.take(1)) == {"a.quick.test"}


def test_a_channel_gives_way_to_a_fresh_one(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module, "LOOKUPS_OF_A_CHANNEL", 3)
    with closing(Names(PATIENCE_S, [server.address])) as names:
        answers = Answers()
        names.ask("a.slow.test", answers.put)
        for number in range(10):
            names.ask(f"{number}.quick.test", answers.put)
        assert all(name.addresses for name in answers.take(11).values())


def test_threads_and_descriptors_are_given_back(server: NameServer) -> None:
    with closing(Names(PATIENCE_S, [server.address])) as names:
        names.resolve("a.quick.test")
    # c-ares has one thread more, once, that closes what is no longer used.
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with closing(Names(PATIENCE_S, [server.address])) as names:
            names.ask("a.dead.test", lambda *_: None)
            names.resolve("a.quick.test")
    give_up_at = time.monotonic() + PATIENCE_S
    while len(os.listdir("/proc/self/fd")) > files and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert len(os.listdir("/proc/self/fd")) <= files
    assert threading.active_count() <= threads


def test_want_of_descriptors_is_not_the_fault_of_a_name(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(descriptors, "are_exhausted", lambda: True)
        assert names.resolve("a.broken.test").reason == Reason.DESCRIPTORS
    assert names.resolve("a.broken.test").reason == Reason.DNS_UNAVAILABLE


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_has_one_resolver_and_its_child_another(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SERVERS_VARIABLE, server.address)
    names = of_process(17.0)
    assert names is of_process(17.0) is not of_process(18.0)
    assert names.resolve("a.quick.test").addresses
    child = os.fork()
    if not child:
        os._exit(0 if of_process(17.0).resolve("b.quick.test").addresses else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    ("url", "host", "address"),
    [
        ("http://a.test/", "a.test", False),
        ("https://a.test:8080/b:c", "a.test", False),
        ("http://127.0.0.1:80/", "127.0.0.1", True),
        ("http://[::1]/", "::1", True),
        ("http://[::1]:80/", "::1", True),
    ],
)
def test_the_host_of_an_address(url: str, host: str, address: bool) -> None:
    assert (host_of(url), is_address(host)) == (host, address)
