"""Messages over a pipe arrive as what they were; the end of the other side is an answer, not an error."""

from __future__ import annotations

from multiprocessing import Pipe

import msgspec
import pytest

from crawlfleet.shared.pipe import PipeMessage, receive, send


class Ask(PipeMessage, frozen=True, kw_only=True):
    what: str


class Stop(PipeMessage, frozen=True, kw_only=True):
    """Without anything in it."""


DECODER: msgspec.msgpack.Decoder[Ask | Stop] = msgspec.msgpack.Decoder(Ask | Stop)


def test_messages_arrive_in_order_each_as_its_own_kind() -> None:
    ours, theirs = Pipe()
    for message in (Ask(what="time"), Stop()):
        assert send(ours, message)
    assert [receive(theirs, DECODER) for _ in range(2)] == [Ask(what="time"), Stop()]


def test_a_message_that_nobody_will_read_is_not_sent() -> None:
    ours, theirs = Pipe()
    theirs.close()
    assert not send(ours, Stop())


def test_what_was_sent_before_the_end_is_read_and_then_the_end() -> None:
    ours, theirs = Pipe()
    send(ours, Stop())
    ours.close()
    assert [receive(theirs, DECODER) for _ in range(2)] == [Stop(), None]


def test_a_message_of_another_pipe_is_refused() -> None:
    ours, theirs = Pipe()
    send(ours, Ask(what="time"))
    with pytest.raises(msgspec.ValidationError):
        receive(theirs, msgspec.msgpack.Decoder(Stop))
