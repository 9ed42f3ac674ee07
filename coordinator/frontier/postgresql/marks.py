"""The marks of a crawl's sinks in PostgreSQL, over a connection of their own: sinks commit independently of the
frontier. A mark is refused if another owner has the crawl."""

from __future__ import annotations

import msgspec

from crawlfleet.coordinator.frontier.port import CrawlTaken, Mark
from crawlfleet.coordinator.frontier.postgresql.arrays import int8
from crawlfleet.coordinator.frontier.postgresql.connection import Place
from crawlfleet.coordinator.frontier.postgresql.statements import Call, Session, statement

MARK = statement("mark", "SELECT mark FROM marks WHERE sink = convert_from($1::bytea, 'UTF8')")
# The owner's row is locked until this is committed: a next owner numbers its opening before that, or after it.
_SET = statement(
    "set_mark",
    """INSERT INTO marks (sink, mark)
    SELECT convert_from($2::bytea, 'UTF8'), $3::bytea FROM (SELECT FROM ledger WHERE epoch = $1::int8 FOR SHARE) mine
    ON CONFLICT (sink) DO UPDATE SET mark = EXCLUDED.mark RETURNING true""",
)


class PostgresqlMarks:
    """The marks of one crawl by sink, set by the owner of this epoch."""

    def __init__(self, session: Session, place: Place, epoch: int) -> None:
        self._session = session
        self._place = place
        self._epoch = epoch

    def get(self, sink: str) -> Mark | None:
        """Return a sink's mark; None if it never wrote."""
        return mark_of(self._session, sink)

    def set(self, sink: str, mark: Mark) -> None:
        """Commit a sink's mark."""
        values = (int8(self._epoch), sink.encode(), msgspec.msgpack.encode(mark))
        if not self._session.fetch(Call(_SET, values)):
            raise CrawlTaken(f"another coordinator has taken {self._place}: sink {sink} is written by that one now")

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


def mark_of(session: Session, sink: str) -> Mark | None:
    """Return the mark of a sink; None if it never wrote."""
    found = session.values(Call(MARK, (sink.encode(),)))
    return msgspec.msgpack.decode(found[0], type=Mark) if found else None
