"""The port to the database over PostgreSQL.

Its owner has two connections: one that writes, which holds the crawl's lock, and one that reads. A commit is one
transaction, sent at once and answered once (see `pipeline`); it counts only while its owner does (see `ownership`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from queue import SimpleQueue
from typing import Any

from crawlfleet.coordinator.core.rows import StoreRow
from crawlfleet.coordinator.frontier.crawl_clock import LONGEST_GAP_S
from crawlfleet.coordinator.frontier.durable.batch import Batch
from crawlfleet.coordinator.frontier.durable.database import LaterEntry, LaterPage, Loaded, ReadyEntry, ReadyPage
from crawlfleet.coordinator.frontier.port import ANYBODY, Candidate, Conclusion, CrawlTaken, Marks
from crawlfleet.coordinator.frontier.postgresql.assurance import Assurance
from crawlfleet.coordinator.frontier.postgresql.connection import (
    Connection,
    Place,
    connect,
    facts_of,
    failure,
    mapped_errors,
    refuse_pooled,
    refuse_unfit,
)
from crawlfleet.coordinator.frontier.postgresql.marks import PostgresqlMarks
from crawlfleet.coordinator.frontier.postgresql.ownership import (
    STAND_BY,
    UNLOCK,
    Claim,
    WhileOwned,
    own,
    own_name,
    waiting_for,
)
from crawlfleet.coordinator.frontier.postgresql.patience import Patience, said_if_slow
from crawlfleet.coordinator.frontier.postgresql.pipeline import Ended, Pipeline, Reply
from crawlfleet.coordinator.frontier.postgresql.reading import Reads
from crawlfleet.coordinator.frontier.postgresql.results import StoredResults
from crawlfleet.coordinator.frontier.postgresql.schema import bring_up_to_date
from crawlfleet.coordinator.frontier.postgresql.statements import Call, Session
from crawlfleet.coordinator.frontier.postgresql.writing import (
    FENCED_STATE,
    calls_of,
    calls_to_keep,
    still_mine,
)
from crawlfleet.shared.errors import CrawlFailed

#: The server ends the session of an owner that says nothing for so long. The owner says something four times as often.
SILENCE_S = 20.0
#: It says so often, at least, that it is there, and is sure of its crawl for so many times as long.
HEARTBEAT_S = 1.0
ASSURED_HEARTBEATS = 2.0

# Crawl time goes on by what the database's clock says of the time since the last commit.
_BEGIN = """
UPDATE ledger SET epoch = epoch + 1, owner = %s, address = %s, owned_at = clock_timestamp(),
    heartbeat_at = clock_timestamp(), committed_at = clock_timestamp(),
    crawl_s = crawl_s + least(greatest(extract(epoch FROM clock_timestamp() - committed_at)::float8, 0), %s)
