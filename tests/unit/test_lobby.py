"""The lobby: real connections, one look after another."""

from __future__ import annotations

import socket
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crawlfleet.shared.wire import lobby, reception
from crawlfleet.shared.wire.contexts import server_context
from crawlfleet.shared.wire.frames import WireConnection, WireListener
from crawlfleet.shared.wire.identity import load_or_create
from crawlfleet.shared.wire.lobby import Lobby
from crawlfleet.shared.wire.reception import Reception

HELLO = b"\x16\x03\x01\x00\x20" + bytes(32)


class Place:
    """A lobby, its listener, and those whom it has had greeted."""

    def __init__(self, listener: WireListener) -> None:
        self.address = listener.address
        self.reception: Reception[WireConnection] = Reception()
        self.greeted: list[WireConnection] = []
        self.lobby = Lobby(listener, self.reception, self.greeted.append)

    def come(self, source: str = "127.0.0.1") -> socket.socket:
        """Let a client connect, and be accepted."""
        client = socket.create_connection(self.address, 10, source_address=(source, 0))
        self.lobby.look()
        return client


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    listener = WireListener(server_context(load_or_create(tmp_path)), ("127.0.0.1", 0))
    place = Place(listener)
    yield place
    place.lobby.close()
    listener.close()
    for connection in place.greeted:
        connection.close()


def test_a_client_is_greeted_once_all_of_its_hello_is_there(place: Place) -> None:
    with place.come() as client:
        for byte in HELLO[:-1]:
            client.sendall(bytes([byte]))
            place.lobby.look()
        assert place.greeted == []
        client.sendall(HELLO[-1:])
        place.lobby.look()
        assert [each.source.sender for each in place.greeted] == ["127.0.0.1"]


@pytest.mark.parametrize("said", [b"G", b"\x16\x03\x01\x10\x01"], ids=["no TLS", "too large"])
def test_what_is_no_hello_is_closed_before_more_of_it_comes(place: Place, said: bytes) -> None:
    with place.come() as client:
        client.sendall(said)
        place.lobby.look()
        assert client.recv(1) == b""
    assert place.reception.counters().refused == {"garbage": 1}


def test_who_has_made_room_is_not_listened_to(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "SILENT_LIMIT", 1)
    with place.come() as first:
        first.sendall(b"G")
        with place.come():
            assert place.reception.counters().refused == {"evicted": 1}


def test_those_of_whose_source_few_are_silent_are_heard_first(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lobby, "HEARD_AT_ONCE", 1)
    crowd = [place.come() for _ in range(3)]
    crowd.append(place.come("127.0.0.2"))
    for client in crowd:
        client.sendall(HELLO)
    for _ in crowd:
        place.lobby.look()
    assert [each.source.sender for each in place.greeted] == ["127.0.0.2", *["127.0.0.1"] * 3]
    for client in crowd:
        client.close()


def test_those_who_were_not_accepted_at_once_are_with_the_next_look(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lobby, "ACCEPTED_AT_ONCE", 1)
    with socket.create_connection(place.address, 10), place.come():
        assert place.reception.counters().open == 1
        place.lobby.look()
        assert place.reception.counters().open == 2


def test_those_who_were_not_greeted_at_once_are_with_the_next_look(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lobby, "GREETED_AT_ONCE", 1)
    with place.come() as first, place.come() as second:
        for client in (first, second):
            client.sendall(HELLO)
        place.lobby.look()
        assert len(place.greeted) == 1
        place.lobby.look()
        assert len(place.greeted) == 2


def test_who_has_had_a_place_for_long_loses_it_to_another(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "GREETING_LIMIT", 1)
    monkeypatch.setattr(reception, "GRACE_S", 0.0)
    with place.come() as first, place.come() as second:
        for client in (first, second):
            client.sendall(HELLO)
            place.lobby.look()
        assert len(place.greeted) == 2
        assert first.recv(1) == b""
    assert place.reception.counters().refused == {"evicted": 1}


def test_who_is_gone_is_not_kept_in_memory_while_others_are_greeted(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[weakref.ref[WireConnection]] = []
    kept: list[int] = []

    def greet(connection: WireConnection) -> None:
        there.append(weakref.ref(connection))
        place.reception.turn_away(connection, "gone")
        kept.append(sum(each() is not None for each in there))

    monkeypatch.setattr(place.lobby, "_greet", greet)
    with place.come() as first, place.come() as second, place.come() as third:
        for client in (first, second, third):
            client.sendall(HELLO)
        place.lobby.look()
    assert kept == [1, 1, 1]


def test_closing_ends_all_who_wait(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reception, "next_to_greet", lambda _self, _now: None)
    with place.come() as ready, place.come() as silent:
        ready.sendall(HELLO)
        place.lobby.look()
        assert place.reception.has_ready
        place.lobby.close()
        assert (ready.recv(1), silent.recv(1)) == (b"", b"")


def test_a_listener_that_ends_is_an_error_of_the_look(place: Place) -> None:
    with closing(place.lobby._listener):
        place.lobby._listener.end()
        with pytest.raises(OSError, match="Invalid argument"):
            place.lobby.look()
