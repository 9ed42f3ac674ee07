"""A task under its lease has one name in the code, and travels as the pair that it always was."""

from __future__ import annotations

import msgspec
import pytest

from crawlfleet.shared.message import Message
from crawlfleet.shared.messages import Ack, AckState, ExchangeRequest, Hello, Outcome, Report, TaskKey, decode, encode

KEY = TaskKey(7, b"ref")
MESSAGES = {"began": Hello(session="s", began=(KEY,)), "started": ExchangeRequest(session="s", started=(KEY,))}


@pytest.mark.parametrize("field", MESSAGES)
def test_a_key_travels_as_an_array_of_lease_and_fingerprint(field: str) -> None:
    assert msgspec.msgpack.decode(encode(MESSAGES[field]))[field] == [[7, b"ref"]]


@pytest.mark.parametrize(("field", "message"), MESSAGES.items())
def test_a_key_is_a_key_again_on_the_other_side(field: str, message: Message) -> None:
    (key,) = getattr(decode(encode(message), type(message)), field)
    assert type(key) is TaskKey
    assert key == KEY


def test_report_and_ack_name_their_task_alike() -> None:
    report = Report(lease=7, ref=b"ref", outcome=Outcome.FETCHED)
    assert report.key == Ack(lease=7, ref=b"ref", state=AckState.OK).key == KEY
