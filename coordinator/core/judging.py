"""What of a report counts: workers and programs are not trusted to keep to words, lengths, and what their task allows.

A reason is a word: of `shared.reasons`, `http_NNN`, or of a user's own worker. Other texts are cut, and have no control
characters. An outcome that does not fit the task makes the whole report *refused*: it settles the task as a failed
attempt that gave nothing, and is tried again as one that failed in the network is. It is not answered with REJECTED,
which would leave the task under its lease: that lease would be sent again, and its page requested without end.

A page with a row that not every sink can write fails as if its extraction had: it has no rows, and its links count. Of
a check nothing but its outcome counts.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import MAX_DETAIL_CHARS
from crawlfleet.shared.messages import (
    MAX_SAMPLE_CHARS,
    MOST_UNCONVERTED,
    VALUE_ITEM,
    Kind,
    Outcome,
    Report,
    Unconverted,
)
from crawlfleet.shared.notes import known
from crawlfleet.shared.plain_values import FIELD_DEPTH, VALUE_DEPTH, refuse_odd_parts
from crawlfleet.shared.reasons import LIMITS, Reason
from crawlfleet.shared.web.urls import LONGEST_URL_CHARS

MAX_CONTENT_TYPE_CHARS = 200
MAX_ADDRESS_CHARS = 64
MAX_FIELD_CHARS = 200

# A float may not be finite: it is looked at.
_SCALARS = frozenset({str, int, bool, bytes, type(None)})
_WORD = re.compile(r"[A-Za-z0-9_]{1,64}")
# Also what separates lines or turns the direction of writing: texts are shown in logs and terminals.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_OF_ALL = frozenset(
    {
        Outcome.DENIED,
        Outcome.FETCHED,
        Outcome.REDIRECTED,
        Outcome.HTTP_ERROR,
        Outcome.NETWORK_ERROR,
        Outcome.TOO_LARGE,
        Outcome.REPORT_TOO_LARGE,
        Outcome.INTERNAL_ERROR,
    }
)
# NOT_MODIFIED is missing, since nothing is requested conditionally.
_FITTING = {
    Kind.PAGE: _OF_ALL | {Outcome.EXTRACT_ERROR, Outcome.HOOK_WAITED},
    Kind.ROBOTS: _OF_ALL,
    Kind.SITEMAP: _OF_ALL | {Outcome.EXTRACT_ERROR},
    Kind.CHECK: _OF_ALL,
}
# What a check gives: nothing.
_NOTHING: dict[str, Any] = {"rows": (), "outlinks": (), "known": b"", "kept": b"", "entries": (), "sitemaps": ()}
_NOTHING |= {"body": b"", "links_left_out": 0, "rows_left_out": 0}


def judged(report: Report, kind: Kind, policy: Policy) -> Report:
    """Return a report as it counts for a task of this kind."""
    refusal = _refusal(report, kind, policy)
    if refusal:
        return refused(report, refusal)
    if kind is Kind.CHECK:
        report = replace(report, **_NOTHING)
    oddity = _oddity(report) if report.outcome is Outcome.FETCHED and kind is Kind.PAGE else ""
    if oddity:
        detail = f"a row cannot be kept: {oddity}"
        report = replace(report, outcome=Outcome.EXTRACT_ERROR, reason=Reason.EXTRACT_ERROR, detail=detail, rows=())
    report = _with_short_words(report)
    if report.notes:
        report = replace(report, notes=known(report.notes))
    reason = _reason_of(report)
    detail = line(report.detail, MAX_DETAIL_CHARS)
    if reason == Reason.ODD_REASON and not detail:
        detail = line(report.reason, MAX_DETAIL_CHARS)
    content_type = line(report.content_type, MAX_CONTENT_TYPE_CHARS)
    address = line(report.address, MAX_ADDRESS_CHARS)
    is_sent_on = report.outcome is Outcome.REDIRECTED and len(report.location) <= LONGEST_URL_CHARS
    location = report.location if is_sent_on else ""
    texts = (reason, detail, content_type, address, location)
    if texts == (report.reason, report.detail, report.content_type, report.address, report.location):
        return report
    return replace(report, reason=reason, detail=detail, content_type=content_type, address=address, location=location)


def _with_short_words(report: Report) -> Report:
    """Return a report whose samples, and reasons of rejected rows, are short and have no control characters."""
    told = report.unconverted
    if told:
        told = tuple(
            Unconverted(each.item, each.field[:MAX_FIELD_CHARS], each.number, line(each.sample, MAX_SAMPLE_CHARS))
            for each in told[:MOST_UNCONVERTED]
        )
        report = replace(report, unconverted=told)
    if [row for row in report.rows if row.rejected]:
        rows = (replace(row, rejected=line(row.rejected, MAX_DETAIL_CHARS)) for row in report.rows)
        report = replace(report, rows=tuple(rows))
    return report


def is_of_limit(report: Report) -> bool:
    """Say whether a report tells that a limit ended the reading of its page."""
    return report.outcome is Outcome.EXTRACT_ERROR and report.reason in LIMITS


def _oddity(report: Report) -> str:
    """Return which part of the rows is nothing that every sink can write, empty if there is none."""
    try:
        for number, row in enumerate(report.rows):
            for field, value in row.fields.items():
                if not _is_flat(value):
                    depth = VALUE_DEPTH if row.item == VALUE_ITEM else FIELD_DEPTH
                    refuse_odd_parts(value, f"row[{number}][{field!r:.60}]", depth)
    except (TypeError, ValueError) as odd:
        return str(odd)
    return ""


def _is_flat(value: Any) -> bool:
    """Say whether a decoded value is a scalar that no check is for, or a list of such: as most are."""
    return type(value) in _SCALARS or (type(value) is list and _SCALARS.issuperset(map(type, value)))


def _refusal(report: Report, kind: Kind, policy: Policy) -> str:
    """Return why a report does not fit its task, empty if it does."""
    if report.outcome not in _FITTING[kind]:
        return f"no {kind} ends as {report.outcome}"
    if report.outcome is not Outcome.DENIED or report.reason == Reason.PRIVATE_ADDRESS:
        return ""
    if kind is not Kind.PAGE or report.reason != Reason.CONTENT_TYPE:
        return f"no {kind} is denied for {report.reason!r:.80}"
    return "the job reads pages of all content types" if policy.fetch.types is None else ""


def refused(report: Report, why: str) -> Report:
    """Return what counts in the place of a refused report: that its request was made, and how much it received."""
    return Report(
        lease=report.lease,
        ref=report.ref,
        outcome=Outcome.INTERNAL_ERROR,
        reason=Reason.REPORT_REFUSED,
        detail=f"a worker's report was refused: {why}",
        age_s=report.age_s,
        elapsed_s=report.elapsed_s,
        size_bytes=report.size_bytes,
        gap_s=report.gap_s,
        address=line(report.address, MAX_ADDRESS_CHARS),
    )


def _reason_of(report: Report) -> str:
    if report.outcome is Outcome.FETCHED:  # it has not failed, and there is one thing to say about it
        return report.reason if report.reason == Reason.NOINDEX else ""
    if not report.reason or _WORD.fullmatch(report.reason):
        return report.reason
    return Reason.ODD_REASON


def line(text: str, limit: int) -> str:
    """Return the beginning of a text, with blanks in the place of control characters."""
    if not text:
        return text
    text = text[:limit]
    return text if text.isascii() and text.isprintable() else _CONTROL.sub(" ", text)
