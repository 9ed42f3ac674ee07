"""What a simulation tells: the story of one seed, and how often each transition and each fault has been."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from enum import StrEnum

from crawlfleet.coordinator.core.changes import Change, Gone, TaskEvent, TaskMoved
from crawlfleet.coordinator.core.rows import LeaseRow, TaskState
from crawlfleet.coordinator.core.transitions import TRANSITIONS

Transition = tuple[TaskState | None, TaskEvent]

KEPT_LINES = 400
# A robots.txt that was dropped is asked for again by a changed job alone: see `test_job_change.py`.
# Nothing is requested conditionally, so NOT_MODIFIED is refused: the table has it for the stories of earlier crawls.
NEVER_HERE = {
    (TaskState.DROPPED, TaskEvent.RECHECKED),
    (TaskState.LEASED, TaskEvent.NOT_MODIFIED),
    (TaskState.PENDING, TaskEvent.NOT_MODIFIED),
}
# The tests of the rules have these.
RARE_HERE = {(state, TaskEvent.LISTED) for state in (TaskState.DONE, TaskState.DROPPED, TaskState.FAILED)}


class Fault(StrEnum):
    """What may go wrong, and is counted when it does."""

    REQUEST_DROPPED = "request dropped"
    ANSWER_DROPPED = "answer dropped"
    REQUEST_REPEATED = "request repeated"
    MESSAGE_DELAYED = "message delayed beyond the next"
    PARTITION = "worker cut off beyond its lease"
    WORKER_KILLED = "worker killed"
    WORKER_KILLED_BY_PAGE = "worker killed by a page"
    WORKER_STOPPED = "worker stopped beyond its lease, then continued"
    WORKER_REPLACED = "worker replaced, its death being known"
    WORKER_ENDED_BY_LIMIT = "worker ended by the limit of a page"
    WORKER_OUT_OF_MEMORY = "worker out of memory at a page"
    NO_ROOM = "page broken off for want of room"
    WORKER_DRAINED = "worker drained"
    PROGRAM_CUT_OFF = "program cut off beyond its lease"
    PROGRAM_KILLED = "program killed"
    OLD_REPORT_RESENT = "old report sent by another worker"
    REPORT_FORGED = "report under a lease that is not the sender's"
    LINKS_FORGED = "links that no honest worker sends"
    LATE_REPORT_TAKEN = "late report taken under a lost lease"
    PARTS_DISCARDED = "parts of a report discarded with their lease"
    PARTS_AGAIN = "a part of a report that was here already, or came too early"
    CRASH_IDLE = "coordinator killed between two calls"
    CRASH_BEFORE_APPLY = "coordinator killed before a batch was applied"
    CRASH_AFTER_APPLY = "coordinator killed after a batch was applied"
    CRASH_BEFORE_COMMIT = "coordinator killed before a commit"
    CRASH_AHEAD = "coordinator killed after large rows were committed ahead of their commit"
    CRASH_AFTER_COMMIT = "coordinator killed after a commit, before its acks"
    CRASH_UNDER_WAY_IN = "coordinator killed while a commit was under way, which is in"
    CRASH_UNDER_WAY_OUT = "coordinator killed while a commit was under way, which is not in"
    COMMIT_OVERLAPPED = "call decided while a commit was under way"
    COMMIT_FENCED = "commit fenced: another owner has the crawl"
    OWNER_STOPPED = "owner stopped past its time, then continued: another owner has the crawl"
    COMMIT_UNKNOWN_IN = "connection lost in a commit, which is in"
    COMMIT_UNKNOWN_OUT = "connection lost in a commit, which is not in"
    CLEAN_STOP = "coordinator stopped and started"
    POWER_CUT = "power cut: the write-ahead log cut at a random byte"
    POWER_CUT_SYNCED = "power cut: what was not synced is gone"
    DISK_FULL = "disk full under the store"
    CHECKPOINT = "the write-ahead log checkpointed"
    CLOCK_FORWARD = "wall clock set forward over a restart"
    CLOCK_BACK = "wall clock set back over a restart"
    SINK_CRASH_BEFORE_MARK = "coordinator killed between a sink's write and its mark"
    SINK_CRASH_AFTER_MARK = "coordinator killed after a sink's mark"
    SINK_LENGTHENED = "sink file longer than its mark after a crash"
    SINK_TRUNCATED = "sink file shorter than its mark after a crash"
    SINK_MARK_LOST = "sink file without its mark after a crash"
    SINK_DISK_FULL = "disk full under a sink"


class Chronicle:
    """The counts of many seeds, and the last lines of the seed that runs."""

    def __init__(self) -> None:
        self.transitions: Counter[Transition] = Counter()
        self.faults: Counter[Fault] = Counter()
        self.figures: Counter[str] = Counter()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)

    def begin(self, title: str) -> None:
        """Begin the story of a seed."""
        self._lines.clear()
        self._lines.append(title)

    def tell(self, now: float, line: str) -> None:
        """Add a line to the story."""
        self._lines.append(f"{now:9.3f}  {line}")

    def fault(self, now: float, fault: Fault, detail: str = "") -> None:
        """Count a fault."""
        self.faults[fault] += 1
        self.tell(now, f"FAULT {fault}{': ' if detail else ''}{detail}")

    def take(self, now: float, changes: Sequence[Change]) -> None:
        """Count and tell the changes of a turn."""
        for change in changes:
            if isinstance(change, Gone) and isinstance(change.row, LeaseRow) and change.row.parts:
                self.fault(now, Fault.PARTS_DISCARDED, f"lease {change.row.id}")
            if isinstance(change, TaskMoved):
                self.transitions[change.before, TaskEvent(change.event)] += 1
                task = change.task
                self.tell(now, f"{change.before} --{change.event}--> {task.state} {task.url} lease {task.lease}")

    def story(self) -> str:
        """Return what happened in this seed, the last lines of it."""
        return "\n".join(self._lines)

    def too_rare(self, least: int) -> list[str]:
        """Name the transitions and faults that were fewer than `least` times."""
        return [f"{name}: {number}" for number, name in self._counts() if number < least]

    def rarest(self, number: int) -> list[str]:
        """Name the rarest transitions and faults."""
        return [f"{name}: {times}" for times, name in self._counts()[:number]]

    def _counts(self) -> list[tuple[int, str]]:
        events = [
            (self.transitions[before, event], f"{before} --{event}-->")
            for before, event in TRANSITIONS
            if (before, event) not in NEVER_HERE | RARE_HERE
        ]
        return sorted(events + [(self.faults[fault], str(fault)) for fault in Fault])
