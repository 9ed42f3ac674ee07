"""What a page's report has that may be larger than a message: it is encoded, and sent in pieces.

No piece means anything without the others. They are put together when the last one has come, so that a report counts
as a whole or not at all.
"""

from __future__ import annotations

from crawlfleet.shared.message import Message
from crawlfleet.shared.messages import Row, decode, encode

#: The size of a piece: several reports fit into a request.
PART_BYTES = 1024 * 1024


class Bulk(Message, frozen=True, kw_only=True):
    """The rows of a page, and its outlinks, packed: see `shared.web.links`.

    `listed` are all its links, if the job asks for them: see `shared.web.link_records`.
    """

    rows: tuple[Row, ...] = ()
    links: bytes = b""
    listed: bytes = b""


def split(bulk: Bulk, part_bytes: int = PART_BYTES) -> list[bytes]:
    """Return a bulk in pieces, at least one; raise a `TypeError` that names the type of a value that cannot be sent."""
    data = encode(bulk)
    return [data[start : start + part_bytes] for start in range(0, len(data), part_bytes)]


def join(pieces: list[bytes]) -> Bulk:
    """Return the bulk of all its pieces; raise `WireError` if they are damaged."""
    return decode(b"".join(pieces), Bulk)
