"""The pages that programs ask for, and what becomes of them when nobody asks any more.

Who asks is not stored, only that somebody does. A page that a program asked for is granted before others of its
priority, is no trap, and is never too deep. Unless it is followed, it stays beyond the crawl: see `admission`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from crawlfleet.coordinator.core import admission, budget, checks
from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.rows import NOT_REACHED, TaskRow, TaskState, succeed
from crawlfleet.coordinator.core.turn import Turn, existing
from crawlfleet.shared.messages import Kind, Outcome
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.urls import page_fingerprint

MOST_HOPS = 50


class Wish(msgspec.Struct, frozen=True):
    """A page that a program asks for: its canonical URL, a priority of its own, and whether it leads on as a seed."""

    url: str
    priority: int | None = None
    follow: bool = False


def ask(turn: Turn, wishes: Sequence[Wish]) -> list[TaskRow | Reason]:
    """Ask for pages; return for each the task that answers it, or why there is none.

    The task of a page that is known to redirect is that of its target.
    """
    links = [_link(wish) for wish in wishes]
    turn.tasks.read(link.ref for link in links)
    admission.want(turn, links)
    known = {link.ref for link in links if turn.tasks[link.ref] is not None}
    admission.admit(turn, [link for link in links if link.ref not in known or link.depth == 0])
    found: list[TaskRow | Reason] = []
    for wish, link in zip(wishes, links, strict=True):
        task = turn.tasks[link.ref]
        if task is None or (task.kind is Kind.CHECK and not checks.is_in_scope(turn, task)):
            found.append(admission.refusal_of(turn, link) or Reason.HOST)
        elif link.ref in known:
            found.append(want_page(turn, link.ref, wish.priority))
        else:
            known.add(link.ref)
            found.append(task)
    return found


def want_page(turn: Turn, ref: bytes, priority: int | None = None) -> TaskRow:
    """Ask for a known page, or for what it redirects to; return the task that answers it.

    A check that is in scope by now becomes a page. Another one stays as it is, and is not asked for.
    """
    *_, task = redirects(turn, ref)
    if task.kind is Kind.CHECK and not checks.is_in_scope(turn, task):
        return task
    task = admission.adopt(turn, task, asked=True)
    if task.state is TaskState.DROPPED:
        admission.revive(turn, task)
        task = existing(turn.tasks[task.ref])
    rank = task.priority if priority is None else priority
    if task.state in (TaskState.PENDING, TaskState.LEASED) and (not task.asked or task.priority != rank):
        task = turn.move(task, TaskEvent.ASKED, asked=True, priority=rank)
    return task


def redirects(turn: Turn, ref: bytes) -> Iterator[TaskRow]:
    """Yield a known page, and those that it is known to redirect to one after another, each once.

    A chain of pages that the crawl had found one by one may be longer than a redirect may: it ends after `MOST_HOPS`.
    """
    seen: set[bytes] = set()
    while ref not in seen and len(seen) <= MOST_HOPS:
        seen.add(ref)
        task = existing(turn.tasks[ref])
        yield task
        is_sent_on = task.state is TaskState.DONE and task.outcome is Outcome.REDIRECTED and task.kind is Kind.PAGE
        if is_sent_on and task.outlinks:
            ref = task.outlinks[0]


def give_up(turn: Turn, refs: Collection[bytes]) -> None:
    """Note that nobody asks for these pages any more: what is beyond the crawl and has not started is DROPPED."""
    turn.tasks.read(refs)
    for ref in refs:
        task = turn.tasks[ref]
        if task is not None and task.asked and task.state in (TaskState.PENDING, TaskState.LEASED):
            task = turn.move(task, TaskEvent.UNASKED, asked=False)
            drop_if_unwanted(turn, task)
            _recall_if_unwanted(turn, task)


def drop_if_unwanted(turn: Turn, task: TaskRow) -> None:
    """Drop a waiting page that is beyond the crawl and that nobody asks for."""
    if task.state is TaskState.PENDING and _is_unwanted(turn, task):
        budget.give_back(turn, task)
        reason = Reason.CANCELLED if task.depth == NOT_REACHED else Reason.DEPTH
        turn.move(task, TaskEvent.REFUSED, reason=reason, lease=0, reserved=False)


def _recall_if_unwanted(turn: Turn, task: TaskRow) -> None:
    """Have a worker return a page that it may not have started."""
    lease = turn.leases[task.lease] if task.state is TaskState.LEASED and _is_unwanted(turn, task) else None
    if lease is not None and not lease.recalled:
        turn.put(succeed(lease, recalled=True))


def _is_unwanted(turn: Turn, task: TaskRow) -> bool:
    return task.kind is Kind.PAGE and not task.asked and admission.is_beyond(task.depth, turn.policy)


def _link(wish: Wish) -> Link:
    return Link(
        url=wish.url,
        depth=0 if wish.follow else NOT_REACHED,
        asked=True,
        priority=wish.priority or 0,
        has_own_priority=wish.priority is not None,
        ref=page_fingerprint(wish.url),
    )
