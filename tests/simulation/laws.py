"""What must hold of every batch of changes: of rules that guard each other, each is looked at by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crawlfleet.coordinator.conduct.led_hosts import HOSTS_PER_TURN
from crawlfleet.coordinator.core.changes import Change, Put, TaskEvent, TaskMoved
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import ALONE_QUEUE, HostRow, LeaseRow, TaskRow
from tests.property.crawl_model import TOLERANCE_S, Mirror


class Laws:
    """Watches the changes of one crawl, over all incarnations of its coordinator."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._granted: set[int] = set()
        self._begun: set[tuple[int, bytes]] = set()
        #: The tasks that the exchange which is carried out says found no room.
        self.without_room: frozenset[tuple[int, bytes]] = frozenset()
        tuning = policy.tuning
        self._most_links = max(tuning.links_per_turn, tuning.links_per_portion, tuning.links_aside, HOSTS_PER_TURN)

    def begin_epoch(self) -> None:
        """Forget the starts that were reported to an earlier coordinator."""
        self._begun.clear()
        self.without_room = frozenset()

    def note_begun(self, begun: Iterable[tuple[int, bytes]]) -> None:
        """Note that it was reported to the coordinator that tasks have begun under their leases."""
        self._begun.update(begun)

    def before(self, changes: Sequence[Change], mirror: Mirror) -> None:
        """Check changes against the rows that they follow on."""
        found = [change.task for change in changes if isinstance(change, TaskMoved) and change.before is None]
        links = sum(task.found_on != b"" and not task.hops for task in found)
        assert links <= self._most_links, f"a turn admits {links} links"
        for change in changes:
            if isinstance(change, Put) and isinstance(change.row, LeaseRow) and change.row.id not in mirror.leases:
                assert change.row.id not in self._granted, f"lease {change.row.id} is granted a second time"
                self._granted.add(change.row.id)
                unit = mirror.hosts[change.row.host]
                most = self._policy.tuning.most_links_waiting
                assert unit.links_waiting <= most, f"{unit.key} is granted more, though it floods the crawl"
            elif isinstance(change, TaskMoved):
                assert "its parts" not in change.task.detail, f"{change.task.url}: {change.task.detail}"
            if isinstance(change, TaskMoved) and change.event == TaskEvent.LOST:
                task = change.task
                is_suspect = (task.lease, task.ref) in self._begun or task.losses >= self._policy.tuning.suspect_losses
                assert task.alone or not is_suspect, f"{task.url} is under suspicion, but not alone"
            if isinstance(change, TaskMoved) and change.event == TaskEvent.RELEASED:
                self._check_released(mirror.tasks[change.task.ref], change.task)

    def after(self, changes: Sequence[Change], mirror: Mirror) -> None:
        """Check the rows that changes have led to."""
        rows = [change.row for change in changes if isinstance(change, Put)]
        for key in {row.key for row in rows if isinstance(row, HostRow)}:
            leases = [lease for lease in mirror.leases.values() if lease.host == key]
            _check_gaps(mirror.hosts[key], leases)
            self._check_burden(leases)

    def _check_released(self, before: TaskRow, after: TaskRow) -> None:
        """Nothing counts against a task that comes back, but it may have to be alone from now on."""
        assert after.alone == (before.alone or (before.lease, before.ref) in self.without_room)
        assert (after.queue == ALONE_QUEUE) is after.alone
        counted = [(row.attempt, row.refusals, row.losses, row.deaths) for row in (before, after)]
        assert counted[0] == counted[1], f"{after.url} came back, and is blamed"

    def _check_burden(self, leases: Sequence[LeaseRow]) -> None:
        """No session holds more of a host than it can work on until it is granted more."""
        policy = self._policy
        ahead_s = min(policy.tuning.ahead_s, policy.lease_s / 2)
        for session in {lease.session for lease in leases}:
            mine = [lease for lease in leases if lease.session == session]
            spacing_s = min(lease.spacing_s for lease in mine)
            planned = int(ahead_s / spacing_s) + 1 if spacing_s > 0 else 0
            open_tasks = sum(len(lease.refs) for lease in mine)
            most = max(policy.politeness.per_host * policy.tuning.tasks_per_slot, planned)
            assert open_tasks <= most, f"{session} holds {open_tasks} tasks of a host, {most} at most"


def _check_gaps(host: HostRow, leases: Sequence[LeaseRow]) -> None:
    """The next start comes no sooner than after all that were, or were granted."""
    if host.delay_s <= 0:
        return
    if host.last_start_at is not None:
        least = host.last_start_at + host.delay_s
        assert host.next_start_at >= least - TOLERANCE_S, f"{host} may start before {least}"
    for lease in leases:
        for ref, start in lease.starts:
            if ref in lease.refs and lease.spacing_s > 0:
                assert host.next_start_at >= start + lease.spacing_s - TOLERANCE_S, f"{host} has no gap after {lease}"
