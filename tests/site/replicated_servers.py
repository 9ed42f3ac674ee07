"""A PostgreSQL server and its standby, which has each commit before it is acknowledged; and questions to servers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.site.postgresql_server import USER, PostgresqlServer


def ask(server: PostgresqlServer, *queries: str) -> None:
    """Execute some queries."""
    with psycopg.connect(server.address(), autocommit=True) as db:
        for query in queries:
            db.execute(query.encode())


def await_streaming(primary: PostgresqlServer, state: str) -> None:
    """Wait until a server has one standby, in this state."""
    with psycopg.connect(primary.address(), autocommit=True) as db:
        query = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'"
        while db.execute(query).fetchall() != [(state,)]:
            time.sleep(0.02)


@contextmanager
def synchronous_standby(
    primary: PostgresqlServer, *settings: str, preface: tuple[str, ...] = ()
) -> Iterator[PostgresqlServer]:
    """Run a standby, with more settings, and let each commit wait for it. It has the settings of its primary, too, as
    where one file is for both. `preface` goes in front of its commands."""
    ask(primary, "ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()")
    with PostgresqlServer(*settings, syncs=True, of=primary, preface=preface) as standby:
        await_streaming(primary, "sync")
        yield standby


@contextmanager
def replicated() -> Iterator[tuple[PostgresqlServer, PostgresqlServer]]:
    """Run a primary and its synchronous standby."""
    with PostgresqlServer(syncs=True) as primary, synchronous_standby(primary) as standby:
        yield primary, standby


def address_of_both(primary: PostgresqlServer, standby: PostgresqlServer) -> str:
    """Return the address of whichever of two servers is the primary."""
    return f"postgresql:///postgres?host={primary.folder},{standby.folder}&user={USER}&target_session_attrs=read-write"
