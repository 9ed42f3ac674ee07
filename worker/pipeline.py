"""Turns a fetched answer into a report: the worker's judgement of one attempt, as a value.

It maps answers to outcomes. It fetches, follows and retries nothing; the coordinator decides whether an outcome is
final.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from crawlfleet.shared.brief import Brief, UrlSpec
from crawlfleet.shared.dates import timestamp_in_field
from crawlfleet.shared.messages import Kind, Outcome, Report, Task
from crawlfleet.shared.reasons import Reason, of_status
from crawlfleet.shared.web.url_policy import UrlPolicy, policy_of
from crawlfleet.worker.extract import media_type
from crawlfleet.worker.extract.extractor import Extracted
from crawlfleet.worker.extract.sitemap import MAX_BYTES as MAX_SITEMAP_BYTES
from crawlfleet.worker.extract.sitemap import Sitemap
from crawlfleet.worker.fetch.port import Fetched, Headers, Wanted
from crawlfleet.worker.fitting import detail_of, extract_error, fit, in_parts, printable
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.talk.outbox import Delivery

MAX_ROBOTS_BYTES = 512 * 1024
MAX_CONTENT_TYPE_CHARS = 200

_ENOUGH_BYTES = {Kind.ROBOTS: MAX_ROBOTS_BYTES, Kind.SITEMAP: MAX_SITEMAP_BYTES, Kind.CHECK: 0}

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_SECONDS = re.compile(r"[0-9]{1,10}")
_ALL_OF_IT = re.compile(r"bytes 0-([0-9]{1,18})/([0-9]{1,18})")
_MAX_AGE = re.compile(r'max-age="?([0-9]{1,10})"?')


class PageExtractor(Protocol):
    """Turns a page into rows and outlinks, and a sitemap into entries: see `worker.extract.extractor`."""

    def extract(self, fetched: Fetched, depth: int, /) -> Extracted: ...
    def read_sitemap(self, fetched: Fetched) -> Sitemap: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Settles attempts. A page gives `max_report_bytes` of rows and links at most.

    `wall_clock` is used only for a Retry-After date in an answer without a Date.
    """

    extractor: PageExtractor
    max_report_bytes: int
    wall_clock: Callable[[], float] = time.time
    types: tuple[str, ...] | None = None
    urls: UrlPolicy = policy_of(UrlSpec())  # noqa: RUF009  # a frozen value

    @classmethod
    def of(cls, brief: Brief, extractor: PageExtractor) -> Pipeline:
        """Return the pipeline of a job."""
        urls = policy_of(brief.urls)
        return cls(extractor=extractor, max_report_bytes=brief.limits.report_bytes, types=brief.fetch.types, urls=urls)

    def wanted_of(self, task: Task) -> Wanted:
        """Return how much of a body a task needs, as `wanted_of` does; of a page only if the job reads its type."""
        wanted = wanted_of(task)
        return wanted._replace(reads=self._reads) if task.kind is Kind.PAGE and self.types is not None else wanted

    def _reads(self, headers: Headers) -> bool:
        return _is_wanted(_content_type(headers), self.types)

    def settle(self, attempt: Attempt, fetched: Fetched, known: Report | None = None) -> Delivery:
        """Turn one attempt into its report; `known` is its outline, if there is one already.

        An exception is a bug of ours: see `fitting.internal_error`.
        """
        task = attempt.task
        report = self._judge(task, known or outline(attempt, fetched), fetched)
        if task.kind is Kind.ROBOTS and fetched.failure is None:
            report = replace(report, fresh_s=fresh_s(fetched))
        if task.kind is Kind.SITEMAP:
            return in_parts(attempt, report)
        return fit(attempt, report, self.max_report_bytes)

    def _judge(self, task: Task, outline: Report, fetched: Fetched) -> Report:
        is_there = task.kind is Kind.CHECK and fetched.status != 0  # its head has come, and nothing else matters
        if fetched.failure is not None and not is_there:
            return replace(outline, outcome=fetched.failure, reason=fetched.reason, detail=detail_of(fetched.detail))
        if 200 <= fetched.status <= 299 and not is_a_part(fetched):
            return self._read(task, outline, fetched)
        wait_s = retry_after_s(fetched, self.wall_clock)
        if fetched.status in _REDIRECTS:
            return replace(_redirect(outline, fetched, self.urls), retry_after_s=wait_s)
        return replace(outline, outcome=Outcome.HTTP_ERROR, reason=of_status(fetched.status), retry_after_s=wait_s)

    def _read(self, task: Task, outline: Report, fetched: Fetched) -> Report:
        if task.kind is Kind.ROBOTS:
            return replace(outline, outcome=Outcome.FETCHED, body=_robots_lines(fetched))
        if task.kind is Kind.CHECK:
            return replace(outline, outcome=Outcome.FETCHED)
        if task.kind is Kind.SITEMAP:
            return _sitemap(outline, self.extractor.read_sitemap(fetched))
        if not _is_wanted(outline.content_type, self.types):
            detail = f"{outline.content_type} is none of {', '.join(self.types or ())}"
            return replace(outline, outcome=Outcome.DENIED, reason=Reason.CONTENT_TYPE, detail=detail_of(detail))
        page = self.extractor.extract(fetched, task.depth)
        if page.reason is Reason.HOOK_WAITED:
            detail = detail_of(page.error)
            return replace(outline, outcome=Outcome.HOOK_WAITED, reason=Reason.HOOK_WAITED, detail=detail)
        if page.notes:
            outline = replace(outline, notes=(*outline.notes, *page.notes))
        if page.error:
            found = replace(outline, outlinks=page.outlinks, links_left_out=page.links_left_out, links=page.links)
            return extract_error(found, page.error, page.reason)
        return replace(
            outline,
            outcome=Outcome.FETCHED,
            reason=Reason.NOINDEX if page.noindex else "",
            rows=page.rows,
            rows_left_out=page.rows_left_out,
            unconverted=page.unconverted,
            outlinks=page.outlinks,
            links_left_out=page.links_left_out,
            links=page.links,
        )


