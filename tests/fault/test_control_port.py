"""The control port under strangers, hostile members, and a machine that runs out: others are served."""

from __future__ import annotations

import errno
import gc
import multiprocessing
import os
import pickle
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from multiprocessing.managers import dispatch  # type: ignore[attr-defined]  # not in its stubs
from pathlib import Path

import msgspec
import pytest

from crawlfleet.shared.errors import JoinError, RemoteError, Unreachable, WireError
from crawlfleet.shared.wire import control_port, reception
from crawlfleet.shared.wire import frames as wire
from crawlfleet.shared.wire.contexts import client_context, server_context
from crawlfleet.shared.wire.control_port import FleetServer
from crawlfleet.shared.wire.frames import WireConnection, WireListener, connect
from crawlfleet.shared.wire.identity import Identity, load_or_create
from crawlfleet.shared.wire.intake import Intake
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.shared.wire.manager import FleetManager
from crawlfleet.shared.wire.payload import ERROR

PATIENCE_S = 20.0


class Queue:
    def size(self) -> int:
        return 3

    def put(self, url: str) -> str:
        return url


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return load_or_create(tmp_path_factory.mktemp("identity"))


@pytest.fixture
def bugs() -> list[BaseException]:
    return []


@pytest.fixture
def server(identity: Identity, bugs: list[BaseException]) -> Iterator[FleetServer]:
    server = FleetManager.serving({"Queue": Queue()}, identity, "127.0.0.1", 0, bugs.append).get_server()
    server.start()
    yield server
    server.stop()
    assert bugs == []


def size_by_a_real_client(token: JoinToken) -> int:
    manager = FleetManager.joining(token)
    manager.connect()
    size = manager.Queue().size()
    manager.disconnect()
    return size


def plain(server: FleetServer) -> socket.socket:
    return socket.create_connection(server.address, PATIENCE_S)


class Stranger(ssl.SSLSocket):
    """Goes when nobody looks at it any more."""

    def __del__(self) -> None:
        self.close()


