"""The addresses of a crawl: the one that serves is tried first, and one that is dead costs little."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from crawlfleet.errors import CrawlfleetError, JoinError, NotOwner, Unreachable, WireError
from crawlfleet.shared.ranges import MOST_ADDRESSES
from crawlfleet.shared.wire.binding import Address, open_socket, shown_address
from crawlfleet.shared.wire.endpoints import FIRST_ATTEMPT_S, REST, Endpoints
from crawlfleet.shared.wire.frames import GREETING_S

A, B, C, D, E = (("a", 1), ("b", 2), ("::1", 3), ("d", 4), ("e", 5))


class Places:
    """What is at each address: an error that an attempt there ends with, or nothing if it serves."""

    def __init__(self, **errors: CrawlfleetError) -> None:
        self.errors: dict[str, CrawlfleetError] = errors
        self.tried: list[tuple[str, float]] = []

    def attempt(self, address: Address, limit_s: float) -> str:
        self.tried.append((address[0], limit_s))
        if address[0] in self.errors:
            raise self.errors[address[0]]
        return f"found at {address[0]}"

    def take_tried(self) -> list[str]:
        tried, self.tried = self.tried, []
        return [host for host, _ in tried]


def test_the_address_that_served_last_is_tried_first_and_one_that_failed_last() -> None:
    endpoints, places = Endpoints((A, B, C)), Places(a=Unreachable("dead"))
    assert endpoints.search(places.attempt) == "found at b"
    assert endpoints.in_order() == (B, C, A)
    assert endpoints.search(places.attempt) == "found at b"
    assert places.take_tried() == ["a", "b", "b"]


def test_a_dead_address_costs_nothing_while_others_serve() -> None:
    endpoints, places = Endpoints((A, B, D)), Places(a=Unreachable("dead"))
    endpoints.search(places.attempt)
    places.errors["b"] = Unreachable("dead too")
    places.take_tried()
    assert endpoints.search(places.attempt) == "found at d"
    assert places.take_tried() == ["b", "d"]


def test_whoever_was_silent_is_tried_after_all_others() -> None:
    endpoints, places = Endpoints((A, B)), Places(b=Unreachable("not yet"))
    endpoints.search(places.attempt)
    endpoints.note_failure(A)
    assert endpoints.search(places.attempt) == "found at a"
    endpoints.note_failure(A)
    del places.errors["b"]
    places.take_tried()
    assert endpoints.search(places.attempt) == "found at b"
    assert places.take_tried() == ["b"]


def silence() -> Unreachable:
    """What an attempt raises that took all of its time."""
    error = Unreachable("silent")
    error.__cause__ = TimeoutError()
    return error


def test_a_silent_address_gets_longer_each_time_and_is_left_alone_in_between() -> None:
    now = 0.0
    endpoints = Endpoints((A, B), lambda: now)
    places = Places(a=silence(), b=Unreachable("not yet"))
    for _ in range(400):  # forty seconds
        with pytest.raises(Unreachable):
            endpoints.search(places.attempt)
        now += 0.1
    silent_s = [limit_s for host, limit_s in places.tried if host == "a"]
    assert silent_s[:5] == [FIRST_ATTEMPT_S, 2 * FIRST_ATTEMPT_S, 4 * FIRST_ATTEMPT_S, GREETING_S, GREETING_S]
    assert (REST - 0.1) * sum(silent_s[:-1]) < 40.0
    assert [limit_s for host, limit_s in places.tried if host == "b"] == [FIRST_ATTEMPT_S] * 400
    del places.errors["a"]
    now += REST * GREETING_S
    assert endpoints.search(places.attempt) == "found at a"
    places.errors["a"] = silence()
    places.tried.clear()
    with pytest.raises(Unreachable):
        endpoints.search(places.attempt)
    assert places.tried[0] == ("a", FIRST_ATTEMPT_S)


def test_silent_addresses_are_tried_all_the_same_if_there_are_no_others() -> None:
    endpoints, places = Endpoints((A, B), lambda: 0.0), Places(a=silence(), b=silence())
    for _ in range(2):
        with pytest.raises(Unreachable):
            endpoints.search(places.attempt)
    assert places.take_tried() == ["a", "b", "a", "b"]


def test_a_coordinator_that_waits_sends_nobody_to_an_owner_that_was_silent() -> None:
    endpoints, places = Endpoints((A, B), lambda: 0.0), Places(a=silence(), b=NotOwner("a:1"))
    for _ in range(2):
        with pytest.raises(Unreachable):
            endpoints.search(places.attempt)
    assert places.take_tried() == ["a", "b", "b"]


def test_a_stranger_ends_nothing_while_the_coordinator_that_served_is_silent() -> None:
    endpoints, places = Endpoints((A, B), lambda: 0.0), Places()
    endpoints.search(places.attempt)
    places.errors = {"a": silence(), "b": JoinError("a stranger")}
    for told in ("silent; tried in vain, too: b:2", "the coordinator is silent; tried in vain, too: b:2"):
        with pytest.raises(Unreachable, match=told):
            endpoints.search(places.attempt)


def test_the_only_address_gets_all_the_time_of_a_greeting() -> None:
    places = Places()
    Endpoints((A, A)).search(places.attempt)
    assert places.tried == [("a", GREETING_S)]


def test_an_owner_that_the_only_address_names_gets_no_longer_than_any_other() -> None:
    endpoints, places = Endpoints((A,)), Places(a=NotOwner("b:2"), b=silence())
    with pytest.raises(Unreachable):
        endpoints.search(places.attempt)
    assert places.tried == [("a", GREETING_S), ("b", FIRST_ATTEMPT_S)]


def test_what_is_told_of_a_single_address_is_what_was_found_there() -> None:
    error = Unreachable("no coordinator answers at a:1")
    with pytest.raises(Unreachable) as caught:
        Endpoints((A,)).search(Places(a=error).attempt)
    assert caught.value is error


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ((A, B), "a is away; tried in vain, too: b:2"),
        ((A, B, C, D), "a is away; tried in vain, too: b:2, [::1]:3, d:4"),
        ((A, B, C, D, E), "a is away; tried in vain, too: b:2, [::1]:3, d:4 and 1 more"),
    ],
    ids=["two", "four", "five"],
)
def test_all_addresses_that_were_tried_are_told_in_one_sentence(known: tuple[Address, ...], told: str) -> None:
    places = Places(**{host: Unreachable(f"{host} is away") for host, _ in known})
    with pytest.raises(Unreachable) as caught:
        Endpoints(known).search(places.attempt)
    assert str(caught.value) == told


def test_a_stranger_at_an_address_is_told_if_no_other_serves() -> None:
    places = Places(a=Unreachable("away"), b=JoinError("a stranger"), d=JoinError("another"))
    with pytest.raises(JoinError, match="a stranger"):
        Endpoints((A, B, D)).search(places.attempt)


def test_a_stranger_ends_nothing_once_another_address_has_served() -> None:
    endpoints, places = Endpoints((A, B)), Places()
    endpoints.search(places.attempt)
    places.errors = {"a": Unreachable("away"), "b": JoinError("a stranger")}
    with pytest.raises(Unreachable, match="away"):
        endpoints.search(places.attempt)


def test_a_coordinator_that_served_and_now_refuses_the_token_is_told() -> None:
    endpoints, places = Endpoints((A, B)), Places(b=Unreachable("away"))
    endpoints.search(places.attempt)
    places.errors["a"] = JoinError("another crawl")
    with pytest.raises(JoinError, match="another crawl"):
        endpoints.search(places.attempt)


def test_a_coordinator_that_waits_is_left_for_the_owner_that_it_names() -> None:
    endpoints, places = Endpoints((A, B, D)), Places(a=NotOwner("d:4"))
    assert endpoints.search(places.attempt) == "found at d"
    assert places.take_tried() == ["a", "d"]
    assert endpoints.in_order() == (D, B, A)


def test_an_owner_may_be_at_an_address_that_was_not_known() -> None:
    endpoints, places = Endpoints((A, B)), Places(a=NotOwner("[::1]:3"), b=Unreachable("away"))
    assert endpoints.search(places.attempt) == "found at ::1"
    assert endpoints.in_order() == (C, B, A)


@pytest.mark.parametrize(
    "named", ["", "b:2", "nonsense", "d:0", "d:x"], ids=["none", "known", "text", "zero", "no port"]
)
def test_a_coordinator_that_waits_is_left_for_the_next(named: str) -> None:
    places = Places(a=NotOwner(named))
    assert Endpoints((A, B)).search(places.attempt) == "found at b"
    assert places.take_tried() == ["a", "b"]


def test_coordinators_that_send_each_other_whoever_comes_are_asked_once() -> None:
    endpoints, places = Endpoints((A, B)), Places(a=NotOwner("b:2"), b=NotOwner("a:1"))
    with pytest.raises(Unreachable, match="another one at b:2 owns the crawl; tried in vain, too: b:2"):
        endpoints.search(places.attempt)
    assert places.take_tried() == ["a", "b"]


def test_owners_that_are_named_without_end_are_not_followed() -> None:
    tried = 0

    def attempt(_address: Address, _limit_s: float) -> None:
        nonlocal tried
        tried += 1
        raise NotOwner(f"h{tried}:1")

    with pytest.raises(Unreachable):
        Endpoints((A,)).search(attempt)
    assert tried == MOST_ADDRESSES


def test_a_stranger_ends_nothing_while_a_coordinator_waits() -> None:
    places = Places(a=JoinError("a stranger"), b=NotOwner())
    with pytest.raises(Unreachable, match="another one owns the crawl; tried in vain, too: a:1"):
        Endpoints((A, B)).search(places.attempt)


def test_addresses_that_the_owner_names_come_before_those_of_the_token() -> None:
    endpoints, told = Endpoints((A, B)), list[tuple[Address, ...]]()
    endpoints.note_service(A)
    endpoints.learn(())
    endpoints.on_named = told.append
    for _ in range(2):
        endpoints.learn((D, A))
    assert endpoints.in_order() == (A, D, B)
    endpoints.note_failure(D)
    assert endpoints.in_order() == (A, B, D)
    endpoints.learn(())
    assert (endpoints.in_order(), told) == ((A, B), [(D, A), ()])


def test_any_other_error_ends_the_search() -> None:
    places = Places(a=WireError("garbage"))
    with pytest.raises(WireError):
        Endpoints((A, B)).search(places.attempt)
    assert places.take_tried() == ["a"]


@pytest.mark.parametrize(
    ("address", "text"), [(("a.test", 7320), "a.test:7320"), (("::1", 1), "[::1]:1")], ids=["name", "ipv6"]
)
def test_an_address_is_shown_as_it_is_typed(address: Address, text: str) -> None:
    assert shown_address(address) == text


@pytest.fixture
def listening() -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()


@pytest.fixture
def closed() -> Iterator[Address]:
    """An address that nobody else takes, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()


