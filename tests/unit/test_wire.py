"""What may travel, and how frames do: over one real connection on loopback, without a manager."""

from __future__ import annotations

import datetime
import errno
import itertools
import math
import socket
import ssl
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from enum import IntEnum
from multiprocessing.managers import listener_client  # type: ignore[attr-defined]  # not in its stubs
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlfleet.shared import errors
from crawlfleet.shared.errors import JobError, RemoteError, Unreachable, WireError
from crawlfleet.shared.wire import deadline
from crawlfleet.shared.wire import frames as wire
from crawlfleet.shared.wire.binding import why_not_bound
from crawlfleet.shared.wire.contexts import client_context, server_context
from crawlfleet.shared.wire.frames import (
    ANSWER_LIMIT,
    FRAME_LIMIT,
    GREETING_FRAME_LIMIT,
    WireConnection,
    WireListener,
    connect,
    greet_client,
    register_server,
)
from crawlfleet.shared.wire.identity import Identity, load_or_create
from crawlfleet.shared.wire.payload import (
    DEPTH_LIMIT,
    ERROR,
    NESTED_REQUEST_BYTES,
    RETURN,
    dumps,
    loads_answer,
    loads_request,
    refusal,
    refuse_odd,
)

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


class Colour(IntEnum):
    RED = 1


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@given(PLAIN)
def test_plain_values_arrive_as_they_left(value: object) -> None:
    assert loads_answer(dumps((RETURN, value))) == (RETURN, value)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({1}, "set"),
        (object(), "object"),
        (datetime.datetime(2000, 1, 1), "datetime"),
        (uuid.UUID(int=0), "UUID"),
        (Colour.RED, "Colour"),
        (bytearray(b"x"), "bytearray"),
        (1j, "complex"),
        (len, "builtin_function_or_method"),
        (msgspec.msgpack.Ext(5, b"x"), "Ext"),
        ({1: "one"}, "int"),
        ([{"deep": [{2}]}], "set"),
    ],
)
def test_other_values_raise_a_type_error_that_names_the_type(value: object, name: str) -> None:
    with pytest.raises(TypeError, match=rf"\b{name}\b.*cannot be sent"):
        dumps([value])


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**64, -(2**63) - 1, "\ud800", nested(DEPTH_LIMIT)])
def test_values_without_a_form_raise_a_value_error(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message depends on the value
        dumps([value])


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(ValueError, match="nested deeper"):
        refuse_odd(value)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00",
        b"\xc1",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x80\x04\x95.",
        b"\x91" * 200_000,
        b"\xdd\xff\xff\xff\xff",
        dumps([1, "size", [], {}]),
        dumps(["x", "size", [], []]),
        dumps(["x", "size", []]),
        dumps(["x", "size", [], {}]) + b"\x00",
        b"\x94\xa1x\xa1\xff\x90\x80",
    ],
)
def test_what_is_no_request_is_a_wire_error(frame: bytes) -> None:
    with pytest.raises(WireError):
        loads_request(frame)


LARGE = bytes(NESTED_REQUEST_BYTES)


def test_a_large_request_has_flat_arguments() -> None:
    arguments = [LARGE, 1, -1.5, None, True, "text"]
    assert loads_request(dumps(["x", "put", arguments, {}])) == ("x", "put", arguments, {})


@pytest.mark.parametrize(
    "arguments",
    [[LARGE, []], [LARGE, [1] * 20], [LARGE, {"a": 1}], [{str(n): n for n in range(20_000)}], [LARGE, *range(20)]],
    ids=["list", "long list", "dict", "long dict", "many"],
)
def test_what_would_take_much_more_memory_than_it_has_bytes_is_refused(arguments: list[object]) -> None:
    with pytest.raises(WireError):
        loads_request(dumps(["x", "put", arguments, {}]))


def test_a_large_request_has_no_arguments_by_name() -> None:
    with pytest.raises(WireError):
        loads_request(dumps(["x", "put", [LARGE], {"url": "http://a/"}]))


@pytest.mark.parametrize("answer", [["#RETURN"], ["#PROXY", 1], ["#ERROR", "text"], ["#ERROR", [1, 2]], 5, nested(50)])
def test_what_is_no_answer_is_a_wire_error(answer: object) -> None:
    with pytest.raises(WireError):
        loads_answer(dumps(answer))


@pytest.mark.parametrize(
    "error",
    [
        errors.VersionError("speak 1"),
        errors.JoinError("no"),
        errors.CrawlFailed("no seed"),
        errors.WireError("odd"),
        ValueError("out of scope"),
        KeyError("not held"),
        TypeError("wrong"),
    ],
)
def test_listed_errors_arrive_as_they_were_raised(error: Exception) -> None:
    _, arrived = loads_answer(dumps((ERROR, refusal(error))))
    assert type(arrived) is type(error)
    assert arrived.args == error.args


