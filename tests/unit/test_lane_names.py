"""A lane waits for its host's name before anything starts, takes no thread meanwhile, and holds up no other lane."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from crawlfleet.shared.messages import Kind, Lease, Task, TaskKey
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.agenda import Agenda
from crawlfleet.worker.fetch.port import Name
from crawlfleet.worker.lanes import Attempt, Lanes
from crawlfleet.worker.talk.demand import FetchDemand

FAR = 1e9
PATIENCE_S = 10.0
HERE = Name(("127.0.0.1",))
NOWHERE = Name((), Reason.DNS_FAILED, "there is no such name")


def lease(number: int, host: str, names: str, spacing_s: float = 0.0, slots: int = 1) -> Lease:
    tasks = tuple(
        Task(ref=name.encode(), kind=Kind.PAGE, url=f"http://{host}/{name}", depth=0) for name in names.split()
    )
    return Lease(id=number, host=host, tasks=tasks, spacing_s=spacing_s, slots=slots)


def pop_all(lanes: Lanes, now: float) -> list[Attempt]:
    attempts = []
    while (attempt := lanes.pop_ready(now)) is not None:
        attempts.append(attempt)
    return attempts


def unknown(_host: str) -> Name | None:
    return None


def refs(attempts: list[Attempt]) -> list[str]:
    return [attempt.task.ref.decode() for attempt in attempts]


def test_nothing_of_a_host_starts_before_its_name_is_known_and_then_all_does() -> None:
    known: dict[str, Name] = {"b": HERE}
    lanes = Lanes(known.get)
    lanes.add(lease(1, "a", "x y", slots=2), 0, FAR)
    lanes.add(lease(2, "b", "z"), 0, FAR)
    assert refs(pop_all(lanes, 1.0)) == ["z"]
    assert lanes.take_unnamed() == ["a"]
    assert (pop_all(lanes, 2.0), lanes.take_unnamed(), lanes.next_at()) == ([], [], None)
    assert lanes.take_news().started == (TaskKey(2, b"z"),)
    known["a"] = HERE
    lanes.named("a", HERE, 3.5)
    first, second = pop_all(lanes, 4.0)
    assert [(one.name, one.lookup_s, one.started_at) for one in (first, second)] == [(HERE, 2.5, 4.0), (HERE, 0.0, 4.0)]


def test_an_attempt_whose_name_has_no_address_says_so_even_if_the_answer_is_not_kept() -> None:
    lanes = Lanes(unknown)
    lanes.add(lease(1, "a", "x y"), 0, FAR)
    assert (pop_all(lanes, 0), lanes.take_unnamed()) == ([], ["a"])
    lanes.named("a", NOWHERE, 1.0)
    (attempt,) = pop_all(lanes, 1.0)
    assert attempt.name == NOWHERE
    lanes.done(attempt)
    assert (pop_all(lanes, 1.0), lanes.take_unnamed()) == ([], ["a"])


def test_without_a_resolver_no_lane_waits_for_a_name() -> None:
    lanes = Lanes()
    lanes.add(lease(1, "a", "x"), 0, FAR)
    (attempt,) = pop_all(lanes, 0)
    assert attempt.name is None
    lanes.named("a", HERE, 0)


def test_tasks_that_wait_for_a_name_are_deferred_so_that_others_are_asked_for() -> None:
    demand = FetchDemand.for_fetches(4)
    lanes = Lanes(unknown)
    for number in range(8):
        lanes.add(lease(number, f"h{number}", "u v"), 0, FAR)
    assert demand.want(lanes.waiting, lanes.deferred) == 0
    assert pop_all(lanes, 0) == []
    assert (lanes.waiting, lanes.deferred) == (16, 16)
    assert demand.want(lanes.waiting, lanes.deferred) == 16
    lanes.add(lease(8, "h0", "w"), 0, FAR)
    assert (lanes.waiting, lanes.deferred) == (17, 17)
    lanes.drop([0])
    assert (lanes.waiting, lanes.deferred) == (15, 15)
    for number in range(8):
        lanes.named(f"h{number}", HERE, 1.0)
    assert (lanes.waiting, lanes.deferred) == (15, 0)


def test_tasks_of_spaced_hosts_stay_deferred_when_their_name_is_known() -> None:
    lanes = Lanes(unknown)
    lanes.add(lease(1, "a", "x y", spacing_s=5.0), 0, FAR)
    pop_all(lanes, 0)
    lanes.named("a", HERE, 1.0)
    assert (lanes.waiting, lanes.deferred) == (2, 2)
    assert refs(pop_all(lanes, 1.0)) == ["x"]
    assert (lanes.waiting, lanes.deferred) == (1, 1)


def test_the_gap_between_starts_counts_from_when_the_name_was_known() -> None:
    known: dict[str, Name] = {}
    lanes = Lanes(known.get)
    lanes.add(lease(1, "a", "x y", spacing_s=5.0, slots=2), 0, FAR)
    assert pop_all(lanes, 0) == []
    known["a"] = HERE
    lanes.named("a", HERE, 8.0)
    assert refs(pop_all(lanes, 8.0)) == ["x"]
    assert pop_all(lanes, 12.9) == []
    assert [attempt.gap_s for attempt in pop_all(lanes, 13.0)] == [5.0]


def test_nothing_starts_whose_lease_ended_or_was_dropped_while_the_name_was_looked_up() -> None:
    lanes = Lanes(unknown)
    lanes.add(lease(1, "a", "x"), 0, 5.0)
    lanes.add(lease(2, "b", "y"), 0, FAR)
    lanes.add(lease(3, "c", "z"), 0, FAR)
    assert pop_all(lanes, 0) == []
    assert lanes.drop([2]) == (TaskKey(2, b"y"),)
    for host in "abc":
        lanes.named(host, HERE, 6.0)
    assert refs(pop_all(lanes, 6.0)) == ["z"]
    assert lanes.take_news().overdue == (TaskKey(1, b"x"),)
    assert (lanes.waiting, lanes.deferred, lanes.running, lanes.hosts()) == (0, 0, 1, 1)


def test_the_names_of_one_unit_are_told_apart() -> None:
    known: dict[str, Name] = {}
    lanes = Lanes(known.get)
    tasks = tuple(
        Task(ref=name.encode(), kind=Kind.PAGE, url=f"http://{name}.test/", depth=0) for name in ("a", "b", "b")
    )
    lanes.add(Lease(id=1, host="test", tasks=tasks[:1]), 0, FAR)
    lanes.add(Lease(id=2, host="test", tasks=tasks[1:]), 0, FAR)
    assert (pop_all(lanes, 0), lanes.take_unnamed()) == ([], ["a.test"])
    lanes.drop([1])
    lanes.named("a.test", NOWHERE, 1.0)
    assert (pop_all(lanes, 1.0), lanes.take_unnamed()) == ([], ["b.test"])
    lanes.named("b.test", HERE, 2.0)
    assert [attempt.name for attempt in pop_all(lanes, 2.0)] == [HERE]


class GivenNames:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.asked: queue.SimpleQueue[tuple[str, Callable[[str, Name], None]]] = queue.SimpleQueue()

    def known(self, host: str) -> Name | None:
        return HERE if host.startswith("known") else None

    def ask(self, host: str, on_name: Callable[[str, Name], None]) -> None:
        self.asked.put((host, on_name))


def test_a_thread_takes_what_can_start_while_600_names_are_looked_up() -> None:
    names, agenda = GivenNames(), Agenda()
    agenda.resolve_by(names)
    for number in range(600):
        agenda.add(lease(number, f"slow{number}", "x"), 0.0, FAR)
    agenda.add(lease(600, "known", "y"), 0.0, FAR)
    attempt = agenda.take(PATIENCE_S)
    assert attempt is not None
    assert attempt.host == "known"
    assert names.asked.qsize() == 600


def test_an_answer_wakes_a_thread_that_waits_and_one_that_listens() -> None:
    names, agenda = GivenNames(), Agenda()
    agenda.resolve_by(names)
    heard = threading.Event()
    taken: queue.SimpleQueue[Attempt | None] = queue.SimpleQueue()
    thread = threading.Thread(target=lambda: taken.put(agenda.take(PATIENCE_S)))
    thread.start()
    agenda.add(lease(1, "a", "x"), 0.0, FAR)
    host, on_name = names.asked.get(timeout=PATIENCE_S)
    agenda.listen(heard.set)
    on_name(host, HERE)
    assert heard.is_set()
    attempt = taken.get(timeout=PATIENCE_S)
    thread.join()
    assert attempt is not None
    assert attempt.name == HERE
    agenda.add(lease(2, "b", "y"), 0.0, FAR)
    assert agenda.start_ready(5)[0] == []
    assert names.asked.get(timeout=PATIENCE_S)[0] == "b"
