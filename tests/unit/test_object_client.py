"""The client of named objects: each call is carried out once, whatever happens to messages, and none waits in vain."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from unittest import mock

import pytest

from crawlfleet.errors import JoinError, RemoteError, Unreachable
from crawlfleet.shared.messages import encode
from crawlfleet.shared.objects import FORGOTTEN, PLACE_LOST, WITHDRAW, Collected, ObjectCall, ObjectReply, Woken
from crawlfleet.worker.hook_waited import HookWaited
from crawlfleet.worker.talk.finished import JobFinished
from crawlfleet.worker.talk.objects.client import ObjectClient
from crawlfleet.worker.talk.objects.threads import Inbox, Threads

PATIENCE_S = 10.0
WAITS = ObjectReply(waits=True, value=1)
DONE = ObjectReply(value="done")

Script = Callable[[ObjectCall], ObjectReply]


class HandCoordinator:
    """The coordinator by hand: `answer` is what it says to a call; what is put into `mail` is collected."""

    def __init__(self) -> None:
        self.answer: Script = lambda _: DONE
        self.calls: list[ObjectCall] = []
        self.mail: queue.SimpleQueue[Collected | Exception] = queue.SimpleQueue()
        self.collecting = threading.Semaphore(0)
        self.away = 0

    def dial(self) -> HandCoordinator:
        return self

    def call(self, call: ObjectCall) -> ObjectReply:
        if self.away:
            self.away -= 1
            raise Unreachable("away")
        self.calls.append(call)
        return self.answer(call)

    def collect(self, _session: str, after: int, _timeout_s: float) -> Collected:
        self.collecting.release()
        try:
            mail = self.mail.get(timeout=0.02)
        except queue.Empty:
            return Collected(upto=after, epoch=1)
        if isinstance(mail, Exception):
            raise mail
        return mail

    def wake(self, call: ObjectCall, reply: ObjectReply = DONE) -> None:
        self.mail.put(Collected(upto=1, epoch=1, woken=(Woken(slot=call.slot, number=call.number, reply=reply),)))

    def methods(self) -> list[str]:
        return [call.method for call in self.calls]


@pytest.fixture
def coordinator() -> HandCoordinator:
    return HandCoordinator()


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def client(coordinator: HandCoordinator, other: ThreadPoolExecutor) -> Iterator[ObjectClient]:
    """A client that is closed before its threads are waited for: a call that waits in vain fails its test only."""
    assert other is not None
    made = ObjectClient(coordinator.dial, "s", patience_s=0.3)
    yield made
    made.close()


def calls_in(coordinator: HandCoordinator, number: int) -> list[ObjectCall]:
    """Return the calls, as soon as there are so many."""
    while len(coordinator.calls) < number:
        assert coordinator.collecting.acquire(timeout=PATIENCE_S)
    return coordinator.calls[:number]


def acquire(client: ObjectClient) -> Any:
    return client.call("Lock", "door", "acquire", timeout_s=None)


def test_a_call_is_sent_again_with_its_number_until_it_is_answered(
    client: ObjectClient, coordinator: HandCoordinator
) -> None:
    coordinator.away = 1
    assert client.call("Value", "n", "add", 1) == "done"
    assert client.call("Value", "n", "add", 1) == "done"
    assert [(call.slot, call.number) for call in coordinator.calls] == [(0, 1), (0, 2)]


def test_a_coordinator_that_stays_away_is_told(client: ObjectClient, coordinator: HandCoordinator) -> None:
    coordinator.away = 1_000
    with pytest.raises(Unreachable):
        client.call("Value", "n", "add", 1)
    with pytest.raises(Unreachable):
        client.read("Value", "n", "get")


def test_a_call_that_waits_gets_the_answer_that_is_collected(
    client: ObjectClient, coordinator: HandCoordinator, other: ThreadPoolExecutor
) -> None:
    coordinator.answer = lambda _: WAITS
    waiting = other.submit(acquire, client)
    assert coordinator.collecting.acquire(timeout=PATIENCE_S)
    coordinator.wake(coordinator.calls[0])
    assert waiting.result(PATIENCE_S) == "done"


def test_the_answer_of_an_earlier_call_of_the_slot_is_not_taken_for_that_of_the_one_that_waits(
    client: ObjectClient, coordinator: HandCoordinator, other: ThreadPoolExecutor
) -> None:
    earlier = acquire_at_once(client, coordinator)
    coordinator.answer = lambda _: WAITS
    waiting = other.submit(acquire, client)
    assert coordinator.collecting.acquire(timeout=PATIENCE_S)
    coordinator.wake(earlier, ObjectReply(value="too late"))
    coordinator.wake(coordinator.calls[-1])
    assert waiting.result(PATIENCE_S) == "done"


def test_an_answer_that_is_collected_before_its_call_knows_that_it_waits_is_not_lost(
    client: ObjectClient, coordinator: HandCoordinator, other: ThreadPoolExecutor
) -> None:
    def answer(call: ObjectCall) -> ObjectReply:
        if call.slot == 1:
            while coordinator.collecting.acquire(blocking=False):
                pass
            coordinator.wake(call)
            for _ in range(2):  # at the second collection the first one has been taken apart
                assert coordinator.collecting.acquire(timeout=PATIENCE_S)
        return WAITS

    coordinator.answer = answer
    first = other.submit(acquire, client)
    assert coordinator.collecting.acquire(timeout=PATIENCE_S)
    assert other.submit(acquire, client).result(PATIENCE_S) == "done"
    coordinator.wake(coordinator.calls[0])
    assert first.result(PATIENCE_S) == "done"


def test_who_lost_its_place_goes_to_the_end_of_the_line(
    client: ObjectClient, coordinator: HandCoordinator, other: ThreadPoolExecutor
) -> None:
    coordinator.answer = lambda _: WAITS
    waiting = other.submit(acquire, client)
    assert coordinator.collecting.acquire(timeout=PATIENCE_S)
    coordinator.answer = lambda _: DONE
    coordinator.wake(coordinator.calls[0], ObjectReply(error=PLACE_LOST))
    assert waiting.result(PATIENCE_S) == "done"
    assert [call.number for call in coordinator.calls] == [1, 2]


def test_what_nobody_knows_any_more_is_an_error_and_the_next_call_begins_anew(
    client: ObjectClient, coordinator: HandCoordinator
) -> None:
    client.call("Value", "n", "add", 1)
    coordinator.answer = lambda _: ObjectReply(error=FORGOTTEN, text="who?")
    with pytest.raises(RemoteError, match="who"):
        client.call("Value", "n", "add", 1)
    coordinator.answer = lambda _: DONE
    client.call("Value", "n", "add", 1)
    assert [call.number for call in coordinator.calls] == [1, 2, 1]


def test_waiting_calls_are_sent_again_to_the_next_incarnation(
    client: ObjectClient, coordinator: HandCoordinator, other: ThreadPoolExecutor
) -> None:
    coordinator.answer = lambda _: WAITS
    waiting = other.submit(acquire, client)
    assert coordinator.collecting.acquire(timeout=PATIENCE_S)
    coordinator.answer = lambda _: ObjectReply(waits=True, value=2)
    coordinator.mail.put(Unreachable("restarting"))
    coordinator.mail.put(Collected(upto=0, epoch=2))
    while len(coordinator.calls) < 2:
        assert coordinator.collecting.acquire(timeout=PATIENCE_S)
    assert coordinator.calls[0] == coordinator.calls[1]
    coordinator.answer = lambda _: DONE
    coordinator.mail.put(Collected(upto=0, epoch=3))
    assert waiting.result(PATIENCE_S) == "done"


@pytest.mark.parametrize(
    ("mail", "error"),
    [
        (Collected(upto=0, epoch=1, finished=True), JobFinished),
        (RemoteError("InternalError", "a bug"), RemoteError),
    ],
)
def test_whoever_waits_hears_of_the_end(
    client: ObjectClient,
    coordinator: HandCoordinator,
    other: ThreadPoolExecutor,
    mail: Collected | Exception,
    error: type[Exception],
) -> None:
    coordinator.answer = lambda _: WAITS
    waiting = other.submit(acquire, client)
    coordinator.mail.put(mail)
    with pytest.raises(error):
        waiting.result(PATIENCE_S)


def test_whoever_waits_hears_of_a_coordinator_that_stays_away(
    client: ObjectClient, coordinator: HandCoordinator, other: ThreadPoolExecutor
) -> None:
    coordinator.answer = lambda _: WAITS
    waiting = other.submit(acquire, client)
    for _ in range(100):
        coordinator.mail.put(Unreachable("away"))
    with pytest.raises(Unreachable):
        waiting.result(PATIENCE_S)


def test_whoever_waits_next_begins_with_all_its_patience(
    client: ObjectClient, coordinator: HandCoordinator, other: ThreadPoolExecutor
) -> None:
    coordinator.answer = lambda _: WAITS
    for _ in range(100):
        coordinator.mail.put(Unreachable("away"))
    with pytest.raises(Unreachable):
        acquire(client)
    while not coordinator.mail.empty():
        coordinator.mail.get()
    coordinator.mail.put(Unreachable("away, for a moment"))
    waiting = other.submit(acquire, client)
    while not coordinator.mail.empty():
        assert coordinator.collecting.acquire(timeout=PATIENCE_S)
    coordinator.wake([call for call in coordinator.calls if call.method == "acquire"][-1])
    assert waiting.result(PATIENCE_S) == "done"


def test_a_single_thread_replaces_the_last_answers_of_all_that_called_before(
    client: ObjectClient, coordinator: HandCoordinator, other: ThreadPoolExecutor
) -> None:
    coordinator.answer = lambda _: WAITS
    waiting = [other.submit(acquire, client) for _ in range(2)]
    for call in calls_in(coordinator, 2):
        coordinator.wake(call)
    for each in waiting:
        each.result(PATIENCE_S)
    coordinator.answer = lambda _: DONE
    for _ in range(4):
        release(client)
    assert sorted(call.slot for call in coordinator.calls[2:4]) == [0, 1]
    assert {call.slot for call in coordinator.calls} == {0, 1}


def test_closing_ends_what_waits_and_what_comes_later(
    client: ObjectClient, coordinator: HandCoordinator, other: ThreadPoolExecutor
) -> None:
    coordinator.answer = lambda _: WAITS
    waiting = other.submit(acquire, client)
    assert coordinator.collecting.acquire(timeout=PATIENCE_S)
    client.close()
    with pytest.raises(ValueError, match="is closed"):
        waiting.result(PATIENCE_S)
    with pytest.raises(ValueError, match="is closed"):
        acquire(client)
    with pytest.raises(ValueError, match="is closed"):
        client.read("Lock", "door", "owner")


def test_a_hook_that_waits_for_too_long_gives_its_call_up(coordinator: HandCoordinator) -> None:
    client = ObjectClient(coordinator.dial, "s", patience_s=0.3, hook_wait_s=0.05)
    coordinator.answer = lambda call: DONE if call.method == WITHDRAW else WAITS
    with pytest.raises(HookWaited, match=r"waited 0.05 s for the Lock 'door'"):
        acquire(client)
    assert coordinator.methods() == ["acquire", WITHDRAW]
    assert coordinator.calls[1].args == ("acquire",)
    assert acquire_at_once(client, coordinator).number == 2
    client.close()


def test_a_call_that_is_given_up_while_the_coordinator_is_away_is_given_up_later(coordinator: HandCoordinator) -> None:
    client = ObjectClient(coordinator.dial, "s", patience_s=0.3, hook_wait_s=0.05)
    withdrawn = threading.Event()

    def answer(call: ObjectCall) -> ObjectReply:
        if call.method != WITHDRAW:
            coordinator.away = 2
            return WAITS
        withdrawn.set()
        return DONE

    coordinator.answer = answer
    with pytest.raises(HookWaited):
        acquire(client)
    # Its slot is not used again before.
    assert withdrawn.wait(PATIENCE_S)
    assert coordinator.calls[-1].number == 1
    client.close()


def test_a_call_that_cannot_be_given_up_is_only_logged(coordinator: HandCoordinator) -> None:
    client = ObjectClient(coordinator.dial, "s", patience_s=0.3, hook_wait_s=0.05)

    def answer(call: ObjectCall) -> ObjectReply:
        if call.method == WITHDRAW:
            raise RemoteError("InternalError", "a bug")
        return WAITS

    coordinator.answer = answer
    with pytest.raises(HookWaited):
        acquire(client)
    client.close()


def withdrawals(coordinator: HandCoordinator, *, refused: Iterable[Exception] = ()) -> threading.Event:
    """Let all calls wait; return what is set when one was given up, after so many refusals."""
    withdrawn, refusals = threading.Event(), iter(refused)

    def answer(call: ObjectCall) -> ObjectReply:
        if call.method != WITHDRAW:
            return WAITS
        for refusal in refusals:
            raise refusal
        withdrawn.set()
        return DONE

    coordinator.answer = answer
    return withdrawn


@pytest.mark.parametrize("error", [RemoteError("InternalError", "a bug"), Unreachable("away")])
def test_a_call_whose_answer_cannot_be_collected_leaves_its_line(
    coordinator: HandCoordinator, error: Exception
) -> None:
    withdrawn = withdrawals(coordinator)
    coordinator.mail.put(error)
    with closing(ObjectClient(coordinator.dial, "s", patience_s=-1.0)) as client:
        with pytest.raises(type(error)):
            acquire(client)
        assert withdrawn.wait(PATIENCE_S)
    assert coordinator.methods() == ["acquire", WITHDRAW]


def test_a_call_that_the_end_of_the_crawl_ended_is_not_given_up(
    client: ObjectClient, coordinator: HandCoordinator
) -> None:
    withdrawals(coordinator)
    coordinator.mail.put(Collected(upto=0, epoch=1, finished=True))
    with pytest.raises(JobFinished):
        acquire(client)
    assert coordinator.methods() == ["acquire"]


def test_a_call_that_was_sent_in_vain_is_given_up_when_the_coordinator_is_back(coordinator: HandCoordinator) -> None:
    withdrawn = withdrawals(coordinator)
    coordinator.away = 4
    with closing(ObjectClient(coordinator.dial, "s", patience_s=-1.0)) as client:
        with pytest.raises(Unreachable):
            acquire(client)
        assert withdrawn.wait(PATIENCE_S)
        assert [(call.method, call.number) for call in coordinator.calls] == [(WITHDRAW, 1)]


@pytest.mark.parametrize("refusal", [Unreachable("away"), JoinError("another server"), OSError("no more files")])
def test_a_call_is_given_up_however_long_that_is_refused(coordinator: HandCoordinator, refusal: Exception) -> None:
    withdrawn = withdrawals(coordinator, refused=[refusal] * 4)
    with closing(ObjectClient(coordinator.dial, "s", patience_s=0.0, hook_wait_s=0.05)) as client:
        with pytest.raises(HookWaited):
            acquire(client)
        assert withdrawn.wait(PATIENCE_S)


class SlowThreads(Threads):
    """Threads that begin nothing, and whose first sleep may be interrupted (Ctrl-C)."""

    def __init__(self, *, has_to_interrupt: bool = False) -> None:
        self.has_to_interrupt = has_to_interrupt

    def start(self, work: Callable[[], None]) -> None:
        pass

    def sleep(self, seconds: float) -> None:
        if self.has_to_interrupt:
            self.has_to_interrupt = False
            raise KeyboardInterrupt
        super().sleep(seconds)


def hook_that_leaves(coordinator: HandCoordinator, threads: Threads, *, away: int, patience_s: float) -> ObjectClient:
    """Return a client of which this thread's call is to be given up, but the coordinator is away for some messages."""
    client = ObjectClient(coordinator.dial, "s", patience_s=patience_s, hook_wait_s=0.01, threads=threads)

    def answer(call: ObjectCall) -> ObjectReply:
        if call.method == "acquire":
            coordinator.away = away
            return WAITS
        return DONE

    coordinator.answer = answer
    with pytest.raises(HookWaited):
        acquire(client)
    assert coordinator.methods() == ["acquire"]
    return client


