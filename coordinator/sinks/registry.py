"""The table of the kinds of sinks, by the endings of their files. A kind is loaded only when a job asks for it."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.registry import Entry, table

if TYPE_CHECKING:
    from crawlfleet.coordinator.sinks.port import SinkKind


class SinkEntry(Entry, frozen=True, kw_only=True):
    """A kind of sinks. Its name is the ending of their files; its place is a function of the columns of a job's rows.

    It is a `LineKind` unless it is `transactional`: then a sink takes results whole or not at all, and stores how many
    it has with them. `reads_back` says whether `verify` can read the rows back.
    """

    kind = "sink"

    transactional: bool = False
    reads_back: bool = True

    def made_for(self, columns: tuple[str, ...]) -> SinkKind:
        """Load the kind, for rows with these columns, and maybe others from a hook."""
        made: SinkKind = self.load()(columns)
        return made


SINKS = table(SinkEntry(name=".jsonl", place="crawlfleet.coordinator.sinks.jsonl_sink:JsonLines", package="msgspec"))


def entry_for(name: str) -> SinkEntry:
    """Return the entry that a file's ending asks for; raise `UsageError` if there is none."""
    entry = SINKS.get(PurePath(name).suffix)
    if entry is None:
        raise UsageError(f"no sink writes {name}: the endings that exist are {', '.join(SINKS)}")
    return entry
