"""Reads tables that are appended to in portions, each a short transaction: whoever read for long in one would keep the
server from removing what is dead, in all tables."""

from __future__ import annotations

from collections.abc import Iterator

from crawlfleet.coordinator.frontier.postgresql.arrays import int8, int8_in
from crawlfleet.coordinator.frontier.postgresql.statements import Call, Session, Statement, statement

#: So many bytes of rows are read at once, or one row, if that has more.
READ_BYTES = 8 * 1024 * 1024
ROWS_AT_ONCE = 200


def portion(table: str, place: str, *columns: str, row: str = "row") -> Statement:
    """Return the statement that reads `place`, `columns` and `row` of a table's rows, by their places.

    Its parameters are the place after which it begins, the last place, how many rows at most, and how many bytes of
    `row` at most: one is read, however large it is.
    """
    names = ", ".join((place, *columns))
    text = f"""
    SELECT {names}, {row} FROM (
        SELECT {names}, {row}, sum(octet_length({row})) OVER (ORDER BY {place}) - octet_length({row}) AS before
        FROM (SELECT * FROM {table} WHERE {place} > $1::int8 AND {place} <= $2::int8 ORDER BY {place} LIMIT $3::int8) t
    ) u WHERE before < $4::int8 ORDER BY {place}"""
    return statement(f"portion_{table}", text)


def first_of(
    session: Session, taken: Statement, after: int, last: int, limit: int = ROWS_AT_ONCE
) -> list[tuple[bytes, ...]]:
    """Return the rows of one portion."""
    return session.fetch(Call(taken, (int8(after), int8(last), int8(limit), int8(READ_BYTES))))


def all_of(session: Session, taken: Statement, last: int) -> Iterator[tuple[bytes, ...]]:
    """Yield all rows up to a place, portion by portion."""
    after = 0
    while after < last and (rows := first_of(session, taken, after, last)):
        yield from rows
        after = int8_in(rows[-1][0])
