"""From what was fetched to what is reported: the worker's judgement of one attempt, as a value.

Owns the mapping of answers to outcomes. It fetches nothing, follows nothing, retries nothing; whether an
outcome is final is decided at the coordinator.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Protocol

from msgspec.structs import replace

from shared.messages import Kind, Outcome, Report, Task, encode
from shared.urls import canonicalize
from worker.extract import Extracted
from worker.fetch import Fetched

MAX_ROBOTS_BYTES = 512 * 1024
MAX_DETAIL_CHARS = 500
MAX_CONTENT_TYPE_CHARS = 200

TOO_LARGE = "report_too_large"

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_SECONDS = re.compile(r"[0-9]{1,10}")


class PageExtractor(Protocol):
    """What turns a page into rows and outlinks; `worker.extract.Extractor` is one."""

    def extract(self, fetched: Fetched) -> Extracted: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A report as it may travel, and the size of its encoding."""

    report: Report
    wire_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Settles attempts; `wall_clock` only serves a Retry-After date that has no Date beside it."""

    extractor: PageExtractor
    max_report_bytes: int
    wall_clock: Callable[[], float] = time.time

    def settle(self, task: Task, lease_id: int, fetched: Fetched) -> Settled:
        """Turn one attempt into its report. What is raised is a bug of ours: see `internal_error`."""
        return fit(self._judge(task, _outline(task, lease_id, fetched), fetched), self.max_report_bytes)

    def _judge(self, task: Task, outline: Report, fetched: Fetched) -> Report:
        if fetched.failure is not None:
            return replace(outline, outcome=fetched.failure, reason=fetched.reason, detail=_brief(fetched.detail))
        if 200 <= fetched.status <= 299:
            return self._read(task, outline, fetched)
        if fetched.status == 304:
            return replace(outline, outcome=Outcome.NOT_MODIFIED)
        wait_s = retry_after_s(fetched, self.wall_clock)
        if fetched.status in _REDIRECTS:
            return replace(_redirect(outline, fetched), retry_after_s=wait_s)
        return replace(outline, reason=f"http_{fetched.status}", retry_after_s=wait_s)

    def _read(self, task: Task, outline: Report, fetched: Fetched) -> Report:
        if task.kind is Kind.ROBOTS:
            return replace(outline, outcome=Outcome.FETCHED, body=fetched.body[:MAX_ROBOTS_BYTES])
        if task.kind is Kind.SITEMAP:
            return replace(outline, outcome=Outcome.FETCHED)
        page = self.extractor.extract(fetched)
        found = replace(outline, outlinks=page.outlinks, capped=page.capped)
        if page.error:
            return _extract_error(found, page.error)
        return replace(found, outcome=Outcome.FETCHED, rows=page.rows)


def internal_error(task: Task, lease_id: int, error: BaseException) -> Settled:
    """Report a bug of ours as the end of the attempt that it showed in."""
    detail = _brief(f"{type(error).__name__}: {error}")
    report = Report(
        lease=lease_id, ref=task.ref, outcome=Outcome.INTERNAL_ERROR, reason="internal_error", detail=detail
    )
    return Settled(report=report, wire_bytes=len(encode(report)))


def fit(report: Report, max_bytes: int) -> Settled:
    """Make a report fit: a value that may not travel is an extract error, too many bytes a bare failure."""
    try:
        size = len(encode(report))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        report = _extract_error(replace(report, rows=()), f"a row cannot travel: {error}")
        size = len(encode(report))
    if size > max_bytes:
        detail = f"the report takes {size} bytes, {max_bytes} are allowed: extract less from this page"
        report = replace(_bare(report), outcome=Outcome.REPORT_TOO_LARGE, reason=TOO_LARGE, detail=detail)
        size = len(encode(report))
    return Settled(report=report, wire_bytes=size)


def retry_after_s(fetched: Fetched, wall_clock: Callable[[], float]) -> float | None:
    """Read Retry-After (RFC 9110, 10.2.3) as seconds from now: 0 for a date in the past, None for garbage."""
    value = fetched.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    until = _timestamp(value)
    if until is None:
        return None
    # The server's own clock tells best how far away its date is.
    now = _timestamp(fetched.headers.get("date", ""))
    return max(0.0, until - (now if now is not None else wall_clock()))


def _outline(task: Task, lease_id: int, fetched: Fetched) -> Report:
    """Fill in what every report of an answer has; the outcome is the one that claims least."""
    content_type = fetched.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Report(
        lease=lease_id,
        ref=task.ref,
        outcome=Outcome.HTTP_ERROR,
        status=fetched.status,
        elapsed_s=fetched.elapsed_s,
        size_bytes=len(fetched.body),
        content_type=_printable(content_type[:MAX_CONTENT_TYPE_CHARS]),
    )


def _redirect(outline: Report, fetched: Fetched) -> Report:
    """Name the canonical target; where there is none, say which of the two ways it is missing."""
    location = _location(fetched)
    target = canonicalize(location, fetched.url) if location else None
    if target is not None:
        return replace(outline, outcome=Outcome.REDIRECTED, location=target)
    blocked = _SCHEME.match(location) and not location.lower().startswith(("http:", "https:"))
    reason = "redirect_scheme_blocked" if blocked else "redirect_without_location"
    return replace(outline, reason=reason, detail=_brief(f"Location: {location!r}" if location else ""))


def _location(fetched: Fetched) -> str:
    """The Location field; header bytes are decoded as Latin-1, but in an address they are mostly UTF-8."""
    value = fetched.headers.get("location", "").strip()
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _extract_error(report: Report, detail: str) -> Report:
    return replace(report, outcome=Outcome.EXTRACT_ERROR, reason="extract_error", detail=_brief(detail))


def _bare(report: Report) -> Report:
    return replace(report, rows=(), outlinks=(), body=b"")


def _timestamp(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _brief(detail: str) -> str:
    return _printable(detail[:MAX_DETAIL_CHARS])


def _printable(text: str) -> str:
    """Replace what UTF-8 cannot carry (lone surrogates)."""
    return text.encode("utf-8", "replace").decode("utf-8")
