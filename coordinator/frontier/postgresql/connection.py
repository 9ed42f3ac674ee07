"""Connections to the database of a crawl: how each session is set up, which servers are refused, and errors.

Statements are written so that their plans do not depend on statistics: a table grows from nothing to millions of rows
within an hour, and the plan of a prepared statement is made once. The settings of a session forbid other plans.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psycopg
from psycopg import waiting
from psycopg.conninfo import conninfo_to_dict

from crawlfleet.coordinator.frontier.port import StoreUnreachable
from crawlfleet.shared.errors import CrawlFailed, UsageError

Connection = psycopg.Connection[tuple[Any, ...]]

OLDEST_VERSION = 14
# Whoever waits looks so often whether it is interrupted.
_LOOK_S = 0.1
# A machine that is gone is noticed within so long, by both sides.
_GONE_S = 20
# What an address may say otherwise.
_USUAL: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": _GONE_S // 4,
    "keepalives_interval": _GONE_S // 4,
    "keepalives_count": 3,
    "tcp_user_timeout": _GONE_S * 1_000,
}
_SETTINGS = {
    "synchronous_commit": "on",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "tcp_keepalives_idle": str(_GONE_S // 4),
    "tcp_keepalives_interval": str(_GONE_S // 4),
    "tcp_keepalives_count": "3",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "client_min_messages": "warning",
}
_ENDS_SILENT = ("idle_session_timeout", "idle_in_transaction_session_timeout")
# What only some servers know: not each system, or not each build.
_SETTINGS_OF_SOME = {
    "client_connection_check_interval": str(_GONE_S // 4 * 1_000),
    "tcp_user_timeout": str(_GONE_S * 1_000),
    "default_toast_compression": "lz4",
}
_SET = "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS setting(name, value)"
_FACTS = "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('server_encoding')"
_MARK = "crawlfleet.session"
# States in which a server refuses what it may take later, though nothing is changed here: resources are used up (class
# 53: no room, no connection), an operator has intervened (57), or it takes no writes, as some without room.
_FOR_NOW = ("53", "57", "25006")


class _Interruptible(psycopg.Connection[tuple[Any, ...]]):
    """A connection that is given up at once when it is interrupted.

    psycopg would ask the server to cancel what is under way, and wait for that: a server that is silent does neither.
    """

    def wait(self, gen: Any, interval: float = _LOOK_S, **limits: Any) -> Any:  # type: ignore[override]  # named limits
        """Return what a generator of psycopg comes to, once the server has answered it."""
        try:
            return waiting.wait(gen, self.pgconn.socket, interval=interval, **limits)
        except (KeyboardInterrupt, SystemExit):
            self.pgconn.finish()
            raise


class Place(NamedTuple):
    """A schema of a database: its address, which may have a password, and the schema's name."""

    address: str
    schema: str

    def __str__(self) -> str:
        return f"schema {self.schema} of {shown(self.address)}"


class Facts(NamedTuple):
    """What is told of a server: its version as a number and as a text, whether it syncs, its encoding."""

    number: int
    version: str
    fsync: str
    encoding: str


def shown(address: str) -> str:
    """Return the address of a database as sentences name it: without the password. Raises `UsageError`."""
    told = _parameters(address)
    if "service" in told:
        return f"the database of service {told['service']}"
    hosts = str(told.get("host") or told.get("hostaddr") or "the default host").split(",")
    ports = str(told.get("port", "")).split(",")
    # One port is that of all hosts; a host may have the default one.
    each = ports * len(hosts) if len(ports) == 1 else ports
    places = ",".join(f"{host}:{port}" if port else host for host, port in zip(hosts, each, strict=False))
    return f"the database {told.get('dbname') or told.get('user') or 'of the default name'} at {places}"


def connect(place: Place, *, silence_s: float = 0.0, reads_only: bool = False) -> Connection:
    """Connect to the database of a crawl. Each statement is a transaction of its own.

    The server ends a session that says nothing for `silence_s`, unless that is 0; with `reads_only` a standby will do.
    Raises `StoreUnreachable` if the server does not answer, `UsageError` if the address is malformed or libpq too old.
    """
    if not psycopg.capabilities.has_pipeline():
        raise UsageError(
            "the libpq that psycopg has found is older than 14: pip install 'psycopg[binary]' brings its own"
        )
    try:
        db: Connection = _Interruptible.connect(
            place.address,
            application_name="crawlfleet",
            client_encoding="utf8",
            autocommit=True,
            **options_of(place.address, reads_only=reads_only),
        )
    except psycopg.OperationalError as error:
        raise StoreUnreachable(f"cannot connect to {shown(place.address)}: {line(error)}") from error
    try:
        with mapped_errors(place, db):
            _set_up(db, place, silence_s)
    except BaseException:
        db.close()
        raise
    return db