def answer_with(monkeypatch: pytest.MonkeyPatch, *places: Address) -> None:
    """Let a name server say that the name `two.test` has these addresses."""
    ask = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        if host != "two.test" or options.get("flags"):
            return ask(host, port, **options)
        return [found for place in places for found in ask(*place, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_each_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch, listening: Address, closed: Address) -> None:
    answer_with(monkeypatch, closed, listening)
    with open_socket(("two.test", 1), 5.0) as sock:
        assert sock.getpeername() == listening


def test_nobody_at_any_address_of_a_name_is_an_error(monkeypatch: pytest.MonkeyPatch, closed: Address) -> None:
    answer_with(monkeypatch, closed, closed)
    with pytest.raises(ConnectionRefusedError):
        open_socket(("two.test", 1), 5.0)


def test_name_servers_that_are_silent_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ask, over = socket.getaddrinfo, threading.Event()

    def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        if not options.get("flags"):
            over.wait(60)
        return ask(host, port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        with pytest.raises(TimeoutError, match="no name server answers in time"):
            open_socket(("silent.test", 1), 0.01)
    finally:
        over.set()


def test_a_name_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnicodeError):
        open_socket(("no..host", 1), 5.0)

    def getaddrinfo(*_: Any, **_options: Any) -> Any:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(OSError, match="no such name"):
        open_socket(("none.test", 1), 5.0)


def test_an_interruption_closes_the_socket(monkeypatch: pytest.MonkeyPatch, listening: Address) -> None:
    made: list[socket.socket] = []

    class Interrupted(socket.socket):
        def connect(self, _place: Any) -> None:
            made.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(socket, "socket", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_socket(listening, 5.0)
    assert made[0].fileno() == -1
