"""The durable store in a schema of a PostgreSQL database."""

from __future__ import annotations

from crawlfleet.coordinator.frontier.durable.store import DurableStore
from crawlfleet.coordinator.frontier.port import ANYBODY, Candidate
from crawlfleet.coordinator.frontier.postgresql.database import SILENCE_S, open_database
from crawlfleet.coordinator.frontier.postgresql.ownership import WhileOwned


def open_store(
    address: str,
    schema: str,
    *,
    while_owned: WhileOwned | None = None,
    silence_s: float = SILENCE_S,
    candidate: Candidate = ANYBODY,
) -> DurableStore:
    """Open the store of a crawl, or create it: see `open_database`."""
    database = open_database(address, schema, while_owned=while_owned, silence_s=silence_s, candidate=candidate)
    return DurableStore(database)
