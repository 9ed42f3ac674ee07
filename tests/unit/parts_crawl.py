"""A crawl on disk, with a page whose report comes in parts."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from crawlfleet.coordinator.core.later_rows import KeptPartRow
from crawlfleet.coordinator.frontier.registry import FRONTIER, open_reader
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.shared.messages import Ack, Lease, Outcome, Report, Row, Task
from crawlfleet.shared.web.link_records import LinkRecord, pack
from crawlfleet.worker.fitting import in_pieces
from crawlfleet.worker.lanes import Attempt
from tests.unit.core_crawl import SEED, CoreCrawl

ROWS = tuple(Row(item="i", index=index, fields={"t": str(index)}) for index in range(500))
LINKS = tuple(f"{SEED}{number}" for number in range(400))
LISTED, _ = pack([LinkRecord(url, "a", "", "a text") for url in LINKS])
OLD, NEW = "s", "t"


class PartsCrawl:
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

    def begin(self) -> list[Report]:
        """Return the parts of the page's report, all but the last of which have been sent."""
        parts = self.grant(OLD)
        for part in parts[:-1]:
            self.send(part)
        return parts

    def send(self, part: Report, session: str = OLD) -> Ack:
        return self.core.turn(session, reports=(part,)).acks[0]

    def restart(self, folder: Path | None = None) -> None:
        """Kill the coordinator, and start it again, in this folder if there is one."""
        self.store.close()
        self.folder = folder or self.folder
        self.core.store = self.store = SqliteStore(self.folder / FRONTIER)
        self.core.reopen()

    def close(self) -> None:
        self.store.close()

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


def parts_of(lease: Lease, task: Task, rows: tuple[Row, ...] = ROWS, part_bytes: int = 3_000) -> list[Report]:
    """Return the parts of a page's report."""
    attempt = Attempt(lease_id=lease.id, host="a.test", task=task, started_at=0.0)
    report = Report(
        lease=lease.id,
        ref=task.ref,
        outcome=Outcome.FETCHED,
        status=200,
        age_s=0.0,
        rows=rows,
        outlinks=LINKS,
        links=LISTED,
    )
    delivery = in_pieces(attempt, report, part_bytes)
    assert len(delivery.ahead) > 2
    return [*delivery.ahead, delivery.report]
