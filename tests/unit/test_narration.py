"""What coordinators and workers say while they work: who came and went, and how far they are, but not too often."""

from __future__ import annotations

import io

from crawlfleet.screen.narration import Narration
from crawlfleet.shared.status import Status
from crawlfleet.worker.process.narrator import Narrator
from crawlfleet.worker.process.printing import OVER_PROGRESS, ToTerminal
from tests.unit.core_crawl import CoreCrawl


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_coordinator_says_who_came_and_went() -> None:
    crawl = CoreCrawl()
    crawl.hello("s", "t")
    assert crawl.service.members.take_news() == ()  # workers of a test have no name
    for session in ("a", "b"):
        crawl.service.members.welcome(session, f"host/{session}", 60.0)
    crawl.service.members.welcome("a", "host/a", 90.0)
    crawl.service.members.welcome("p", "program", 60.0, fetches=False)
    crawl.service.goodbye("a", 0.0)
    crawl.pass_time(1_000.0)
    joined = ("worker host/a joined: 3 workers now", "worker host/b joined: 4 workers now")
    news = crawl.service.members.take_news()
    assert news[:4] == (*joined, "program program joined: 4 workers now", "worker host/a left: 3 workers now")
    assert "worker host/b was lost: 0 workers now" in news
    assert crawl.service.members.take_news() == ()


def test_a_coordinator_says_every_ten_seconds_how_far_it_is_if_something_happens() -> None:
    said: list[str] = []
    clock = Clock()
    narration = Narration(said.append, clock)
    for clock.now in range(31):
        status = Status(job="job", fetched=min(int(clock.now), 20), workers=1, elapsed_s=clock.now)
        narration(status, ("worker a joined: 1 worker now",) if clock.now == 3 else ())
    assert said == [
        "worker a joined: 1 worker now",
        "job: 10 pages · 1/s · 0 to go · 0 rows · 1 worker · 10 s",
        "job: 20 pages · 1/s · 0 to go · 0 rows · 1 worker · 20 s",
    ]


def test_a_coordinator_without_workers_says_that_it_waits_for_them() -> None:
    said: list[str] = []
    clock = Clock()
    narration = Narration(said.append, clock)
    clock.now = 10.0
    narration(Status(job="job", unfinished=1, elapsed_s=10.0), ())
    assert said == ["job: 0 pages · 0/s · 1 to go · 0 rows · 0 workers · 10 s: waiting for workers"]


def test_a_worker_says_when_it_joined_how_much_it_does_and_how_it_ended() -> None:
    said: list[str] = []
    clock = Clock()
    narrator = Narrator(said.append, 2, clock)
    narrator.look()
    narrator.joined("job")
    narrator.joined("job")
    for clock.now in range(31):
        narrator.worked(100 if clock.now <= 10 else 0)
        narrator.look()
    narrator.ended(drained=False)
    assert said == [
        "job: joined with 2 processes",
        "job: 1,100 URLs done here · 110/s",
        "job: the crawl is finished · 1,100 URLs done here · 30 s",
    ]


def test_a_worker_that_never_joined_has_nothing_to_say() -> None:
    said: list[str] = []
    Narrator(said.append, 1).ended(drained=True)
    assert said == []


def test_what_a_hook_prints_on_a_terminal_takes_the_place_of_the_line_of_progress() -> None:
    out = io.StringIO()
    print("one", 1, file=ToTerminal(out, OVER_PROGRESS))
    stream = ToTerminal(out, OVER_PROGRESS)
    print("two", end=" ", file=stream)
    print("halves", file=stream)
    assert out.getvalue() == f"{OVER_PROGRESS}one 1\n{OVER_PROGRESS}two halves\n"


def test_what_a_hook_prints_does_not_control_the_terminal() -> None:
    out = io.StringIO()
    print("\x1b[2Jone\ttwo\r\u202ethree", "\x9b", sep="\n", file=ToTerminal(out, ""))
    assert out.getvalue() == "\\x1b[2Jone\ttwo\\r\\u202ethree\n\\x9b\n"
