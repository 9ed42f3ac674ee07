"""What limits left out of a page, and the notes on it: the worker tells, here the task, ledger and journal are told."""

from __future__ import annotations

from crawlfleet.coordinator.core.changes import Capped
from crawlfleet.coordinator.core.figures import LeftOut
from crawlfleet.coordinator.core.leads import WITH_OUTLINKS
from crawlfleet.coordinator.core.rows import TaskRow, succeed
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.left_out import capped
from crawlfleet.shared.messages import Report
from crawlfleet.shared.ranges import total


def detail_of(report: Report) -> str:
    """Return the detail of a task after a report: what that says, and what was left out."""
    if not (report.links_left_out or report.rows_left_out):
        return report.detail
    told = capped(report.links_left_out, report.rows_left_out) if report.outcome in WITH_OUTLINKS else ""
    return "; ".join(filter(None, (report.detail, told)))


def note(turn: Turn, task: TaskRow, report: Report) -> None:
    """Note what was left out, if anything was."""
    links, rows = report.links_left_out, report.rows_left_out
    if not (links or rows) or report.outcome not in WITH_OUTLINKS:
        return
    turn.note(Capped(ref=task.ref, url=task.url, kind=task.kind, links=links, rows=rows))
    before = turn.ledger.left_out
    after = LeftOut(total(before.pages, 1), total(before.links, links), total(before.rows, rows))
    turn.put(succeed(turn.ledger, left_out=after))


def count_notes(turn: Turn, notes: tuple[str, ...]) -> None:
    """Count the notes on a page that is recorded."""
    if notes:
        before = turn.ledger.noted
        after = before | {note: total(before.get(note, 0), 1) for note in notes}
        turn.put(succeed(turn.ledger, noted=after))
