"""A page whose report comes in parts, in a crawl on disk: what a restart, a death, and a slow worker make of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crawlfleet.coordinator.core.later_rows import KeptPartRow
from crawlfleet.coordinator.frontier.registry import FRONTIER, open_reader
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.shared.messages import Ack, AckState, Lease, Outcome, Report, Row, Task
from crawlfleet.shared.web.link_records import LinkRecord, pack
from crawlfleet.worker.fitting import in_pieces
from crawlfleet.worker.lanes import Attempt
from tests.unit.core_crawl import SEED, CoreCrawl

ROWS = tuple(Row(item="i", index=index, fields={"t": str(index)}) for index in range(500))
LINKS = tuple(f"{SEED}{number}" for number in range(400))
LISTED, _ = pack([LinkRecord(url, "a", "", "a text") for url in LINKS])
OLD, NEW = "s", "t"


class Crawl:
    """A crawl over a file, which may be opened again; and its worker, which has read the first page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = SqliteStore(folder / FRONTIER)
        self.store.keep("job", b'{"sinks": []}')
        self.core = CoreCrawl(store=self.store, keeps_links=True)
        self.core.hello(OLD, NEW)
        self.core.open_gates()

    def grant(self, session: str) -> list[Report]:
        """Let a session have the page; return the parts of its report."""
        ((lease, task),) = self.core.ask(session)
        return parts_of(lease, task)

    def send(self, part: Report, session: str = OLD) -> Ack:
        return self.core.turn(session, reports=(part,)).acks[0]

    def restart(self) -> None:
        """Kill the coordinator, and start it again."""
        self.store.close()
        self.core.store = self.store = SqliteStore(self.folder / FRONTIER)
        self.core.reopen()

    @property
    def kept(self) -> int:
        return len(self.store.rows(KeptPartRow, range(10_000)))

    def check(self) -> None:
        """The page has its one result, and all of its links are known; nothing else is left."""
        while self.core.service.is_behind:
            self.core.pass_time(0.0)
        assert [result.rows for result in self.store.results(0, 9)] == [ROWS]
        assert all(map(self.core.knows, LINKS))
        assert self.kept == 0
        self.store.close()
        with closing(open_reader(self.folder)) as reader:
            assert [links for _, links in reader.links()] == [LISTED]
        assert verify(self.folder).holds


def parts_of(lease: Lease, task: Task) -> list[Report]:
    attempt = Attempt(lease_id=lease.id, host="a.test", task=task, started_at=0.0)
    report = Report(
        lease=lease.id,
        ref=task.ref,
        outcome=Outcome.FETCHED,
        status=200,
        age_s=0.0,
        rows=ROWS,
        outlinks=LINKS,
        links=LISTED,
    )
    delivery = in_pieces(attempt, report, 3_000)
    assert len(delivery.ahead) > 2
    return [*delivery.ahead, delivery.report]


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[Crawl]:
    found = Crawl(tmp_path)
    with closing(found.store):
        yield found


def test_parts_survive_a_restart_between_any_two_of_them(crawl: Crawl) -> None:
    parts = crawl.grant(OLD)
    for number, part in enumerate(parts[:-1]):
        assert (crawl.send(part).state, crawl.kept) == (AckState.MORE, number + 1)
        assert not crawl.core.fetched()
        crawl.restart()
    assert crawl.send(parts[0]).parts == len(parts) - 1
    assert crawl.send(parts[-1]).state is AckState.OK
    crawl.restart()
    crawl.core.hello(OLD)
    assert crawl.send(parts[-1]).state is AckState.OK
    crawl.check()


@pytest.mark.parametrize("end", ["silence", "death", "goodbye"])
def test_what_a_dead_worker_has_sent_is_discarded_and_the_page_is_told_again_as_a_whole(crawl: Crawl, end: str) -> None:
    first = crawl.grant(OLD)
    for part in first[:-1]:
        crawl.send(part)
    if end == "goodbye":
        crawl.core.service.goodbye(OLD, crawl.core.now)
        crawl.core.service.flush(crawl.core.now)
    elif end == "death":
        crawl.core.hello("u", replaces=OLD)
    else:
        crawl.core.pass_time(8.0)
        crawl.core.turn(NEW)
        crawl.core.pass_time(8.0)
    assert (crawl.kept, crawl.core.fetched()) == (0, set())
    crawl.core.hello(OLD)
    assert crawl.send(first[-1]).state is AckState.STALE
    crawl.core.pass_time(3.0)
    second = crawl.grant(NEW)
    assert [crawl.send(part, NEW).state for part in second] == [AckState.MORE] * (len(second) - 1) + [AckState.OK]
    assert crawl.send(first[0]).state is AckState.STALE
    crawl.check()
