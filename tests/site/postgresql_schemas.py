"""Schemas of crawls on a server of tests: emptied, since to make tables takes longer than many a crawl, and opened
though the server does not sync."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from psycopg import Connection, sql

from crawlfleet.coordinator.frontier.postgresql import database
from crawlfleet.coordinator.frontier.postgresql.database import PostgresqlDatabase, open_database


def empty(db: Connection[Any], schema: str) -> None:
    """Make a new crawl of the one in a schema, if there is one."""
    there = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)).fetchall()
    tables = {name: sql.Identifier(schema, name) for (name,) in there}
    if "ledger" not in tables:
        return
    (number,) = db.execute(sql.SQL("SELECT format FROM {}").format(tables["ledger"])).fetchone() or (0,)
    for table in tables.values():
        db.execute(sql.SQL("DELETE FROM {}").format(table))
    db.execute(sql.SQL("INSERT INTO {} (format) VALUES (%s)").format(tables["ledger"]), (number,))


def open_unsynced(address: str, schema: str, **options: Any) -> PostgresqlDatabase:
    """Open the database of a crawl on a server that does not sync, which no crawl may trust in."""
    with patch.object(database, "refuse_unfit"):
        return open_database(address, schema, **options)
