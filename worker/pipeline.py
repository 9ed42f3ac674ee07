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
from typing import Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from crawlfleet.shared.messages import CONTENT_TYPE_RULE, Kind, Outcome, Report, Task, UrlSpec, encode
from crawlfleet.shared.web.url_policy import UrlPolicy, policy_of
from crawlfleet.worker.extract import Extracted
from crawlfleet.worker.extract.sitemap import MAX_BYTES as MAX_SITEMAP_BYTES
from crawlfleet.worker.extract.sitemap import Sitemap
from crawlfleet.worker.fetch import Fetched
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.talk.outbox import Delivery

MAX_ROBOTS_BYTES = 512 * 1024
MAX_DETAIL_CHARS = 500
MAX_CONTENT_TYPE_CHARS = 200

TOO_LARGE = "report_too_large"
NOINDEX = "noindex"

_ENOUGH_BYTES = {Kind.ROBOTS: MAX_ROBOTS_BYTES, Kind.SITEMAP: MAX_SITEMAP_BYTES}
# So many addresses the coordinator admits at once without making others wait.
PART_ENTRIES = 2_000
BROKEN_SITEMAP = "sitemap_broken"

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_SECONDS = re.compile(r"[0-9]{1,10}")
_ALL_OF_IT = re.compile(r"bytes 0-([0-9]{1,18})/([0-9]{1,18})")
_MAX_AGE = re.compile(r'max-age="?([0-9]{1,10})"?')


T = TypeVar("T")


