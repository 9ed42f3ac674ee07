"""Messages as bytes."""

from __future__ import annotations

import pytest

from crawlfleet.shared.errors import WireError
from crawlfleet.shared.messages import ExchangeAnswer, Hello, Lease, decode, encode
from crawlfleet.shared.ranges import MOST_ADDRESSES


@pytest.mark.parametrize("data", [b"", b"\xc1", encode(Hello(session="s", worker="w"))[:-1], b"\x91" * 100_000])
def test_bytes_that_are_no_message_are_refused_by_the_name_of_what_was_wanted(data: bytes) -> None:
    with pytest.raises(WireError, match="not a Lease"):
        decode(data, Lease)


def test_an_answer_without_news_costs_a_byte() -> None:
    assert len(encode(ExchangeAnswer())) == 1
    answer = ExchangeAnswer(addresses=(("a.test", 7_320),))
    assert decode(encode(answer), ExchangeAnswer) == answer


@pytest.mark.parametrize(
    "addresses",
    [(("", 1),), (("a b", 1),), (("a\n", 1),), (("a", 0),), (("a", 70_000),), (("a", 1),) * (MOST_ADDRESSES + 1)],
    ids=["no host", "blank", "line", "no port", "large port", "many"],
)
def test_what_is_no_address_is_refused(addresses: tuple[tuple[str, int], ...]) -> None:
    with pytest.raises(WireError, match="not a ExchangeAnswer"):
        decode(encode(ExchangeAnswer(addresses=addresses)), ExchangeAnswer)


def test_a_message_arrives_as_it_was_sent() -> None:
    hello = Hello(session="s", worker="w", replaces="dead")
    assert decode(encode(hello), Hello) == hello
