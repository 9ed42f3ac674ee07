"""Who owns a crawl: the one whose session holds its lock, from when it opens the crawl until that session ends.

The lock is an advisory one of PostgreSQL, so that nothing that others do to tables can take it. The server gives it
back when the session ends: because its process has ended, or says nothing any more. One end it does not notice: that of
a process which was stopped in the middle of a transaction that it was sending. Whoever waits sees that the owner's
heartbeat stands still, by the database's clock, and ends its session.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from hashlib import blake2b

from crawlfleet.coordinator.frontier.port import CrawlTaken, Owner
from crawlfleet.coordinator.frontier.postgresql.arrays import int8
from crawlfleet.coordinator.frontier.postgresql.connection import Connection, Place, mapped_errors
from crawlfleet.coordinator.frontier.postgresql.schema import format_of
from crawlfleet.coordinator.frontier.postgresql.statements import Call, Session, statement
from crawlfleet.shared.errors import UsageError

#: A process that was killed a moment ago may not have lost its session yet.
PATIENCE_S = 2.0
_PAUSE_S = 0.05

UNLOCK = Call(statement("unlock", "SELECT pg_advisory_unlock_all()"))

_SILENT = """
SELECT epoch, extract(epoch FROM clock_timestamp() - heartbeat_at)::float8, owner, owned_at, address FROM ledger
"""
_WAITS = """
INSERT INTO waiting VALUES (%s, %s, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET address = EXCLUDED.address, seen_at = EXCLUDED.seen_at
"""
# Another one that waits must not take the last owner's silence for that of the next one.
_TAKEN = "UPDATE ledger SET heartbeat_at = clock_timestamp()"
# A mark that the last owner was setting when it was stopped or cut off keeps the row of the ledger locked.
_END_MARKS = """
SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d ON d.oid = database AND d.datname = current_database()
WHERE relation = 'ledger'::regclass AND mode = 'RowShareLock' AND pid <> pg_backend_pid()
"""
_WAITS_NO_MORE = "DELETE FROM waiting WHERE name = %s OR seen_at < clock_timestamp() - interval '1 day'"
_WAITING = statement(
    "waiting",
    """SELECT w.address FROM waiting w, ledger WHERE epoch = $1::int8 AND seen_at > clock_timestamp() - interval '10 s'
    UNION ALL SELECT NULL FROM ledger WHERE epoch <> $1::int8 ORDER BY address""",
)
_HOLDER = """
FROM pg_locks JOIN pg_database d ON d.oid = database AND d.datname = current_database()
WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32 | objid::bigint) = %s::bigint AND objsubid = 1
"""
# A session that waits for a standby has committed already: its successor would wait in the same way.
_END = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid IN (SELECT pid {_HOLDER}) AND wait_event IS DISTINCT FROM 'SyncRep'
"""


class Claim:
    """A process that wants to own a crawl, with the connection that will write it."""

    def __init__(self, db: Connection, place: Place) -> None:
        self._db = db
        self._place = place
        self._number = _number(place.schema)

    def take(self) -> bool:
        """Take the crawl unless another process has it; say whether this one has it now."""
        with mapped_errors(self._place, self._db):
            found = self._db.execute("SELECT pg_try_advisory_lock(%s)", (self._number,)).fetchone()
        return found == (True,)

    def release(self) -> None:
        """Give the crawl back, if this process has it."""
        with mapped_errors(self._place, self._db):
            self._db.execute("SELECT pg_advisory_unlock(%s)", (self._number,))

    def is_owned(self) -> bool:
        """Say whether any process has the crawl."""
        with mapped_errors(self._place, self._db):
            return self._db.execute(f"SELECT true {_HOLDER}", (self._number,)).fetchone() is not None

    def owner(self) -> Owner | None:
        """Return who had the crawl last; None if nobody ever had."""
        with mapped_errors(self._place, self._db):
            if not format_of(self._db, self._place):
                return None
            found = self._db.execute(_SILENT).fetchone()
        return None if found is None or not found[0] else Owner(*found)

    def say_waiting(self, address: str) -> None:
        """Let the owner know for some seconds that a coordinator waits, which is at this address."""
        with mapped_errors(self._place, self._db):
            if format_of(self._db, self._place):
                self._db.execute(_WAITS, (own_name(), address))

    def say_taken(self) -> None:
        """Say that the crawl has an owner again, which waits no more, if the crawl is there already."""
        with mapped_errors(self._place, self._db):
            if format_of(self._db, self._place):
                self._db.execute(_END_MARKS)
                self._db.execute(_TAKEN)
                self._db.execute(_WAITS_NO_MORE, (own_name(),))

    def terminate_owner(self) -> bool:
        """End the session of who has the crawl; say whether there is one. A session that waits for a standby goes on.

        Its commit, if one is under way, is in or not, and its next one fails.
        """
        with mapped_errors(self._place, self._db):
            return bool(self._db.execute(_END, (self._number,)).fetchall())


#: Called again and again by who waits for a crawl that another process has: see `port.Candidate`.
WhileOwned = Callable[[Claim], None]


def own_name() -> str:
    """Return how this process names itself in a database."""
    return f"{socket.gethostname()}:{os.getpid()}"


def waiting_for(session: Session, place: Place, epoch: int) -> tuple[str, ...]:
    """Return the addresses of who waits for the crawl of this owner; raise `CrawlTaken` if another one has it."""
    found = session.values(Call(_WAITING, (int8(epoch),)))
    if b"" in found:
        raise CrawlTaken(f"another coordinator has taken {place}")
    return tuple(address.decode() for address in found)


#: What is to be done about an owner.
STOP_IT = "stop it first, or wait until it ends"
STAND_BY = f"{STOP_IT}; `crawlfleet coordinator` stands by, and takes the crawl over then"


def own(claim: Claim, place: Place, while_owned: WhileOwned | None = None, advice: str = STOP_IT) -> None:
    """Take a crawl: wait for it, or raise `UsageError`, with some advice, if another process has it."""
    began_at = time.monotonic()
    while not claim.take():
        if while_owned is not None:
            while_owned(claim)
        elif time.monotonic() > began_at + PATIENCE_S:
            owner = claim.owner()
            name = f", {owner.name}, {owner.told_since}" if owner is not None and owner.name else ""
            raise UsageError(f"{place} is owned by another coordinator{name}: {advice}")
        else:
            time.sleep(_PAUSE_S)


def _number(schema: str) -> int:
    """Return the number of a crawl's lock: locks have 64 bits, with a sign, and are of one database."""
    said = f"crawlfleet\0frontier\0{schema}".encode()
    return int.from_bytes(blake2b(said, digest_size=8).digest(), signed=True)