def release(client: ObjectClient) -> Any:
    return client.call("Lock", "door", "release")


def read_owner(client: ObjectClient) -> Any:
    return client.read("Lock", "door", "owner")


@pytest.mark.parametrize("following", [release, read_owner])
def test_a_call_does_not_overtake_the_end_of_the_last_one_of_its_thread(
    coordinator: HandCoordinator, following: Callable[[ObjectClient], Any]
) -> None:
    client = hook_that_leaves(coordinator, SlowThreads(), away=3, patience_s=PATIENCE_S)
    following(client)
    following(client)
    assert coordinator.methods()[1] == WITHDRAW
    assert coordinator.methods().count(WITHDRAW) == 1
    assert len(coordinator.calls) == 4


def test_a_call_waits_for_the_end_of_the_last_one_as_long_as_for_the_coordinator(coordinator: HandCoordinator) -> None:
    client = hook_that_leaves(coordinator, SlowThreads(), away=1_000, patience_s=0.0)
    for _ in range(2):
        with pytest.raises(Unreachable):
            release(client)
    coordinator.away = 0
    release(client)
    assert coordinator.methods() == ["acquire", WITHDRAW, "release"]


def test_ctrl_c_while_the_last_call_is_given_up_lets_no_later_one_overtake_it(coordinator: HandCoordinator) -> None:
    client = hook_that_leaves(coordinator, SlowThreads(has_to_interrupt=True), away=3, patience_s=PATIENCE_S)
    with pytest.raises(KeyboardInterrupt):
        release(client)
    release(client)
    assert coordinator.methods() == ["acquire", WITHDRAW, "release"]


