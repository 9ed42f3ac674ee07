"""The schemas of crawls in a database, mostly for whoever owns none of them. Each call connects on its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from crawlfleet.coordinator.frontier.port import StoreUnreachable
from crawlfleet.coordinator.frontier.postgresql.connection import Connection, Place, connect, mapped_errors, shown
from crawlfleet.coordinator.frontier.postgresql.ownership import Claim, own
from crawlfleet.coordinator.frontier.postgresql.schema import format_of, rename_schema
from crawlfleet.shared.errors import UsageError

# A backup is no standby, nor is what a logical slot serves. States are told to few roles only.
_STANDBYS = """
SELECT current_setting('synchronous_standby_names'), count(*) FROM pg_stat_replication r
WHERE coalesce(state, 'streaming') = 'streaming'
AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
"""


class PostgresqlSchemas:
    """The schemas of the database at an address. Each call but `replication` raises `UsageError` if that cannot be
    used."""

    def __init__(self, address: str) -> None:
        self._address = address

    def has(self, schema: str) -> bool:
        """Say whether a schema holds a crawl. Raises `UsageError` if it holds something else."""
        with self._connected(schema) as (db, place):
            return format_of(db, place) > 0

    def owner_of(self, schema: str) -> str:
        """Return what is known of the process that owns a crawl; empty if none does."""
        with self._connected(schema) as (db, place):
            claim = Claim(db, place)
            if not claim.is_owned():
                return ""
            owner = claim.owner()
            return owner.name if owner is not None else "of an unknown name"

    def replication(self, schema: str) -> str:
        """Say that a standby may lack commits that are acknowledged, if one does; else nothing. Raises
        `StoreUnreachable` if the server does not answer: who asks owns the crawl, and opens it anew then."""
        place = Place(self._address, schema)
        with closing(connect(place)) as db, mapped_errors(place, db):
            names, standbys = db.execute(_STANDBYS).fetchone() or ("", 0)
        if names or not standbys:
            return ""
        return (
            f"{shown(place.address)} is replicated asynchronously: if a standby is promoted, the last commits of the "
            "crawl may be lost, which its next start tells; name one in synchronous_standby_names, and none is lost"
        )

    def rename(self, schema: str, to: str) -> None:
        """Give a schema another name. Raises `UsageError` if a process owns the crawl, or the name is taken."""
        with self._connected(schema) as (db, place), ExitStack() as taken:
            for each in (place, place._replace(schema=to)):
                claim = Claim(db, each)
                own(claim, each)
                taken.callback(claim.release)
            rename_schema(db, place, to)

    @contextmanager
    def _connected(self, schema: str) -> Iterator[tuple[Connection, Place]]:
        place = Place(self._address, schema)
        try:
            with closing(connect(place)) as db, mapped_errors(place, db):
                yield db, place
        except StoreUnreachable as error:
            raise UsageError(str(error)) from error
