"""A coordinator's objects used through the manager, over real connections on loopback."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.managers import BaseManager, BaseProxy
from typing import Any

import pytest
from msgspec.structs import replace as replace_struct

from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.errors import JoinError, NotOwner, RemoteError, Unreachable, UsageError, VersionError, WireError
from crawlfleet.shared.messages import ExchangeAnswer, ExchangeRequest, Hello, ResultPage, Welcome, decode, encode
from crawlfleet.shared.objects import Collected, ObjectCall, ObjectReply
from crawlfleet.shared.pools import Ask, AskReply, AskRequest, CancelReply, CancelRequest, SettledPage
from crawlfleet.shared.status import Status
from crawlfleet.shared.wire import frames
from crawlfleet.shared.wire.control_port import FleetServer
from crawlfleet.shared.wire.frames import WireConnection
from crawlfleet.shared.wire.identity import Identity, load_or_create
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.shared.wire.manager import EXPOSED, FleetManager
from crawlfleet.shared.wire.proxies import CALL_PART, QueueProxy

WELCOME = Welcome(epoch=7, lease_s=15.0, brief=Brief(job="quotes", scope=ScopeSpec(hosts=("example.org",))))


class Queue:
    """A referent that answers by rote, and fails on demand."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.welcome = WELCOME
        self.addresses: tuple[tuple[str, int], ...] | None = None
        self.faults: dict[str, Callable[[], str]] = {}

    def hello(self, hello: bytes) -> bytes:
        if decode(hello, Hello).protocol_major != 1:
            raise VersionError("the coordinator speaks protocol 1: install its version here")
        return encode(self.welcome)

    def exchange(self, request: bytes) -> bytes:
        return encode(ExchangeAnswer(idle_s=float(decode(request, ExchangeRequest).want), addresses=self.addresses))

    def goodbye(self, session: str) -> None:
        self.left.append(session)

    def put(self, url: str) -> str:
        return self.faults[url]() if url in self.faults else ""

    def size(self) -> int:
        return 3

    def secret(self) -> str:
        return "not exposed"


class Results:
    def get(self, url: str) -> list[dict[str, object]] | None:
        return [{"item": "quote", "text": "ä", "tags": ["a", None]}] if url == "https://a/" else None

    def contains(self, url: str) -> bool:
        return url == "https://a/"

    def size(self) -> int:
        return 1

    def page(self, cursor: int, limit: int) -> bytes:
        return encode(ResultPage(results=(("https://a/", [{"n": limit}]),), cursor=cursor + 1))


class Objects:
    def call(self, message: bytes) -> bytes:
        return encode(ObjectReply(value=decode(message, ObjectCall).number))

    def collect(self, session: str, after: int, timeout_s: float) -> bytes:
        assert (session, timeout_s) == ("s", 0.5)
        return encode(Collected(upto=after + 1, epoch=7))


class Pools:
    def __init__(self) -> None:
        self.closed: list[tuple[str, int]] = []

    def ask(self, request: bytes) -> bytes:
        return encode(AskReply(book="7.1", taken=len(decode(request, AskRequest).asks)))

    def cancel(self, request: bytes) -> bytes:
        return encode(CancelReply(staying=decode(request, CancelRequest).tickets))

    def close(self, session: str, pool: int) -> None:
        self.closed.append((session, pool))

    def collect(self, session: str, after: int, timeout_s: float) -> bytes:
        assert timeout_s == 1.5
        return encode(SettledPage(book=session, cursor=after))


class Control:
    def __init__(self) -> None:
        self.stopped = threading.Event()

    def status(self) -> bytes:
        return encode(Status(job="quotes", pending=2))

    def stop(self) -> None:
        self.stopped.set()


