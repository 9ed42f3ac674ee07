"""The budgets: pages, bytes and time, of the crawl and of each host.

`pages` counts exactly the pages whose body came with a status of 2xx, whatever became of them afterwards: those that
were FETCHED, and those that FAILED since they could not be used. A place is reserved when a page is granted, stays
reserved if the lease is lost, and is given back on any other outcome. Bytes are the sizes of pages' bodies, counted
when reported, whatever the outcome. Time runs from the crawl's first start, or from the first grant on a host. When
bytes or time are spent, nothing more is granted, and fetches in progress finish normally. The remaining tasks are
dropped, with the spent budget as their reason. Checks of links take no place, and go on when the pages are spent.
"""

from __future__ import annotations

from collections.abc import Sequence

from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.policy import Budget, Policy
from crawlfleet.coordinator.core.rows import HostRow, LedgerRow, TaskRow, succeed
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.messages import Kind, Outcome
from crawlfleet.shared.ranges import total
from crawlfleet.shared.reasons import Reason, Refusal

_NONE = Budget()
_OF_BODIES = frozenset({Outcome.EXTRACT_ERROR, Outcome.REPORT_TOO_LARGE, Outcome.HOOK_WAITED})


def affordable(tasks: Sequence[TaskRow], host: HostRow, ledger: LedgerRow, policy: Policy, now: float) -> list[TaskRow]:
    """Return the tasks of a host for which the budgets still have room, in order."""
    if _spent_whole(ledger, policy, now):
        return []
    room = _room(host, ledger, policy)
    is_over = spent_on(host, policy, now) != ""
    if room is None and not is_over:
        return list(tasks)
    chosen = []
    for task in tasks:
        is_page = task.kind is Kind.PAGE
        needs = is_page and not task.reserved
        if (is_over and is_page) or (needs and room is not None and room < 1):
            continue
        if needs and room is not None:
            room -= 1
        chosen.append(task)
    return chosen


def reserve(tasks: Sequence[TaskRow], host: HostRow, policy: Policy, now: float) -> tuple[int, HostRow]:
    """Return how many places of the crawl's budget these tasks still need, and their host with its places reserved."""
    places = sum(task.kind is Kind.PAGE and not task.reserved for task in tasks)
    if not counts_hosts(policy):
        return places, host
    began_at = now if host.began_at is None else host.began_at
    return places, succeed(host, pages_reserved=host.pages_reserved + places, began_at=began_at)


def give_back(turn: Turn, task: TaskRow, size_bytes: int = 0) -> None:
    """Free the reserved place of a page whose body did not come; count the bytes received for it."""
    if task.kind is not Kind.PAGE or not (task.reserved or size_bytes):
        return
    ledger = turn.ledger
    after = succeed(
        ledger,
        pages_reserved=ledger.pages_reserved - task.reserved,
        bytes_received=total(ledger.bytes_received, size_bytes),
    )
    turn.put(after)
    _count(turn, task, fetched=0, size_bytes=size_bytes)


def spend(turn: Turn, task: TaskRow, rows: int, size_bytes: int) -> None:
    """Turn a reserved place into a fetched page with `rows` rows."""
    ledger = turn.ledger
    after = succeed(
        ledger,
        pages_reserved=ledger.pages_reserved - 1,
        pages_fetched=total(ledger.pages_fetched, 1),
        bytes_received=total(ledger.bytes_received, size_bytes),
        rows=total(ledger.rows, rows),
        seeds_fetched=total(ledger.seeds_fetched, task.depth == 0),
    )
    turn.put(after)
    _count(turn, task, fetched=1, size_bytes=size_bytes)


def had_body(outcome: Outcome | None, status: int) -> bool:
    """Say whether the body of a page came that FAILED with this outcome and status."""
    return outcome in _OF_BODIES and 200 <= status <= 299


def spend_in_vain(turn: Turn, task: TaskRow, size_bytes: int) -> None:
    """Turn a reserved place into a page whose body came, but could not be used."""
    if task.kind is not Kind.PAGE:
        return
    ledger = turn.ledger
    after = succeed(
        ledger,
        pages_reserved=ledger.pages_reserved - task.reserved,
        pages_unused=total(ledger.pages_unused, 1),
        bytes_received=total(ledger.bytes_received, size_bytes),
    )
    turn.put(after)
    _count(turn, task, fetched=1, size_bytes=size_bytes)


