"""Which page a worker names, and which it ends."""

from __future__ import annotations

import multiprocessing
import threading
from dataclasses import dataclass, field

import pytest

from crawlfleet.shared.messages import Kind, Task
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.aside import ASIDE, Taken
from crawlfleet.worker.hook_waited import WAITS
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.process.cpu_time import ThreadClock, ThreadGone
from crawlfleet.worker.process.current_pages import CurrentPages, PageLimits, outline_of
from crawlfleet.worker.readers import Readers, Reading
from crawlfleet.worker.watch import Watch, WatchOptions

LIMITS = PageLimits(cpu_s=30.0, parse_time_s=600.0)
ATTEMPT = Attempt(lease_id=1, host="a", task=Task(ref=b"1", kind=Kind.PAGE, url="http://a/1", depth=0), started_at=0.0)


@dataclass
class Desk:
    """One parse thread, of which this test is the code, at a given time."""

    now: float = 0.0
    ended: list[tuple[str, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    gone: list[Reading] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pages = CurrentPages(multiprocessing.get_context("spawn"), workers=1, threads=2).of(0)
        self.readers = Readers(2, self.pages, lambda _host: 0.0, lambda: self.now)
        options = WatchOptions(limits=LIMITS, hook=__file__, say=self.said.append)
        self.watch = Watch(self.readers, self.pages, options, self._end, self.gone.append, lambda: self.now)
        self.readers.enter(0)
        self.reading = self.readers.begin(0, ATTEMPT, outline_of(ATTEMPT.key))

    def look(self, now: float) -> None:
        self.now = now
        self.watch.look()

    def _end(self, reading: Reading, reason: Reason, detail: str) -> None:
        assert reading is self.reading
        self.ended.append((reason, detail))


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(ThreadClock, "seconds", lambda _: 0.0)
    return Desk()


def test_a_page_beyond_its_cpu_time_is_ended_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ThreadClock, "seconds", lambda _: 30.0)
    desk.look(1.0)
    assert not desk.ended
    monkeypatch.setattr(ThreadClock, "seconds", lambda _: 30.1)
    desk.look(2.0)
    desk.look(3.0)
    ((reason, detail),) = desk.ended
    assert reason == "cpu_limit"
    assert detail.startswith(f"the hook at {__file__}:")
    assert detail.endswith(" took more than 30s of CPU time (limits.cpu)")
    assert not desk.readers.end(desk.reading)
    assert desk.pages.last_beat() == 3.0


def test_a_look_tells_the_cpu_time_of_the_page_that_has_taken_most(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ThreadClock, "seconds", lambda _: 12.5)
    assert desk.watch.look() == 12.5
    desk.readers.end(desk.reading)
    assert desk.watch.look() == 0.0


def test_the_cpu_time_of_a_parser_that_works_aside_counts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ASIDE, "taken", lambda _: Taken(cpu_s=30.1))
    desk.look(1.0)
    assert [reason for reason, _ in desk.ended] == ["cpu_limit"]


def test_the_time_in_which_a_parser_was_kept_from_running_does_not_count(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ASIDE, "taken", lambda _: Taken(kept_s=500.0))
    desk.look(1_099.0)
    assert not desk.ended
    (record,) = desk.pages.read_all()
    assert record.waited_s == 500.0
    desk.look(1_101.0)
    assert [reason for reason, _ in desk.ended] == ["parse_time"]


def test_a_page_that_was_read_in_time_is_not_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.readers.end(desk.reading)
    monkeypatch.setattr(ThreadClock, "seconds", lambda _: 99.0)
    desk.look(9_000.0)
    assert (desk.ended, desk.said) == ([], [])


def test_a_page_beyond_its_time_is_ended_without_its_waits(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WAITS, "_clock", lambda: desk.now)
    desk.now = 1.0
    with WAITS.waiting():
        desk.look(500.0)
    desk.look(1_099.0)
    assert not desk.ended
    desk.look(1_099.5)
    ((reason, detail),) = desk.ended
    assert (reason, detail.endswith(" took longer than 10m (limits.parse_time)")) == ("parse_time", True)
    (record,) = desk.pages.read_all()
    assert record.waited_s == 499.0


def test_a_page_that_takes_long_is_named_at_growing_intervals_with_the_line_of_its_hook(desk: Desk) -> None:
    for now in range(300):
        desk.look(float(now))
    begins = [f"http://a/1 has been read for {took}: the hook at {__file__}:" for took in ("30s", "1m", "2m", "4m")]
    assert [said.startswith(begin) for said, begin in zip(desk.said, begins, strict=True)] == [True] * 4


def test_a_thread_that_is_not_in_the_hook_is_said_to_parse(desk: Desk) -> None:
    stop, ready = threading.Event(), threading.Event()

    def read() -> None:
        desk.readers.enter(1)
        desk.readers.begin(1, ATTEMPT, outline_of(ATTEMPT.key))
        ready.set()
        stop.wait(10)

    desk.readers.end(desk.reading)
    desk.watch._hook = "/another/hook.py"
    thread = threading.Thread(target=read)
    thread.start()
    ready.wait(10)
    desk.look(30.0)
    stop.set()
    thread.join()
    assert desk.said == ["http://a/1 has been read for 30s: the parser is at work (thread parse-1 of this worker)"]


def test_a_page_that_ends_its_thread_is_noticed_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(_: ThreadClock) -> float:
        raise ThreadGone

    monkeypatch.setattr(ThreadClock, "seconds", dead)
    desk.look(1.0)
    desk.look(2.0)
    assert desk.gone == [desk.reading]


def test_no_thread_is_left_when_the_pages_of_all_were_ended(desk: Desk) -> None:
    desk.readers.enter(1)
    assert desk.readers.claim(desk.reading)
    assert not desk.readers.are_all_ended()
    other = desk.readers.begin(1, ATTEMPT, outline_of(ATTEMPT.key))
    assert desk.readers.claim(other)
    assert desk.readers.are_all_ended()