def encrypted(server: FleetServer) -> ssl.SSLSocket:
    """A stranger who speaks TLS and does not know the secret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = Stranger
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain(server))


def member(server: FleetServer, identity: Identity) -> WireConnection:
    """A connection that is let in, for saying what no proxy would say."""
    connection = connect(identity.fingerprint, server.address, identity.secret)
    connection.within(PATIENCE_S)
    return connection


def everything_said_by(sock: socket.socket) -> bytes:
    """Read until the other side closes."""
    said = b""
    try:
        while chunk := sock.recv(4096):
            said += chunk
    except ConnectionError:
        return said
    return said


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x00" * 4096,
        b"\xff" * 100_000,
        bytes(range(256)),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x00\x00\x14#CHALLENGE#",
    ],
)
def test_what_is_not_tls_is_closed_without_a_word_and_counted(server: FleetServer, bytes_sent: bytes) -> None:
    with plain(server) as stranger:
        with suppress(ConnectionError):  # closed before all of it was sent
            stranger.sendall(bytes_sent)
        assert everything_said_by(stranger) == b""
    assert server.counters.refused == {"garbage": 1}
    assert size_by_a_real_client(server.join_token()) == 3


def test_a_broken_tls_hello_is_closed_with_at_most_an_alert(server: FleetServer) -> None:
    with plain(server) as stranger:
        stranger.sendall(b"\x16\x03\x01\x00\x20" + bytes(32))
        assert len(everything_said_by(stranger)) <= 7
    assert server.counters.refused == {"handshake": 1}


def test_older_tls_is_refused(server: FleetServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with plain(server) as stranger, pytest.raises(ssl.SSLError):
        context.wrap_socket(stranger)
    assert size_by_a_real_client(server.join_token()) == 3


def test_pickle_bytes_are_never_loaded(server: FleetServer, identity: Identity, tmp_path: Path) -> None:
    marker = tmp_path / "loaded"
    bomb = pickle.dumps(Trap(marker))
    frame = len(bomb).to_bytes(4) + bomb
    for sock in (plain(server), plain(server), encrypted(server), encrypted(server)):
        with sock:
            sock.sendall(frame)
            everything_said_by(sock)
    for body in (bomb, msgspec.msgpack.encode([None, "create", [bomb], {}])):
        connection = member(server, identity)
        connection.send_bytes(body)
        with pytest.raises((RemoteError, WireError, EOFError)):
            raise connection.recv()[1]
        connection.close()
    assert size_by_a_real_client(server.join_token()) == 3
    assert not marker.exists()
    pickle.loads(bomb)
    assert marker.exists()  # the bomb was a real one


def test_the_secret_is_asked_for_before_any_call(server: FleetServer) -> None:
    with encrypted(server) as stranger:
        assert stranger.recv(4096)[4:].startswith(b"#CHALLENGE#")
        call = msgspec.msgpack.encode([None, "dummy", [], {}])
        stranger.sendall(len(call).to_bytes(4) + call)
        assert everything_said_by(stranger)[4:] == b"#FAILURE#"
    assert server.counters.refused == {"secret": 1}
    assert server.counters.accepted == 0


def test_a_large_frame_before_the_secret_is_refused_at_its_header(server: FleetServer) -> None:
    with encrypted(server) as stranger:
        stranger.recv(4096)
        stranger.sendall((2**31).to_bytes(4))
        assert everything_said_by(stranger) == b""
    assert server.counters.refused == {"garbage": 1}


def test_a_wrong_secret_is_refused_and_counted(server: FleetServer, identity: Identity) -> None:
    with pytest.raises(JoinError, match="refuses the token's secret"):
        connect(identity.fingerprint, server.address, bytes(32))
    assert size_by_a_real_client(server.join_token()) == 3
    assert server.counters.refused == {"secret": 1}


def test_a_wrong_port_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as web, ThreadPoolExecutor(1) as pool:

        def answer() -> None:
            client, _ = web.accept()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answering = pool.submit(answer)
        with pytest.raises(JoinError, match="not a crawlfleet coordinator: check the port"):
            connect(bytes(32), web.getsockname()[:2], bytes(32))
        answering.result(PATIENCE_S)


def test_what_listens_and_never_answers_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "GREETING_S", 0.1)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(Unreachable, match="did not take the connection"),
    ):
        connect(bytes(32), silent.getsockname()[:2], bytes(32))


def test_a_man_in_the_middle_learns_nothing(identity: Identity, tmp_path: Path) -> None:
    listener = WireListener(server_context(load_or_create(tmp_path)), ("127.0.0.1", 0))

    def intercept() -> bytes:
        victim = listener.accept()
        victim.handshake()
        try:
            victim.send_bytes(b"#CHALLENGE#" + bytes(20))
            return victim.recv_bytes()
        except (EOFError, OSError):
            return b""
        finally:
            victim.close()

    with ThreadPoolExecutor(1) as pool:
        learnt = pool.submit(intercept)
        with pytest.raises(JoinError, match="certificate is not the token's"):
            connect(identity.fingerprint, listener.address, identity.secret)
        assert learnt.result(PATIENCE_S) == b""
    listener.close()


def test_a_crowd_of_silent_connections_keeps_nobody_out(server: FleetServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "SILENT_LIMIT", 10)
    with ExitStack() as crowd:
        for _ in range(100):
            crowd.enter_context(plain(server))
        began = time.monotonic()
        assert size_by_a_real_client(server.join_token()) == 3
        assert time.monotonic() - began < wire.GREETING_S / 2
        assert server.counters.open <= 10 + 1
        assert server.counters.refused["evicted"] >= 90


def half_way(server: FleetServer) -> socket.socket:
    """A stranger who says hello, and nothing after that."""
    stranger = plain(server)
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(received, to_send)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    stranger.sendall(to_send.read())
    return stranger


def test_those_who_stop_half_way_make_room_when_their_time_of_grace_is_over(
    server: FleetServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception, "GREETING_LIMIT", 2)
    monkeypatch.setattr(reception, "READY_LIMIT", 1)
    monkeypatch.setattr(reception, "GRACE_S", 0.2)
    with ExitStack() as crowd:
        for _ in range(5):
            crowd.enter_context(half_way(server))
        # Two are greeted, one waits, and for two there was no room.
        _until(lambda: server.counters.refused.get("evicted", 0) >= 2)
        assert size_by_a_real_client(server.join_token()) == 3


def test_who_waits_to_be_greeted_has_the_same_deadline(server: FleetServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reception, "GREETING_LIMIT", 0)
    monkeypatch.setattr(reception.Reception, "next_to_greet", lambda _self, _now: None)
    monkeypatch.setattr(wire, "GREETING_S", 0.1)
    with half_way(server) as waiting:
        assert everything_said_by(waiting) == b""
    assert server.counters.refused == {"deadline": 1}


def test_who_is_gone_before_saying_hello_is_counted(server: FleetServer) -> None:
    with plain(server) as stranger:
        stranger.send(b"\x16\x03")
    _until(lambda: server.counters.refused == {"gone": 1})


def test_a_silent_connection_is_closed_at_its_deadline(server: FleetServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "GREETING_S", 0.1)
    with plain(server) as silent:
        assert everything_said_by(silent) == b""
    assert server.counters.refused == {"deadline": 1}


def test_one_byte_at_a_time_does_not_move_the_deadline(server: FleetServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "GREETING_S", 0.3)
    began = time.monotonic()
    with plain(server) as slow:
        slow.settimeout(0.02)
        for byte in b"\x16\x03\x01\x04\x00" + bytes(1000):
            try:
                slow.send(bytes([byte]))
                if slow.recv(4096) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
    assert 0.25 < time.monotonic() - began < 5
    assert server.counters.refused == {"deadline": 1}


def test_silence_after_the_handshake_ends_at_the_same_deadline(
    server: FleetServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "GREETING_S", 0.3)
    with encrypted(server) as silent:
        assert everything_said_by(silent)[4:].startswith(b"#CHALLENGE#")
    assert server.counters.refused == {"deadline": 1}


def test_a_full_house_refuses_and_serves_again_when_one_leaves(
    server: FleetServer, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception, "CONNECTION_LIMIT", 2)
    inside = [member(server, identity) for _ in range(2)]
    _until(lambda: server.counters.accepted == 2)
    with pytest.raises(Unreachable):
        member(server, identity)
    assert server.counters.refused == {"full": 1}
    assert dispatch(inside[0], None, "dummy") is None
    inside[1].close()
    with pytest.raises(EOFError):
        inside[0].recv()  # its one request is answered, so that the server closes it
    inside[0].close()
    _until(lambda: server.counters.open == 0)
    assert size_by_a_real_client(server.join_token()) == 3


def _until(reached: object) -> None:
    """Wait for another thread to get somewhere."""
    patience = time.monotonic() + PATIENCE_S
    while not reached():  # type: ignore[operator]  # a function
        assert time.monotonic() < patience
        threading.Event().wait(0.005)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("shutdown", []),
        ("debug_info", []),
        ("number_of_objects", []),
        ("get_methods", [["Queue", ["127.0.0.1", 1], "x"]]),
        ("incref", ["x"]),
        ("decref", ["x"]),
        ("stop", []),
        ("__init__", []),
        ("serve_forever", []),
        ("x" * 1000, []),
    ],
)
def test_methods_of_the_standard_server_are_not_there(
    server: FleetServer, identity: Identity, name: str, args: list[object]
) -> None:
    with pytest.raises(RemoteError, match="UnknownMethod") as caught:
        dispatch(member(server, identity), None, name, args)
    assert len(str(caught.value)) < 200
    assert not server.stop_event.is_set()
    assert size_by_a_real_client(server.join_token()) == 3


@pytest.mark.parametrize(
    ("args", "name"), [(["Pool"], "UnknownObject"), (["Lock"], "UnknownObject"), (["0"], "UnknownObject")]
)
def test_create_creates_nothing(server: FleetServer, identity: Identity, args: list[object], name: str) -> None:
    known = dict(server.id_to_obj)
    with pytest.raises(RemoteError, match=name):
        dispatch(member(server, identity), None, "create", args)
    assert server.id_to_obj == known


@pytest.mark.parametrize("args", [[], ["Queue", "more"], [5], [None], [["Queue"]]])
def test_create_with_odd_arguments_is_refused(server: FleetServer, identity: Identity, args: list[object]) -> None:
    with pytest.raises((TypeError, RemoteError)):
        dispatch(member(server, identity), None, "create", args)


def test_create_finds_the_one_object(server: FleetServer, identity: Identity) -> None:
    found = [dispatch(member(server, identity), None, "create", ["Queue"]) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0][0] == f"Queue:{server.incarnation}"


@pytest.mark.parametrize("ident", [None, "0", "Queue", "Queue:0123456789abcdef", "x" * 1000])
def test_an_object_of_another_incarnation_is_refused_and_the_connection_goes_on(
    server: FleetServer, identity: Identity, ident: str | None
) -> None:
    connection = member(server, identity)
    incarnation = dispatch(connection, None, "accept_connection", ["test"])
    with pytest.raises(RemoteError, match="UnknownObject"):
        dispatch(connection, ident, "size")
    assert dispatch(connection, f"Queue:{incarnation}", "size") == 3
    connection.close()


@pytest.mark.parametrize("method", ["#GETVALUE", "__str__", "__getattribute__", "__class__", "pop", ""])
def test_an_object_has_no_methods_but_the_listed(server: FleetServer, identity: Identity, method: str) -> None:
    connection = member(server, identity)
    incarnation = dispatch(connection, None, "accept_connection", ["test"])
    with pytest.raises(RemoteError, match="UnknownMethod"):
        dispatch(connection, f"Queue:{incarnation}", method)
    connection.close()


def test_arguments_by_name_are_refused(server: FleetServer, identity: Identity) -> None:
    connection = member(server, identity)
    incarnation = dispatch(connection, None, "accept_connection", ["test"])
    with pytest.raises(TypeError, match="by name"):
        dispatch(connection, f"Queue:{incarnation}", "put", [], {"url": "https://a/"})
    connection.close()


def raw_call(server: FleetServer, identity: Identity, argument: bytes) -> object:
    """Call `put` with an argument that is msgpack already."""
    connection = member(server, identity)
    incarnation = dispatch(connection, None, "accept_connection", ["test"])
    head = msgspec.msgpack.encode(f"Queue:{incarnation}") + msgspec.msgpack.encode("put")
    try:
        connection.send_bytes(b"\x94" + head + b"\x91" + argument + b"\x80")
        kind, result = connection.recv()
    finally:
        connection.close()
    if kind == "#ERROR":
        raise result
    return result


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        (b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", ValueError),  # NaN
        (b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", ValueError),  # infinity
        (b"\x91" * 100 + b"\x90", ValueError),  # nested deeply
        (b"\x91" * 500_000 + b"\x90", WireError),  # nested beyond the decoder's depth
        (b"\xd6\xff\x00\x00\x00\x00", TypeError),  # a timestamp
        (b"\xd4\x05x", TypeError),  # an unknown extension
        (b"\x81\x01\x02", TypeError),  # a dict whose key is a number
        (b"\xa1\xff", WireError),  # text that is not UTF-8
        (b"\xdd\xff\xff\xff\xff", WireError),  # a list of four thousand million
        (b"\xc1", WireError),  # no msgpack
    ],
)
def test_odd_arguments_are_refused_by_name(
    server: FleetServer, identity: Identity, argument: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        raw_call(server, identity, argument)
    assert size_by_a_real_client(server.join_token()) == 3


@pytest.mark.parametrize("size", [wire.FRAME_LIMIT + 1, 2**32 - 1])
def test_a_members_oversize_frame_is_answered_and_ends_its_connection_only(
    server: FleetServer, identity: Identity, size: int
) -> None:
    other = FleetManager.joining(server.join_token())
    other.connect()
    queue = other.Queue()
    assert queue.size() == 3
    connection = member(server, identity)
    dispatch(connection, None, "accept_connection", ["test"])
    connection.write(size.to_bytes(4))
    with pytest.raises(WireError, match=f"{size} bytes came"):
        raise connection.recv()[1]
    with pytest.raises(EOFError):
        connection.recv()
    connection.close()
    accepted = server.counters.accepted
    assert queue.size() == 3
    assert server.counters.accepted == accepted
    assert server.counters.refused == {"protocol": 1}
    other.disconnect()


def halved(server: FleetServer, identity: Identity, size: int) -> WireConnection:
    """Return a member that has sent half of a request of this size."""
    connection = member(server, identity)
    dispatch(connection, None, "accept_connection", ["test"])
    connection.write(size.to_bytes(4) + bytes(size // 2))
    return connection


@pytest.mark.parametrize("size", [1_000, 1_000_000])
def test_a_request_that_is_cut_ends_its_own_connection_after_a_while(
    server: FleetServer, identity: Identity, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "REQUEST_S", 0.2)
    with closing(halved(server, identity, size)) as connection:
        assert size_by_a_real_client(server.join_token()) == 3
        with pytest.raises(WireError, match=f"not all of a request of {size + 4} bytes came within 0.2 s"):
            raise connection.recv()[1]
        with pytest.raises(EOFError):
            connection.recv()
    assert server.counters.refused == {"protocol": 1}
    assert size_by_a_real_client(server.join_token()) == 3


def test_large_requests_that_are_cut_keep_others_waiting_and_small_ones_not(
    server: FleetServer, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.listener, "intake", Intake(250_000))
    url = "x" * 200_000

    def put() -> object:
        with closing(member(server, identity)) as connection:
            incarnation = dispatch(connection, None, "accept_connection", ["test"])
            return [dispatch(connection, f"Queue:{incarnation}", "put", [url]) for _ in range(3)]

    with ThreadPoolExecutor(1) as pool:
        hostile = halved(server, identity, 200_000)
        _until(lambda: server.listener.intake._room_bytes < 100_000)
        honest = pool.submit(put)
        _until(lambda: len(server.listener.intake._waiting) == 1)
        assert size_by_a_real_client(server.join_token()) == 3
        assert not honest.done()
        hostile.close()
        assert honest.result(PATIENCE_S) == [url] * 3
    _until(lambda: server.listener.intake._room_bytes == 250_000)


def test_a_hostile_server_cannot_make_a_client_take_memory(identity: Identity) -> None:
    listener = WireListener(server_context(identity), ("127.0.0.1", 0))

    def serve() -> None:
        connection = listener.accept()
        wire.greet_client(connection, identity.secret)
        connection.recv()
        connection.write((2**32 - 1).to_bytes(4))
        connection.close()

    token = JoinToken(
        addresses=(listener.address,),
        fingerprint=identity.fingerprint,
        secret=identity.secret,
    )
    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve)
        with pytest.raises(WireError, match="bytes came"):
            FleetManager.joining(token).connect()
        serving.result(PATIENCE_S)
    listener.close()


def test_a_thread_that_cannot_start_costs_one_connection_and_no_more(
    server: FleetServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    failures = [RuntimeError("can't start new thread"), MemoryError()]

    def fail(thread: threading.Thread) -> None:
        if thread.name == "control-connection" and failures:
            raise failures.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail)
    for _ in range(2):
        with half_way(server) as unlucky:
            assert everything_said_by(unlucky) == b""
    assert size_by_a_real_client(server.join_token()) == 3
    assert server.counters.refused == {"threads": 2}


def test_an_error_in_accept_pauses_and_does_not_end_it(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    bugs: list[BaseException] = []
    server = FleetManager.serving({"Queue": Queue()}, identity, "127.0.0.1", 0, bugs.append).get_server()
    odd = ZeroDivisionError("a bug")
    errors = [odd, OSError(errno.EIO, "x"), OSError(errno.EMFILE, "x"), ConnectionAbortedError()]
    accept = server.listener.accept
    pauses: list[float | None] = []

    def fail() -> WireConnection:
        if errors:
            raise errors.pop()
        return accept()

    wait = server.stop_event.wait

    def pause(seconds: float | None = None) -> bool:
        pauses.append(seconds)
        return wait(0)

    monkeypatch.setattr(server.listener, "accept", fail)
    monkeypatch.setattr(server.stop_event, "wait", pause)
    server.start()
    assert size_by_a_real_client(server.join_token()) == 3
    assert server.counters.refused == {"gone": 1, "descriptors": 1, "accept": 1}
    assert len(pauses) == 3
    assert bugs == [odd]
    server.stop()


STARVED = """
import os, resource, sys, threading, time
from pathlib import Path
from crawlfleet.shared.wire.identity import load_or_create
from crawlfleet.shared.wire.control_port import FleetServer
from crawlfleet.shared.wire.manager import FleetManager