def take_back(turn: Turn, task: TaskRow) -> None:
    """Free the place of a page that FAILED, and is now taken up again."""
    # Those that failed before such pages were counted have no place.
    if not had_body(task.outcome, task.status) or not turn.ledger.pages_unused:
        return
    turn.put(succeed(turn.ledger, pages_unused=turn.ledger.pages_unused - 1))
    if counts_hosts(turn.policy):
        host = turn.host(task.host)
        turn.put(succeed(host, pages_fetched=max(0, host.pages_fetched - 1)))


def spent(ledger: LedgerRow, policy: Policy, now: float) -> Refusal:
    """Return the spent budget because of which no further page can ever be granted, if any."""
    if policy.extent.pages is not None and ledger.pages_fetched + ledger.pages_unused >= policy.extent.pages:
        return Reason.BUDGET_PAGES
    return _spent_whole(ledger, policy, now)


def spent_for_pages(host: HostRow, ledger: LedgerRow, policy: Policy, now: float) -> Refusal:
    """Return the spent budget because of which no further page of a host can be granted, though checks of links can."""
    reason = spent_on(host, policy, now)
    if reason or not policy.links.check_external:
        return reason
    reason = spent(ledger, policy, now)
    return reason if reason == Reason.BUDGET_PAGES else ""


def _spent_whole(ledger: LedgerRow, policy: Policy, now: float) -> Refusal:
    """Return the spent budget because of which nothing more is granted, if any."""
    if policy.extent.size_bytes is not None and ledger.bytes_received >= policy.extent.size_bytes:
        return Reason.BUDGET_BYTES
    if policy.extent.time_s is not None and now >= policy.extent.time_s:
        return Reason.BUDGET_TIME
    return ""


def spent_on(host: HostRow, policy: Policy, now: float) -> Refusal:
    """Return the spent budget of a host because of which no further page of it can ever be granted, if any."""
    budget = policy.extent.per_host
    if budget.pages is not None and host.pages_fetched >= budget.pages:
        return Reason.BUDGET_HOST_PAGES
    if budget.size_bytes is not None and host.bytes_received >= budget.size_bytes:
        return Reason.BUDGET_HOST_BYTES
    if budget.time_s is not None and host.began_at is not None and now >= host.began_at + budget.time_s:
        return Reason.BUDGET_HOST_TIME
    return ""


def counts_hosts(policy: Policy) -> bool:
    """Say whether any host has a budget of its own."""
    return policy.extent.per_host != _NONE


def drop_waiting(turn: Turn, tasks: Sequence[TaskRow], reason: Reason) -> None:
    """Drop tasks that wait when a budget of the crawl is spent, but for those that checks of links need."""
    if turn.policy.links.check_external and not _spent_whole(turn.ledger, turn.policy, turn.now):
        tasks = [task for task in tasks if task.kind in (Kind.PAGE, Kind.SITEMAP)]
    drop(turn, tasks, reason)


def drop(turn: Turn, tasks: Sequence[TaskRow], reason: Reason) -> None:
    """Drop the remaining tasks when a budget is spent."""
    if counts_hosts(turn.policy):
        turn.read_hosts(task.host for task in tasks)
    for task in tasks:
        give_back(turn, task)
        turn.move(task, TaskEvent.REFUSED, reason=reason, lease=0, reserved=False)


def _room(host: HostRow, ledger: LedgerRow, policy: Policy) -> int | None:
    """Return how many places are left on a host; None without a limit."""
    rooms = []
    if policy.extent.pages is not None:
        rooms.append(policy.extent.pages - ledger.pages_fetched - ledger.pages_unused - ledger.pages_reserved)
    if policy.extent.per_host.pages is not None:
        rooms.append(policy.extent.per_host.pages - host.pages_fetched - host.pages_reserved)
    return min(rooms, default=None)


def _count(turn: Turn, task: TaskRow, *, fetched: int, size_bytes: int) -> None:
    if counts_hosts(turn.policy):
        host = turn.host(task.host)
        after = succeed(
            host,
            # Places reserved before the job had this budget were not counted.
            pages_reserved=max(0, host.pages_reserved - task.reserved),
            pages_fetched=total(host.pages_fetched, fetched),
            bytes_received=total(host.bytes_received, size_bytes),
        )
        turn.put(after)
