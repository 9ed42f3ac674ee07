"""Places at the control port: who makes room for whom, by literal arrivals."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from crawlfleet.shared import descriptors
from crawlfleet.shared.wire import reception
from crawlfleet.shared.wire.binding import Source, source_of
from crawlfleet.shared.wire.reception import GRACE_S, Counters, Reception

_numbers = count()


class Caller:
    """A connection that is only counted."""

    def __init__(self, sender: str = "flood", network: str = "") -> None:
        self.source = Source(network or f"network of {sender}", sender)
        self.number = next(_numbers)

    def __repr__(self) -> str:
        return f"{self.source.sender}-{self.number}"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Reception[Caller]:
    """A reception with few places."""
    monkeypatch.setattr(reception, "SILENT_LIMIT", 4)
    monkeypatch.setattr(reception, "READY_LIMIT", 3)
    monkeypatch.setattr(reception, "GREETING_LIMIT", 2)
    monkeypatch.setattr(reception, "CONNECTION_LIMIT", 2)
    return Reception()


def ready(port: Reception[Caller], sender: str = "flood", now: float = 0.0, network: str = "") -> Caller:
    """Let a client arrive and say hello."""
    caller = Caller(sender, network)
    port.arrive(caller, now)
    port.said_hello(caller, now)
    return caller


def greeted(port: Reception[Caller], sender: str = "flood", now: float = 0.0, network: str = "") -> Caller:
    """Let a client get a place to be greeted."""
    caller = ready(port, sender, now, network)
    found = port.next_to_greet(now)
    assert found is not None
    assert found[0] is caller
    return caller


def test_the_silent_fill_their_places_and_then_the_oldest_makes_room(port: Reception[Caller]) -> None:
    silent = [Caller() for _ in range(6)]
    victims = [port.arrive(each, 0.0) for each in silent]
    assert victims == [None, None, None, None, silent[0], silent[1]]
    assert port.counters().refused == {"evicted": 2}


def test_a_source_with_many_silent_ones_makes_room_for_others(port: Reception[Caller]) -> None:
    honest = Caller("honest")
    port.arrive(honest, 0.0)
    flood = [Caller() for _ in range(5)]
    assert [port.arrive(each, 0.0) for each in flood] == [None, None, None, flood[0], flood[1]]


def test_of_sources_with_one_each_the_oldest_makes_room(port: Reception[Caller]) -> None:
    callers = [Caller(f"source {number}") for number in range(5)]
    assert [port.arrive(each, 0.0) for each in callers][-1] is callers[0]


def test_who_has_said_hello_is_not_among_the_silent(port: Reception[Caller]) -> None:
    honest = ready(port)
    for _ in range(20):
        port.arrive(Caller(), 0.0)
    assert port.next_to_greet(0.0) == (honest, None)


def test_silent_ones_take_a_quarter_of_the_descriptors_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "limit", lambda: 12)
    port: Reception[Caller] = Reception()
    assert [port.arrive(Caller(), 0.0) is None for _ in range(5)] == [True, True, True, False, False]


def test_without_a_limit_of_descriptors_they_have_all_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "limit", lambda: None)
    port: Reception[Caller] = Reception()
    assert not any(port.arrive(Caller(), 0.0) for _ in range(reception.SILENT_LIMIT))
    assert port.arrive(Caller(), 0.0) is not None


def test_room_is_made_for_a_descriptor_if_anybody_is_silent(port: Reception[Caller]) -> None:
    assert port.make_room() is None
    caller = Caller()
    port.arrive(caller, 0.0)
    assert port.make_room() is caller
    assert not port.has_silent


def test_of_too_many_ready_ones_the_oldest_of_the_largest_source_makes_room(port: Reception[Caller]) -> None:
    ready(port, "honest")
    first = ready(port)
    ready(port)
    last = Caller()
    port.arrive(last, 0.0)
    assert port.said_hello(last, 0.0) is first


def test_those_of_whom_the_fewest_are_greeted_are_next(port: Reception[Caller]) -> None:
    greeted(port)
    ready(port)
    honest = ready(port, "honest")
    assert port.next_to_greet(0.0) == (honest, None)


def test_a_source_with_more_than_its_share_gives_up_a_place_at_once(port: Reception[Caller]) -> None:
    first = greeted(port)
    greeted(port)
    honest = ready(port, "honest")
    assert port.next_to_greet(0.0) == (honest, first)


def test_a_source_with_its_share_keeps_its_place_for_a_while(port: Reception[Caller]) -> None:
    first = greeted(port)
    greeted(port, "second")
    third = ready(port, "third")
    assert port.next_to_greet(GRACE_S / 2) is None
    assert port.has_ready
    assert port.next_to_greet(GRACE_S) == (third, first)


def test_a_source_does_not_displace_its_own_before_the_grace_is_over(port: Reception[Caller]) -> None:
    first = greeted(port)
    greeted(port)
    third = ready(port)
    assert port.next_to_greet(GRACE_S / 2) is None
    assert port.next_to_greet(GRACE_S) == (third, first)


def test_a_network_of_many_senders_makes_room_for_others_with_its_oldest(port: Reception[Caller]) -> None:
    honest = Caller("honest")
    port.arrive(honest, 0.0)
    flood = [Caller(f"sender {number}", "flood") for number in range(5)]
    assert [port.arrive(each, 0.0) for each in flood] == [None, None, None, flood[0], flood[1]]
    assert port.silent_of(honest) < port.silent_of(flood[-1]) == (3, 1)


def test_in_a_network_the_sender_with_the_most_makes_room(port: Reception[Caller]) -> None:
    honest = Caller("honest", "flood")
    port.arrive(honest, 0.0)
    flood = [Caller("flood", "flood") for _ in range(5)]
    assert [port.arrive(each, 0.0) for each in flood] == [None, None, None, flood[0], flood[1]]


def test_a_network_of_many_senders_gives_up_places_to_another_one(port: Reception[Caller]) -> None:
    first = greeted(port, "first", network="flood")
    greeted(port, "second", network="flood")
    ready(port, "third", network="flood")
    honest = ready(port, "honest")
    assert port.next_to_greet(0.0) == (honest, first)


def test_of_two_senders_of_a_network_the_one_of_whom_fewer_are_greeted_is_next(port: Reception[Caller]) -> None:
    first = greeted(port, "flood", network="flood")
    greeted(port, "flood", network="flood")
    ready(port, "flood", network="flood")
    honest = ready(port, "honest", network="flood")
    assert port.next_to_greet(0.0) == (honest, first)


def test_nobody_is_greeted_if_nobody_is_ready(port: Reception[Caller]) -> None:
    assert port.next_to_greet(0.0) is None


def test_who_is_let_in_leaves_a_place_and_counts_as_accepted(port: Reception[Caller]) -> None:
    first, _ = greeted(port), greeted(port)
    port.let_in(first, 0.0)
    third = ready(port)
    assert port.next_to_greet(0.0) == (third, None)
    assert port.counters() == Counters(accepted=1, refused={}, open=3)
    port.leave(first)
    assert port.counters().open == 2


def test_a_full_house_refuses_whoever_comes(port: Reception[Caller]) -> None:
    inside = [greeted(port), greeted(port)]
    for each in inside:
        port.let_in(each, 0.0)
    caller = Caller()
    assert port.arrive(caller, 0.0) is caller
    assert port.counters().refused == {"full": 1}
    port.leave(inside[0])
    assert port.arrive(caller, 0.0) is None


def silent(port: Reception[Caller]) -> Caller:
    caller = Caller()
    port.arrive(caller, 0.0)
    return caller


@pytest.mark.parametrize("arrive", [silent, ready, greeted], ids=["silent", "ready", "greeted"])
def test_who_is_turned_away_is_counted_once(
    port: Reception[Caller], arrive: Callable[[Reception[Caller]], Caller]
) -> None:
    caller = arrive(port)
    port.turn_away(caller, "secret")
    port.turn_away(caller, "gone")
    assert port.counters() == Counters(accepted=0, refused={"secret": 1}, open=0, last_stranger="flood")


def test_only_those_without_the_secret_count_as_strangers(port: Reception[Caller]) -> None:
    for reason in ("garbage", "threads", "deadline"):
        port.turn_away(ready(port, reason), reason)
    port.count_refused("descriptors")
    counters = port.counters()
    assert counters.strangers == 2
    assert counters.of_strangers == {"garbage": 1, "deadline": 1}
    assert counters.last_stranger == "deadline"


def test_the_oldest_of_each_source_and_all_that_wait_are_told(port: Reception[Caller]) -> None:
    first, second = Caller(), Caller()
    for each in (first, second):
        port.arrive(each, 0.0)
    other, third = ready(port, "other"), ready(port)
    assert set(port.oldest_waiting()) == {first, other, third}
    assert set(port.waiting()) == {first, second, other, third}


@pytest.mark.parametrize(
    ("host", "network", "sender"),
    [
        ("192.0.2.7", "192.0.2.0/24", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.0/24", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/48", "fe80::/64"),
        ("::1", "::/48", "::/64"),
    ],
)
def test_a_source_is_an_address_or_the_network_of_one_in_a_larger_network(host: str, network: str, sender: str) -> None:
    assert source_of(host) == (network, sender)
