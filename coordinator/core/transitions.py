"""The states of a task as a table: a pair that is missing here cannot happen.

    None ──ADMITTED──► PENDING ──GRANTED──► LEASED ──FETCHED, REDIRECTED, JUDGED, ...──► DONE
      └───REFUSED──► DROPPED ◄──REFUSED──┘  │ │ └──GAVE_UP, POISONED──► FAILED
                     ▲  └─REVIVED─► PENDING ◄─┴── LOST, RELEASED, RETRIED
                     └── UNWANTED (LEASED)

A page that FAILED because a machine lacked something is REVIVED when the crawl is resumed.

Only a robots.txt is requested again: RECHECKED takes its task from any final state back to PENDING.

A task is LISTED, and stays what it is, when a line of a seeds file names it after it has become known.

A check whose URL has come into the scope is ADOPTED: from any state but LEASED it becomes a page that is PENDING.

An expired lease stays current until its task is granted again, so a late report may still settle a PENDING task.
"""

from __future__ import annotations

from typing import Any

from crawlfleet.coordinator.core.changes import TaskEvent, TaskMoved
from crawlfleet.coordinator.core.rows import TaskRow, TaskState, succeed

PENDING, LEASED, DONE, FAILED, DROPPED = TaskState

# Where a report leads, under a lease or after its loss.
SETTLING = {
    TaskEvent.FETCHED: DONE,
    TaskEvent.NOT_MODIFIED: DONE,
    TaskEvent.REDIRECTED: DONE,
    TaskEvent.JUDGED: DONE,
    TaskEvent.RETRIED: PENDING,
    TaskEvent.GAVE_UP: FAILED,
    TaskEvent.UNWANTED: DROPPED,
}
TRANSITIONS: dict[tuple[TaskState | None, TaskEvent], TaskState] = {
    (None, TaskEvent.ADMITTED): PENDING,
    (None, TaskEvent.REFUSED): DROPPED,
    (PENDING, TaskEvent.REFUSED): DROPPED,
    (PENDING, TaskEvent.GRANTED): LEASED,
    (PENDING, TaskEvent.LOWERED): PENDING,
    (LEASED, TaskEvent.LOST): PENDING,
    (LEASED, TaskEvent.RELEASED): PENDING,
    (LEASED, TaskEvent.POISONED): FAILED,
    (LEASED, TaskEvent.LOWERED): LEASED,
    (LEASED, TaskEvent.PART): LEASED,
    (PENDING, TaskEvent.PART): PENDING,
    (DONE, TaskEvent.LOWERED): DONE,
    (FAILED, TaskEvent.LOWERED): FAILED,
    (DROPPED, TaskEvent.LOWERED): DROPPED,
    (DROPPED, TaskEvent.REVIVED): PENDING,
    (FAILED, TaskEvent.REVIVED): PENDING,
    (DONE, TaskEvent.RECHECKED): PENDING,
    (FAILED, TaskEvent.RECHECKED): PENDING,
    (DROPPED, TaskEvent.RECHECKED): PENDING,
    (PENDING, TaskEvent.ASKED): PENDING,
    (LEASED, TaskEvent.ASKED): LEASED,
    (PENDING, TaskEvent.UNASKED): PENDING,
    (LEASED, TaskEvent.UNASKED): LEASED,
    (PENDING, TaskEvent.ADOPTED): PENDING,
    (DONE, TaskEvent.ADOPTED): PENDING,
    (FAILED, TaskEvent.ADOPTED): PENDING,
    (DROPPED, TaskEvent.ADOPTED): PENDING,
} | {(state, event): final for state in (LEASED, PENDING) for event, final in SETTLING.items()}
TRANSITIONS |= {(state, TaskEvent.LISTED): state for state in TaskState}


class ImpossibleTransition(Exception):
    """A rule requested a transition that the table does not have: our bug."""


def moved(task: TaskRow, event: TaskEvent, **changed: Any) -> TaskMoved:
    """Apply an event to a task; `changed` are its other new values."""
    after = TRANSITIONS.get((task.state, event))
    if after is None:
        raise ImpossibleTransition(f"{event} cannot happen to a {task.state} task: {task}")
    return TaskMoved(event=event, before=task.state, task=succeed(task, state=after, **changed))


def created(event: TaskEvent, **values: Any) -> TaskMoved:
    """Create a task, as ADMITTED or REFUSED."""
    return TaskMoved(event=event, before=None, task=TaskRow(state=TRANSITIONS[None, event], **values))
