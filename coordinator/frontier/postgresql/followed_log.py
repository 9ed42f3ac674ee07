"""The committed log of a crawl in a schema that another process writes."""

from __future__ import annotations

from crawlfleet.coordinator.frontier.postgresql.connection import Place, connect
from crawlfleet.coordinator.frontier.postgresql.results import StoredResults
from crawlfleet.coordinator.frontier.postgresql.statements import Session
from crawlfleet.coordinator.frontier.stored_log import StoredLog


class PostgresqlFollowedLog(StoredLog):
    """The port's followed log over one schema. A standby will do."""

    def __init__(self, address: str, schema: str) -> None:
        place = Place(address, schema)
        super().__init__(StoredResults(lambda: Session(connect(place, reads_only=True), place)))
