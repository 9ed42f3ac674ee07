"""Prepared statements, and one connection that executes them one by one: each is a round trip, and sees what is
committed by then."""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import NamedTuple

import psycopg
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from crawlfleet.coordinator.frontier.postgresql.connection import Connection, Place, failure, line
from crawlfleet.coordinator.frontier.postgresql.patience import Patience
from crawlfleet.shared.errors import CrawlFailed

_BINARY = 1
_FORMATS = (_BINARY,) * 8
_FORGET = b"DEALLOCATE ALL"
#: What is told of a server that was waited for in vain.
SILENT = "it does not answer"
_LOOK_S = 1.0

Rows = list[tuple[bytes, ...]]


class Statement(NamedTuple):
    """A statement that is prepared when it is first used: its name, which no other has, and its text."""

    name: bytes
    text: bytes


class Call(NamedTuple):
    """A statement with its parameters, each in PostgreSQL's binary format."""

    statement: Statement
    values: tuple[bytes, ...] = ()


def statement(name: str, text: str) -> Statement:
    """Return a statement; line breaks in its text are for its readers."""
    return Statement(name.encode(), " ".join(text.split()).encode())


class Prepared:
    """The statements that are prepared over a connection in pipeline mode. Each is, when it is first used."""

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._names: set[bytes] = set()
        self._has_failed = False

    def note_failure(self) -> None:
        """A transaction has failed: nobody knows which of its statements were prepared."""
        self._has_failed = True

    def send(self, calls: Sequence[Call]) -> None:
        """Send calls as one transaction."""
        if self._has_failed:
            self._pgconn.send_query_params(_FORGET, None)
            self._names.clear()
            self._has_failed = False
        for (name, text), values in calls:
            if name not in self._names:
                self._pgconn.send_prepare(name, text)
                self._names.add(name)
            self._pgconn.send_query_prepared(name, values, _FORMATS[: len(values)], _BINARY)
        self._pgconn.pipeline_sync()


class Session:
    """A connection for reading. One thread at a time uses it."""

    def __init__(self, db: Connection, place: Place, patience: Patience | None = None) -> None:
        self._db = db
        self._patience = patience or Patience()
        self._pgconn = db.pgconn
        self._place = place
        self._prepared = Prepared(self._pgconn)
        self._pgconn.enter_pipeline_mode()

    def fetch(self, call: Call) -> Rows:
        """Return the rows that a statement yields; NULL is an empty value.

        Raises `StoreUnreachable` if the connection is lost, `CrawlFailed` if the statement fails.
        """
        return self.fetch_each(call)[0]

    def fetch_each(self, *calls: Call) -> list[Rows]:
        """Return the rows of several statements, in one round trip."""
        try:
            self._prepared.send(calls)
            found = self._results()
        except psycopg.Error as error:
            raise self._failure(line(error)) from error
        except BaseException:
            self._db.close()  # what is still to come must not be taken for another answer
            raise
        for result in found:
            if result.status == ExecStatus.FATAL_ERROR:
                self._prepared.note_failure()
                raise self._failure(text_of(result), state_of(result))
        return [_rows_in(result) for result in found if result.status == ExecStatus.TUPLES_OK]

    def values(self, call: Call) -> list[bytes]:
        """Return the first column of what a statement yields."""
        return [row[0] for row in self.fetch(call)]

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def _results(self) -> list[PGresult]:
        """Return the results of all that was sent. Signals interrupt it, which they do not while libpq waits."""
        asked_at = self._patience.clock()
        found: list[PGresult] = []
        waits = select.poll()
        unsent = self._pgconn.flush()
        while True:
            while not unsent and not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if is_lost(self._pgconn):
                    told = self._pgconn.get_error_message() if result is None else result.get_error_message()
                    raise psycopg.OperationalError(told)
                if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
                    return found
                if result is not None:
                    found.append(result)
            waits.register(self._pgconn.socket, select.POLLIN | (select.POLLOUT if unsent else 0))
            if not waits.poll(_LOOK_S * 1_000) and self._patience.is_over(asked_at):
                self._db.close()
                raise psycopg.OperationalError(SILENT)
            self._pgconn.consume_input()
            unsent = self._pgconn.flush()

    def _failure(self, text: str, state: str = "") -> CrawlFailed:
        return failure(self._place, text, is_lost=is_lost(self._pgconn), state=state)


def _rows_in(result: PGresult) -> Rows:
    columns, value = range(result.nfields), result.get_value
    return [tuple([value(row, column) or b"" for column in columns]) for row in range(result.ntuples)]


def is_lost(pgconn: PGconn) -> bool:
    """Say whether a connection is of no use any more."""
    return pgconn.status != ConnStatus.OK


def state_of(result: PGresult) -> str:
    """Return the SQLSTATE of an error."""
    return (result.error_field(DiagnosticField.SQLSTATE) or b"?").decode()


def text_of(result: PGresult) -> str:
    """Return the text of an error in one line, without the data that it is about."""
    told = result.error_field(DiagnosticField.MESSAGE_PRIMARY)
    return " ".join((told.decode(errors="replace") if told else result.get_error_message()).split())
