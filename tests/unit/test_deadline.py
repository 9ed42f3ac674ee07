"""The deadline of a socket: for all operations together, or for silence alone."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from crawlfleet.shared.wire import deadline as module
from crawlfleet.shared.wire.deadline import Deadline


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    given = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=given.monotonic))
    return given


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


def test_a_deadline_in_all_is_not_moved_by_what_comes(clock: Clock, sock: socket.socket) -> None:
    deadline = Deadline(sock)
    deadline.begin(2.0)
    deadline.arm()
    assert sock.gettimeout() == 2.0
    clock.now += 1.5
    deadline.note_progress()
    deadline.arm()
    assert (sock.gettimeout(), deadline.is_over) == (0.5, False)
    clock.now += 0.5
    assert deadline.is_over
    with pytest.raises(TimeoutError, match="no answer in time"):
        deadline.arm()


def test_a_deadline_of_silence_begins_anew_whenever_something_comes(clock: Clock, sock: socket.socket) -> None:
    deadline = Deadline(sock)
    deadline.begin(2.0, of_silence=True)
    for _ in range(10):
        clock.now += 1.5
        deadline.note_progress()
        deadline.arm()
        assert sock.gettimeout() == 2.0
    clock.now += 2.0
    with pytest.raises(TimeoutError):
        deadline.arm()


def test_without_a_deadline_nothing_ends(clock: Clock, sock: socket.socket) -> None:
    deadline = Deadline(sock)
    deadline.begin(2.0, of_silence=True)
    deadline.arm()
    deadline.begin(None)
    clock.now += 1_000.0
    deadline.note_progress()
    deadline.arm()
    assert (sock.gettimeout(), deadline.is_over) == (None, False)


def test_a_timeout_that_is_close_enough_is_not_set_again(
    clock: Clock, sock: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadline = Deadline(sock)
    deadline.begin(2.0)
    deadline.arm()
    set_to: list[float] = []
    monkeypatch.setattr(socket.socket, "settimeout", lambda _sock, seconds: set_to.append(seconds))
    clock.now += 0.01
    deadline.arm()
    assert set_to == []
    clock.now += 0.5
    deadline.arm()
    assert set_to == [pytest.approx(1.49)]