def wanted_of(task: Task) -> Wanted:
    """Return how much of a body a task needs, how it is asked for, and where that may lead.

    A robots.txt is cut (RFC 9309, 2.5), and so is a sitemap larger than its protocol allows. A check needs no body.
    """
    by_head = task.kind is Kind.CHECK and not task.by_get
    return Wanted(_ENOUGH_BYTES.get(task.kind), by_head, task.bare, task.inside, task.first)


def _is_wanted(content_type: str, types: tuple[str, ...] | None) -> bool:
    """Say whether pages of a content type are read; those without one always are."""
    if types is None or not content_type:
        return True
    return content_type in types or f"{content_type.partition('/')[0]}/*" in types


def is_a_part(fetched: Fetched) -> bool:
    """Say whether an answer is an unrequested part: 206 (RFC 9110, 15.3.7) with less than the whole."""
    if fetched.status != 206:
        return False
    match = _ALL_OF_IT.fullmatch(fetched.headers.get("content-range", "").strip())
    return match is None or int(match[1]) + 1 != int(match[2])


def retry_after_s(fetched: Fetched, wall_clock: Callable[[], float]) -> float | None:
    """Read Retry-After (RFC 9110, 10.2.3) as seconds from now: 0 for a past date, None if absent or invalid."""
    value = fetched.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    until = timestamp_in_field(value)
    if until is None:
        return None
    # The server's own clock is the best reference for its date.
    now = timestamp_in_field(fetched.headers.get("date", ""))
    return max(0.0, until - (now if now is not None else wall_clock()))


def fresh_s(fetched: Fetched) -> float | None:
    """Read from Cache-Control how long an answer may be kept (RFC 9111, 5.2.2); None if not given."""
    cache_control = ",".join(fetched.headers.get_all("cache-control")).lower()
    directives = [directive.strip() for directive in cache_control.split(",")]
    if "no-store" in directives or "no-cache" in directives:
        return 0.0
    ages = (_MAX_AGE.fullmatch(directive) for directive in directives)
    return next((float(age[1]) for age in ages if age is not None), None)


def outline(attempt: Attempt, fetched: Fetched) -> Report:
    """Return the fields that every report of an answer has, as if reading its page had been ended for some reason."""
    return Report(
        lease=attempt.lease_id,
        ref=attempt.task.ref,
        outcome=Outcome.EXTRACT_ERROR,
        gap_s=attempt.gap_s,
        status=fetched.status,
        elapsed_s=fetched.elapsed_s,
        lookup_s=attempt.lookup_s,
        size_bytes=len(fetched.body),
        address=fetched.remote_address,
        notes=fetched.notes,
        first_addresses=fetched.first_addresses,
        content_type=_content_type(fetched.headers),
    )


def _content_type(headers: Headers) -> str:
    return printable(media_type.essence_of(media_type.field_of(headers))[:MAX_CONTENT_TYPE_CHARS])


def _redirect(outline: Report, fetched: Fetched, urls: UrlPolicy) -> Report:
    """Add the canonical target of a redirect, or the reason why there is none."""
    location = _location(fetched)
    target = urls.canonicalize(location, fetched.url) if location else None
    if target is not None:
        return replace(outline, outcome=Outcome.REDIRECTED, location=target)
    outline = replace(outline, outcome=Outcome.HTTP_ERROR)
    blocked = _SCHEME.match(location) and not location.lower().startswith(("http:", "https:"))
    invalid = Reason.REDIRECT_INVALID if location else Reason.REDIRECT_WITHOUT_LOCATION
    reason = Reason.REDIRECT_SCHEME_BLOCKED if blocked else invalid
    return replace(outline, reason=reason, detail=detail_of(f"Location: {location!r}" if location else ""))


def _location(fetched: Fetched) -> str:
    """Return the Location field. Header bytes are decoded as Latin-1, but in URLs they are mostly UTF-8."""
    value = fetched.headers.get("location", "").strip()
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _robots_lines(fetched: Fetched) -> bytes:
    """Return a robots.txt without the line that its limit cut in two: half a rule is a different rule."""
    body = fetched.body[:MAX_ROBOTS_BYTES]
    if not fetched.truncated and len(body) == len(fetched.body):
        return body
    return body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]


def _sitemap(outline: Report, sitemap: Sitemap) -> Report:
    found = replace(outline, entries=sitemap.pages, sitemaps=sitemap.sitemaps, links_left_out=sitemap.left_out)
    if sitemap.error:
        detail = detail_of(f"{sitemap.error}; {sitemap.entries:,} entries were read before")
        return replace(found, outcome=Outcome.EXTRACT_ERROR, reason=Reason.SITEMAP_BROKEN, detail=detail)
    return replace(found, outcome=Outcome.FETCHED, detail=_shortfall(sitemap))


def _shortfall(sitemap: Sitemap) -> str:
    """Say why a sitemap that was read gives nothing, or not all; empty if it does."""
    if sitemap.left_out:
        return f"it is longer than the protocol allows: the first {sitemap.entries:,} entries were read"
    if sitemap.pages or sitemap.sitemaps:
        return ""
    if sitemap.entries == 1:
        return "its only entry is no page of the crawl"
    return f"none of its {sitemap.entries:,} entries is a page of the crawl" if sitemap.entries else "it has no entries"
