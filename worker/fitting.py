"""Makes reports fit: each is small enough to be sent, and holds only values that can be sent.

A report that is larger than a message is split into parts. One that is larger than its job allows becomes the report of
a failure. Answers are
judged in `worker.pipeline`, not here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from crawlfleet.shared.messages import MAX_OUTLINKS, MAX_REPORT_BYTES, Outcome, Report, encode
from crawlfleet.shared.parts import PART_BYTES, Bulk, split
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.links import SHORT_RUN, pack
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.talk.outbox import Delivery

MAX_DETAIL_CHARS = 500
# The coordinator admits this many URLs at once without delaying others.
PART_ENTRIES = 2_000

T = TypeVar("T")


def internal_error(attempt: Attempt, error: BaseException) -> Delivery:
    """Return the report of an attempt that ended with a bug of ours."""
    detail = detail_of(f"{type(error).__name__}: {error}")
    lease_id, ref = attempt.key
    report = Report(
        lease=lease_id, ref=ref, outcome=Outcome.INTERNAL_ERROR, reason=Reason.INTERNAL_ERROR, detail=detail
    )
    return Delivery(attempt=attempt, report=report, wire_bytes=len(encode(report)))


def fit(attempt: Attempt, report: Report, max_bytes: int) -> Delivery:
    """Make a report fit: a value that cannot be sent becomes an extract error, too many bytes of rows and links a bare
    failure. What is larger than a message goes in parts."""
    if len(report.outlinks) > MAX_OUTLINKS or not attempt.task.leads_on:
        report = replace(report, outlinks=(), kept=pack(report.outlinks))
    try:
        size = len(encode(report))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        report = extract_error(replace(report, rows=()), f"a row cannot be sent: {error}")
        size = len(encode(report))
    if size > max_bytes and size - len(encode(_without_bulk(report))) > max_bytes:
        detail = f"the report takes {size} bytes, {max_bytes} are allowed: extract less from this page"
        bare = replace(_without_bulk(report), detail=detail)
        report = replace(bare, outcome=Outcome.REPORT_TOO_LARGE, reason=Reason.REPORT_TOO_LARGE)
        size = len(encode(report))
    if size > MAX_REPORT_BYTES:
        return in_pieces(attempt, report)
    return Delivery(attempt=attempt, report=report, wire_bytes=size)


def in_pieces(attempt: Attempt, report: Report, part_bytes: int = PART_BYTES) -> Delivery:
    """Split the report of a page into parts, each with a piece of its rows and links."""
    outlinks = report.kept or pack(report.outlinks, SHORT_RUN)
    pieces = split(Bulk(rows=report.rows, links=outlinks, listed=report.links), part_bytes)
    bare = Report(lease=report.lease, ref=report.ref, outcome=report.outcome, more=True)
    ahead = tuple(replace(bare, part=piece, place=place) for place, piece in enumerate(pieces[:-1]))
    last = replace(_without_bulk(report), part=pieces[-1], place=len(ahead))
    largest = max(len(encode(part)) for part in (*ahead[:1], last))
    return Delivery(attempt=attempt, report=last, wire_bytes=largest, ahead=ahead)


def _without_bulk(report: Report) -> Report:
    return replace(report, rows=(), outlinks=(), kept=b"", links=b"")


def in_parts(attempt: Attempt, report: Report, max_bytes: int = MAX_REPORT_BYTES) -> Delivery:
    """Split the report of a sitemap into parts that can be sent; all but the last say that there is more."""
    pages = _split(report.entries, lambda entry: len(entry.url) + 16, max_bytes // 2)
    indexed = _split(report.sitemaps, lambda url: len(url) + 8, max_bytes // 2)
    bare = replace(report, entries=(), sitemaps=())
    parts = [replace(bare, sitemaps=some) for some in indexed] + [replace(bare, entries=some) for some in pages]
    last = fit(attempt, parts[-1] if parts else bare, max_bytes)
    ahead = tuple(replace(part, more=True, links_left_out=0) for part in parts[:-1])
    largest = max((len(encode(part)) for part in ahead), default=0)
    return replace(last, wire_bytes=max(last.wire_bytes, largest), ahead=ahead)


def _split(values: tuple[T, ...], size_of: Callable[[T], int], max_bytes: int) -> list[tuple[T, ...]]:
    """Split values, in order, into runs small enough for one report each."""
    runs: list[tuple[T, ...]] = []
    run: list[T] = []
    size = 0
    for value in values:
        size += size_of(value)
        if run and (len(run) >= PART_ENTRIES or size > max_bytes):
            runs.append(tuple(run))
            run, size = [], size_of(value)
        run.append(value)
    return [*runs, tuple(run)] if run else runs


def extract_error(report: Report, detail: str, reason: Reason = Reason.EXTRACT_ERROR) -> Report:
    """Return a report that fails because of the page's content, or of its hook."""
    return replace(report, outcome=Outcome.EXTRACT_ERROR, reason=reason, detail=detail_of(detail))


def printable(text: str) -> str:
    """Replace characters that UTF-8 cannot encode (lone surrogates)."""
    return text.encode("utf-8", "replace").decode("utf-8")


def detail_of(text: str) -> str:
    """Return text as a report's `detail`: it can be sent, and is cut to a length."""
    return printable(text[:MAX_DETAIL_CHARS])