@pytest.mark.parametrize(
    ("error", "name"),
    [(RemoteError("Paused", "later"), "Paused"), (JobError(("a.yaml:1:1: wrong",)), "JobError")],
)
def test_other_refusals_arrive_as_remote_errors_by_name(error: Exception, name: str) -> None:
    _, arrived = loads_answer(dumps((ERROR, refusal(error))))
    assert isinstance(arrived, RemoteError)
    assert arrived.name == name


def test_who_calls_a_coordinator_that_has_lost_its_crawl_hears_that_another_one_may_have_it() -> None:
    _, arrived = loads_answer(dumps((ERROR, refusal(errors.CrawlLost("the database is away")))))
    assert (type(arrived), str(arrived)) == (errors.NotOwner, str(errors.NotOwner()))


def test_a_builtin_of_a_narrower_kind_travels_as_the_listed_one() -> None:
    assert refusal(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"))[0] == "ValueError"
    assert refusal(KeyError("x")) == ("KeyError", "x")


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return load_or_create(tmp_path_factory.mktemp("identity"))


@pytest.fixture
def listener(identity: Identity) -> Iterator[WireListener]:
    listener = WireListener(server_context(identity), ("127.0.0.1", 0))
    yield listener
    listener.close()


def accept(listener: WireListener, secret: bytes) -> WireConnection:
    connection = listener.accept()
    greet_client(connection, secret, listener.intake)
    return connection


@pytest.fixture
def pair(listener: WireListener, identity: Identity) -> Iterator[tuple[WireConnection, WireConnection]]:
    """A client's and a server's end of one connection."""
    with ThreadPoolExecutor(1) as pool:
        accepted: Future[WireConnection] = pool.submit(accept, listener, identity.secret)
        client = connect(identity.fingerprint, listener.address, identity.secret)
        server = accepted.result(10)
    yield client, server
    client.close()
    server.close()


def test_a_large_frame_arrives_whole(pair: tuple[WireConnection, WireConnection]) -> None:
    client, server = pair
    body = bytes(range(256)) * 16_384
    with ThreadPoolExecutor(1) as pool:
        arrived = pool.submit(server.recv_bytes)
        client.send_bytes(body)
        assert arrived.result(30) == body


def test_a_frame_of_exactly_the_limit_passes(pair: tuple[WireConnection, WireConnection]) -> None:
    client, server = pair
    with ThreadPoolExecutor(1) as pool:
        arrived = pool.submit(server.recv_bytes)
        client.within(30)
        client.send_bytes(bytes(FRAME_LIMIT))
        assert len(arrived.result(30)) == FRAME_LIMIT


def test_a_frame_over_the_limit_is_not_sent_and_the_connection_goes_on(
    pair: tuple[WireConnection, WireConnection],
) -> None:
    client, server = pair
    with pytest.raises(WireError, match=f"{FRAME_LIMIT + 1} bytes cannot be sent"):
        client.send_bytes(bytes(FRAME_LIMIT + 1))
    client.send_bytes(b"small")
    assert server.recv_bytes() == b"small"


@pytest.mark.parametrize("sizes", [(FRAME_LIMIT + 1, ANSWER_LIMIT + 1), (2**32 - 1, 2**32 - 1)])
def test_a_frame_that_announces_too_much_is_refused_at_its_header(
    pair: tuple[WireConnection, WireConnection], sizes: tuple[int, int]
) -> None:
    for (sender, receiver), size in zip((pair, pair[::-1]), sizes, strict=True):
        sender.write(size.to_bytes(4))
        with pytest.raises(WireError, match=f"{size} bytes came"):
            receiver.recv_bytes()


def test_frames_that_arrive_in_pieces_or_together_are_told_apart(
    pair: tuple[WireConnection, WireConnection],
) -> None:
    client, server = pair
    frames = b"".join(len(body).to_bytes(4) + body for body in (b"one", b"", b"three"))
    for byte in frames:
        client.write(bytes([byte]))
    client.write(frames)
    assert [server.recv_bytes() for _ in range(6)] == [b"one", b"", b"three"] * 2


def test_a_connection_cut_in_a_frame_is_at_its_end(pair: tuple[WireConnection, WireConnection]) -> None:
    client, server = pair
    client.write(b"\x00\x00\x00\x09half")
    client.close()
    with pytest.raises(EOFError):
        server.recv_bytes()


def test_time_runs_over_all_reads_of_a_call_together(pair: tuple[WireConnection, WireConnection]) -> None:
    client, server = pair
    client.within(0.05)
    server.write(b"\x00\x00\x00\x09")
    with pytest.raises(TimeoutError):
        client.recv_bytes()
    with pytest.raises(TimeoutError):
        client.send_bytes(b"late")


@pytest.mark.parametrize("of_silence", [True, False])
def test_what_flows_may_take_longer_than_a_silence(
    of_silence: bool, pair: tuple[WireConnection, WireConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, server = pair
    moments = itertools.count(0.0, 0.5)  # each look at the clock takes half a second
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    client.within(2.0, of_silence=of_silence)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(server.send_bytes, bytes(10**6))
        if of_silence:
            assert client.recv_bytes() == bytes(10**6)
        else:
            with pytest.raises(TimeoutError):
                client.recv_bytes()
            client.close()
        assert sending.exception(30) is None or not of_silence


def test_aborting_wakes_the_thread_that_reads(pair: tuple[WireConnection, WireConnection]) -> None:
    _, server = pair
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(server.recv_bytes)
        server.abort()
        with pytest.raises((EOFError, OSError)):
            reading.result(10)


def test_an_opening_that_ends_half_way_is_no_alert_but_the_end(listener: WireListener) -> None:
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(received, to_send)
    with ThreadPoolExecutor(1) as pool, socket.create_connection(listener.address, 10) as plain:
        server = listener.accept()
        shaking = pool.submit(server.handshake)
        while True:
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                plain.sendall(to_send.read())
                received.write(plain.recv(65_536))
            else:
                break  # what the client has to say last is not sent
        server.end_reading()
        with pytest.raises(ssl.SSLEOFError):
            shaking.result(10)
        server.close()
        assert plain.recv(65_536) == b""


def test_only_small_frames_pass_before_the_secret_is_proved(listener: WireListener) -> None:
    with ThreadPoolExecutor(1) as pool, socket.create_connection(listener.address) as plain:
        accepted = pool.submit(listener.accept)
        server = accepted.result(10)
        shaken = pool.submit(server.handshake)
        stranger = WireConnection(plain, client_context(), loads_answer)
        stranger.handshake()
        shaken.result(10)
        with pytest.raises(WireError, match=f"{GREETING_FRAME_LIMIT} are allowed"):
            stranger.send_bytes(bytes(GREETING_FRAME_LIMIT + 1))
        stranger.write((GREETING_FRAME_LIMIT + 1).to_bytes(4))
        with pytest.raises(WireError, match=f"{GREETING_FRAME_LIMIT} are allowed"):
            server.recv_bytes()
        stranger.close()
        server.close()


def test_an_identity_whose_key_is_another_ones_is_reported(identity: Identity, tmp_path: Path) -> None:
    other = load_or_create(tmp_path)
    mixed = Identity(certificate=identity.certificate, key=other.key, secret=identity.secret)
    with pytest.raises(errors.UsageError, match="do not belong together"):
        register_server(mixed)


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        (errno.EADDRINUSE, "is in use"),
        (errno.EADDRNOTAVAIL, "not an address of this machine"),
        (errno.EACCES, "from 1024 on"),
        (errno.EIO, "choose another address"),
    ],
)
def test_why_an_address_cannot_be_taken_is_told_with_what_to_do(reason: int, says: str) -> None:
    assert says in why_not_bound("127.0.0.1", 80, OSError(reason, "x"))


def test_aborting_what_has_ended_does_nothing(pair: tuple[WireConnection, WireConnection]) -> None:
    ours, _ = pair
    ours.close()
    ours.abort()


@pytest.mark.parametrize("name", ["_keep_alive", "answer_challenge"])
def test_a_connection_that_breaks_while_it_is_opened_is_unreachable(
    listener: WireListener, identity: Identity, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_args: object) -> None:
        raise OSError(errno.EHOSTUNREACH, "no route")

    monkeypatch.setattr(wire, name, fail)
    with ThreadPoolExecutor(1) as pool:
        accepted = pool.submit(_accept_and_handshake, listener)
        with pytest.raises(Unreachable, match=r"the connection to .* broke: .*no route"):
            connect(identity.fingerprint, listener.address, identity.secret)
        accepted.result(10)


def _accept_and_handshake(listener: WireListener) -> None:
    with suppress(EOFError, OSError), closing(listener.accept()) as connection:
        connection.handshake()


def test_a_process_without_the_key_cannot_listen() -> None:
    with pytest.raises(TypeError, match="no coordinator's key"):
        listener_client[wire.register_client(b"f" * 32)][0](("127.0.0.1", 0))