RETURNING epoch, crawl_s, commits
"""


class PostgresqlDatabase:
    """The database of one crawl, for its owner."""

    def __init__(self, writes: Connection, reads: Connection, place: Place, heartbeat_s: float, address: str) -> None:
        self._address = address
        self._heartbeat_s = heartbeat_s
        self._assurance = Assurance(ASSURED_HEARTBEATS * heartbeat_s)
        self._db = writes
        self._place = place
        self._patience = Patience()
        self._reads = Reads(Session(reads, place, self._patience))
        self._results = StoredResults(self._session)
        self._pipeline: Pipeline | None = None
        self._reply: Reply | None = None
        self._epoch = 0
        self._links = 0

    def load(self) -> Loaded:
        """See the port."""
        began_at = self._assurance.clock()
        with mapped_errors(self._place, self._db), said_if_slow(self._place):
            row = self._db.execute(_BEGIN, (own_name(), self._address, LONGEST_GAP_S)).fetchone()
        if row is None:
            raise CrawlFailed(f"{self._place} is damaged: its ledger has no row; restore a copy")
        self._epoch, opened_at, commits = row
        self._assurance.confirm(began_at)
        mine = still_mine(self._epoch)
        self._pipeline = Pipeline(self._db, self._place, mine, self._heartbeat_s, self._assurance, self._patience)
        self._links = self._reads.last_link()
        return Loaded(
            epoch=self._epoch,
            opened_at=opened_at,
            commit_number=commits,
            results=self._results.count(),
            later=self._reads.later_count(),
            meta=self._reads.meta(),
            rows=self._reads.resident_rows(),
        )

    def rows(self, kind: type[StoreRow], keys: Collection[Any]) -> Iterable[bytes]:
        return self._reads.rows(kind, keys)

    def tasks(self, orders: Collection[int]) -> Iterable[bytes]:
        return self._reads.tasks(orders)

    def depths(self, refs: Collection[bytes]) -> dict[bytes, int]:
        return self._reads.depths(refs)

    def heads(
        self, ready: Mapping[str, ReadyPage], later: Mapping[str, LaterPage]
    ) -> tuple[Mapping[str, Sequence[ReadyEntry]], Mapping[str, Sequence[LaterEntry]]]:
        return self._reads.heads(ready, later)

    def queues(self, after: str, limit: int) -> Sequence[str]:
        return self._reads.queues(after, limit)

    def waiting(self, limit: int) -> Iterable[bytes]:
        return self._reads.waiting(limit)

    def walk(self, after: int, limit: int) -> Iterable[bytes]:
        return self._reads.walk(after, limit)

    def begin(self, batch: Batch, ended: Callable[[], None]) -> None:
        """See the port. All of the batch is on its way, or in the hands of the pipeline's thread, when this returns."""

        def over(reply: Reply) -> None:
            self._reply = reply
            ended()

        self._reply = None
        calls = calls_of(batch, self._epoch, time.time(), self._links)
        self._links += len(batch.links)
        self._write(calls, over)

    def conclude(self) -> Conclusion | None:
        """See the port."""
        reply, self._reply = self._reply, None
        return None if reply is None else self._concluded(reply)

    def is_surely_owned(self) -> bool:
        """See the port."""
        return self._pipeline is not None and self._pipeline.is_assured()

    def kept(self, key: str) -> bytes | None:
        return self._reads.kept(key)

    def keep(self, key: str, value: bytes) -> None:
        """See the port."""
        replies: SimpleQueue[Reply] = SimpleQueue()
        self._write(calls_to_keep(key, value, self._epoch), replies.put)
        reply = replies.get()
        conclusion = self._concluded(reply)
        if conclusion is Conclusion.UNKNOWN:
            raise failure(self._place, reply.text, is_lost=True)
        if conclusion is Conclusion.FENCED:
            raise CrawlTaken(f"another coordinator has taken {self._place}")

    def open_marks(self) -> Marks:
        """See the port."""
        return PostgresqlMarks(self._session(), self._place, self._epoch)

    def results(self, cursor: int, limit: int) -> Sequence[bytes]:
        return self._results.read(cursor, limit)

    def result(self, ref: bytes) -> bytes | None:
        return self._results.find(ref)

    def standing_by(self) -> tuple[str, ...]:
        """See the port."""
        return self._results.ask(lambda session: waiting_for(session, self._place, self._epoch))

    def hurry(self) -> None:
        """See the port."""
        self._patience.hurry()

    def close(self) -> None:
        """See the port. The crawl may be taken by another owner when this returns."""
        if self._pipeline is not None:
            self._pipeline.close(UNLOCK)
        self._db.close()
        self._reads.close()
        self._results.close()

    def _write(self, calls: Sequence[Call], over: Ended) -> None:
        """Begin a transaction, and find out whether it has failed because another owner has the crawl.

        What that one has written may be in its way before its last call asks for that.
        """
        pipeline = self._pipeline
        assert pipeline is not None, "it is loaded first"

        def ended(reply: Reply) -> None:
            if not reply.state or reply.state == FENCED_STATE:
                over(reply)
            else:
                pipeline.send((still_mine(self._epoch),), partial(asked, reply))

        def asked(failed: Reply, reply: Reply) -> None:
            over(reply if reply.is_lost or reply.state == FENCED_STATE else failed)

        pipeline.send(calls, ended)

    def _session(self) -> Session:
        return Session(connect(self._place), self._place, self._patience)

    def _concluded(self, reply: Reply) -> Conclusion:
        if reply.is_lost:
            return Conclusion.UNKNOWN
        if reply.state == FENCED_STATE:
            return Conclusion.FENCED
        if reply.state:
            raise failure(self._place, reply.text, is_lost=False, state=reply.state)
        return Conclusion.DONE


def open_database(
    address: str,
    schema: str,
    *,
    while_owned: WhileOwned | None = None,
    silence_s: float = SILENCE_S,
    candidate: Candidate = ANYBODY,
) -> PostgresqlDatabase:
    """Open the database of a crawl, or create it, as its owner.

    If another process has it, `while_owned` is called until this one has it; without one that is refused. The server
    ends the ownership of a process that says nothing for `silence_s`. It says something at least thrice a lease time.

    Raises `UsageError` if the server, or what is there, is unfit; `StoreUnreachable` if the server does not answer.
    """
    place = Place(address, schema)
    with ExitStack() as opened:
        writes, reads = (opened.enter_context(closing(connect(place, silence_s=s))) for s in (silence_s, 0.0))
        with mapped_errors(place, writes):
            refuse_unfit(facts_of(writes), place)
            refuse_pooled(writes, reads, place)
        claim = Claim(writes, place)
        own(claim, place, while_owned or candidate.while_owned, STAND_BY)
        with said_if_slow(place):
            claim.say_taken()
            bring_up_to_date(writes, place)
        opened.pop_all()  # from here on the database closes them
        heartbeat_s = min(HEARTBEAT_S, silence_s / 4, candidate.lease_s / 3)
        return PostgresqlDatabase(writes, reads, place, heartbeat_s, candidate.address)
