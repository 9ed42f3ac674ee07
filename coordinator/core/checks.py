"""Checks: links out of scope that are asked for once, neither read nor followed (`links.check_external`).

What `scope.hosts` or `scope.include` refuses is checked; what `scope.exclude` matches is never asked for, whatever its
host. A check waits behind the gate of its origin, and is retried, as a page. It asks by HEAD, and once more by GET if
that was not answered as it should be. The target of its redirect is a check, too, also if it is in scope: nothing in
the crawl leads to it.

The check and the page of a URL are one task, with one fingerprint. When the URL comes into the scope, because its host
joins it or the job has changed, the check becomes a page (ADOPTED): before it is granted, when it is settled, or when
known URLs are judged again.
"""

from __future__ import annotations

from crawlfleet.coordinator.core.latest_scope import refusal_in, scope_of
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.retry import is_refusal
from crawlfleet.coordinator.core.rows import TaskRow
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.messages import Kind, Outcome, Report
from crawlfleet.shared.reasons import SILENT, UNSERVED, Reason, Refusal
from crawlfleet.shared.web.scope import Scope
from crawlfleet.shared.web.urls import LONGEST_URL_CHARS

_OUTSIDE = frozenset({Reason.HOST, Reason.INCLUDE})
# The request was not sent: another method would make no difference.
_NOT_SENT = (UNSERVED - {Reason.BAD_STATUS_LINE}) | SILENT


def takes(turn: Turn, link: Link, refusal: Refusal) -> bool:
    """Say whether a link to a page that is refused is checked instead.

    Seeds, what programs ask for, and what these redirect to are not: whoever named them is told that they are refused.
    """
    if not turn.policy.links.check_external or refusal not in _OUTSIDE or link.kind is not Kind.PAGE:
        return False
    return not (link.seed or link.asked) and _scope(turn).is_external(link.url)


def refusal_of(turn: Turn, url: str) -> Refusal:
    """Return the rule because of which a URL, in scope or not, is not checked; empty if it is."""
    scope = _scope(turn)
    if len(url) > LONGEST_URL_CHARS:
        return Reason.LENGTH
    if scope.excludes(url):
        return Reason.EXCLUDE
    return "" if turn.policy.links.check_external else scope.refuses(url) or Reason.CANCELLED


def is_in_scope(turn: Turn, task: TaskRow) -> bool:
    """Say whether the URL of a check is in scope by now."""
    return not refusal_in(turn, task.url, task.seed_line)


def asks_by_get(task: TaskRow, report: Report) -> bool:
    """Say whether a check has to ask by GET: many servers answer HEAD wrongly, or not at all."""
    if task.kind is not Kind.CHECK or task.by_get or is_refusal(report):
        return False
    if report.outcome is Outcome.NETWORK_ERROR:
        return report.reason not in _NOT_SENT
    return report.outcome in (Outcome.HTTP_ERROR, Outcome.TOO_LARGE)


def _scope(turn: Turn) -> Scope:
    return scope_of(turn.policy.scope, turn.ledger.scope_hosts)