def options_of(address: str, *, reads_only: bool) -> dict[str, Any]:
    """Return what is asked of a connection beside what its address says."""
    told = _parameters(address)
    wanted = {} if reads_only else {"target_session_attrs": "read-write"}
    return wanted | {key: value for key, value in _USUAL.items() if key not in told}


def facts_of(db: Connection) -> Facts:
    """Return what a server tells of itself."""
    version, fsync, encoding = db.execute(_FACTS).fetchone() or ("", "", "")
    return Facts(db.info.server_version, version, fsync, encoding)


def refuse_unfit(facts: Facts, place: Place) -> None:
    """Raise `UsageError` if a server cannot keep what it acknowledges, or lacks what a crawl needs."""
    where = shown(place.address)
    if facts.number < OLDEST_VERSION * 10_000:
        raise UsageError(
            f"{where} is PostgreSQL {facts.version}, crawlfleet needs {OLDEST_VERSION} or newer: upgrade it, or name "
            "another database"
        )
    if facts.fsync != "on":
        raise UsageError(
            f"{where} has fsync = off, so that a power cut would lose or damage the crawl: set fsync = on in its "
            "postgresql.conf, and reload it"
        )
    if facts.encoding != "UTF8":
        raise UsageError(
            f"{where} has the encoding {facts.encoding}, crawlfleet needs UTF8: create a database with ENCODING 'UTF8'"
        )


def refuse_pooled(first: Connection, second: Connection, place: Place) -> None:
    """Raise `UsageError` if two connections share sessions of the server, as behind a pool by transaction.

    What the first sets for its session must not be seen by the second, nor be gone while that is in a transaction.
    """
    if _is_shared(first, second):
        raise UsageError(
            f"{shown(place.address)} is behind a pool that shares sessions by transaction, such as pgbouncer with "
            "pool_mode = transaction, and a crawl's owner needs its session: name the server's own address, or a pool "
            "with pool_mode = session"
        )


@contextmanager
def mapped_errors(place: Place, db: Connection) -> Iterator[None]:
    """Map errors of psycopg to ours, which name the place."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        text = f"cannot use {place}: {line(error)}; grant that to the user {db.info.user}, or name another database"
        raise UsageError(text) from error
    except psycopg.Error as error:
        is_lost = db.pgconn.status != psycopg.pq.ConnStatus.OK
        raise failure(place, line(error), is_lost=is_lost, state=error.sqlstate or "") from error


def failure(place: Place, text: str, *, is_lost: bool, state: str = "") -> CrawlFailed:
    """Return the error for a statement that failed; `state` is its SQLSTATE, if it has one."""
    if is_lost:
        return StoreUnreachable(f"the connection to {shown(place.address)} was lost: {text}")
    told = f"cannot use {place}: {text}; make room or mend the database"
    return StoreUnreachable(told) if state.startswith(_FOR_NOW) else CrawlFailed(f"{told}, then run the job again")


def line(error: BaseException) -> str:
    """Return the text of an error in one line, without the data that it is about."""
    told = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return " ".join((told or str(error)).split())


def _parameters(address: str) -> dict[str, Any]:
    try:
        return conninfo_to_dict(address)
    except psycopg.ProgrammingError:
        # The error's text would repeat the address, and with it the password.
        text = "the address of the database is malformed: write it as postgresql://user@host:5432/database"
        raise UsageError(text) from None


def _set_up(db: Connection, place: Place, silence_s: float) -> None:
    settings = _SETTINGS | dict.fromkeys(_ENDS_SILENT, str(int(silence_s * 1_000)))
    db.execute(_SET, (list(settings), list(settings.values())))
    db.execute("SELECT set_config('search_path', quote_ident(%s), false)", (place.schema,))
    for name, value in _SETTINGS_OF_SOME.items():
        with suppress(psycopg.DatabaseError):
            db.execute(_SET, ([name], [value]))


def _is_shared(first: Connection, second: Connection) -> bool:
    own = f"{id(first)}"
    first.execute("SELECT set_config(%s, %s, false)", (_MARK, own))
    try:
        with second.transaction():
            # A pool with a single session would not answer the first now; but then the second has seen the mark.
            return _marked(second) == own or _marked(first) != own
    except psycopg.errors.ProtocolViolation:
        return True  # a pool by statement allows no transactions


def _marked(db: Connection) -> str:
    (found,) = db.execute("SELECT current_setting(%s, true)", (_MARK,)).fetchone() or ("",)
    return found or ""