class Fleet:
    """A served set of referents, and what their bugs were."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.queue, self.objects, self.pools, self.control = Queue(), Objects(), Pools(), Control()
        self.bugs: list[BaseException] = []
        self.server = self.serve(0)
        self.token = self.server.join_token()

    def serve(self, port: int) -> FleetServer:
        referents = {
            "Queue": self.queue,
            "dict": Results(),
            "Objects": self.objects,
            "Pools": self.pools,
            "Control": self.control,
        }
        manager = FleetManager.serving(referents, self.identity, "127.0.0.1", port, self.bugs.append)
        server = manager.get_server()
        server.start()
        return server

    def join(self, timeout_s: float = 30.0) -> FleetManager:
        manager = FleetManager.joining(self.token, timeout_s)
        manager.connect()
        return manager


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return load_or_create(tmp_path_factory.mktemp("identity"))


@pytest.fixture
def fleet(identity: Identity) -> Iterator[Fleet]:
    fleet = Fleet(identity)
    yield fleet
    fleet.server.stop()


@pytest.fixture
def manager(fleet: Fleet) -> Iterator[FleetManager]:
    manager = fleet.join()
    yield manager
    manager.disconnect()


def test_the_queue_speaks_messages(fleet: Fleet, manager: FleetManager) -> None:
    queue = manager.Queue()
    assert queue.hello(Hello(session="s")) == WELCOME
    assert queue.exchange(ExchangeRequest(session="s", want=4)) == ExchangeAnswer(idle_s=4.0)
    assert (queue.put("https://a/"), queue.size()) == ("", 3)
    queue.goodbye("s")
    assert fleet.queue.left == ["s"]


def test_the_dict_gives_rows_and_pages(manager: FleetManager) -> None:
    results = manager.dict()
    assert results.get("https://a/") == [{"item": "quote", "text": "ä", "tags": ["a", None]}]
    assert results.get("https://b/") is None
    assert (results.contains("https://a/"), results.contains("https://b/"), results.size()) == (True, False, 1)
    assert results.page(4, 9) == ResultPage(results=(("https://a/", [{"n": 9}]),), cursor=5)


def test_the_objects_are_called_by_all_threads_over_one_connection(fleet: Fleet, manager: FleetManager) -> None:
    line = manager.for_all_threads()
    line.connect()
    objects = line.Objects()
    accepted = fleet.server.counters.accepted
    call = ObjectCall(session="s", thread=1, slot=0, number=3, kind="Lock", name="l", method="acquire")
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        for pool in (one, two):
            assert pool.submit(objects.call, call).result(30) == ObjectReply(value=3)
    assert objects.collect("s", 4, 0.5) == Collected(upto=5, epoch=7)
    assert fleet.server.counters.accepted == accepted + 1
    line.disconnect()


def test_the_pools_speak_messages(fleet: Fleet, manager: FleetManager) -> None:
    pools = manager.Pools()
    asked = AskRequest(session="s", pool=1, asks=(Ask(1, "https://a/"), Ask(2, "https://b/")))
    assert pools.ask(asked) == AskReply(book="7.1", taken=2)
    assert pools.cancel(CancelRequest(session="s", tickets=(2,))) == CancelReply(staying=(2,))
    assert pools.collect("s", 9, 1.5) == SettledPage(book="s", cursor=9)
    pools.close("s", 1)
    assert fleet.pools.closed == [("s", 1)]


def test_control_tells_and_stops(fleet: Fleet, manager: FleetManager) -> None:
    assert manager.Control().status() == Status(job="quotes", pending=2)
    manager.Control().stop()
    assert fleet.control.stopped.is_set()


def test_it_is_a_real_manager(fleet: Fleet, manager: FleetManager) -> None:
    assert isinstance(manager, BaseManager)
    assert isinstance(manager.Queue(), BaseProxy)
    assert manager.address == fleet.server.address
    with pytest.raises(multiprocessing.ProcessError, match="get_server"):
        manager.start()


def test_every_exposed_method_has_a_proxy_method() -> None:
    for typeid, (_, exposed, _, kind) in FleetManager._registry.items():
        assert exposed == EXPOSED[typeid]
        assert exposed <= set(vars(kind))


@pytest.mark.parametrize("error", [VersionError("v"), KeyError("k"), ValueError("o"), TypeError("t")])
def test_a_referents_refusal_is_raised_at_the_caller(fleet: Fleet, manager: FleetManager, error: Exception) -> None:
    def refuse() -> str:
        raise error

    fleet.queue.faults["https://a/"] = refuse
    queue = manager.Queue()
    with pytest.raises(type(error)) as caught:
        queue.put("https://a/")
    assert caught.value.args == error.args
    assert queue.size() == 3
    assert fleet.bugs == []


def test_a_referents_bug_is_told_at_the_coordinator_and_not_to_the_caller(fleet: Fleet, manager: FleetManager) -> None:
    fleet.queue.faults["https://a/"] = lambda: str(1 / 0)
    with pytest.raises(RemoteError) as caught:
        manager.Queue().put("https://a/")
    assert caught.value.name == "InternalError"
    assert "division" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert [type(bug) for bug in fleet.bugs] == [ZeroDivisionError]
    assert manager.Queue().size() == 3


def test_a_result_that_cannot_travel_is_a_bug_of_the_coordinators(fleet: Fleet, manager: FleetManager) -> None:
    fleet.queue.faults["https://a/"] = lambda: {1, 2}  # type: ignore[assignment,return-value]  # on purpose
    with pytest.raises(RemoteError, match="InternalError"):
        manager.Queue().put("https://a/")
    assert "set" in str(fleet.bugs[0])
    assert manager.Queue().size() == 3


def test_an_answer_that_is_too_large_is_refused_and_the_connection_goes_on(
    fleet: Fleet, manager: FleetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "ANSWER_LIMIT", 16 * 1024 * 1024)
    fleet.queue.faults["https://a/"] = lambda: "x" * (16 * 1024 * 1024)
    queue = manager.Queue()
    with pytest.raises(WireError, match="cannot be sent"):
        queue.put("https://a/")
    assert queue.size() == 3
    assert fleet.server.counters.open == 1


def test_an_argument_that_cannot_travel_never_leaves(fleet: Fleet, manager: FleetManager) -> None:
    queue = manager.Queue()
    assert queue.size() == 3
    let_in = fleet.server.counters.accepted
    with pytest.raises(TypeError, match="object cannot be sent"):
        queue.put(object())  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="nan cannot be sent"):
        queue.put(float("nan"))  # type: ignore[arg-type]  # likewise
    with pytest.raises(WireError, match="cannot be sent"):
        queue.put("x" * (16 * 1024 * 1024))
    assert queue.size() == 3
    assert fleet.server.counters.accepted == let_in


@pytest.mark.parametrize("method", ["secret", "#GETVALUE", "__str__", "__repr__", "__class__", "faults", ""])
def test_only_the_listed_methods_can_be_called(manager: FleetManager, method: str) -> None:
    queue = manager.Queue()
    with pytest.raises(RemoteError) as caught:
        queue._callmethod(method)
    assert caught.value.name == "UnknownMethod"
    assert queue.size() == 3


def test_a_wrong_number_of_arguments_is_a_type_error(fleet: Fleet, manager: FleetManager) -> None:
    with pytest.raises(TypeError, match="put"):
        manager.Queue()._callmethod("put", ("a", "b"))
    assert fleet.bugs == []


def test_a_proxy_neither_prints_nor_copies_what_is_behind_it(manager: FleetManager) -> None:
    queue = manager.Queue()
    assert str(queue) == repr(queue)
    with pytest.raises(RemoteError):
        copy.deepcopy(queue)


def test_a_proxy_is_pickled_for_a_starting_child_only(manager: FleetManager) -> None:
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(manager.Queue())


def test_each_thread_has_its_connection_and_shares_it_among_proxies(fleet: Fleet, manager: FleetManager) -> None:
    queue, results = manager.Queue(), manager.dict()
    together = threading.Barrier(4)

    def use() -> int:
        queue.size()
        results.size()
        together.wait(10)
        try:
            return fleet.server.counters.open
        finally:
            together.wait(10)
            manager.disconnect()

    with ThreadPoolExecutor(4) as pool:
        seen = [future.result(30) for future in [pool.submit(use) for _ in range(4)]]
    assert seen == [4, 4, 4, 4]


def test_after_a_restart_the_first_call_fails_and_the_next_connects_anew(fleet: Fleet, manager: FleetManager) -> None:
    queue = manager.Queue()
    assert queue.size() == 3
    port = fleet.server.address[1]
    fleet.server.stop()
    with pytest.raises(Unreachable):
        queue.size()
    with pytest.raises(Unreachable, match="no coordinator answers"):
        queue.size()
    fleet.server = fleet.serve(port)
    assert queue.size() == 3


def test_a_call_that_takes_too_long_is_given_up_and_its_answer_never_mistaken(fleet: Fleet) -> None:
    goes_on = threading.Event()

    def slow() -> str:
        goes_on.wait(30)
        return "late"

    fleet.queue.faults["https://slow/"] = slow
    manager = fleet.join(timeout_s=0.2)
    queue = manager.Queue()
    with pytest.raises(Unreachable, match=r"in time|timed out"):
        queue.put("https://slow/")
    goes_on.set()
    assert queue.size() == 3
    manager.disconnect()


def test_an_interrupted_call_drops_its_connection(manager: FleetManager, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = manager.Queue()
    assert queue.size() == 3

    recv = WireConnection.recv

    def interrupt(connection: WireConnection) -> object:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        return recv(connection)

    with monkeypatch.context() as patch:
        patch.setattr(WireConnection, "recv", interrupt)
        with pytest.raises(KeyboardInterrupt):
            queue.put("https://a/")
    assert queue.size() == 3


def test_stopping_ends_listener_connections_and_threads(fleet: Fleet, manager: FleetManager) -> None:
    assert manager.Queue().size() == 3
    fleet.server.stop()
    assert fleet.server.counters.open == 0
    # One that has just ended may be listed for a moment.
    there = [thread for thread in threading.enumerate() if thread.name.startswith("control-")]
    assert not [thread for thread in there if thread.is_alive()]
    fleet.server.stop()  # twice does no harm


def test_a_call_that_is_being_served_when_the_server_stops_is_answered(fleet: Fleet, manager: FleetManager) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def refuse() -> str:
        begun.set()
        assert may_end.wait(10)
        return "host"

    fleet.queue.faults["https://a/"] = refuse
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(lambda: manager.Queue().put("https://a/"))
        assert begun.wait(10)
        stopping = pool.submit(fleet.server.stop)
        assert fleet.server.stop_event.wait(10)
        while fleet.server._accepting.is_alive():
            assert not answer.done()
        may_end.set()
        assert answer.result(10) == "host"
        stopping.result(10)


def test_a_call_that_takes_too_long_does_not_keep_the_server_from_stopping(
    fleet: Fleet, manager: FleetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crawlfleet.shared.wire.control_port.STOP_S", 0.2)
    begun, may_end = threading.Event(), threading.Event()

    def dawdle() -> str:
        begun.set()
        return str(may_end.wait(10))

    fleet.queue.faults["https://a/"] = dawdle
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(lambda: manager.Queue().put("https://a/"))
        assert begun.wait(10)
        fleet.server.stop()
        with pytest.raises(Unreachable):
            answer.result(10)
        may_end.set()


def test_serve_forever_returns_once_stopped(identity: Identity) -> None:
    server = FleetManager.serving({"Queue": Queue()}, identity, "127.0.0.1", 0).get_server()
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    manager = FleetManager.joining(server.join_token())
    manager.connect()
    assert manager.Queue().size() == 3
    server.stop()
    serving.join(10)
    assert not serving.is_alive()
    manager.disconnect()


def test_each_address_of_the_token_is_tried(fleet: Fleet, identity: Identity) -> None:
    port = fleet.server.address[1]
    token = JoinToken(
        addresses=(("127.0.0.99", port), ("no..host", port), ("127.0.0.1", port)),
        fingerprint=identity.fingerprint,
        secret=identity.secret,
    )
    manager = FleetManager.joining(token)
    manager.connect()
    assert manager.place == ("127.0.0.1", port)
    assert manager.Queue().size() == 3
    manager.disconnect()


def test_a_coordinator_that_refuses_the_first_call_is_no_connection(
    manager: FleetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_server: FleetServer, _connection: object, _name: str) -> str:
        raise Unreachable("come again")

    queue = manager.Queue()
    with monkeypatch.context() as patch:
        patch.setattr(FleetServer, "accept_connection", refuse)
        with pytest.raises(Unreachable, match="come again"):
            queue.size()
    assert queue.size() == 3


def test_a_client_goes_on_with_the_coordinator_that_serves(fleet: Fleet) -> None:
    other = fleet.serve(0)
    token = replace(fleet.token, addresses=(fleet.server.address, other.address))
    manager = FleetManager.joining(token)
    queue, line = manager.Queue(), manager.for_all_threads()
    objects = line.Objects()
    assert (queue.size(), objects.collect("s", 4, 0.5).upto, manager.place) == (3, 5, fleet.server.address)
    fleet.server.stop()
    for call in (queue.size, lambda: objects.collect("s", 4, 0.5)):
        with pytest.raises(Unreachable):
            call()  # whether it was heard is not known
    assert (queue.size(), objects.collect("s", 4, 0.5).upto, manager.place) == (3, 5, other.address)
    assert manager.as_arguments()[1] == (other.address, fleet.server.address)
    manager.disconnect()
    line.disconnect()
    other.stop()


def test_who_was_served_before_a_coordinator_stood_by_is_not_served_as_if_nothing_had_been(fleet: Fleet) -> None:
    manager = FleetManager.joining(fleet.token)
    queue = manager.Queue()
    assert queue.size() == 3
    fleet.server.stand_by(lambda: None)
    fleet.server.share({"Queue": fleet.queue})
    with pytest.raises(NotOwner):
        queue.size()
    assert queue.size() == 3
    manager.disconnect()


def test_a_coordinator_that_waits_refuses_all_and_says_who_serves(fleet: Fleet) -> None:
    other = fleet.serve(0)
    other.stand_by(lambda: fleet.server.address)
    token = replace(fleet.token, addresses=(other.address, fleet.server.address))
    manager = FleetManager.joining(token)
    manager.connect()
    queue = manager.Queue()
    assert (queue.size(), manager.place) == (3, fleet.server.address)
    fleet.server.stand_by(lambda: None)
    other.share({"Queue": fleet.queue})
    with pytest.raises(NotOwner, match="this coordinator waits for its turn: another one owns the crawl"):
        queue.size()
    assert (queue.size(), manager.place) == (3, other.address)
    alone = FleetManager.joining(fleet.token)
    with pytest.raises(NotOwner):
        alone.connect()
    fleet.server.share({"Queue": fleet.queue})
    alone.connect()
    manager.disconnect()
    other.stop()


def test_a_client_learns_of_addresses_from_what_the_coordinator_answers(fleet: Fleet, manager: FleetManager) -> None:
    here, other, third = fleet.server.address, ("b.test", 1), ("c.test", 2)
    fleet.queue.welcome = replace_struct(WELCOME, addresses=(here, other))
    queue, line = manager.Queue(), manager.for_all_threads()
    queue.hello(Hello(session="s"))
    assert line.endpoints.in_order() == (here, other)
    queue.exchange(ExchangeRequest(session="s"))
    assert line.endpoints.in_order() == (here, other)
    fleet.queue.addresses = (third,)
    queue.exchange(ExchangeRequest(session="s"))
    assert line.endpoints.in_order() == (here, third)


def test_a_coordinator_may_be_silent_for_less_than_half_the_lease_time(fleet: Fleet, manager: FleetManager) -> None:
    line = manager.for_all_threads()
    assert line.timeout_s == manager.timeout_s == 30.0
    manager.Queue().hello(Hello(session="s"))
    assert line.timeout_s == manager.timeout_s == CALL_PART * WELCOME.lease_s
    assert CALL_PART < 0.5
    assert fleet.join(timeout_s=0.2).timeout_s == 0.2


def test_a_poll_is_over_before_its_coordinator_counts_as_silent(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    polls: list[float] = []

    def collect(_session: str, after: int, timeout_s: float) -> bytes:
        polls.append(timeout_s)
        return encode(Collected(upto=after, epoch=7))

    monkeypatch.setattr(fleet.objects, "collect", collect)
    manager = fleet.join(timeout_s=0.5)
    for wanted_s in (5.0, 0.1):
        manager.Objects().collect("s", 0, wanted_s)
    assert polls == [0.25, 0.1]
    manager.disconnect()


def test_whoever_is_silent_is_left_for_the_next(fleet: Fleet) -> None:
    silent, other = threading.Event(), fleet.serve(0)
    fleet.queue.faults["https://slow/"] = lambda: str(silent.wait(30))
    token = replace(fleet.token, addresses=(fleet.server.address, other.address))
    manager = FleetManager.joining(token, timeout_s=0.2)
    queue = manager.Queue()
    with pytest.raises(Unreachable, match=r"in time|timed out"):
        queue.put("https://slow/")
    assert (queue.size(), manager.place) == (3, other.address)
    silent.set()
    manager.disconnect()
    other.stop()


def test_a_loopback_server_is_joined_at_its_address(fleet: Fleet, identity: Identity) -> None:
    assert fleet.token == JoinToken(
        addresses=(("127.0.0.1", fleet.server.address[1]),),
        fingerprint=identity.fingerprint,
        secret=identity.secret,
    )
    advertised = (("coordinator", 0), ("other", 7_320), ("coordinator", 0))
    assert fleet.server.join_token(advertised).addresses == (
        ("coordinator", fleet.server.address[1]),
        ("other", 7_320),
    )


def test_a_server_on_all_addresses_names_them(identity: Identity) -> None:
    server = FleetManager.serving({}, identity, "0.0.0.0", 0).get_server()
    assert server.join_token().addresses[-1] == ("127.0.0.1", server.address[1])
    assert "0.0.0.0" not in dict(server.join_token().addresses)
    server.stop()


@pytest.mark.parametrize(
    ("host", "port", "says"),
    [
        ("198.51.100.1", 0, "not an address of this machine"),
        ("127.0.0.1", 70_000, "no port 70000"),
        ("no..host", 0, "cannot listen"),
    ],
)
def test_an_address_that_cannot_be_taken_is_reported(identity: Identity, host: str, port: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        FleetManager.serving({}, identity, host, port).get_server()


def test_a_port_in_use_is_reported(fleet: Fleet) -> None:
    port = fleet.server.address[1]
    with pytest.raises(UsageError, match=f"port {port} of 127.0.0.1 is in use"):
        fleet.serve(port)


def test_nothing_listening_is_unreachable(fleet: Fleet) -> None:
    fleet.server.stop()
    with pytest.raises(Unreachable, match="no coordinator answers"):
        fleet.join()


def use_in_child(queue: QueueProxy, answer: Any) -> None:
    """Call through an inherited or handed proxy, in another process."""
    answer.send_bytes(str(queue.size()).encode())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_a_child_process_has_connections_of_its_own(fleet: Fleet, manager: FleetManager, method: str) -> None:
    queue = manager.Queue()
    assert queue.size() == 3
    ways = multiprocessing.get_context(method)
    reader, writer = ways.Pipe(duplex=False)
    child = ways.Process(target=use_in_child, args=(queue, writer))  # type: ignore[attr-defined]  # every way has one
    accepted = fleet.server.counters.accepted
    child.start()
    writer.close()
    assert reader.poll(60)
    assert reader.recv_bytes() == b"3"
    child.join(30)
    assert child.exitcode == 0
    assert fleet.server.counters.accepted == accepted + 1
    assert queue.size() == 3
    assert fleet.server.counters.accepted == accepted + 1
    reader.close()


def test_a_token_of_another_crawl_is_told_as_such(fleet: Fleet, tmp_path: Any) -> None:
    other = load_or_create(tmp_path)
    for fingerprint, secret, says in (
        (other.fingerprint, other.secret, "certificate is not the token's"),
        (fleet.identity.fingerprint, other.secret, "refuses the token's secret"),
    ):
        token = JoinToken(addresses=fleet.token.addresses, fingerprint=fingerprint, secret=secret)
        with pytest.raises(JoinError, match=says):
            FleetManager.joining(token).connect()


def test_a_server_knows_its_own_address_among_those_of_the_crawl(fleet: Fleet) -> None:
    here = fleet.server.address
    assert fleet.server.place_among((("other", 7_320), here)) == here
    assert fleet.server.place_among((("other", 7_320),)) == here