class PageExtractor(Protocol):
    """What turns a page into rows and outlinks, a sitemap into entries; `worker.extract.Extractor` is one."""

    def extract(self, fetched: Fetched) -> Extracted: ...
    def read_sitemap(self, fetched: Fetched) -> Sitemap: ...


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """A report as it may travel, and the parts that go ahead of it; the size of the largest of them once encoded."""

    report: Report
    wire_bytes: int
    ahead: tuple[Report, ...] = ()

    def delivery(self, attempt: Attempt) -> Delivery:
        """Return what of this goes into the outbox."""
        return Delivery(
            report=self.report,
            wire_bytes=self.wire_bytes,
            depth=attempt.task.depth,
            started_at=attempt.started_at,
            gap_s=attempt.gap_s,
            ahead=self.ahead,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Settles attempts; `wall_clock` only serves a Retry-After date that has no Date beside it."""

    extractor: PageExtractor
    max_report_bytes: int
    wall_clock: Callable[[], float] = time.time
    types: tuple[str, ...] | None = None
    urls: UrlPolicy = policy_of(UrlSpec())  # noqa: RUF009  # a frozen value

    def settle(self, task: Task, lease_id: int, fetched: Fetched) -> Settled:
        """Turn one attempt into its report. What is raised is a bug of ours: see `internal_error`."""
        report = self._judge(task, _outline(task, lease_id, fetched), fetched)
        if task.kind is Kind.ROBOTS and fetched.failure is None:
            report = replace(report, fresh_s=fresh_s(fetched))
        if task.kind is Kind.SITEMAP:
            return in_parts(report, self.max_report_bytes)
        return fit(report, self.max_report_bytes)

    def _judge(self, task: Task, outline: Report, fetched: Fetched) -> Report:
        if fetched.failure is not None:
            return replace(outline, outcome=fetched.failure, reason=fetched.reason, detail=_brief(fetched.detail))
        if 200 <= fetched.status <= 299 and not is_a_part(fetched):
            return self._read(task, outline, fetched)
        wait_s = retry_after_s(fetched, self.wall_clock)
        if fetched.status in _REDIRECTS:
            return replace(_redirect(outline, fetched, self.urls), retry_after_s=wait_s)
        return replace(outline, reason=f"http_{fetched.status}", retry_after_s=wait_s)

    def _read(self, task: Task, outline: Report, fetched: Fetched) -> Report:
        if task.kind is Kind.ROBOTS:
            return replace(outline, outcome=Outcome.FETCHED, body=_robots_lines(fetched))
        if task.kind is Kind.SITEMAP:
            return _sitemap(outline, self.extractor.read_sitemap(fetched))
        if not _is_wanted(outline.content_type, self.types):
            detail = f"{outline.content_type} is none of {', '.join(self.types or ())}"
            return replace(outline, outcome=Outcome.DENIED, reason=CONTENT_TYPE_RULE, detail=_brief(detail))
        page = self.extractor.extract(fetched)
        found = replace(outline, outlinks=page.outlinks, capped=page.capped)
        if page.error:
            return _extract_error(found, page.error)
        return replace(found, outcome=Outcome.FETCHED, rows=page.rows, reason=NOINDEX if page.noindex else "")


def enough_bytes(task: Task) -> int | None:
    """Return how much of a body a task needs at most, None if the whole.

    A robots.txt is cut (RFC 9309, 2.5), and so is a sitemap that is larger than its protocol allows.
    """
    return _ENOUGH_BYTES.get(task.kind)


def _is_wanted(content_type: str, types: tuple[str, ...] | None) -> bool:
    """Say whether a page of a content type is read; one that names none always is."""
    if types is None or not content_type:
        return True
    return content_type in types or f"{content_type.partition('/')[0]}/*" in types


def is_a_part(fetched: Fetched) -> bool:
    """Say whether an answer is a part that nobody asked for: 206 (RFC 9110, 15.3.7) with less than all there is."""
    if fetched.status != 206:
        return False
    match = _ALL_OF_IT.fullmatch(fetched.headers.get("content-range", "").strip())
    return match is None or int(match[1]) + 1 != int(match[2])


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


def in_parts(report: Report, max_bytes: int) -> Settled:
    """Split the report of a sitemap into some that may travel: all but the last say that there is more."""
    pages = _split(report.entries, lambda entry: len(entry.url) + 16, max_bytes // 2)
    indexed = _split(report.sitemaps, lambda url: len(url) + 8, max_bytes // 2)
    bare = replace(report, entries=(), sitemaps=())
    parts = [replace(bare, sitemaps=some) for some in indexed] + [replace(bare, entries=some) for some in pages]
    last = fit(parts[-1] if parts else bare, max_bytes)
    ahead = tuple(replace(part, more=True) for part in parts[:-1])
    largest = max((len(encode(part)) for part in ahead), default=0)
    return Settled(report=last.report, wire_bytes=max(last.wire_bytes, largest), ahead=ahead)


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


def fresh_s(fetched: Fetched) -> float | None:
    """Read from Cache-Control how long an answer may be kept (RFC 9111, 5.2.2): None if that is not said."""
    told = ",".join(fetched.headers.get_all("cache-control")).lower()
    directives = [directive.strip() for directive in told.split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return 0.0
    ages = (_MAX_AGE.fullmatch(directive) for directive in directives)
    return next((float(age[1]) for age in ages if age is not None), None)


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
        address=fetched.remote_address,
        content_type=_printable(content_type[:MAX_CONTENT_TYPE_CHARS]),
    )


def _redirect(outline: Report, fetched: Fetched, urls: UrlPolicy) -> Report:
    """Name the canonical target; where there is none, say in which way it is missing."""
    location = _location(fetched)
    target = urls.canonicalize(location, fetched.url) if location else None
    if target is not None:
        return replace(outline, outcome=Outcome.REDIRECTED, location=target)
    blocked = _SCHEME.match(location) and not location.lower().startswith(("http:", "https:"))
    invalid = "redirect_invalid" if location else "redirect_without_location"
    reason = "redirect_scheme_blocked" if blocked else invalid
    return replace(outline, reason=reason, detail=_brief(f"Location: {location!r}" if location else ""))


def _location(fetched: Fetched) -> str:
    """The Location field; header bytes are decoded as Latin-1, but in an address they are mostly UTF-8."""
    value = fetched.headers.get("location", "").strip()
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _robots_lines(fetched: Fetched) -> bytes:
    """Return a robots.txt without the line that its limit cut in two: half a rule is another rule."""
    body = fetched.body[:MAX_ROBOTS_BYTES]
    if not fetched.truncated and len(body) == len(fetched.body):
        return body
    return body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]


def _sitemap(outline: Report, sitemap: Sitemap) -> Report:
    found = replace(outline, entries=sitemap.pages, sitemaps=sitemap.sitemaps, capped=sitemap.capped)
    if sitemap.error:
        return replace(found, outcome=Outcome.EXTRACT_ERROR, reason=BROKEN_SITEMAP, detail=_brief(sitemap.error))
    return replace(found, outcome=Outcome.FETCHED)


def _split(values: tuple[T, ...], size_of: Callable[[T], int], max_bytes: int) -> list[tuple[T, ...]]:
    """Split values, in order, into runs that are small enough to be told at once."""
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