def test_a_thread_goes_on_if_the_end_of_its_last_call_is_refused(coordinator: HandCoordinator) -> None:
    client = hook_that_leaves(coordinator, SlowThreads(), away=1, patience_s=PATIENCE_S)
    withdrawals(coordinator, refused=[RemoteError("InternalError", "a bug")] * 2)
    assert read_owner(client) == WAITS.value


def test_a_call_that_cannot_be_sent_leaves_no_gap_in_the_numbers_of_the_next_ones(coordinator: HandCoordinator) -> None:
    def answer(call: ObjectCall) -> ObjectReply:
        encode(call)
        return DONE

    coordinator.answer = answer
    with closing(ObjectClient(coordinator.dial, "s", patience_s=0.3)) as client:
        name: Any = object()
        for _ in range(2):
            with pytest.raises(TypeError):
                client.call("Lock", name, "open")
        coordinator.calls.clear()
        release(client)
        # Nobody knows whether the number of a slot that never made a call was sent: the next call is in another one.
        assert [call.number for call in coordinator.calls] == [1]
        assert coordinator.calls[0].slot > 0


def test_a_call_that_is_interrupted_before_it_is_sent_leaves_no_gap_in_the_numbers(
    client: ObjectClient, coordinator: HandCoordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for early in ("_message", "_expect"):
        with monkeypatch.context() as patch:
            patch.setattr(client, early, mock.Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                release(client)
    release(client)
    assert [(call.slot, call.number, call.method) for call in coordinator.calls] == [(0, 1, "release")]


def test_a_waiting_call_that_nobody_knows_any_more_lets_the_next_call_begin_anew(
    client: ObjectClient, coordinator: HandCoordinator
) -> None:
    release(client)
    coordinator.answer = lambda call: WAITS if call.number == 2 else DONE
    coordinator.mail.put(
        Collected(upto=1, epoch=1, woken=(Woken(slot=0, number=2, reply=ObjectReply(error=FORGOTTEN)),))
    )
    with pytest.raises(RemoteError, match=FORGOTTEN):
        acquire(client)
    release(client)
    assert [call.number for call in coordinator.calls] == [1, 2, 1]


@pytest.mark.parametrize("following", [release, read_owner])
def test_a_call_inside_another_one_of_its_thread_is_an_error(
    client: ObjectClient, coordinator: HandCoordinator, following: Callable[[ObjectClient], Any]
) -> None:
    def handle_signal(_: ObjectCall) -> ObjectReply:
        with pytest.raises(RuntimeError, match="cannot be used in a signal handler"):
            following(client)
        return DONE

    coordinator.answer = handle_signal
    assert acquire(client) == "done"
    assert client.read("Lock", "door", "owner") == "done"
    coordinator.answer = lambda _: DONE
    assert following(client) == "done"


def test_a_finalizer_in_a_thread_of_the_client_cannot_use_an_object(coordinator: HandCoordinator) -> None:
    with closing(ObjectClient(coordinator.dial, "s", patience_s=0.0, hook_wait_s=0.05)) as client:
        errors: list[str] = []

        def finalize() -> None:
            try:
                release(client)
            except RuntimeError as error:
                errors.append(threading.current_thread().name + str(error))

        def answer(call: ObjectCall) -> ObjectReply:
            if call.method == WITHDRAW:
                if threading.current_thread() is threading.main_thread():
                    raise Unreachable("away")
                finalize()
                withdrawn.set()
                return DONE
            return WAITS

        def collect(_session: str, after: int, _timeout_s: float) -> Collected:
            finalize()
            return Collected(upto=after, epoch=1)

        withdrawn = threading.Event()
        coordinator.answer = answer
        coordinator.collect = collect  # type: ignore[method-assign]  # that is the point
        with pytest.raises(HookWaited):
            acquire(client)
        assert withdrawn.wait(PATIENCE_S)
        assert len(errors) >= 2
        assert not any(error.startswith("MainThread") for error in errors)


class InterruptedThreads(Threads):
    """Threads that are interrupted (Ctrl-C) as they start another, or wake one, the first time."""

    def __init__(self) -> None:
        self.bell: InterruptedBell | None = None
        self.has_to_interrupt = True

    def inbox(self) -> Inbox:
        if self.bell is None:
            self.bell = InterruptedBell()
            return self.bell
        return super().inbox()

    def start(self, work: Callable[[], None]) -> None:
        if self.has_to_interrupt:
            self.has_to_interrupt = False
            raise KeyboardInterrupt
        super().start(work)


class InterruptedBell:
    def __init__(self) -> None:
        self.rings: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.rests = threading.Semaphore(0)
        self.has_to_interrupt = True

    def put(self, item: Any) -> None:
        if self.has_to_interrupt:
            self.has_to_interrupt = False
            raise KeyboardInterrupt
        self.rings.put(item)

    def get(self, *, timeout: float | None = None) -> Any:
        self.rests.release()
        return self.rings.get(timeout=timeout)

    def empty(self) -> bool:
        return self.rings.empty()


def test_who_waits_after_an_interruption_does_not_wait_in_vain(
    coordinator: HandCoordinator, other: ThreadPoolExecutor
) -> None:
    threads = InterruptedThreads()
    coordinator.answer = lambda call: DONE if call.method == WITHDRAW else WAITS
    with closing(ObjectClient(coordinator.dial, "s", patience_s=0.3, threads=threads)) as client:
        for _ in ("no thread collects yet", "the thread that collects rests"):
            with pytest.raises(KeyboardInterrupt):
                acquire(client)
            while coordinator.collecting.acquire(blocking=False):
                pass
            waiting = other.submit(acquire, client)
            assert coordinator.collecting.acquire(timeout=PATIENCE_S)
            coordinator.wake(coordinator.calls[-1])
            assert waiting.result(PATIENCE_S) == "done"
            assert threads.bell is not None
            assert threads.bell.rests.acquire(timeout=PATIENCE_S)


def acquire_at_once(client: ObjectClient, coordinator: HandCoordinator) -> ObjectCall:
    coordinator.answer = lambda _: DONE
    acquire(client)
    return coordinator.calls[-1]
