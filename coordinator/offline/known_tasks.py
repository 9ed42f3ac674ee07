"""Tasks by their fingerprints, as far as a table needs them: looked up many at once, and remembered."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from crawlfleet.coordinator.core.rows import TaskRow, TaskState
from crawlfleet.coordinator.frontier.port import StoreReader
from crawlfleet.shared.messages import Outcome

REMEMBERED = 100_000
#: Chains of redirects are no longer: see `Tuning.max_hops`.
MAX_CHAIN = 11


class Known(NamedTuple):
    """What a table says of a task that another row leads to. `target` is the fingerprint of where it redirects to."""

    url: str
    state: TaskState
    status: int
    reason: str
    outcome: Outcome | None
    target: bytes


class KnownTasks:
    """The tasks of a stored crawl by their fingerprints."""

    def __init__(self, reader: StoreReader) -> None:
        self._reader = reader
        self._known: dict[bytes, Known | None] = {}

    def want(self, refs: Collection[bytes]) -> None:
        """Look tasks up in few calls, and where they redirect to: until the next call `get` and `chain` know them."""
        if len(self._known) > REMEMBERED:
            self._known.clear()
        wanted = set(refs)
        for _ in range(MAX_CHAIN):
            missing = [ref for ref in wanted if ref not in self._known]
            found = self._reader.tasks_of(missing) if missing else {}
            self._known.update({ref: known(found[ref]) if ref in found else None for ref in missing})
            wanted = {each.target for each in map(self._known.get, wanted) if each is not None and each.target}
            if not wanted:
                return

    def get(self, ref: bytes) -> Known | None:
        """Return a task that was looked up; None if there is none."""
        return self._known.get(ref)

    def chain(self, target: bytes) -> list[Known]:
        """Return the tasks to which redirects lead, in order: that of a fingerprint, where it redirects to, ..."""
        found: list[Known] = []
        while target and len(found) < MAX_CHAIN and (task := self._known.get(target)) is not None:
            found.append(task)
            target = task.target
        return found


def known(task: TaskRow) -> Known:
    """Return what a table says of a task."""
    target = task.outlinks[0] if task.outcome is Outcome.REDIRECTED and task.outlinks else b""
    return Known(task.url, task.state, task.status, task.reason, task.outcome, target)