class Queue:
    def size(self):
        return 3

server = FleetManager.serving({"Queue": Queue()}, load_or_create(Path(sys.argv[1])), "127.0.0.1", 0).get_server()
server.start()
highest = max(int(number) for number in os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 4, highest + 4))
taken = []
try:
    while sys.argv[2] == "all":
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
print(server.join_token().encode(), flush=True)
if taken:
    while server.counters.refused.get("descriptors", 0) < 1:
        threading.Event().wait(0.005)
    used, began = time.process_time(), server.counters.refused["descriptors"]
    threading.Event().wait(0.5)
    print(server.counters.refused["descriptors"] - began, time.process_time() - used, flush=True)
    for descriptor in taken:
        os.close(descriptor)
sys.stdin.readline()
server.stop()
"""


@contextmanager
def starved(folder: Path, taken: str) -> Iterator[subprocess.Popen[str]]:
    """Run a server that has few descriptors left, or none if `all` are taken; it must end well."""
    process = subprocess.Popen(
        [sys.executable, "-c", STARVED, folder, taken], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process as child:
        assert child.stdin is not None
        yield child
        child.stdin.write("\n")
        child.stdin.close()
        assert child.wait(PATIENCE_S) == 0


def test_a_full_descriptor_table_neither_spins_nor_ends_the_accept_loop(tmp_path: Path) -> None:
    with starved(tmp_path, "all") as child, ExitStack() as crowd:
        assert child.stdout is not None
        token = JoinToken.parse(child.stdout.readline())
        for _ in range(20):
            crowd.enter_context(socket.create_connection(token.addresses[0], PATIENCE_S))
        tries, used_s = child.stdout.readline().split()
        assert int(tries) <= 0.5 / control_port._PAUSE_S + 1
        assert float(used_s) < 0.25
        assert size_by_a_real_client(token) == 3


def test_silent_connections_give_their_descriptors_to_who_says_hello(tmp_path: Path) -> None:
    with starved(tmp_path, "few") as child, ExitStack() as crowd:
        assert child.stdout is not None
        token = JoinToken.parse(child.stdout.readline())
        for _ in range(20):
            crowd.enter_context(socket.create_connection(token.addresses[0], PATIENCE_S))
        assert size_by_a_real_client(token) == 3


def crowd_of_strangers(address: tuple[str, int], count: int) -> None:
    """Open connections, say something else on each, and go."""
    for number in range(count):
        with socket.create_connection(address, PATIENCE_S) as stranger:
            stranger.sendall(bytes([22 if number % 2 else 71]) * (number % 50 + 1))


def test_strangers_leave_neither_threads_nor_descriptors_behind(server: FleetServer) -> None:
    assert size_by_a_real_client(server.join_token()) == 3
    _until(lambda: server.counters.open == 0)
    gc.collect()  # what an earlier test left to the collector is not counted
    before = len(os.listdir("/proc/self/fd"))
    crowd_of_strangers(server.address, 300)
    _until(lambda: server.counters.open == 0 and sum(server.counters.refused.values()) >= 300)
    _until(lambda: not [t for t in threading.enumerate() if t.name == "control-connection"])
    # A connection is counted as gone, then closed. A collection in between may close what was open before.
    _until(lambda: len(os.listdir("/proc/self/fd")) <= before)
    assert size_by_a_real_client(server.join_token()) == 3


def test_a_killed_client_leaves_others_served(server: FleetServer) -> None:
    ways = multiprocessing.get_context("spawn")
    manager = FleetManager.joining(server.join_token())
    manager.connect()
    queue = manager.Queue()
    reader, writer = ways.Pipe(duplex=False)
    child = ways.Process(target=_call_for_ever, args=(queue, writer))
    child.start()
    writer.close()
    assert reader.recv_bytes() == b"calling"
    child.kill()
    child.join(PATIENCE_S)
    reader.close()
    _until(lambda: server.counters.open == 0)
    assert queue.size() == 3
    manager.disconnect()


def _call_for_ever(queue: object, writer: object) -> None:
    queue.size()  # type: ignore[attr-defined]  # a QueueProxy
    writer.send_bytes(b"calling")  # type: ignore[attr-defined]  # a Connection
    while True:
        queue.size()  # type: ignore[attr-defined]  # likewise


def test_a_bug_in_a_connection_is_told_and_ends_that_one_alone(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    bugs: list[BaseException] = []
    server = FleetManager.serving({"Queue": Queue()}, identity, "127.0.0.1", 0, bugs.append).get_server()
    bug = ZeroDivisionError("a bug")

    def fail(_conn: WireConnection) -> None:
        raise bug

    server.start()
    with monkeypatch.context() as patched:
        patched.setattr(server, "_handle_request", fail)
        with closing(member(server, identity)) as connection, pytest.raises(EOFError):
            connection.recv()
    assert size_by_a_real_client(server.join_token()) == 3
    server.stop()
    assert bugs == [bug]


def test_a_bug_is_printed_with_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError as error:
        control_port.print_bug(error)
    printed = capsys.readouterr().err
    assert "ZeroDivisionError: a bug" in printed
    assert __file__ in printed


def test_a_client_that_does_not_wait_to_hear_why_is_forgotten(
    server: FleetServer, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = WireConnection.send
    tried = threading.Event()

    def fail(self: WireConnection, answer: object) -> None:
        if isinstance(answer, tuple) and answer[0] == ERROR:
            tried.set()
            raise BrokenPipeError
        send(self, answer)

    monkeypatch.setattr(WireConnection, "send", fail)
    with closing(member(server, identity)) as connection:
        connection.send_bytes(b"no request")
        with pytest.raises(EOFError):
            connection.recv()
    assert tried.is_set()
    assert server.counters.refused == {"protocol": 1}


def test_a_server_that_accepts_already_serves_until_it_is_stopped(server: FleetServer) -> None:
    server.stop_event.set()
    server.serve_forever()  # does not begin a second time, which would raise
    assert server.counters.accepted == 0
