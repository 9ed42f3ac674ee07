"""Messages as bytes."""

from __future__ import annotations

import pytest

from crawlfleet.shared.errors import WireError
from crawlfleet.shared.messages import Hello, Lease, decode, encode


@pytest.mark.parametrize("data", [b"", b"\xc1", encode(Hello(session="s", worker="w"))[:-1], b"\x91" * 100_000])
def test_bytes_that_are_no_message_are_refused_by_the_name_of_what_was_wanted(data: bytes) -> None:
    with pytest.raises(WireError, match="not a Lease"):
        decode(data, Lease)


def test_a_message_arrives_as_it_was_sent() -> None:
    hello = Hello(session="s", worker="w", replaces="dead")
    assert decode(encode(hello), Hello) == hello
