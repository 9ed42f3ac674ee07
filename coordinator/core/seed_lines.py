"""The lines of seeds files: seeds whose rows have what their line says.

Each start of a coordinator reads all lines again, and one whose page has a line changes nothing: so the first line that
leads to a page, itself or by a redirect, is the one that its rows have. A page that is known for another reason is
LISTED: it is a seed from then on. Nothing can be added to rows that are recorded already: such a line is *late*.

Lines may have more hosts than a scope can name. With `Extent.listed_hosts` they are let in whatever their host, and so
is what they redirect to; the first hosts join the scope, so that links to them are followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from crawlfleet.coordinator.core import admission
from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.later_rows import SeedLineRow
from crawlfleet.coordinator.core.latest_scope import scope_of
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.rows import FINAL, TaskRow, TaskState, succeed
from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.coordinator.core.turn import Turn, existing
from crawlfleet.shared.reasons import BUDGETS
from crawlfleet.shared.web.urls import host_key


class Listed(NamedTuple):
    """What became of a line: the number of the line that its page has, whether it is late, and whether links to its
    host are followed."""

    number: int
    is_late: bool
    is_joined: bool


def admit(turn: Turn, lines: Sequence[tuple[Link, SeedLine]]) -> list[Listed]:
    """Admit lines, whose links are those of seeds; say what became of each."""
    refs = [link.ref for link, _ in lines]
    turn.tasks.read(refs)
    for ref in refs:
        task = turn.tasks[ref]
        turn.depths.setdefault(ref, None if task is None else task.depth)
    admission.want(turn, [link for link, _ in lines])
    _join(turn, (host_key(link.url) for link, _ in lines))
    scope = scope_of(turn.policy.scope, turn.ledger.scope_hosts)
    return [Listed(*_admit(turn, link, line), scope.has_host(host_key(link.url))) for link, line in lines]


def pass_on(turn: Turn, source: TaskRow, ref: bytes) -> None:
    """Give the line of a page that redirects to the page to which it leads, unless that has one or has ended."""
    if not source.seed_line:
        return
    target = existing(turn.tasks[ref])
    if not target.seed_line and (target.state is TaskState.DROPPED or target.state not in FINAL):
        _list(turn, target, source.seed_line)


def may_join(turn: Turn, task: TaskRow, host: str) -> bool:
    """Say whether the host to which a task redirects joins the scope."""
    joined = turn.ledger.scope_hosts
    has_room = not task.seed_line or len(joined) < turn.policy.extent.joining_hosts
    return task.seed and turn.policy.extent.grows and has_room and host not in joined


def line_of(turn: Turn, task: TaskRow) -> SeedLine | None:
    """Return the line because of which a page is fetched, if there is one."""
    return existing(turn.table(SeedLineRow)[task.seed_line]).line if task.seed_line else None


def _admit(turn: Turn, link: Link, line: SeedLine) -> tuple[int, bool]:
    task = turn.tasks[link.ref]
    if task is not None and task.seed_line:
        return task.seed_line, False
    number = turn.next_order()
    if task is None:
        admission.admit(turn, [msgspec.structs.replace(link, seed_line=number)])
        is_late = False
    else:
        is_late = _list(turn, task, number, seed=True).state in FINAL
    turn.put(SeedLineRow(number=number, line=line, is_late=is_late))
    return number, is_late


def _list(turn: Turn, task: TaskRow, number: int, **changed: Any) -> TaskRow:
    """Let a line lead to a known page; return what has become of it."""
    task = turn.move(task, TaskEvent.LISTED, seed_line=number, **changed)
    if task.seed:
        admission.admit(turn, [], [(task.ref, 0)])
        task = existing(turn.tasks[task.ref])
    if task.state is TaskState.DROPPED and task.reason not in BUDGETS:  # a budget that is spent stays spent
        admission.reconsider(turn, [task])
    return existing(turn.tasks[task.ref])


def _join(turn: Turn, hosts: Iterable[str]) -> None:
    joined = turn.ledger.scope_hosts
    room = turn.policy.extent.joining_hosts - len(joined)
    if room > 0:
        scope = scope_of(turn.policy.scope, joined)
        fresh = tuple(islice(dict.fromkeys(host for host in hosts if not scope.has_host(host)), room))
        if fresh:
            turn.put(succeed(turn.ledger, scope_hosts=(*joined, *fresh)))
