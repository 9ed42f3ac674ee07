"""Notes: what was unusual about the answer or the text of a page that was read all the same.

They are sent and stored as plain texts; of others than these the coordinator keeps none.
"""

from __future__ import annotations

from collections.abc import Iterable

from crawlfleet.shared.meant import Meant


class Note(Meant):
    """A note."""

    TLS_CUT = "tls_cut", "The TLS connection ended without a farewell, after an answer without a length: it may be cut."
    NOT_WELL_FORMED = "not_well_formed", "The page is XML that is not well-formed: it was read as HTML."
    BODY_SHORT = "body_short", "The connection ended within the body; `fetch.keep_truncated` keeps what had come."


def known(notes: Iterable[str]) -> tuple[str, ...]:
    """Return the notes among some texts, each once."""
    return tuple(note.value for note in Note if note in notes)
