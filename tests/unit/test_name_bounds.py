"""Names of objects, sessions and workers are bounded, and so is the number of sessions."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgspec
import pytest

from crawlfleet.coordinator.conduct import members, service
from crawlfleet.coordinator.conduct.loop import Loop
from crawlfleet.coordinator.conduct.post import Post
from crawlfleet.coordinator.server import Objects, TaskQueue
from crawlfleet.shared.errors import Unreachable, WireError
from crawlfleet.shared.message import Message
from crawlfleet.shared.messages import ExchangeRequest, Hello, decode, encode
from crawlfleet.shared.objects import ObjectCall
from crawlfleet.shared.pools import AskRequest, CancelRequest
from crawlfleet.shared.ranges import MAX_NAME_CHARS, shown
from crawlfleet.worker.talk.objects.locks import Lock
from tests.unit.core_crawl import CoreCrawl
from tests.unit.object_fleet import Failed, ObjectFleet

LONG = "x" * 8_000_000


def a_call(**values: Any) -> ObjectCall:
    given = {
        "session": "s",
        "thread": 1,
        "slot": 0,
        "number": 1,
        "kind": "Lock",
        "name": "n",
        "method": "open",
        **values,
    }
    return ObjectCall(**given)


@pytest.mark.parametrize(
    "message",
    [
        *(a_call(**{field: LONG}) for field in ("session", "kind", "name", "method")),
        a_call(session=""),
        a_call(name="x" * (MAX_NAME_CHARS + 1)),
        a_call(thread=-1),
        a_call(thread=2**63),
        Hello(session="s", worker=LONG),
        Hello(session="s", replaces=LONG),
        Hello(session=LONG),
        Hello(session="x" * 65),
        Hello(session=""),
        ExchangeRequest(session=LONG),
        AskRequest(session=LONG, pool=1),
        CancelRequest(session=LONG, tickets=()),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_is_too_long_is_refused_in_a_short_sentence_when_it_arrives(message: Message) -> None:
    with pytest.raises(WireError, match="not a") as caught:
        decode(encode(message), type(message))
    assert len(str(caught.value)) < 600


def test_an_error_about_a_message_does_not_repeat_what_is_in_it() -> None:
    odd = msgspec.msgpack.encode({"session": "s", LONG: 1})
    with pytest.raises(WireError) as caught:
        decode(odd, Hello)
    assert len(str(caught.value)) < 600


def test_the_longest_names_are_taken() -> None:
    fleet = ObjectFleet()
    assert fleet.thread("s").open("Lock", "x" * MAX_NAME_CHARS).acquire() == 1
    call = a_call(name="ü" * MAX_NAME_CHARS, session="s" * 64, method="m" * 64)
    assert decode(encode(call), ObjectCall) == call


@pytest.mark.parametrize("name", ["", "x" * (MAX_NAME_CHARS + 1)])
def test_a_program_with_such_a_name_is_told_before_anything_is_sent(name: str) -> None:
    with pytest.raises(ValueError, match=r"the name of an object has 1 to 1000 characters"):
        Lock(None, name)  # type: ignore[arg-type]  # it has nothing to send with


def test_a_refusal_names_the_bound_and_the_slot_goes_on() -> None:
    thread = ObjectFleet().thread("s")
    with pytest.raises(Failed, match="1 to 1000 characters"):
        thread.open("Lock", "x" * (MAX_NAME_CHARS + 1))
    assert thread.open("Lock", "n").acquire() == 1


def test_errors_cut_names() -> None:
    thread = ObjectFleet().thread("s")
    thread.open("Barrier", "b" * 1_000, 2)
    for kind, name, method, args in (
        ("Barrier", "b" * 1_000, "open", (3,)),
        ("Lock", "n" * 1_000, "acquire", ()),
        ("k" * 1_000, "n", "open", ()),
        ("Lock", "n", "m" * 1_000, ()),
    ):
        with pytest.raises(Failed) as caught:
            thread.send(kind, name, method, args)
        assert len(str(caught.value)) < 250
        assert "..." in str(caught.value)


def test_a_short_name_is_shown_as_it_is() -> None:
    assert (shown("door"), shown("x" * 60)) == ("'door'", repr("x" * 60))
    assert shown("x" * 61) == repr("x" * 57 + "...")
    assert shown("a\nb") == r"'a\nb'"


def test_calls_and_hellos_with_names_of_megabytes_leave_nothing_behind() -> None:
    crawl = CoreCrawl()
    loop = Loop(crawl.service, lambda: None)
    queue, objects = TaskQueue(crawl.service, loop), Objects(crawl.service, loop, Post(1))
    queue.hello(encode(Hello(session="s")))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(20):
        long = f"{number}{LONG}"
        for field in ("session", "kind", "name", "method"):
            with pytest.raises(WireError):
                objects.call(encode(a_call(number=number + 1, **{field: long})))
        for hello in (Hello(session=long), Hello(session="t", worker=long), Hello(session="t", replaces=long)):
            with pytest.raises(WireError):
                queue.hello(encode(hello))
        for wait in (lambda text: objects.collect(text, 0, 0.0), queue.goodbye):
            with pytest.raises(ValueError, match="length"):
                wait(long)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert crawl.service.sessions == 1
    assert after - before < 2 * len(LONG)


def test_there_is_a_largest_number_of_sessions_and_those_that_are_there_are_always_welcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "MAX_MEMBERS", 3)
    monkeypatch.setattr(service, "MAX_MEMBERS", 3)
    crawl = CoreCrawl()
    crawl.hello("a", "b", "c")
    with pytest.raises(Unreachable, match="3 sessions work for this crawl already"):
        crawl.hello("d")
    crawl.hello("a", "b", "c")
    crawl.hello("d", replaces="a")
    assert crawl.service.sessions == 3
    crawl.service.goodbye("b", crawl.now)
    crawl.hello("e")
    crawl.pass_time(crawl.policy.lease_s)
    crawl.hello("f", "g", "h")
    assert crawl.service.sessions == 3
