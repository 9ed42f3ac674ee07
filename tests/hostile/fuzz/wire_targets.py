"""What comes over the wire: frames, messages, packed links, join tokens."""

from __future__ import annotations

import base64
from contextlib import suppress
from hashlib import blake2b
from typing import Any

import msgspec
from hypothesis import strategies as st

from crawlfleet.shared.errors import JoinError, WireError
from crawlfleet.shared.messages import (
    ExchangeAnswer,
    ExchangeRequest,
    Hello,
    Outcome,
    Report,
    ResultPage,
    Row,
    Welcome,
    decode,
    encode,
)
from crawlfleet.shared.objects import Collected, ObjectCall, ObjectReply
from crawlfleet.shared.pools import Ask, AskReply, AskRequest, CancelRequest, SettledPage
from crawlfleet.shared.status import Status
from crawlfleet.shared.web import link_records, links
from crawlfleet.shared.wire.join_token import FORMER_PREFIX, PREFIX, JoinToken
from crawlfleet.shared.wire.payload import dumps, loads, loads_answer, loads_request
from tests.hostile.fuzz.target import Inputs, Target, damaged

KINDS = (
    Hello, Welcome, ExchangeRequest, ExchangeAnswer, ResultPage, ObjectCall, ObjectReply, Collected, AskRequest,
    AskReply, CancelRequest, SettledPage, Status,
)  # fmt: skip
_REPORT = Report(
    lease=1,
    ref=b"r" * 16,
    outcome=Outcome.FETCHED,
    rows=(Row(index=0, item="x", fields={"a": [1, "b", None]}),),
    outlinks=("http://h/",),
)
_KNOWN = [
    encode(ExchangeRequest(session="s", reports=(_REPORT, _REPORT))),
    encode(Hello(session="s", worker="w")),
    encode(AskRequest(session="s", pool=1, asks=(Ask(1, "http://h/"),))),
    dumps((None, "exchange", [1, "x", {"y": b"z"}], {})),
    dumps(("#ERROR", ["KeyError", "x"])),
    dumps(("#RETURN", [1.5, None, True])),
]  # fmt: skip
_PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(),
        st.text(max_size=5),
        st.binary(max_size=5),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=4)),
    max_leaves=10,
)
_FRAMES = st.one_of(
    st.binary(max_size=60),
    damaged(st.sampled_from(_KNOWN)),
    _PLAIN.map(msgspec.msgpack.encode),
    st.integers(0, 3_000).map(lambda depth: b"\x91" * depth),
    st.integers(0, 3_000).map(lambda depth: b"\x81\xa1a" * depth + b"\xc0"),
)


def frames_hold(frame: bytes) -> None:
    """Check that any frame is a value, a request, an answer, or refused as none; and so as any message."""
    for reader in (loads, loads_request, loads_answer):
        with suppress(WireError):
            reader(frame)
    for kind in KINDS:
        with suppress(WireError):
            message = decode(frame, kind)
            assert decode(encode(message), kind) == message


def values_hold(value: Any) -> None:
    """Check that a value is refused before it is sent, or arrives as it was."""
    try:
        frame = dumps(value)
    except (TypeError, ValueError):
        return
    assert loads(frame) == value


_RECORDS = link_records.pack([link_records.LinkRecord("http://h/", *[""] * 3)] * 9)[0]
_PACKED = st.one_of(
    st.binary(max_size=40),
    damaged(
        st.lists(st.sampled_from(["http://h/a", "http://h/b?c", "", "\u00fc", "x\ny"]), max_size=30).map(
            lambda urls: links.pack(urls, run=7)
        )
    ),
    damaged(st.just(_RECORDS)),
)


def packed_hold(data: bytes) -> None:
    """Check that any packed links are read, or as much of them as there is."""
    assert len(links.unpack(data, 5)) <= 5
    packed = links.Packed(data, 100)
    assert packed.number <= 100
    assert len(packed.some(0, 10)) <= 10
    packed.some(3, 1_000)
    link_records.unpack(data)


def tokens_hold(given: tuple[Any, str, bool]) -> None:
    """Check that any token is refused as none, or can be written again."""
    value, prefix, is_checked = given
    payload = msgspec.msgpack.encode(value)
    check = blake2b(payload, digest_size=4).digest() if is_checked else b""
    with suppress(JoinError):
        token = JoinToken.parse(prefix + base64.urlsafe_b64encode(payload + check).decode().rstrip("="))
        assert JoinToken.parse(token.encode()) == token


_HOSTS = st.one_of(st.text(max_size=8), st.just("127.0.0.1"))
_PORTS = st.integers(-1, 70_000)
_KEYS = (st.just(b"f" * 32), st.just(b"s" * 32))
_TOKENS = st.one_of(
    _PLAIN,
    st.tuples(st.lists(st.tuples(_HOSTS, _PORTS), max_size=3), *_KEYS),
    st.tuples(st.lists(_HOSTS, max_size=3), _PORTS, *_KEYS),
)


def _value_in(data: bytes) -> Any:
    """Read any value of msgpack; None if it is none."""
    try:
        return msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


_PREFIXES = (FORMER_PREFIX, PREFIX)
_FORMER_TOKEN = msgspec.msgpack.encode((["127.0.0.1"], 8_000, b"f" * 32, b"s" * 32))
_TOKEN = msgspec.msgpack.encode(([("127.0.0.1", 8_000)], b"f" * 32, b"s" * 32))
_LINKS = [f"http://h/{number}" for number in range(300)]
_FLAT = tuple(_KNOWN)
# Names of fields, and how large and nested values begin.
_MARKS = (
    *sorted({name.encode() for kind in (*KINDS, Report) for name in kind.__struct_encode_fields__}),
    *(bytes((first,)) + size for first in (0xC6, 0xDB, 0xDD, 0xDF, 0xC9) for size in (b"\xff" * 4, b"\0\0\0\1")),
    *(b"\xcf" + b"\xff" * 8, b"\xd3\x80" + b"\0" * 7, b"\xcb\x7f\xf0" + b"\0" * 6, b"\xd4\x01\0", b"\x91" * 60),
)
TARGETS = {
    "frames": Target(Inputs(_FRAMES, bytes, _MARKS, _FLAT), frames_hold),
    "values": Target(Inputs(_PLAIN, _value_in, _MARKS, _FLAT), values_hold),
    "packed links": Target(
        Inputs(
            _PACKED,
            bytes,
            samples=(links.pack(_LINKS[:9]), links.pack(_LINKS), links.pack(_LINKS, run=7), _RECORDS),
        ),
        packed_hold,
    ),
    "join tokens": Target(
        Inputs(
            st.tuples(_TOKENS, st.sampled_from(_PREFIXES), st.booleans()),
            lambda data: (_value_in(data[1:]), _PREFIXES[not data or data[0] % 2], not data or data[0] % 8 > 1),
            samples=(b"\2" + _FORMER_TOKEN, b"\3" + _TOKEN, b"\0" + _FORMER_TOKEN),
        ),
        tokens_hold,
    ),
}
