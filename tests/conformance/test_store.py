"""What every store must do, whatever is behind the port."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple, get_args

import msgspec
import pytest

from crawlfleet.coordinator.core.changes import (
    Accepted,
    Answer,
    Change,
    Gone,
    Leased,
    Put,
    Recorded,
    TaskEvent,
    TaskMoved,
)
from crawlfleet.coordinator.core.later_rows import SeedLineRow
from crawlfleet.coordinator.core.objects.rows import PartRow
from crawlfleet.coordinator.core.rows import (
    Gate,
    Holder,
    HostRow,
    LeaseRow,
    LedgerRow,
    OriginRow,
    Result,
    TaskRow,
    TaskState,
    TrapRow,
    succeed,
)
from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.coordinator.core.transitions import created
from crawlfleet.coordinator.core.transitions import moved as move
from crawlfleet.coordinator.frontier.port import Conflict, Mark, Store, StoreReader
from crawlfleet.coordinator.frontier.registry import STORES, open_reader, store_for, stored_in
from crawlfleet.coordinator.frontier.story import EVENTS, LEASED
from crawlfleet.coordinator.job.job import Job
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.messages import Kind, Outcome, Row
from crawlfleet.shared.web.urls import fingerprint
from tests.commits import commit

HOST, ORIGIN = "a.test", "http://a.test"
LINE = SeedLine("HTTP://a.test/ü#top", {"id": "7", "note": ""})


class Crawl(NamedTuple):
    """A stored crawl: how its store is opened, and how it is read from outside."""

    open: Callable[[], Store]
    read: Callable[[], StoreReader]


@pytest.fixture(params=[entry.name for entry in STORES.values() if not entry.scheme])
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    return partial(STORES[request.param].open, tmp_path, power=False)


@pytest.fixture(params=[entry.name for entry in STORES.values() if entry.file])
def crawl(request: pytest.FixtureRequest, tmp_path: Path) -> Crawl:
    return Crawl(partial(STORES[request.param].open, tmp_path, power=True), partial(open_reader, tmp_path))


@pytest.fixture
def store(opens: Callable[[], Store]) -> Iterator[Store]:
    with closing(opens()) as opened:
        yield opened


def admitted(number: int, depth: int = 0, not_before: float = 0.0, queue: str = ORIGIN) -> TaskMoved:
    url = f"{ORIGIN}/{number}"
    return created(
        TaskEvent.ADMITTED,
        ref=fingerprint(Kind.PAGE, "", url),
        kind=Kind.PAGE,
        url=url,
        origin=ORIGIN,
        host=HOST,
        queue=queue,
        depth=depth,
        order=number,
        not_before=not_before,
    )


def add(store: Store, *changes: TaskMoved) -> list[TaskRow]:
    store.apply(changes)
    return [change.task for change in changes]


def granted(task: TaskRow, lease: int = 1) -> TaskMoved:
    return move(task, TaskEvent.GRANTED, lease=lease)


def fetched(task: TaskRow) -> list[Change]:
    result = Result(
        ref=task.ref,
        url=task.url,
        status=200,
        depth=0,
        content_type="text/html",
        size_bytes=1,
        elapsed_s=0.5,
        at=3.0,
        hops=(),
        rows=(Row(item="page", index=0, fields={"title": "ü", "tags": ["a", "b"]}),),
        seed_line=LINE,
    )
    return [move(task, TaskEvent.FETCHED, outcome=Outcome.FETCHED), Recorded(result=result)]


def lease(number: int, session: str = "s", refs: tuple[bytes, ...] = (b"r",)) -> LeaseRow:
    return LeaseRow(id=number, session=session, host=HOST, refs=refs, starts=((b"r", 1.5),), spacing_s=1.0)


def host(key: str = HOST, ready_at: float | None = None) -> HostRow:
    return HostRow(key=key, delay_s=1.0, ready_at=ready_at)


def urls(tasks: tuple[TaskRow, ...]) -> list[int]:
    return [int(task.url.rpartition("/")[2]) for task in tasks]


def snapshot(store: Store) -> tuple[object, ...]:
    return (store.ledger(), store.counts(), store.waiting(10), store.rows(HostRow, [HOST]), store.leases_of("s"))


# Reads


def test_a_new_store_holds_nothing(store: Store) -> None:
    assert store.ledger() == LedgerRow()
    assert store.rows(TaskRow, [b"x"]) == {}
    assert store.rows(LeaseRow, [1]) == {}
    assert store.rows(HostRow, [HOST]) == {}
    assert store.rows(OriginRow, [ORIGIN]) == {}
    assert store.rows(TrapRow, [HOST]) == {}
    assert store.leases_of("s") == ()
    assert list(store.resident(LeaseRow)) == []
    assert store.due(1e9, 10) == ()
    assert store.next_due_at() is None
    assert store.ready({ORIGIN: 10}, 1e9)[ORIGIN].tasks == ()
    assert store.ready({ORIGIN: 10}, 1e9)[ORIGIN].next_at is None
    assert store.waiting(10) == ()
    assert not any(store.counts().values())
    assert store.result_count() == 0


def test_rows_read_back_as_they_were_applied(store: Store) -> None:
    moved = {"depth": 0, "hops": ("http://a.test/0",), "outlinks": (b"o",), "settled": (4,), "seed_line": 2}
    task = move(admitted(1).task, TaskEvent.LOWERED, **moved)
    busy = HostRow(
        key=HOST,
        delay_s=2.5,
        last_start_at=0.25,
        hold_until=9.0,
        holders=(Holder("s", ((1, 2), (4, 1))),),
        origins=(ORIGIN,),
    )
    origin = OriginRow(origin=ORIGIN, host=HOST, gate=Gate.RULES, robots=b"\xef\xbb\xbfUser-agent: *")
    ledger = succeed(store.ledger(), next_lease=7, pages_fetched=3, scope_hosts=("b.test",))
    store.apply([admitted(1), task, Put(row=busy), Put(row=origin)])
    trap = TrapRow(key=HOST, patterns={2**33 + 5: 3, 7: 1}, sessions=2, origins=1)
    line = SeedLineRow(number=2, line=LINE, is_late=True)
    store.apply([Put(row=lease(1)), Put(row=ledger), Put(row=trap), Put(row=line)])
    for _ in ("applied", "committed"):
        assert store.rows(TaskRow, [task.task.ref, b"none"]) == {task.task.ref: task.task}
        assert store.rows(HostRow, [HOST, "none"]) == {HOST: busy}
        assert store.rows(OriginRow, [ORIGIN, "none"]) == {ORIGIN: origin}
        assert store.rows(LeaseRow, [1, 2]) == {1: lease(1)}
        assert store.rows(TrapRow, [HOST, "none"]) == {HOST: trap}
        assert store.rows(SeedLineRow, [2, 3]) == {2: line}
        assert store.ledger() == ledger
        commit(store, 1.0)


def test_tasks_are_walked_in_the_order_of_their_admission_whatever_became_of_them(store: Store) -> None:
    add(store, *(admitted(number) for number in range(1, 6)))
    commit(store, 0.0)
    store.apply([move(admitted(2).task, TaskEvent.LOWERED, depth=0)])
    add(store, admitted(6))
    assert urls(store.walk(0, 4)) == [1, 2, 3, 4]
    assert urls(store.walk(4, 4)) == [5, 6]
    assert store.walk(6, 4) == ()


# Queues


def test_depths_are_told_of_what_is_there_and_strangers_of_what_is_not(store: Store) -> None:
    change, stranger = admitted(1, depth=3), b"no task" + bytes(9)
    ref = change.task.ref
    store.apply([change])
    for _ in range(2):
        assert store.depths([ref, stranger]) == {ref: 3}
        assert store.strangers({ref, stranger}) == {stranger}
        commit(store, 1.0)

    store.apply([move(change.task, TaskEvent.LOWERED, depth=1)])
    assert store.depths([ref]) == {ref: 1}


def test_what_waits_comes_by_depth_then_age(store: Store) -> None:
    add(store, admitted(1, depth=2), admitted(2, depth=0), admitted(3, depth=1), admitted(4, depth=0))
    commit(store, 0.0)
    add(store, admitted(5, depth=1))
    assert urls(store.ready({ORIGIN: 10}, 0.0)[ORIGIN].tasks) == [2, 4, 3, 5, 1]
    assert urls(store.ready({ORIGIN: 3}, 0.0)[ORIGIN].tasks) == [2, 4, 3]


def test_looking_at_a_queue_takes_nothing_out(store: Store) -> None:
    add(store, admitted(1), admitted(2))
    assert store.ready({ORIGIN: 1}, 0.0)[ORIGIN] == store.ready({ORIGIN: 1}, 0.0)[ORIGIN]
    assert urls(store.ready({ORIGIN: 10}, 0.0)[ORIGIN].tasks) == [1, 2]


def test_a_queue_holds_only_its_own(store: Store) -> None:
    add(store, admitted(1), admitted(2, queue=HOST))
    assert urls(store.ready({HOST: 10}, 0.0)[HOST].tasks) == [2]
    assert urls(store.ready({"other": 10}, 0.0)["other"].tasks) == []


def test_a_task_waits_for_its_time(store: Store) -> None:
    add(store, admitted(1, not_before=5.0), admitted(2, depth=3), admitted(3, not_before=2.0))
    early = store.ready({ORIGIN: 10}, 1.0)[ORIGIN]
    assert (urls(early.tasks), early.next_at) == ([2], 2.0)
    later = store.ready({ORIGIN: 10}, 2.0)[ORIGIN]
    assert (urls(later.tasks), later.next_at) == ([3, 2], 5.0)
    last = store.ready({ORIGIN: 10}, 5.0)[ORIGIN]
    assert (urls(last.tasks), last.next_at) == ([1, 3, 2], None)


def test_what_a_limit_cuts_off_is_told_as_due_now(store: Store) -> None:
    add(store, admitted(1), admitted(2), admitted(3, not_before=9.0))
    assert store.ready({ORIGIN: 1}, 4.0)[ORIGIN].next_at == 4.0


def test_a_lowered_task_moves_ahead_and_is_listed_once(store: Store) -> None:
    _, last = add(store, admitted(1, depth=2), admitted(2, depth=5))
    assert urls(store.ready({ORIGIN: 10}, 0.0)[ORIGIN].tasks) == [1, 2]
    add(store, move(last, TaskEvent.LOWERED, depth=1))
    assert urls(store.ready({ORIGIN: 10}, 0.0)[ORIGIN].tasks) == [2, 1]


def test_a_task_that_is_granted_lowered_and_returned_waits_at_its_new_depth(store: Store) -> None:
    _, task = add(store, admitted(1, depth=2), admitted(2, depth=5))
    (task,) = add(store, granted(task))
    assert urls(store.ready({ORIGIN: 10}, 0.0)[ORIGIN].tasks) == [1]
    (task,) = add(store, move(task, TaskEvent.LOWERED, depth=1))
    assert urls(store.ready({ORIGIN: 10}, 0.0)[ORIGIN].tasks) == [1]
    add(store, move(task, TaskEvent.RELEASED, lease=0))
    assert urls(store.ready({ORIGIN: 10}, 0.0)[ORIGIN].tasks) == [2, 1]


def test_a_task_that_changes_its_queue_leaves_the_old_one(store: Store) -> None:
    (task,) = add(store, admitted(1))
    (task,) = add(store, granted(task))
    add(store, move(task, TaskEvent.LOST, queue="alone", alone=True))
    assert urls(store.ready({ORIGIN: 10}, 0.0)[ORIGIN].tasks) == []
    assert urls(store.ready({"alone": 10}, 0.0)["alone"].tasks) == [1]


def test_a_retried_task_waits_for_its_pause(store: Store) -> None:
    (task,) = add(store, admitted(1))
    assert urls(store.ready({ORIGIN: 10}, 1.0)[ORIGIN].tasks) == [1]
    (task,) = add(store, granted(task))
    add(store, move(task, TaskEvent.RETRIED, attempt=1, not_before=8.0, lease=0))
    assert store.ready({ORIGIN: 10}, 7.9)[ORIGIN].tasks == ()
    assert store.ready({ORIGIN: 10}, 7.9)[ORIGIN].next_at == 8.0
    assert urls(store.ready({ORIGIN: 10}, 8.0)[ORIGIN].tasks) == [1]


def test_waiting_shows_some_of_what_is_pending_until_nothing_is(store: Store) -> None:
    tasks = add(store, admitted(1), admitted(2, not_before=99.0), admitted(3, queue=HOST), admitted(4))
    add(store, granted(tasks[3]))
    seen: list[int] = []
    while some := store.waiting(2):
        assert len(some) <= 2
        seen += urls(some)
        add(store, *(move(task, TaskEvent.REFUSED, reason="budget_pages") for task in some))
    assert sorted(seen) == [1, 2, 3]


def test_queues_with_waiting_tasks_are_named_in_order_from_one_on(store: Store) -> None:
    assert store.queues("", 9) == ()
    other = "http://b.test"
    ready, *_ = add(store, admitted(1), admitted(2, not_before=5.0, queue=other), admitted(3, queue=other))
    assert store.queues("", 9) == (ORIGIN, other)
    assert store.queues("", 1) == (ORIGIN,)
    assert store.queues(ORIGIN, 9) == (other,)
    assert store.queues(other, 9) == ()
    add(store, granted(ready))
    assert store.queues("", 9) == (other,)


# Hosts


def test_due_hosts_come_longest_due_first_up_to_the_limit(store: Store) -> None:
    store.apply([Put(row=host(key, at)) for key, at in (("a", 3.0), ("b", 1.0), ("c", 2.0), ("d", 9.0))])
    store.apply([Put(row=host("e"))])
    assert [row.key for row in store.due(3.0, 10)] == ["b", "c", "a"]
    assert [row.key for row in store.due(3.0, 2)] == ["b", "c"]
    assert [row.key for row in store.due(3.0, 10)] == ["b", "c", "a"]
    assert store.next_due_at() == 1.0


def test_a_host_is_due_at_its_last_word(store: Store) -> None:
    first = host("a", 1.0)
    store.apply([Put(row=first), Put(row=host("b", 4.0))])
    later = succeed(first, ready_at=6.0)
    store.apply([Put(row=later)])
    assert [row.key for row in store.due(5.0, 10)] == ["b"]
    never = succeed(later, ready_at=None)
    store.apply([Put(row=never)])
    assert [row.key for row in store.due(99.0, 10)] == ["b"]
    again = succeed(never, ready_at=6.0)
    store.apply([Put(row=again)])
    assert [row.key for row in store.due(99.0, 10)] == ["b", "a"]
    assert store.due(99.0, 10)[1] == again


def in_unit(key: str, ready_at: float | None, unit: str = "u") -> HostRow:
    return HostRow(key=key, delay_s=1.0, ready_at=ready_at, unit=unit)


def test_hosts_of_a_unit_are_no_due_hosts_and_come_by_their_time(store: Store) -> None:
    store.apply([Put(row=in_unit(key, at)) for key, at in (("a", 3.0), ("b", 1.0), ("c", 99.0), ("d", None))])
    store.apply([Put(row=in_unit("e", 2.0, "v")), Put(row=host("u", 5.0))])
    assert [row.key for row in store.hosts_of("u", 10)] == ["b", "a", "c"]
    assert [row.key for row in store.hosts_of("u", 2)] == ["b", "a"]
    assert [row.key for row in store.hosts_of("u", 10)] == ["b", "a", "c"]
    assert [row.key for row in store.hosts_of("v", 10)] == ["e"]
    assert store.hosts_of("w", 10) == store.hosts_of("a", 10) == ()
    assert [row.key for row in store.due(99.0, 10)] == ["u"]
    assert store.next_due_at() == 5.0


def test_a_host_that_joins_a_unit_goes_from_the_due_hosts_to_those_of_the_unit(store: Store) -> None:
    mine = host("a", 3.0)
    store.apply([Put(row=mine), Put(row=host("b", 9.0))])
    joined = succeed(mine, unit="u")
    store.apply([Put(row=joined)])
    assert store.hosts_of("u", 10) == (joined,)
    assert [row.key for row in store.due(5.0, 10)] == []
    assert store.next_due_at() == 9.0
    later = succeed(joined, ready_at=7.0)
    store.apply([Put(row=later)])
    assert store.hosts_of("u", 10) == (later,)
    store.apply([Put(row=succeed(later, ready_at=None))])
    assert store.hosts_of("u", 10) == ()


# Leases


def test_leases_are_found_by_session_oldest_first(store: Store) -> None:
    store.apply([Put(row=lease(1)), Put(row=lease(2, "t")), Put(row=lease(3))])
    assert [row.id for row in store.leases_of("s")] == [1, 3]
    assert {row.id for row in store.resident(LeaseRow)} == {1, 2, 3}
    store.apply([Put(row=succeed(lease(1), refs=(b"x",)))])
    assert [row.refs for row in store.leases_of("s")] == [(b"x",), (b"r",)]
    store.apply([Gone(row=succeed(lease(2, "t")), why="settled")])
    assert store.leases_of("t") == ()
    assert {row.id for row in store.resident(LeaseRow)} == {1, 3}
    assert store.rows(LeaseRow, [1, 2, 3]).keys() == {1, 3}


def test_a_family_is_read_from_a_place_on_and_backwards(store: Store) -> None:
    store.apply([Put(row=lease(number)) for number in (3, 1, 5)])
    assert [row.id for row in store.family(LeaseRow, "s", 1)] == [3, 5]
    assert [row.id for row in store.family(LeaseRow, "s", 1, backwards=True)] == [5, 3]
    assert [row.id for row in store.family(LeaseRow, "s", backwards=True)] == [5, 3, 1]
    assert list(store.family(LeaseRow, "s", 5)) == list(store.family(LeaseRow, "t", backwards=True)) == []


def test_a_row_that_was_removed_and_created_again_in_one_turn_has_its_new_place(store: Store) -> None:
    parts = [PartRow(object=1, subkey=subkey, place=place) for place, subkey in enumerate((b"a", b"b"))]
    store.apply([Put(row=part) for part in parts])
    again = msgspec.structs.replace(succeed(parts[0]), place=2)
    store.apply([Put(row=again)])
    assert [row.subkey for row in store.family(PartRow, 1)] == [b"b", b"a"]
    store.apply([Gone(row=succeed(again))])
    assert list(store.family(PartRow, 1)) == [parts[1]]


# Counts


def test_counts_follow_every_change(store: Store) -> None:
    tasks = add(store, admitted(1), admitted(2), admitted(3))
    (task,) = add(store, granted(tasks[0]))
    store.apply(fetched(task))
    add(store, granted(tasks[1]))
    counts = {key: number for key, number in store.counts().items() if number}
    assert counts == {
        (Kind.PAGE, TaskState.PENDING): 1,
        (Kind.PAGE, TaskState.LEASED): 1,
        (Kind.PAGE, TaskState.DONE): 1,
    }


# Atomicity


def _stale_changes() -> dict[str, Callable[[Store], Change]]:
    return {
        "task": lambda _: admitted(1),
        "host": lambda _: Put(row=host()),
        "lease": lambda _: Put(row=lease(1)),
        "origin": lambda _: Put(row=OriginRow(origin=ORIGIN, host=HOST)),
        "counts": lambda _: Put(row=TrapRow(key=HOST)),
        "ledger": lambda store: Put(row=store.ledger()),
        "ended twice": lambda _: Gone(row=lease(1), why="lost"),
        "a lease that is not there": lambda _: Gone(row=succeed(lease(9)), why="lost"),
    }


@pytest.mark.parametrize("stale", _stale_changes())
def test_a_batch_with_one_stale_row_changes_nothing(store: Store, stale: str) -> None:
    add(store, admitted(1))
    store.apply([Put(row=host()), Put(row=lease(1)), Put(row=OriginRow(origin=ORIGIN, host=HOST))])
    store.apply([Put(row=TrapRow(key=HOST))])
    before = snapshot(store)
    fresh = [
        admitted(2),
        Put(row=succeed(host(), ready_at=1.0)),
        Put(row=lease(2)),
        Put(row=succeed(store.ledger(), next_order=9)),
        *fetched(granted(store.waiting(1)[0]).task)[1:],
    ]
    with pytest.raises(Conflict):
        store.apply([*fresh, _stale_changes()[stale](store)])
    assert (
        store.ledger(),
        store.counts(),
        store.waiting(10),
        store.rows(HostRow, [HOST]),
        store.leases_of("s"),
    ) == before
    assert store.due(99.0, 10) == ()
    commit(store, 0.0)
    assert store.result_count() == 0
    store.apply(fresh)


def test_a_row_may_change_more_than_once_in_a_batch_but_only_in_order(store: Store) -> None:
    one = host("x")
    two = succeed(one, ready_at=1.0)
    with pytest.raises(Conflict):
        store.apply([Put(row=two), Put(row=one)])
    store.apply([Put(row=one), Put(row=two)])
    assert store.rows(HostRow, ["x"]) == {"x": two}


# Results


def test_results_are_seen_only_once_committed_in_order_and_by_cursor(store: Store) -> None:
    tasks = add(store, *(granted(task) for task in add(store, *(admitted(number) for number in range(1, 6)))))
    for task in tasks[:3]:
        store.apply(fetched(task))
    assert (store.result_count(), list(store.results(0, 10)), store.result(tasks[0].ref)) == (0, [], None)
    commit(store, 0.0)
    for task in tasks[3:]:
        store.apply(fetched(task))
    assert store.result_count() == 3
    commit(store, 0.0)
    assert [result.ref for result in store.results(0, 10)] == [task.ref for task in tasks]
    assert [result.ref for result in store.results(3, 1)] == [tasks[3].ref]
    assert list(store.results(5, 10)) == []
    assert store.result_count() == 5
    assert store.result(b"none") is None


def test_a_result_reads_back_whole_from_any_thread(store: Store) -> None:
    (task,) = add(store, *map(granted, add(store, admitted(1))))
    moved, recorded = fetched(task)
    store.apply([moved, recorded])
    commit(store, 0.0)
    assert isinstance(recorded, Recorded)
    seen: list[object] = []
    reader = threading.Thread(target=lambda: seen.extend([store.result(task.ref), *store.results(0, 1)]))
    reader.start()
    reader.join()
    assert seen == [recorded.result, recorded.result]


# Keeping


def test_a_value_is_kept_beside_the_rows(store: Store) -> None:
    assert store.kept("job") is None
    store.keep("job", b"one")
    store.keep("job", b"two")
    assert store.kept("job") == b"two"


def test_a_mark_is_that_of_its_sink_alone(store: Store) -> None:
    mark = Mark(results=3, size_bytes=40, block_at=10, block_hash=b"h")
    with closing(store.open_marks()) as marks:
        assert marks.get("items.jsonl") is None
        marks.set("items.jsonl", Mark(results=1, size_bytes=9))
        marks.set("items.jsonl", mark)
        assert marks.get("items.jsonl") == mark
        assert marks.get("other.jsonl") is None


def test_each_opening_has_a_larger_epoch(opens: Callable[[], Store]) -> None:
    epochs = []
    for _ in range(3):
        with closing(opens()) as opened:
            epochs.append(opened.epoch)
    assert epochs == sorted(set(epochs))


def test_what_outlasts_its_process_goes_on_where_it_was(crawl: Crawl) -> None:
    with closing(crawl.open()) as before:
        add(before, admitted(1))
        before.keep("job", b"{}")
        commit(before, 50.0)
        with closing(before.open_marks()) as marks:
            marks.set("items.jsonl", Mark(results=7))
        add(before, admitted(2))  # never committed
    with closing(crawl.open()) as again, closing(again.open_marks()) as marks:
        assert urls(again.walk(0, 10)) == [1]
        assert again.opened_at >= 50.0
        assert again.kept("job") == b"{}"
        assert marks.get("items.jsonl") == Mark(results=7)


# From outside


def test_a_snapshot_has_all_that_is_committed_and_nothing_later(crawl: Crawl) -> None:
    with closing(crawl.open()) as store:
        store.keep("job", b'{"name": "one"}')
        first, second = add(store, admitted(1), admitted(2))
        (task,) = add(store, granted(first))
        moved, recorded = fetched(task)
        assert isinstance(recorded, Recorded)
        accepted = Accepted(ref=task.ref, lease=1, outlinks=second.ref)
        lines = [SeedLineRow(number=number, line=LINE) for number in (5, 6)]
        store.apply([moved, recorded, accepted, Put(row=succeed(store.ledger(), pages_fetched=1))])
        store.apply([Put(row=line) for line in lines])
        commit(store, 1.0)
        with closing(crawl.read()) as snapshot:
            add(store, admitted(3))
            commit(store, 2.0)
            assert snapshot.job == {"name": "one"}
            assert snapshot.ledger.pages_fetched == 1
            rows = {number: row for number, _, row in snapshot.tasks()}
            assert {row.url: row.state for row in rows.values()} == {first.url: "done", second.url: "pending"}
            assert [snapshot.name_of(number) for number in rows] == [first.url, second.url]
            assert [(snapshot.name_of(number), result) for number, result in snapshot.results()] == [
                (first.url, recorded.result)
            ]
            assert snapshot.known([first.ref, b"none"]) == {first.ref}
            assert snapshot.seed_lines([6, 9]) == {6: lines[1]}
            events = [EVENTS[line.event] for line in snapshot.story() if snapshot.name_of(line.task) == first.url]
            assert events == ["admitted", "granted", "fetched", "accepted"]


def test_the_log_has_the_time_of_each_commit_the_worker_of_each_lease_and_how_each_attempt_ended(crawl: Crawl) -> None:
    with closing(crawl.open()) as store:
        began_at = time.time()
        (first,) = add(store, admitted(1))
        commit(store, 1.0)
        store.apply([Leased(lease=1, worker="host/7/0"), granted(first)])
        commit(store, 2.0)
        (task,) = store.rows(TaskRow, [first.ref]).values()
        answer = Answer(Outcome.HTTP_ERROR, 404, "http_404")
        gave_up = move(task, TaskEvent.GAVE_UP, outcome=Outcome.HTTP_ERROR, status=404)
        store.apply([gave_up, Accepted(ref=task.ref, lease=1, outlinks=b"", answer=answer)])
        commit(store, 3.0)
        with closing(crawl.read()) as snapshot:
            blocks = list(snapshot.blocks())
    assert [len(block.lines) for block in blocks] == [1, 2, 2]
    times = [block.at for block in blocks if block.at is not None]
    assert len(times) == 3
    assert all(abs(at - began_at) < 600.0 for at in times)
    assert (blocks[1].lines[0].event, blocks[1].lines[0].lease, blocks[1].lines[0].worker) == (LEASED, 1, "host/7/0")
    assert blocks[2].lines[1].answer == answer


def test_a_folder_without_a_crawl_is_refused_by_the_name_of_what_is_missing(tmp_path: Path) -> None:
    assert stored_in(tmp_path) is None
    missing = r"holds no crawl that can be read: frontier\.db or frontier\.json is not there"
    with pytest.raises(UsageError, match=missing):
        open_reader(tmp_path)


def test_every_durability_of_a_job_has_a_store() -> None:
    for durability in get_args(Job.model_fields["durability"].annotation):
        assert durability in store_for(durability).durabilities
