"""The table `urls`: a row for every URL that a crawl knows, however it ended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from crawlfleet.coordinator.core.later_rows import SeedLineRow
from crawlfleet.coordinator.core.rows import NOT_REACHED, TaskRow
from crawlfleet.coordinator.frontier.port import StoreReader
from crawlfleet.coordinator.offline.histories import History, with_histories
from crawlfleet.coordinator.offline.known_tasks import KnownTasks, known
from crawlfleet.coordinator.results.columns import Column, Table
from crawlfleet.shared.field_types import BOOL, DATETIME, INT, URL

AT_ONCE = 500

URLS = Table(
    "urls",
    (
        Column("url", URL),
        Column("kind"),
        Column("state"),
        Column("outcome"),
        Column("status", INT),
        Column("reason"),
        Column("detail"),
        Column("depth", INT),
        Column("seed", BOOL),
        Column("requested"),
        Column("found_on", URL),
        Column("redirected_from", URL, many=True),
        Column("redirects", URL, many=True),
        Column("final_url", URL),
        Column("attempts", INT),
        Column("found_at", DATETIME),
        Column("fetched_at", DATETIME),
        Column("worker"),
        Column("notes", many=True),
    ),
)


def url_rows(reader: StoreReader) -> Iterator[dict[str, Any]]:
    """Yield a row for each task of a stored crawl, in the order of admission."""
    others = KnownTasks(reader)
    found = with_histories(reader)
    while some := list(islice(found, AT_ONCE)):
        wanted = {ref for task, _ in some for ref in (task.found_on, known(task).target) if ref}
        others.want(wanted)
        lines = reader.seed_lines({task.seed_line for task, _ in some if task.seed_line})
        yield from (_row(task, history, others, lines.get(task.seed_line)) for task, history in some)


def _row(task: TaskRow, history: History, others: KnownTasks, line: SeedLineRow | None) -> dict[str, Any]:
    found_on = others.get(task.found_on)
    redirects = [each.url for each in others.chain(known(task).target)]
    return {
        "url": task.url,
        "kind": task.kind.value,
        "state": task.state.value,
        "outcome": task.outcome.value if task.outcome is not None else None,
        "status": task.status or None,
        "reason": task.reason or None,
        "detail": task.detail or None,
        "depth": task.depth if task.depth != NOT_REACHED else None,
        "seed": task.seed,
        "requested": line.line.requested if line is not None else None,
        "found_on": found_on.url if found_on is not None else None,
        "redirected_from": list(task.hops),
        "redirects": redirects,
        "final_url": redirects[-1] if redirects else task.url,
        "attempts": history.attempts,
        "found_at": _text(history.found_at),
        "fetched_at": _text(history.answered_at),
        "worker": history.worker or None,
        "notes": list(task.notes),
    }


def _text(at: float | None) -> str | None:
    """Return a time as ISO 8601 has it, in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
