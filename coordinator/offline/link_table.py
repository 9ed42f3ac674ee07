"""The tables `links` and `broken`: every link of every page that was read, and those that lead nowhere.

Where links end is looked up some thousand at a time, so that memory does not grow with the crawl.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.coordinator.frontier.port import StoreReader
from crawlfleet.coordinator.offline.known_tasks import Known, KnownTasks
from crawlfleet.coordinator.results.columns import Column, Table
from crawlfleet.shared.field_types import BOOL, INT, URL
from crawlfleet.shared.messages import Outcome
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.link_records import NOT_ADMITTED, LinkRecord, unpack
from crawlfleet.shared.web.urls import has_other_scheme, page_fingerprint

AT_ONCE = 2_000

LINKS = Table(
    "links",
    (
        Column("source", URL),
        Column("target"),
        Column("element"),
        Column("rel"),
        Column("text"),
        Column("followed", BOOL),
        Column("why"),
        Column("final_url", URL),
        Column("state"),
        Column("status", INT),
        Column("reason"),
    ),
)
BROKEN = Table(
    "broken",
    tuple(
        column
        for name in ("target", "status", "reason", "final_url", "source", "text", "element", "rel")
        for column in LINKS.columns
        if column.name == name
    ),
)
# A page that was read, or is too large, is there; its link is not broken, whatever became of the page.
_NOTHING_THERE = frozenset({Outcome.HTTP_ERROR, Outcome.NETWORK_ERROR, Outcome.REDIRECTED})


class _Link(NamedTuple):
    """A link on the page `source`, and the key under which its target is known."""

    source: str
    record: LinkRecord
    ref: bytes


class _Ended(NamedTuple):
    """A link; the task of its target, if there is one; and the one at which the redirects of that end."""

    link: _Link
    target: Known | None
    end: Known | None


def link_rows(reader: StoreReader) -> Iterator[dict[str, Any]]:
    """Yield a row for each link, in the order in which pages were read, and of the page."""
    for link, target, end in _ended(reader):
        record = link.record
        why = record.why or why_not(target)
        yield {
            "source": link.source,
            "target": record.target,
            "element": record.element,
            "rel": record.rel or None,
            "text": record.text or None,
            "followed": not why,
            "why": why or None,
            **_end(end),
        }


def broken_rows(reader: StoreReader) -> Iterator[dict[str, Any]]:
    """Yield a row for each link that leads to nothing, in the order of `link_rows`."""
    for link, _, end in _ended(reader):
        record = link.record
        is_invalid = record.why == Reason.NOT_HTTP and not has_other_scheme(record.target)
        if is_invalid or (end is not None and end.state is TaskState.FAILED and end.outcome in _NOTHING_THERE):
            row = {
                **_end(end),
                "target": record.target,
                "source": link.source,
                "text": record.text or None,
                "element": record.element,
                "rel": record.rel or None,
            }
            if is_invalid:
                row["reason"] = Reason.NOT_HTTP.value
            yield {column.name: row[column.name] for column in BROKEN.columns}


def _ended(reader: StoreReader) -> Iterator[_Ended]:
    others = KnownTasks(reader)
    links = _all(reader)
    while some := list(islice(links, AT_ONCE)):
        others.want({link.ref for link in some})
        for link in some:
            chain = others.chain(link.ref)
            yield _Ended(link, chain[0] if chain else None, chain[-1] if chain else None)


def _all(reader: StoreReader) -> Iterator[_Link]:
    for number, packed in reader.links():
        source = reader.name_of(number)
        yield from (_Link(source, record, page_fingerprint(record.target)) for record in unpack(packed))


def why_not(target: Known | None) -> str:
    """Return why the crawl did not go where a link leads that a worker reported, empty if it did."""
    if target is None:
        return NOT_ADMITTED
    return target.reason if target.state is TaskState.DROPPED and target.outcome is None else ""


def _end(end: Known | None) -> dict[str, Any]:
    if end is None:
        return {"final_url": None, "state": None, "status": None, "reason": None}
    return {
        "final_url": end.url,
        "state": end.state.value,
        "status": end.status or None,
        "reason": end.reason or None,
    }
